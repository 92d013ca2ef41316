from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.special import rel_entr

from bayesgmm.numerics.relabelling import least_rise, permuted, relabelling


def source(r, chunk=7):
    return lambda: (r[i : i + chunk] for i in range(0, len(r), chunk))


def responsibilities(x, means, sds):
    log = -0.5 * np.square((x - means[..., None]) / sds[..., None]) - np.log(sds[..., None])
    log -= log.max(axis=-2, keepdims=True)
    r = np.exp(log)
    return r / r.sum(axis=-2, keepdims=True)


def switched(means, sds, rng, n_draws=60, n_rows=150, jitter=0.05):
    """Allocation probabilities of jittered parameters under random labels, the pivot, and the labels."""
    means, sds = np.asarray(means, dtype=float), np.asarray(sds, dtype=float)
    K = means.size
    z = np.arange(n_rows) % K
    x = means[z] + sds[z] * rng.standard_normal(n_rows)
    labels = np.stack([rng.permutation(K) for _ in range(n_draws)])
    drawn_means = (means + jitter * sds * rng.standard_normal((n_draws, K)))[np.arange(n_draws)[:, None], labels]
    drawn_sds = (sds * np.exp(jitter * rng.standard_normal((n_draws, K))))[np.arange(n_draws)[:, None], labels]
    return responsibilities(x, drawn_means, drawn_sds), responsibilities(x, means, sds), labels


def blurred(K, rng, n_draws=40, n_rows=30, strength=1.5):
    """Allocation probabilities with a weak common pattern under random labels, so that the best order is not plain."""
    pattern = strength * rng.standard_normal((K, n_rows))
    logits = pattern + rng.standard_normal((n_draws, K, n_rows))
    r = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return permuted(r, np.stack([rng.permutation(K) for _ in range(n_draws)]))


def divergences(r, order, mean):
    """Stephens' objective of each draw with the same order for all."""
    return rel_entr(r[:, list(order)], mean).sum(axis=(1, 2))


def enumerated(r, orders, classes):
    """Permitted permutations, and each draw's divergence (S, P) under each of them from the mean under `orders`."""
    mean = permuted(r, orders).mean(axis=0)
    permitted = [p for p in permutations(range(len(classes))) if np.array_equal(classes[list(p)], classes)]
    return np.array(permitted), np.stack([divergences(r, p, mean) for p in permitted], axis=1)


def same(K):
    return np.zeros(K, dtype=int)


MIXTURES = {
    "two": ([-3.0, 3.0], [1.0, 1.0]),
    "three": ([-8.0, 0.0, 8.0], [1.0, 1.0, 1.0]),
    "four": ([-12.0, -4.0, 4.0, 12.0], [1.0, 0.5, 2.0, 1.0]),
    "five": ([-20.0, -10.0, 0.0, 10.0, 20.0], [1.0, 0.5, 2.0, 1.0, 0.7]),
    "two of one mean": ([0.0, 0.01], [0.3, 5.0]),
    "five, two pairs of one mean": ([0.0, 0.01, 15.0, 60.0, 60.02], [0.2, 3.0, 1.0, 0.3, 6.0]),
}


@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("seed", [1, 2])
def test_known_labels_are_recovered(name, seed):
    r, pivot, labels = switched(*MIXTURES[name], np.random.default_rng(seed))
    K = len(pivot)
    found = relabelling(source(r), pivot, same(K), n_draws=len(r))
    assert found.converged
    assert np.array_equal(found.orders, np.argsort(labels, axis=1))
    assert np.array_equal(permuted(labels, found.orders), np.tile(np.arange(K), (len(r), 1)))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("classes", [[0, 0, 0], [4, 1, 4], [0, 0, 0, 0], [0, 1, 0, 1]])
def test_every_draw_is_best_among_all_permutations(classes, seed):
    classes = np.array(classes)
    r = blurred(classes.size, np.random.default_rng(seed), n_draws=25)
    found = relabelling(source(r), r[0], classes, n_draws=len(r))
    assert found.converged
    permitted, costs = enumerated(r, found.orders, classes)
    assert np.array_equal(permitted[costs.argmin(axis=1)], found.orders)
    ranked = np.sort(costs, axis=1)
    mean = permuted(r, found.orders).mean(axis=0)
    assert rel_entr(permuted(r, found.orders), mean).sum() == pytest.approx(ranked[:, 0].sum(), abs=1e-9)
    np.testing.assert_allclose(found.margins, ranked[:, 1] - ranked[:, 0], rtol=0, atol=1e-9)
    assert found.margins.min() > 0


