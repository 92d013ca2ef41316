import numpy as np
import pytest

from bayesgmm.numerics.simplex import isometric_basis


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_basis_is_orthonormal_and_sums_to_zero(n):
    V = isometric_basis(n)
    assert V.shape == (n, n - 1)
    np.testing.assert_allclose(V.T @ V, np.eye(n - 1), atol=1e-14)
    np.testing.assert_allclose(V.sum(axis=0), 0.0, atol=1e-14)


def test_shared_basis_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        isometric_basis(3)[0, 0] = 1.0
