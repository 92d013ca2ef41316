"""Under maximum likelihood an optimum is at least that of any model within it, or it is said that none was found."""

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.engines._grown import grown
from bayesgmm.engines._nested import Nest, Simpler, is_nested, next_stricter, stricter, strictest_first
from bayesgmm.engines._objective import Objective
from bayesgmm.engines._problem import build_problem
from bayesgmm.model.covariance_priors import FlatCovariance

FLAT = bg.Flat()
STRUCTURES = {
    "full": bg.Full(FLAT),
    "tied": bg.Tied(bg.Full(FLAT)),
    "diagonal": bg.Diagonal(FLAT),
    "spherical": bg.Spherical(FLAT),
}
WITHIN = [("tied", "full"), ("diagonal", "full"), ("spherical", "diagonal"), ("spherical", "full")]


def likelihood(K, structure):
    return bg.GaussianMixture(K, weights=FLAT, means=FLAT, covariances=STRUCTURES[structure])


def compare(rows, numbers, structures=tuple(STRUCTURES)):
    return bg.compare_components(
        likelihood(1, "full"), rows, n_components=numbers, structures=list(structures), cores=1, random_seed=1,
        progressbar=False,
    )  # fmt: skip


def out_of_order(table):
    """Cells that are below one that they have to reach."""
    value, wrong = table["log_likelihood"], []
    for structure in value["structure"].to_numpy():
        own = value.sel(structure=structure).dropna("n_components")
        wrong += [(structure, K) for K, step in zip(own["n_components"][1:], np.diff(own), strict=True) if step < -1e-3]
    for inner, outer in WITHIN:
        short = (value.sel(structure=outer) - value.sel(structure=inner)).to_numpy() < -1e-3
        wrong += [(inner, outer, K) for K in value["n_components"].to_numpy()[short]]
    return wrong


def integers(seed, d=2):
    rng = np.random.default_rng(seed)
    return rng.poisson(rng.uniform(1, 5), size=(int(rng.integers(30, 70)), d)).astype(float)


@pytest.mark.parametrize("most", [3, pytest.param(6, marks=pytest.mark.study)])
def test_old_faithful(most):
    table = compare(bg.datasets.load_faithful(), range(1, most + 1))
    assert np.isfinite(table["log_likelihood"]).all()
    assert out_of_order(table) == []


@pytest.mark.fit
@pytest.mark.parametrize(
    ("seed", "d"), [(2, 1), *(pytest.param(seed, 1 + seed % 2, marks=pytest.mark.study) for seed in range(3, 9))]
)
def test_small_tables_of_integers(seed, d):
    rows, numbers = integers(seed, d), range(1, 5)
    table = compare(rows, numbers)
    value = table["log_likelihood"]
    assert out_of_order(table) == []
    for K in numbers:
        cell = table.sel(structure="full", n_components=K)
        try:
            fit = bg.fit(likelihood(K, "full"), rows, engine=bg.EM(threads=1), random_seed=1, progressbar=False)
        except bg.FitError:
            assert cell["status"] == "NO_PROPER_OPTIMUM"
            assert np.isnan(cell["log_likelihood"])
            assert "proper optimum" in cell["note"].item()
        else:
            assert fit["point_estimate"].attrs["log_likelihood"] >= value.sel(structure="tied", n_components=K) - 1e-3
            assert cell["status"] == "CONVERGED"


def test_a_cell_says_whose_optimum_is_not_reached():
    # A shared covariance gives the six equal rows a component; one of their own collapses.
    rng = np.random.default_rng(8)
    clouds = rng.normal(size=(120, 2)) + np.repeat([[0.0, 0.0], [6.0, 1.0]], 60, axis=0)
    rows = np.vstack([clouds, np.tile([3.0, 8.0], (6, 1))])
    table = compare(rows, [3], ["full", "tied"])
    full, tied = (table.sel(structure=name, n_components=3) for name in ("full", "tied"))
    assert full["status"] == "NO_PROPER_OPTIMUM"
    assert np.isnan(full["log_likelihood"])
    assert f"tied covariances reach {tied['log_likelihood'].item():.6g}" in full["note"].item()
    with pytest.raises(bg.FitError, match="tied covariances reach"):
        bg.fit(likelihood(3, "full"), rows, engine=bg.EM(threads=1), random_seed=7, progressbar=False)


def test_special_cases_of_a_structure():
    flat = FlatCovariance()
    full, diagonal, spherical = bg.Full(flat), bg.Diagonal(flat), bg.Spherical(flat)
    assert set(stricter(full)) == {bg.Tied(full), diagonal, bg.Tied(diagonal), spherical, bg.Tied(spherical)}
    assert set(stricter(bg.Tied(diagonal))) == {bg.Tied(spherical)}
    assert list(stricter(bg.Tied(spherical))) == []
    assert next_stricter(full, 3) == [bg.Tied(full), diagonal]
    assert next_stricter(full, 1) == [bg.Tied(full)]
    assert next_stricter(bg.Tied(full), 2) == [bg.Tied(diagonal)]
    order = [full, spherical, bg.Tied(full), diagonal, bg.Tied(spherical)]
    assert [order[i] for i in strictest_first(order)] == [bg.Tied(spherical), bg.Tied(full), spherical, diagonal, full]