def test_first_the_draws_are_matched_to_the_pivot():
    # The mean after the matching is what round 1 costs; enumerate that matching.
    r = blurred(3, np.random.default_rng(3))
    pivot = r[0]
    overlaps = np.array([[(draw[list(p)] * pivot).sum() for p in permutations(range(3))] for draw in r])
    matched = np.array(list(permutations(range(3))))[overlaps.argmax(axis=1)]
    mean = permuted(r, matched).mean(axis=0)
    crosses = np.stack([-(r[:, list(p)] * np.log(mean)).sum(axis=(1, 2)) for p in permutations(range(3))], axis=1)
    told = []
    relabelling(source(r), pivot, same(3), n_draws=len(r), on_round=lambda *state: told.append(state))
    assert told[0][1] == pytest.approx(crosses.min(axis=1).sum(), rel=1e-12)
    best = np.array(list(permutations(range(3))))[crosses.argmin(axis=1)]
    assert told[0][2] == np.any(best != matched, axis=1).sum()


@pytest.mark.parametrize("seed", range(4))
def test_classes_are_respected(seed):
    rng = np.random.default_rng(seed)
    classes = np.array([2, 0, 2, 7, 0])
    r = blurred(5, rng)
    found = relabelling(source(r), r[0], classes, n_draws=len(r))
    assert np.array_equal(np.sort(found.orders, axis=1), np.tile(np.arange(5), (len(r), 1)))
    assert np.array_equal(classes[found.orders], np.tile(classes, (len(r), 1)))
    assert np.any(found.orders != np.arange(5))
    free = relabelling(source(r), r[0], same(5), n_draws=len(r))
    assert np.any(classes[free.orders] != classes)  # without classes the test above would fail


def test_nothing_to_permute():
    def unread():
        raise AssertionError("the draws are not needed")

    for K in (1, 3):
        found = relabelling(unread, np.full((K, 4), 1.0 / K), np.arange(K), n_draws=6)
        assert np.array_equal(found.orders, np.tile(np.arange(K), (6, 1)))
        assert np.all(found.margins == np.inf)
        assert found.converged


