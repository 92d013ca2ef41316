import numpy as np
import pytest

from bayesgmm.numerics.starts import _merge_gaussian, partitions

N_STARTS = 13  # all fixed methods, and every random one twice


def standardised(rows):
    rows = (rows - rows.mean(axis=0)) / np.where(rows.std(axis=0) > 0, rows.std(axis=0), 1.0)
    covariance = np.atleast_2d(np.cov(rows.T, bias=True)) + 1e-9 * np.eye(rows.shape[1])
    return rows, np.linalg.solve(np.linalg.cholesky(covariance), rows.T).T


def clumps(n, d, rng):
    centers = 12.0 * np.eye(3, d)
    truth = rng.integers(3, size=n)
    return centers[truth] + rng.normal(size=(n, d)), truth


def make(rows, K, seed=0, n_starts=N_STARTS):
    return list(partitions(*standardised(rows), K, n_starts, np.random.default_rng(seed)))


def duplicates(rng):
    return np.repeat(rng.normal(size=(4, 2)), 10, axis=0)


CASES = {
    "clumps": (lambda rng: clumps(200, 3, rng)[0], 3),
    "more rows than clustering sees": (lambda rng: clumps(1300, 2, rng)[0], 4),
    "one feature": (lambda rng: rng.normal(size=(50, 1)), 4),
    "one feature, ties": (lambda rng: np.round(rng.normal(size=(80, 1))), 3),
    "a component a row": (lambda rng: rng.normal(size=(6, 2)), 6),
    "two rows": (lambda rng: rng.normal(size=(2, 3)), 2),
    "duplicates": (duplicates, 3),
    "more components than different rows": (duplicates, 6),
    "all rows equal": (lambda rng: np.full((20, 2), rng.normal()), 3),
}


@pytest.mark.parametrize("case", CASES)
def test_partitions_are_valid(case):
    build, K = CASES[case]
    rows = build(np.random.default_rng(1))
    found = make(rows, K)
    assert len(found) == N_STARTS
    assert len({name for name, _ in found}) == 9
    for name, labels in found:
        assert labels.shape == (len(rows),), name
        assert np.issubdtype(labels.dtype, np.integer), name
        assert labels.min() >= 0, name
        assert labels.max() < K, name


@pytest.mark.parametrize("case", CASES)
def test_same_generator_same_partitions(case):
    build, K = CASES[case]
    rows = build(np.random.default_rng(2))
    for (name, labels), (other_name, other) in zip(make(rows, K, seed=5), make(rows, K, seed=5), strict=True):
        assert name == other_name
        assert np.array_equal(labels, other)


def test_seed_matters_to_the_random_ones_only():
    rows, _ = clumps(200, 3, np.random.default_rng(3))
    one, two = make(rows, 4, seed=1), make(rows, 4, seed=2)
    same = [np.array_equal(a, b) for (_, a), (_, b) in zip(one, two, strict=True)]
    assert all(same[:5])
    assert not all(same[5:])


@pytest.mark.parametrize("method", ["hierarchical", "k-means"])
def test_separated_clumps_are_found(method):
    rows, truth = clumps(300, 2, np.random.default_rng(7))
    found = [labels for name, labels in make(rows, 3) if name.startswith(method)]
    exact = [len(set(zip(labels.tolist(), truth.tolist(), strict=True))) == 3 for labels in found]
    assert all(exact) if method == "hierarchical" else any(exact)


def test_no_method_leaves_a_component_empty_where_rows_differ():
    rows = np.random.default_rng(8).normal(size=(60, 2))
    for name, labels in make(rows, 4):
        assert np.unique(labels).size == 4, name


def test_slices_have_equal_sizes():
    rows = np.random.default_rng(9).normal(size=(61, 2))
    by_name = dict(make(rows, 4))
    for name in ("slices", "shells", "random direction"):
        sizes = np.bincount(by_name[name])
        assert sizes.max() - sizes.min() <= 1


def test_slices_of_one_feature_follow_its_order():
    rows = np.random.default_rng(10).normal(size=(40, 1))
    labels = dict(make(rows, 4))["slices"]
    assert np.all(np.diff(labels[np.argsort(rows[:, 0])]) >= 0)


def test_one_component_has_one_start():
    ((name, labels),) = make(np.random.default_rng(11).normal(size=(5, 2)), 1)
    assert name == "all rows"
    assert np.array_equal(labels, np.zeros(5))


def test_only_as_many_as_asked_for():
    rows = np.random.default_rng(12).normal(size=(30, 2))
    assert [name for name, _ in make(rows, 2, n_starts=2)] == [name for name, _ in make(rows, 2)][:2]


@pytest.mark.parametrize("seed", range(13, 25))
def test_merging_follows_the_classification_likelihood(seed):
    # The same greedy merging, with every cost computed from the rows (Fraley 1998).
    rng = np.random.default_rng(seed)
    K, n_groups, d = 3, 12, 2
    rows = rng.normal(size=(90, d)) @ np.array([[1.0, 0.8], [0.0, 0.3]])
    labels = _to_nearest(rows, rows[rng.choice(90, n_groups, replace=False)])
    ridge = 0.1 * n_groups ** (-2.0 / d) * np.eye(d)

    def cost(members):
        return len(members) * np.linalg.slogdet(np.cov(rows[members].T, bias=True) + ridge)[1]

    groups = [np.flatnonzero(labels == g) for g in range(n_groups)]
    while len(groups) > K:
        pairs = [(a, b) for b in range(len(groups)) for a in range(b)]
        joint = [np.append(groups[a], groups[b]) for a, b in pairs]
        rise = [cost(j) - cost(groups[a]) - cost(groups[b]) for j, (a, b) in zip(joint, pairs, strict=True)]
        best = int(np.argmin(rise))
        groups = [group for i, group in enumerate(groups) if i not in pairs[best]] + [joint[best]]
    merged = _merge_gaussian(rows, labels, n_groups, K)
    assert {frozenset(np.flatnonzero(merged == k)) for k in range(K)} == {frozenset(group) for group in groups}


def _to_nearest(rows, centers):
    return np.square(rows[:, None] - centers).sum(axis=2).argmin(axis=1)
