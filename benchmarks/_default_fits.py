"""One fit of the study of the default call, and what is recorded of it: plain numbers that go into a line of JSON."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from _default_cells import Array, Cell, cells
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

import bayesgmm as bg

LEVEL = 0.95
QUANTITIES = ("weights", "means", "sds", "responsibilities")
DEFAULT, EXACT = "default", "exact"
FAILED = "FitError"
# A probability that is missed by less is not missed: near 1 it cannot be told in floating point.
_SAME_PROBABILITY = 1e-9
_MOST_TEXT = 300

ENGINES: dict[str, Callable[[], Any]] = {DEFAULT: lambda: None, "VB": bg.VB, "Laplace": bg.Laplace, "NUTS": bg.NUTS}


def long_run(draws: int) -> bg.NUTS:
    """The exact sampler, so long that its own error does not matter."""
    return bg.NUTS(draws=draws, tune=500, cores=1)


def seeds_of(seed: int, cell: int, i: int) -> tuple[int, int]:
    """Of the rows and of the fit."""
    # The number of the fit begins at 1: SeedSequence takes [seed, cell, 0] for [seed, cell].
    of_rows, of_fit = np.random.SeedSequence([seed, cell, i + 1]).generate_state(2)
    return int(of_rows), int(of_fit)


def record(engine: str, number: int, i: int, *, seed: int, exact_draws: int = 4000) -> dict[str, Any]:
    """Fit number i of a cell by an engine of `ENGINES`, or by a long run under the prior that the default fit had."""
    cell = cells()[number]
    of_rows, of_fit = seeds_of(seed, number, i)
    rows = cell.draw(np.random.default_rng(of_rows), cell.n_obs)
    model = bg.GaussianMixture(cell.n_components)
    if engine == EXACT:
        declared = bg.fit(model, rows.x, random_seed=of_fit, progressbar=False).attrs["model"]
        model, used = bg.GaussianMixture.from_json(declared), long_run(exact_draws)
    else:
        used = ENGINES[engine]()
    facts: dict[str, Any] = {"engine": engine, "cell": number, "i": i, "seed": seed, "code": digest_of_code()}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        began = time.process_time()
        try:
            fit = bg.fit(model, rows.x, engine=used, random_seed=of_fit, progressbar=False)
        except bg.FitError as error:
            fit, failure = None, str(error)
        cpu = time.process_time() - began
    facts |= {"cpu": cpu, "warnings": [_warning(each) for each in told]}
    facts |= peers(cell, rows.x, rows.labels, of_fit)
    if fit is None:
        return facts | {"status": FAILED, "used": "", "message": failure[:_MOST_TEXT]}
    facts |= {"status": fit.attrs["status"], "used": fit.attrs["engine"]}
    facts |= labels_of(fit, rows.labels, cell.n_components, cell.n_features)
    return facts | intervals(fit, cell, rows.labels, seed) if "posterior" in fit else facts


def _warning(told: warnings.WarningMessage) -> dict[str, Any]:
    user = issubclass(told.category, UserWarning)
    return {"category": told.category.__name__, "user": user, "text": str(told.message)[:_MOST_TEXT]}


def intervals(fit: Any, cell: Cell, labels: NDArray[np.intp], seed: int) -> dict[str, Any]:
    """Whether intervals hold the truth, and their widths, by quantity and component of the truth."""
    order = matched(fit["assignments"]["responsibilities"].to_numpy(), labels, cell.n_components)
    draws = {name: _pooled(fit["posterior"][name])[:, order] for name in ("weights", "means", "covariances")}
    draws["sds"] = np.sqrt(np.diagonal(draws.pop("covariances"), axis1=-2, axis2=-1))
    new = cell.new_rows(seed).x
    each = bg.predict(fit, new, per_draw=True)["responsibilities"]
    # Components first, as in the other quantities.
    draws["responsibilities"] = np.swapaxes(_pooled(each)[..., order], 1, 2)
    truth = {
        "weights": np.array(cell.weights),
        "means": cell.means,
        "sds": np.repeat(cell.sds[:, None], cell.n_features, axis=1),
        "responsibilities": cell.probabilities(new).T,
    }
    tail = 0.5 * (1 - LEVEL)
    held: dict[str, list[float]] = {}
    widths: dict[str, list[float]] = {}
    for name in QUANTITIES:
        low, high = np.quantile(draws[name], [tail, 1 - tail], axis=0)
        slack = _SAME_PROBABILITY if name == "responsibilities" else 0.0
        inside = (low - slack <= truth[name]) & (truth[name] <= high + slack)
        held[name] = inside.reshape(cell.n_components, -1).mean(axis=1).tolist()
        widths[name] = (high - low).reshape(cell.n_components, -1).mean(axis=1).tolist()
    n_draws = len(draws["weights"])
    return {"held": held, "width": widths, "mean_weights": draws["weights"].mean(axis=0).tolist(), "draws": n_draws}


def _pooled(variable: Any) -> Array:
    """Draws of all chains on the first axis."""
    values = variable.transpose("chain", "draw", ...).to_numpy()
    return values.reshape(-1, *values.shape[2:])


def matched(responsibilities: Array, labels: NDArray[np.intp], n_components: int) -> NDArray[np.intp]:
    """The component of the fit that stands for each one of the truth: the assignment that shares most rows."""
    shared = np.stack([responsibilities[labels == k].sum(axis=0) for k in range(n_components)])
    return linear_sum_assignment(-shared)[1]


def labels_of(fit: Any, labels: NDArray[np.intp], n_components: int, n_features: int) -> dict[str, Any]:
    """Accuracy of the stated labels, and how many components hold no label, or at most d + 1."""
    stated = fit["assignments"]["label"].to_numpy()
    components = fit["assignments"]["component"].to_numpy()
    numbers = np.array([np.flatnonzero(components == label)[0] for label in stated])
    rows = np.bincount(numbers, minlength=n_components)
    return {
        "accuracy": accuracy(labels, numbers, n_components),
        "empty": int((rows == 0).sum()),
        "small": int((rows <= n_features + 1).sum()),
    }


def accuracy(labels: NDArray[np.intp], stated: NDArray[np.intp], n_components: int) -> float:
    """Share of rows with the right label, under the best renaming of components."""
    shared = np.zeros((n_components, n_components))
    np.add.at(shared, (labels, stated), 1)
    best = linear_sum_assignment(-shared)
    return float(shared[best].sum() / labels.size)


def peers(cell: Cell, x: Array, labels: NDArray[np.intp], seed: int) -> dict[str, float]:
    """Accuracy of scikit-learn's EM on the same rows, and of the rule that knows the parameters."""
    from sklearn.mixture import GaussianMixture

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its stopping short is its own affair
        stated = GaussianMixture(cell.n_components, random_state=seed).fit_predict(x)
    bayes = cell.probabilities(x).argmax(axis=1)
    return {"sklearn": accuracy(labels, stated, cell.n_components), "bayes": float((bayes == labels).mean())}


@lru_cache
def digest_of_code() -> str:
    """A short name of the package's code, so that results of different states of it can be told apart."""
    sources = sorted(Path(bg.__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:8]


def warm_up(engine: str) -> None:
    """A small fit that loads and compiles what later ones need, so that their times do not hold it."""
    x = np.random.default_rng(0).normal(size=(40, 2))
    used = bg.NUTS(draws=50, cores=1) if engine == EXACT else ENGINES[engine]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bg.fit(bg.GaussianMixture(2), x, engine=used, random_seed=0, progressbar=False)
