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
