"""The entropy hierarchy against a brute-force computation, and the rules for where to stop."""

import itertools

import numpy as np
import pytest
from scipy.stats import norm

from bayesgmm.numerics.merging import ALIKE, SEPARATE, elbow, elbow_lines, hierarchies, recommended


def entropy(r, units):
    return -sum(u * p * np.log(p) for row in r for u, p in zip(units, row, strict=True) if p > 0)


def by_brute_force(r, units):
    """Entropies with 1 ... K clusters and partitions, trying every pair at every step."""
    clusters = [[k] for k in range(len(r))]
    entropies, partitions = [entropy(r, units)], [clusters]
    while len(clusters) > 1:
        tried = []
        for a, b in itertools.combinations(clusters, 2):
            merged = [c for c in clusters if c not in (a, b)] + [a + b]
            tried.append((entropy([r[c].sum(axis=0) for c in merged], units), merged))
        least, clusters = min(tried, key=lambda each: each[0])
        entropies.append(least)
        partitions.append(clusters)
    return entropies[::-1], partitions[::-1]


@pytest.fixture(scope="module")
def sets():
    """Responsibilities of six components in thirty rows, four times, and the units of the rows."""
    rng = np.random.default_rng(3)
    return np.swapaxes(rng.dirichlet(np.full(6, 0.3), size=(4, 30)), 1, 2), rng.integers(1, 5, 30).astype(float)


def test_hierarchy_equals_brute_force(sets):
    r, units = sets
    found = hierarchies(r, units, empty_below=0.0)
    for s in range(len(r)):
        entropies, partitions = by_brute_force(r[s], units)
        np.testing.assert_allclose(found.entropy[s], entropies, atol=1e-10)
        for n, partition in enumerate(partitions):
            own = {frozenset(np.flatnonzero(found.cluster_of[s, n] == c).tolist()) for c in range(n + 1)}
            assert own == {frozenset(cluster) for cluster in partition}
            first = [int(np.flatnonzero(found.cluster_of[s, n] == c)[0]) for c in range(n + 1)]
            assert first == sorted(first)


def test_gain_units_and_overlap_of_each_merge(sets):
    r, units = sets
    found = hierarchies(r, units, empty_below=0.0)
    np.testing.assert_allclose(found.gain[:, :-1], np.diff(found.entropy, axis=1), atol=1e-10)
    for values in (found.gain, found.units, found.overlap):
        assert np.isnan(values[:, -1]).all()
        assert np.isfinite(values[:, :-1]).all()
    for s, n in itertools.product(range(len(r)), range(1, 6)):
        before, after = found.cluster_of[s, n], found.cluster_of[s, n - 1]
        pair = next(np.unique(before[after == c]) for c in range(n) if np.unique(before[after == c]).size == 2)
        a, b = (r[s][before == c].sum(axis=0) @ units for c in pair)
        assert found.units[s, n - 1] == pytest.approx(a + b)
        share = a / (a + b)
        most = -(a + b) * (share * np.log(share) + (1 - share) * np.log(1 - share))
        assert found.overlap[s, n - 1] == pytest.approx(found.gain[s, n - 1] / most)


def test_overlap_is_0_for_separate_components_and_1_for_one_component_twice():
    rows = np.repeat([0, 1], [30, 10])
    apart = np.array([rows == 0, rows == 1], dtype=float)
    assert hierarchies(apart[None], np.ones(40), empty_below=0.5).overlap[0, 0] == 0
    twice = np.array([np.full(40, 0.3), np.full(40, 0.7)])
    assert hierarchies(twice[None], np.ones(40), empty_below=0.5).overlap[0, 0] == pytest.approx(1.0)


@pytest.mark.parametrize("weight", [0.5, 0.2, 0.05])
def test_limits_of_the_overlap_are_what_the_documents_say(weight):
    """4.5 and 3 sds, whatever the weights: by quadrature instead of rows."""
    for limit, sds, slack in ((SEPARATE, 4.5, 0.025), (ALIKE, 3.0, 0.06)):
        x = np.linspace(-12, 17, 20_001)
        joint = np.array([weight * norm.pdf(x), (1 - weight) * norm.pdf(x - sds)])
        density = joint.sum(axis=0)
        found = hierarchies((joint / density)[None], density, empty_below=0.0)
        assert found.overlap[0, 0] == pytest.approx(limit, abs=slack)