@pytest.mark.parametrize("chunk", [1, 3, 39, 100])
def test_chunks_do_not_matter(chunk):
    r = blurred(4, np.random.default_rng(5))
    whole = relabelling(source(r, len(r)), r[0], same(4), n_draws=len(r))
    parts = relabelling(source(r, chunk), r[0], same(4), n_draws=len(r))
    assert np.array_equal(parts.orders, whole.orders)
    assert parts.rounds == whole.rounds
    np.testing.assert_allclose(parts.margins, whole.margins, rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_objective_never_rises(seed):
    rng = np.random.default_rng(seed)
    r = blurred(4, rng, n_draws=80, strength=0.6)
    told, sweeps = [], []

    def counted():
        sweeps.append(None)
        return source(r)()

    found = relabelling(
        counted, rng.dirichlet(np.ones(4), 30).T, same(4), n_draws=80, on_round=lambda *state: told.append(state)
    )
    rounds, costs, changed = zip(*told, strict=True)
    assert rounds == tuple(range(1, found.rounds + 1))
    assert len(sweeps) == found.rounds + 1
    assert found.rounds >= 3  # the pivot tells nothing, so there is something to do
    assert np.all(np.diff(costs) <= 1e-10 * costs[0])
    assert costs[-1] < costs[0]
    assert changed[-1] == 0
    assert min(changed[:-1]) > 0
    # The last cost is the objective itself, but for the entropies.
    mean = permuted(r, found.orders).mean(axis=0)
    entropies = -(r * np.log(r)).sum()
    assert costs[-1] - entropies == pytest.approx(rel_entr(permuted(r, found.orders), mean).sum(), rel=1e-9)


def test_stopped_early():
    rng = np.random.default_rng(0)
    r, pivot = blurred(4, rng, n_draws=80, strength=0.6), rng.dirichlet(np.ones(4), 30).T
    before, found = (relabelling(source(r), pivot, same(4), n_draws=80, max_rounds=rounds) for rounds in (1, 2))
    assert found.rounds == 2
    assert not found.converged
    permitted, costs = enumerated(r, before.orders, same(4))
    assert np.array_equal(permitted[costs.argmin(axis=1)], found.orders)
    ranked = np.sort(costs, axis=1)
    np.testing.assert_allclose(found.margins, ranked[:, 1] - ranked[:, 0], rtol=0, atol=1e-9)


def test_margins_measure_the_overlap():
    margins = []
    for distance in (0.05, 1.0, 3.0, 10.0):
        r, pivot, _ = switched([0.0, distance], [1.0, 1.0], np.random.default_rng(6), jitter=0.1)
        margins.append(np.median(relabelling(source(r), pivot, same(2), n_draws=len(r)).margins))
    assert np.all(np.diff(margins) > 0)
    assert margins[0] < 3.0
    assert margins[-1] > 1000.0


def test_components_of_equal_parameters_are_tied():
    # Components 1 and 2 are the same in every draw but for rounding: nothing tells their labels, and none may change.
    rng = np.random.default_rng(7)
    r, pivot, labels = switched([0.0, 4.0], [1.0, 1.0], rng)
    r = permuted(r, np.argsort(labels, axis=1))
    r, pivot = (np.concatenate([a[..., :1, :], a[..., 1:, :] / 2, a[..., 1:, :] / 2], axis=-2) for a in (r, pivot))
    r = permuted(r, np.stack([rng.permutation(3) for _ in r]))
    r *= 1.0 + 2e-16 * rng.integers(-1, 2, r.shape)
    changed = []
    found = relabelling(source(r), pivot, same(3), n_draws=len(r), on_round=lambda *state: changed.append(state[2]))
    assert found.converged
    assert changed == [0]
    np.testing.assert_allclose(found.margins, 0.0, atol=1e-9)
    assert np.all(found.margins >= 0)


def test_row_weight_scales_margins():
    r = blurred(3, np.random.default_rng(9))
    one, five = (relabelling(source(r), r[0], same(3), n_draws=len(r), row_weight=w) for w in (1.0, 5.0))
    assert np.array_equal(one.orders, five.orders)
    assert one.margins.min() > 0
    np.testing.assert_allclose(five.margins, 5.0 * one.margins, rtol=1e-9)


def test_probabilities_of_exactly_zero():
    # Far apart, probabilities underflow and no draw gives some rows to a component.
    r, pivot, labels = switched([0.0, 1e3, 2e3], [1.0, 1.0, 1.0], np.random.default_rng(10))
    assert np.any(r == 0)
    found = relabelling(source(r), pivot, same(3), n_draws=len(r))
    assert np.array_equal(found.orders, np.argsort(labels, axis=1))
    assert np.all(np.isfinite(found.margins))


@pytest.mark.parametrize("n_draws", [39, 41])
def test_wrong_number_of_draws(n_draws):
    r = blurred(3, np.random.default_rng(11))
    with pytest.raises(ValueError, match=f"Expected {n_draws} draws"):
        relabelling(source(r), r[0], same(3), n_draws=n_draws)


def test_bad_arguments():
    r = blurred(3, np.random.default_rng(12))
    with pytest.raises(ValueError, match=r"shape \(3, 30\)"):
        relabelling(source(r[:, :2]), r[0], same(3), n_draws=len(r))
    with pytest.raises(ValueError, match="classes"):
        relabelling(source(r), r[0], same(2), n_draws=len(r))
    with pytest.raises(ValueError, match="max_rounds"):
        relabelling(source(r), r[0], same(3), n_draws=len(r), max_rounds=0)


@pytest.mark.parametrize("K", [2, 3, 7])
def test_least_rise_by_forbidding_pairs(K):
    # Every other permutation lacks one of the chosen pairs, so the second best is the best without one of them.
    rng = np.random.default_rng(13)
    costs = 10.0 * rng.standard_normal((20, K, K))
    best = np.stack([linear_sum_assignment(c)[1] for c in costs])
    expected = []
    for cost, order in zip(costs, best, strict=True):
        others = []
        for k in range(K):
            without = cost.copy()
            without[k, order[k]] = np.inf
            others.append(without[linear_sum_assignment(without)].sum())
        expected.append(min(others) - cost[np.arange(K), order].sum())
    np.testing.assert_allclose(least_rise(costs, best), expected, rtol=0, atol=1e-9)
    assert np.all(least_rise(costs, np.roll(best, 1, axis=1)) < 0)


def test_least_rise_where_pairs_are_forbidden():
    costs = np.zeros((1, 3, 3))
    costs[0, [0, 1], [1, 0]] = 2.0, 3.0
    costs[0, 2, :2] = costs[0, :2, 2] = np.inf
    identity = np.arange(3)[None]
    assert least_rise(costs, identity) == 5.0
    costs[0, 0, 1] = np.inf
    assert least_rise(costs, identity) == np.inf


def test_permuted():
    orders = np.array([[1, 0, 2], [2, 1, 0]])
    for shape in ((2, 3), (2, 3, 4), (2, 3, 4, 4)):
        values = np.random.default_rng(14).standard_normal(shape)
        moved = permuted(values, orders)
        assert moved.shape == shape
        for s in range(2):
            for k in range(3):
                assert np.array_equal(moved[s, k], values[s, orders[s, k]])
