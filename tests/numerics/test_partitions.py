"""Partitions of least loss against all partitions, and labels by clusters of components."""

import numpy as np
import pytest

from bayesgmm.numerics.partitions import LOSSES, best_partition, binder_loss, co_clustering, variation_of_information
from bayesgmm.numerics.point_process import labelled


def all_partitions(n):
    def extended(labels):
        if len(labels) == n:
            yield np.array(labels)
            return
        for k in range(max(labels, default=-1) + 2):
            yield from extended([*labels, k])

    return extended([])


def sampled_partitions(n, n_draws, seed):
    """Noisy copies of one partition."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=n)
    noise = rng.random((n_draws, n)) < 0.3
    return np.where(noise, rng.integers(4, size=(n_draws, n)), truth)


def together_of(draws):
    return (draws[:, :, None] == draws[:, None, :]).mean(axis=0)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", range(8))
def test_no_partition_is_better(loss, seed):
    together = together_of(sampled_partitions(8, 40, seed))
    labels, value = best_partition(together, loss, 8)
    lowest = min(LOSSES[loss](together, each) for each in all_partitions(8))
    assert value == pytest.approx(LOSSES[loss](together, labels))
    assert value <= lowest + (1e-9 if loss == "binder" else 2e-2)
    sizes = np.bincount(labels)
    assert (np.diff(sizes) <= 0).all()


def test_binder_loss_is_the_mean_disagreement_with_the_draws():
    draws = sampled_partitions(9, 30, 1)
    labels = draws[0]
    upper = np.triu_indices(9, 1)
    same = lambda each: (each[:, None] == each)[upper]  # noqa: E731
    expected = np.mean([(same(each) != same(labels)).mean() for each in draws])
    assert binder_loss(together_of(draws), labels) == pytest.approx(expected)


def variation(a, b):
    """Variation of information of two partitions, from their entropies."""
    joint = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(joint, (a, b), 1.0 / a.size)

    def entropy(p):
        p = p[p > 0]
        return -(p * np.log(p)).sum()

    return 2 * entropy(joint.ravel()) - entropy(joint.sum(axis=0)) - entropy(joint.sum(axis=1))


def test_variation_of_information_of_one_draw_is_exact_and_of_many_a_bound():
    draws = sampled_partitions(10, 30, 2)
    other = draws[3]
    assert variation_of_information(together_of(draws[:1]), other) == pytest.approx(variation(draws[0], other))
    # Jensen's inequality gives a bound up to a constant of the draws, which other partitions share.
    bound = [variation_of_information(together_of(draws), each) for each in draws[:6]]
    exact = [np.mean([variation(draw, each) for draw in draws]) for each in draws[:6]]
    assert np.corrcoef(bound, exact)[0, 1] > 0.9


def test_co_clustering_of_certain_rows_is_exact_and_chunks_do_not_matter():
    draws = sampled_partitions(7, 20, 3)
    r = (draws[:, None, :] == np.arange(4)[:, None]).astype(float)
    np.testing.assert_allclose(co_clustering([r]), together_of(draws))
    np.testing.assert_allclose(co_clustering([r[:3], r[3:]]), together_of(draws))


def test_labels_by_clusters_of_components():
    rng = np.random.default_rng(0)
    centers = np.array([[0.0], [10.0], [20.0]])
    truth = np.array([rng.permutation(3) for _ in range(200)])
    points = centers[truth] + rng.normal(size=(200, 3, 1))
    found = labelled(points, centers + 2.0)
    assert found.permutation.all()
    assert found.non_permutation_rate == 0.0
    rows = np.arange(200)[:, None]
    np.testing.assert_array_equal(truth[rows, found.orders], np.tile(np.arange(3), (200, 1)))
    points[:50] = centers[[0, 0, 1]] + rng.normal(size=(50, 3, 1))  # draws that split the first group
    assert labelled(points, centers).non_permutation_rate == 0.25