def test_a_known_optimum_is_looked_up_under_the_declaration_of_a_problem():
    data = bg.as_data(integers(1))
    problem = build_problem(likelihood(2, "full"), data)
    nest = Nest(data=data)
    nest.known[bg.Tied(bg.Full(FlatCovariance())), 1] = Simpler(value=-3.0)
    nest.known[problem.declared.covariances, 1] = Simpler(value=-4.0)
    nest.known[problem.declared.covariances, 2] = Simpler(value=-1.0)
    assert nest.above(problem) == -3.0
    assert is_nested(problem)
    assert not is_nested(build_problem(bg.GaussianMixture(2), data))
    assert not is_nested(problem.part(np.arange(10)))


@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_new_component_raises_the_likelihood(structure):
    rows = bg.datasets.load_faithful()
    one = bg.fit(likelihood(2, structure), rows, engine=bg.EM(threads=1), random_seed=1, progressbar=False)
    data = bg.as_data(rows)
    nest = Nest(data=data)
    smaller = nest.optimum(build_problem(likelihood(2, structure), data).declared.covariances, 2)
    assert smaller.value == pytest.approx(one["point_estimate"].attrs["log_likelihood"], abs=1e-3)
    problem = build_problem(likelihood(3, structure), data)
    starts = grown(problem, problem.units.to_standard(smaller.at))
    assert starts
    for at in starts:
        value = Objective(problem, unconstrained=False).value(at)[0] - problem.log_volume
        assert value > smaller.value


def test_no_advice_that_was_taken_already():
    flat, repeated = FLAT, np.repeat([0.0, 1.0, 3.0], 10)
    cases = {
        "tied": (bg.Tied(bg.Full(flat)), repeated, ["InverseWishart", "fewer"], ["Tied", "Diagonal", "Spherical"]),
        "one column": (bg.Full(flat), repeated, ["InverseWishart", "Tied", "fewer"], ["Diagonal", "Spherical"]),
        "diagonal": (
            bg.Diagonal(flat), np.repeat(np.eye(3, 2), 10, axis=0), ["InverseWishart", "Tied", "Spherical"],
            ["Diagonal"],
        ),
    }  # fmt: skip
    for covariances, rows, named, not_named in cases.values():
        model = bg.GaussianMixture(4, weights=flat, means=flat, covariances=covariances)
        with pytest.raises(bg.FitError) as caught:
            bg.fit(model, rows, engine=bg.EM(threads=1), random_seed=1, progressbar=False)
        advice = str(caught.value).rpartition("Use ")[2]
        assert all(each in advice for each in named), advice
        assert not any(each in advice for each in not_named), advice


def overlapping_and_long(seed, n=145, d=3):
    """Three long groups across each other, one of them bent."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, n, p=rng.dirichlet([4, 3, 3]))
    rows = np.empty((n, d))
    for k in range(3):
        mean = rng.normal(size=d) * 1.3
        axes, _ = np.linalg.qr(rng.normal(size=(d, d)))
        scaled = axes * np.exp(rng.normal(size=d) * 0.8)
        t = rng.normal(size=(n, d))
        t[:, 0] += 0.5 * (t[:, 0] ** 2 - 1) if k == 2 else 0
        rows[labels == k] = (mean + t @ scaled.T)[labels == k]
    return rows


@pytest.mark.fit
@pytest.mark.parametrize(("data_seed", "best"), [(1, -697.07), (3, -708.53)])
def test_a_search_that_is_unsure_goes_on(data_seed, best):
    # The best of 300 starts, 60 of which were followed; with 32 starts three of four seeds ended 1 to 8 nats below.
    rows = overlapping_and_long(data_seed)
    for seed in (1, 2):
        fit = bg.fit(likelihood(4, "full"), rows, engine=bg.EM(threads=1), random_seed=seed, progressbar=False)
        assert fit["point_estimate"].attrs["log_likelihood"] > best - 0.01
        assert "from scratch" in bg.diagnose(fit).sel(check="starts")["message"].item()


def test_a_search_that_is_sure_does_not_go_on():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(0, 1, (100, 2)), rng.normal(6, 1, (100, 2))])
    fit = bg.fit(likelihood(2, "full"), rows, engine=bg.EM(threads=1), random_seed=1, progressbar=False)
    methods = fit["optimization"]["method"].to_numpy()
    assert len(methods) <= 32 + 15
    assert not set(methods) & {"joined groups", "simpler model"}
