"""Who changed type: against counts where types are plain, integrals by scipy, and ranks under the priors."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.integrate import quad

import bayesgmm as bg
from bayesgmm import traits
from bayesgmm.engines.base import Parameters
from bayesgmm.traits._occasions import _read, _Surface

COLUMNS = {"value": "bill", "individual": "bird", "occasion": "season"}
JOINT = ("before", "after")


def long_table(values, seasons=("wet", "dry")):
    """From an array (individuals, 2 occasions, repeats); all of the first occasion comes first."""
    n, _, r = values.shape
    return pd.DataFrame(
        {
            "bird": np.tile(np.repeat([f"b{i}" for i in range(n)], r), 2),
            "season": np.repeat(seasons, n * r),
            "bill": values.swapaxes(0, 1).ravel(),
        }
    )


def plain(counts, seed=1, r=2):
    """Two types far apart, with so many individuals of each joint type."""
    rng = np.random.default_rng(seed)
    states = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], counts, axis=0)
    return np.array([10.0, 14.0])[states][..., None] + rng.normal(0, 0.5, (*states.shape, r)), states


@pytest.mark.parametrize("spread", [False, True])
def test_types_that_are_plain_are_counted(spread):
    counts = np.array([14, 5, 1, 10])
    values, states = plain(counts)
    found = traits.change_of_type(long_table(values), **COLUMNS, spread=spread, random_seed=1)
    exact = stats.dirichlet(1 + counts)
    error = 4 / np.sqrt(min(1000, found["effective_draws"].item()))
    sds = np.sqrt(exact.var())
    np.testing.assert_array_less(np.abs(found["joint"].mean("draw").to_numpy().ravel() - exact.mean()), error * sds)
    np.testing.assert_allclose(found["joint"].std("draw").to_numpy().ravel(), sds, rtol=0.15)
    np.testing.assert_allclose(found["joint"].sum(JOINT), 1.0, rtol=1e-9)
    changed = stats.beta(2 + 6, 2 + 24)
    low, high = changed.interval(found.attrs["interval"])
    assert error < 0.3
    assert found["changed_lower"].item() == pytest.approx(low, abs=error * changed.std())
    assert found["changed_upper"].item() == pytest.approx(high, abs=2 * error * changed.std())
    order = found["individual"].to_numpy().tolist()
    own = found["individual_joint"].to_numpy()[[order.index(f"b{i}") for i in range(30)]]
    assert (own[np.arange(30), states[:, 0], states[:, 1]] > 0.99).all()
    np.testing.assert_allclose(found["type_mean"].mean("draw"), [10.0, 14.0], atol=0.4)
    assert found["occasion"].to_numpy().tolist() == ["wet", "dry"]
    share = found["share"].mean("draw").sel(type="high")
    np.testing.assert_allclose(share, [(11 + 2) / 34, (15 + 2) / 34], atol=0.03)
    np.testing.assert_allclose(found["change"], found["share"].sel(type="high").diff("occasion").squeeze("occasion"))
    assert found["reliable"].item()
    assert (found.attrs["n_pairs"], found.attrs["n_once"]) == (30, 0)
    assert ("correlation" in found) == ("type_sd" in found) == spread


def test_pairs_tell_more_than_two_samples():
    """Nearly nobody changes: the change of the share is known far better than either share."""
    found = traits.change_of_type(
        long_table(plain([25, 1, 1, 25])[0]), **COLUMNS, spread=False, draws=1000, random_seed=2
    )
    apart = np.sqrt(found["share"].sel(type="high").var("draw").sum("occasion"))
    assert found["change"].std("draw") < 0.5 * apart
    assert found["changed_upper"] < 0.15


def test_seen_once():
    values = plain([10, 3, 3, 10])[0]
    table = long_table(values)
    gone = (table["season"] == "dry") & table["bird"].isin([f"b{i}" for i in range(8)])
    found = traits.change_of_type(table[~gone], **COLUMNS, spread=False, draws=1000, random_seed=3)
    assert (found.attrs["n_pairs"], found.attrs["n_once"]) == (18, 8)
    assert not set(found["individual"].to_numpy()) & {f"b{i}" for i in range(8)}
    # Those seen once are all low on the first occasion.
    share = found["share"].sel(occasion="wet", type="high").mean("draw")
    assert share == pytest.approx((13 + 2) / (26 + 4), abs=0.03)


def test_integrals_over_joint_types():
    """Against sums of bivariate Normal densities, integrated by scipy."""
    rng = np.random.default_rng(4)
    table = long_table(np.cumsum(rng.normal(11.0, 1.5, (7, 2, 3)), axis=2) / np.arange(1, 4))
    seen = _read(table, "bill", "bird", "season", None, None)
    # The second has its types the other way round.
    points = Parameters(
        log_weights=np.log([[[0.3, 0.7], [0.45, 0.55]], [[0.8, 0.2], [0.1, 0.9]]]),
        means=np.array([[[10.0], [12.0]], [[13.0], [11.0]]]),
        choleskys=np.array([[[[0.5]], [[1.5]]], [[[0.7]], [[0.2]]]]),
        log_noise=np.log([1.0, 1.3]),
    )
    correlations = np.array([0.2, 0.9])
    found = _Surface.of(seen, points, correlations)
    y, e = seen.known.means[seen.pairs], seen.known.errors[seen.pairs]
    for s in range(2):
        order = np.argsort(points.means[s, :, 0])
        w, m, sds = np.exp(points.log_weights[s])[:, order], points.means[s, order, 0], points.choleskys[s, order, 0, 0]
        noise = np.square(np.exp(points.log_noise[s]) * e)
        total = 0.0
        for rho in correlations:
            densities = np.empty((7, 2, 2))
            for i, a, b in np.ndindex(7, 2, 2):
                shared = rho * sds[a] * sds[b]
                covariance = [[noise[i, 0] + sds[a] ** 2, shared], [shared, noise[i, 1] + sds[b] ** 2]]
                densities[i, a, b] = stats.multivariate_normal([m[a], m[b]], covariance).pdf(y[i])
            each = np.stack([stats.norm(m, np.sqrt(sds**2 + noise[:, [t]])).pdf(y[:, [t]]) @ w[t] for t in range(2)])
            sign = np.array([[1.0, -1.0], [-1.0, 1.0]])

            def ratio(delta, w=w, densities=densities, each=each, sign=sign):
                joint = np.outer(w[0], w[1]) + delta * sign
                return 6.0 * np.prod((densities * joint).sum(axis=(1, 2)) / each.prod(axis=0))

            least = -min(w[0, 0] * w[1, 0], w[0, 1] * w[1, 1])
            most = min(w[0, 0] * w[1, 1], w[0, 1] * w[1, 0])
            total += quad(ratio, least, most, epsrel=1e-11)[0] / 2
        assert found.log_integrals[s] == pytest.approx(np.log(total), abs=1e-8)


def ranks(number, n=20, r=2):
    """Where the truth lies among the draws, for parameters from the priors."""
    rng = np.random.default_rng([7, number])
    error = np.sqrt(10 / rng.chisquare(10))
    joint = rng.dirichlet(np.ones(4)).reshape(2, 2)
    order = np.argsort(means := rng.normal(0, 3, 2))
    means, sds = means[order], np.abs(rng.normal(0, 1.5, 2))
    rho = rng.random()
    states = rng.choice(4, n, p=joint.ravel())
    states = np.stack([states // 2, states % 2], axis=1)
    own = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], n)
    true = means[states] + sds[states] * own
    table = long_table(true[..., None] + error * rng.normal(size=(n, 2, r)))
    found = traits.change_of_type(
        table, **COLUMNS, error=1.0, error_df=10.0, centre=0.0, scale=3.0, draws=1000, random_seed=number
    )
    truth = {"change": joint[0, 1] - joint[1, 0], "changed": joint[0, 1] + joint[1, 0]}
    out = [float((found[name] < value).mean()) for name, value in truth.items()]
    jitter = rng.uniform(-0.05, 0.05, 1000)  # it is on a grid
    return [*out, float((found["correlation"] + jitter < rho).mean())]


@pytest.mark.study
def test_ranks_are_uniform():
    found = np.array([ranks(number) for number in range(60)])
    for name, own in zip(("change", "changed", "correlation"), found.T, strict=True):
        assert stats.kstest(own, "uniform").pvalue > 1e-3, name


@pytest.mark.parametrize(
    ("change", "arguments", "wanted"),
    [
        (lambda t: t, {"occasion": "year"}, "occasion: data has no column 'year'"),
        (lambda t: t, {"individual": "animal"}, "individual: data has no column 'animal'"),
        (lambda t: t[t["season"] == "wet"], {}, "occasion: column 'season' has 1 different labels"),
        (lambda t: t.assign(bird=t["bird"] + t["season"]), {}, "nobody was measured on both occasions"),
        (lambda t: t.assign(bird=t["bird"].where(t.index > 0)), {}, "individual: column 'bird' has no label in row 0"),
        (lambda t: t["bill"].to_numpy(), {}, "data: got ndarray"),
        (lambda t: t, {"draws": 100}, "draws: got 100.*at least 200"),
        (lambda t: t, {"random_seed": -1}, "random_seed"),
        (lambda t: t.drop_duplicates(["bird", "season"]), {}, "measured once"),
    ],
)
def test_what_cannot_be_read(change, arguments, wanted):
    table = long_table(plain([4, 2, 2, 4])[0])
    with pytest.raises(bg.InputError, match=wanted):
        traits.change_of_type(change(table), **(COLUMNS | arguments))