def test_counts_are_repeated_rows(sets):
    r, units = sets
    repeated = np.repeat(r, units.astype(int), axis=2)
    one = hierarchies(r, units, empty_below=0.5)
    other = hierarchies(repeated, np.ones(repeated.shape[2]), empty_below=0.5)
    np.testing.assert_array_equal(one.cluster_of, other.cluster_of)
    for name in ("entropy", "gain", "units", "overlap"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-10, atol=1e-10)


def test_empty_components_are_merged_first(sets):
    r, units = sets
    r = r[:1] * 0.999
    empty = np.full((1, 1, 30), 0.001)
    found = hierarchies(np.concatenate([r[:, :2], empty, r[:, 2:]], axis=1), units, empty_below=0.5)
    assert found.occupied.tolist() == [6]
    others = np.delete(found.cluster_of[0, 5], 2)
    assert others.tolist() == [0, 1, 2, 3, 4, 5]


def test_elbow_is_the_bend_of_two_lines():
    """Points on two lines, in a place that only the units merged show."""
    units = np.array([50.0, 10.0, 40.0, 30.0, 20.0, np.nan])
    x = np.concatenate([[0.0], np.cumsum(units[:-1])])
    for bend in (2, 3, 4, 5):
        y = 0.01 * x + 2.0 * np.maximum(x - x[bend - 1], 0.0)
        assert elbow(y, units) == bend
        for at, line in elbow_lines(y, units, bend):
            np.testing.assert_allclose(line, y[at], atol=1e-9)


def test_elbow_is_least_squares():
    rng = np.random.default_rng(8)
    for _ in range(20):
        units, y = rng.uniform(5, 50, 7), np.sort(rng.uniform(0, 100, 7))
        x = np.concatenate([[0.0], np.cumsum(units[:-1])])
        misfit = {}
        for c in range(2, 7):
            pieces = ((x[:c], y[:c]), (x[c - 1 :], y[c - 1 :]))
            misfit[c] = sum(np.square(np.polyval(np.polyfit(*piece, 1), piece[0]) - piece[1]).sum() for piece in pieces)
        assert elbow(y, units) == min(misfit, key=misfit.get)


@pytest.mark.parametrize(
    ("overlap", "number"),
    [
        ([0.0, 0.0, 0.0, 0.0], 5),  # nothing overlaps
        ([0.9, 0.9, 0.9, 0.9], 1),  # one cluster
        ([0.0, 0.0, 0.1, 0.4], 3),  # the elbow decides between 4, which is alike, and 3, which is not apart
        ([0.0, 0.4, 0.4, 0.4], 2),  # the elbow would stop too early
        ([0.0, 0.9, 0.0, 0.4], 4),  # a merge further on does not count once one before it is not wanted
    ],
)
def test_limits_hold_the_elbow(overlap, number):
    units = np.full(5, 10.0)
    y = np.array([0.0, 0.1, 0.2, 20.0, 40.0])
    assert elbow(y, units) == 3
    assert recommended(y, units, np.array([*overlap, np.nan])) == (number, 3)


@pytest.mark.parametrize(("overlap", "number"), [([0.3, 0.3], 1), ([0.2, 0.3], 2), ([0.3, 0.2], 3)])
def test_three_components_have_no_elbow(overlap, number):
    found = recommended(np.array([0.0, 1.0, 9.0]), np.array([9.0, 5.0, np.nan]), np.array([*overlap, np.nan]))
    assert found == (number, None)


def test_one_component_is_one_cluster():
    found = hierarchies(np.ones((1, 1, 5)), np.ones(5), empty_below=0.5)
    assert found.entropy.tolist() == [[0.0]]
    assert recommended(found.entropy[0], found.units[0], found.overlap[0]) == (1, None)
