import numpy as np
import pytest
from scipy import stats

from bayesgmm.numerics.student_t import log_density


@pytest.mark.parametrize("d", [1, 2, 4])
def test_families_equal_scipy(d):
    rng = np.random.default_rng(d)
    K, n = 3, 7
    x, loc, df = 3.0 * rng.normal(size=(d, n)), rng.normal(size=(K, d)), np.array([1.0, 4.5, 60.0])
    root = rng.normal(size=(K, d, d + 2))
    scale = root @ np.swapaxes(root, 1, 2)
    together = [stats.multivariate_t(loc[k], scale[k], df[k]).logpdf(x.T) for k in range(K)]
    np.testing.assert_allclose(log_density(x, loc, scale, df, "student_t"), together, rtol=1e-10)
    normal = [stats.multivariate_normal(loc[k], scale[k]).logpdf(x.T) for k in range(K)]
    np.testing.assert_allclose(log_density(x, loc, scale, df, "normal"), normal, rtol=1e-10)
    sds = np.sqrt(np.diagonal(scale, axis1=1, axis2=2))
    apart = [stats.t(df[k], loc[k], sds[k]).logpdf(x.T).sum(axis=1) for k in range(K)]
    got = log_density(x, loc, scale * np.eye(d), df, "independent_student_t")
    np.testing.assert_allclose(got, apart, rtol=1e-10)
