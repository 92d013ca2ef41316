import numpy as np
import pytest

from bayesgmm.numerics import linalg


def factors(d, rng, shape=(4,)):
    L = np.tril(rng.normal(size=(*shape, d, d)), -1)
    L[..., np.arange(d), np.arange(d)] = rng.uniform(0.3, 2.0, size=(*shape, d))
    return L


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("shape", [(), (4,), (2, 3)])
def test_factors_against_numpy(d, shape):
    L = factors(d, np.random.default_rng(d), shape)
    sigma = L @ np.swapaxes(L, -1, -2)
    np.testing.assert_allclose(linalg.outer(L), sigma)
    np.testing.assert_allclose(linalg.log_det(L), np.linalg.slogdet(sigma)[1], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(linalg.inverse_from_cholesky(L), np.linalg.inv(sigma), rtol=1e-7, atol=1e-9)
    inverse = linalg.inverse_lower(L)
    np.testing.assert_allclose(inverse @ L, np.broadcast_to(np.eye(d), L.shape), atol=1e-10)
    assert np.all(np.tril(inverse) == inverse)


def test_diagonal_matrices():
    values = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(linalg.diagonal_matrices(values), [np.diag(row) for row in values])


def test_masks_and_indices():
    np.testing.assert_array_equal(linalg.lower_mask(3), np.tril(np.ones((3, 3))))
    np.testing.assert_array_equal(linalg.strictly_lower_mask(3), np.tril(np.ones((3, 3)), -1))
    assert list(zip(*linalg.lower_indices(2), strict=True)) == [(0, 0), (1, 0), (1, 1)]
    assert list(zip(*linalg.below_diagonal(3), strict=True)) == [(1, 0), (2, 0), (2, 1)]
    for shared in (linalg.lower_mask(3), linalg.strictly_lower_mask(3)):
        with pytest.raises(ValueError, match="read-only"):
            shared[0, 0] = 5.0


def test_any_below_equals_eigenvalues():
    rng = np.random.default_rng(20)
    answers = set()
    for _ in range(300):
        L, R = factors(3, rng, (2,)), factors(3, rng, ())
        inverse = np.linalg.inv(R)
        smallest = np.linalg.eigvalsh(inverse @ linalg.outer(L) @ inverse.T).min()
        # Floors on both sides, also close by, where the quick bound does not settle it.
        for factor in (0.01, 0.5, 0.99, 1.01, 2.0, 100.0):
            answer = linalg.any_below(L, R, factor * smallest)
            assert answer == (factor > 1)
            answers.add(answer)
    assert answers == {True, False}


def fault(matrix, **kind):
    return linalg.covariance_fault(np.array(matrix, dtype=float)[None], **kind)


@pytest.mark.parametrize("scale", [1.0, 1e-140, 1e140])
def test_rounding_is_no_fault_whatever_the_units(scale):
    rng = np.random.default_rng(3)
    units = scale * 10.0 ** rng.uniform(-9, 9, size=4)
    sigma = np.cov(rng.normal(size=(4, 30)))
    sigma[0, 1], sigma[1, 0] = 6e-18, 0.0  # uncorrelated but for rounding
    assert fault(sigma * np.outer(units, units)) is None
    single = np.cov(rng.normal(size=(4, 30))).astype(np.float32)
    single[2, 3] *= 1 + 3e-7
    assert fault(single) is None


@pytest.mark.parametrize(
    ("matrix", "kind", "entry", "words"),
    [
        ([[1, 0.5], [0.4, 1]], {}, (0, 1), "is 0.5, but 0.4 with the two exchanged"),
        # Small beside the other entries, and not beside the variances it stands between.
        ([[1e-12, 0, 5e-13], [0, 1e12, 0], [4e-13, 0, 1e-12]], {}, (0, 2), "5e-13, but 4e-13"),
        ([[1e-12, 0, 2e-12], [0, 1e12, 0], [2e-12, 0, 1e-12]], {"singular": True}, (0, 2), "beyond the 1e-12"),
        ([[1, 2], [2, 1]], {}, (0, 1), "is 2, beyond the 1 that the variances allow"),
        ([[0, 0], [0, 1]], {}, (0, 0), "is 0, and a variance is greater than 0"),
        ([[-1e-9, 0], [0, 1]], {"singular": True}, (0, 0), "at least 0"),
        ([[0, 1e-9], [1e-9, 1]], {"singular": True}, (0, 1), "beyond the 0"),
        ([[1, 1], [1, 1]], {}, None, "is not positive definite"),
        ([[1, -0.9, -0.9], [-0.9, 1, -0.9], [-0.9, -0.9, 1]], {"singular": True}, None, "semi-definite"),
    ],
)
def test_what_is_no_covariance(matrix, kind, entry, words):
    found = fault(matrix, **kind)
    assert found is not None
    assert found.entry == entry
    assert words in found.problem


@pytest.mark.parametrize("matrix", [[[0, 0], [0, 1]], [[1, 1], [1, 1]], [[0.0]]])
def test_exact_values_and_perfect_correlations_may_be_allowed(matrix):
    assert fault(matrix, singular=True) is None


def test_the_faulty_one_of_several_is_named():
    sigma = np.repeat(np.eye(2)[None], 3, axis=0)
    sigma[1, 0, 1] = 0.5
    found = linalg.covariance_fault(sigma)
    assert found is not None
    assert found.matrix == 1
