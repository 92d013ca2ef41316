"""One canonical order of components, so that two seeds and two orders of the rows give the same table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayesgmm import _schema as names
from bayesgmm.engines.base import Parameters, Problem
from bayesgmm.model import FilledMixture, GaussianMixture

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]

# How much each feature counts in the score, in terms of the one before it. Components on a grid of up to five steps in
# each feature all have different scores; with 1/2 they would not on one of 3 x 3.
NEXT_FEATURE = 0.4
# Scores, and sizes, that are nearer to each other are the same but for rounding.
_ROUNDING = 1e-7
# Standard errors by which neighbours have to differ for the order to be called stable.
_STABLE = 3.0


def canonical_order(problem: Problem, point: Parameters) -> NDArray[np.intp]:
    """Order of components by rising score: by the mean in the first feature, and less and less by those in the others.

    The score of a component is z_1 + 0.4 z_2 + 0.16 z_3 + ..., with z its mean in standard units (as far from the
    data's mean as so many of the data's sds). So means rise in a fit to one feature; with several the first one counts
    most, and where it does not tell components apart the next one does. Scores never jump, and the order changes only
    where two are equal. Components with equal scores, such as concentric ones, go by the size of their covariances.
    Only components that the prior treats alike change places.
    """
    standard = problem.units.to_standard(point)
    score, size = _scores(standard.means), _sizes(standard.choleskys)
    order = np.arange(problem.K)
    for slots in _exchangeable(problem.model):
        order[slots] = slots[_sorted(score[slots], size[slots])]
    return order


def order_is_stable(fit: xr.DataTree) -> bool:
    """Whether no two neighbours in the canonical order could as well stand the other way round.

    Their scores must differ by three standard errors: the sd of the difference over the posterior draws, where there
    are some, else what the spread and the number of rows of the two give. Where scores are equal, in all draws, the
    sizes have to differ by as much. A component that is empty may stand anywhere, so that no order with it is stable.
    """
    model = GaussianMixture.from_json(fit.attrs[names.MODEL])
    assert isinstance(model, FilledMixture)
    pairs = np.concatenate([np.column_stack([slots[:-1], slots[1:]]) for slots in _exchangeable(model)]).T
    gaps, errors, decided = _gaps(fit, pairs)
    # Where scores are equal by construction sizes decide, and nothing where these are equal too.
    by_score = decided[0]
    enough = np.where(by_score, gaps[0] >= _STABLE * errors[0], decided[1] & (gaps[1] >= _STABLE * errors[1]))
    return bool(enough.all())


def _gaps(fit: xr.DataTree, pairs: NDArray[np.intp]) -> tuple[Array, Array, NDArray[np.bool_]]:
    """By how much scores and sizes rise within pairs (2, P), standard errors, and whether it is more than rounding."""
    first, second = pairs
    point, constant = fit[names.POINT].to_dataset(), fit[names.CONSTANT].to_dataset()
    gaps = np.stack([key[0, second] - key[0, first] for key in _read_keys(point, constant, ())])
    if names.POSTERIOR not in fit.children:
        errors = [np.hypot(each[first], each[second]) for each in _sampling_errors(fit, point, constant)]
        return gaps, np.stack(errors), np.abs(gaps) > _ROUNDING
    posterior = fit[names.POSTERIOR].to_dataset()
    drawn = [key[:, second] - key[:, first] for key in _read_keys(posterior, constant, (names.CHAIN, names.DRAW))]
    largest = np.stack([np.abs(each).max(axis=0) for each in drawn])
    return gaps, np.stack([each.std(axis=0) for each in drawn]), np.maximum(largest, np.abs(gaps)) > _ROUNDING


def _exchangeable(model: FilledMixture) -> list[NDArray[np.intp]]:
    """Components that may change places with each other."""
    keys = model.keys()
    return [np.array([k for k, each in enumerate(keys) if each == key]) for key in dict.fromkeys(keys)]


def _scores(standard_means: Array) -> Array:
    """Scores of components (..., K), from means in standard units (..., K, d)."""
    return standard_means @ _direction(standard_means.shape[-1])


def _direction(d: int) -> Array:
    return np.power(NEXT_FEATURE, np.arange(d, dtype=float))


def _sizes(choleskys: Array) -> Array:
    """Logs of the geometric mean sd (..., K)."""
    return np.asarray(np.log(np.abs(np.diagonal(choleskys, axis1=-2, axis2=-1))).mean(axis=-1), dtype=float)


def _sorted(score: Array, size: Array) -> NDArray[np.intp]:
    """By score, and by size where scores are equal but for rounding."""
    by_score = np.argsort(score, kind="stable")
    place = np.empty(score.size, dtype=np.intp)
    place[by_score] = np.cumsum(np.diff(score[by_score], prepend=-np.inf) > _ROUNDING)
    return np.lexsort((size, place))


def _read_keys(group: xr.Dataset, constant: xr.Dataset, leading: tuple[str, ...]) -> tuple[Array, Array]:
    """Scores and sizes (S, K) of stored mixtures."""
    center, scale = (constant[name].to_numpy() for name in ("data_mean", "data_sd"))
    means, covariances = (group[name].transpose(*leading, *names.DIMS[name]) for name in ("means", "covariances"))
    standard = covariances.to_numpy() / scale[:, None] / scale
    keys = _scores((means.to_numpy() - center) / scale), _sizes(np.linalg.cholesky(standard))
    return keys[0].reshape(-1, keys[0].shape[-1]), keys[1].reshape(-1, keys[1].shape[-1])


def _sampling_errors(fit: xr.DataTree, point: xr.Dataset, constant: xr.Dataset) -> tuple[Array, Array]:
    """Standard errors of the score and the size of each component (K,) if the labels of its rows were known."""
    scale = constant["data_sd"].to_numpy()
    covariances = point["covariances"].transpose(*names.DIMS["covariances"]).to_numpy()
    factor = float(np.square(point["noise_scale"])) if "noise_scale" in point else 1.0
    if "noise_sd" in constant:
        variances = np.square(constant["noise_sd"].transpose(*names.DIMS["noise_sd"]).to_numpy())
        covariances = covariances + factor * np.diag(variances.mean(axis=0))
    if "noise_covariance" in constant:
        noise = constant["noise_covariance"].transpose(*names.DIMS["noise_covariance"]).to_numpy()
        covariances = covariances + factor * noise.mean(axis=0)
    weights = point["weights"].transpose(..., names.COMPONENT).to_numpy().reshape(-1, len(covariances))
    n = float(constant["counts"].sum()) if "counts" in constant else float(fit[names.OBSERVED].sizes[names.OBS])
    counts = np.maximum(n * weights.mean(axis=0), np.finfo(float).tiny)
    direction = _direction(scale.size)
    variances = np.einsum("i,kij,j->k", direction, covariances / scale[:, None] / scale, direction)
    with np.errstate(over="ignore"):  # without rows nothing is known
        return np.sqrt(variances / counts), np.sqrt(0.5 / (scale.size * counts))
