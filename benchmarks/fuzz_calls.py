"""Wrong calls of everything public: each must end in an error of ours, and no wrong value may be taken silently.

    python benchmarks/fuzz_calls.py [--calls 6000] [--seed 1] [--only NAME] [--show silent]

Every public function and class of the package, every parameter of it, with the other arguments as they should be and
this one from a pool of wrong values; several at once where calls are left over. What comes back is one of

    ours      InputError, UnsupportedError or FitError
    foreign   any other exception: a defect
    silent    a result, though the value is none that the signature allows: looked at one by one
    accepted  a result, and the value fits the signature
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import decimal
import fractions
import inspect
import io
import os
import re
import resource
import signal
import tempfile
import time
import traceback
import types
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import bayesgmm as bg

# A call that is still at work has not been refused.
PATIENCE_S = 2.0
MEMORY = 12 * 2**30
OUTCOMES = ("ours", "foreign", "silent", "accepted")
MODULES = bg, bg.ddpcr, bg.traits, bg.plots, bg.report, bg.datasets

POOL: dict[str, Callable[[], Any]] = {
    "None": lambda: None, "True": lambda: True, "False": lambda: False, "0": lambda: 0, "-1": lambda: -1,
    "1": lambda: 1, "1.5": lambda: 1.5, "-0.5": lambda: -0.5, "nan": lambda: float("nan"), "inf": lambda: float("inf"),
    "-inf": lambda: float("-inf"), "1e308": lambda: 1e308, "10**9": lambda: 10**9, "2**70": lambda: 2**70,
    "10**400": lambda: 10**400, "10**5000": lambda: 10**5000, "-10**400": lambda: -(10**400),
    "np.int64(1)": lambda: np.int64(1), "np.float32(0.5)": lambda: np.float32(0.5), "np.bool_": lambda: np.True_,
    "np.nan": lambda: np.float64("nan"), "1j": lambda: 1j, "Decimal": lambda: decimal.Decimal("NaN"),
    "Fraction": lambda: fractions.Fraction(1, 3), "'no'": lambda: "no", "''": lambda: "", "'1'": lambda: "1",
    "nul": lambda: "\0", "b'x'": lambda: b"x", "[]": lambda: [], "()": lambda: (), "{}": lambda: {}, "set": lambda: {1},
    "[None]": lambda: [None], "[1, 2, 3]": lambda: [1, 2, 3], "[1, 'a']": lambda: [1, "a"], "['a']": lambda: ["a"],
    "[True]": lambda: [True], "ragged": lambda: [[1.0], [1.0, 2.0]], "(nan, nan)": lambda: (np.nan, np.nan),
    "[10**400]": lambda: [10**400], "deep": lambda: [[[[[1.0]]]]], "{'a': 1}": lambda: {"a": 1},
    "{1: None}": lambda: {1: None}, "range(0)": lambda: range(0), "range": lambda: range(3),
    "generator": lambda: (i for i in range(2)), "object": object, "type": lambda: int, "function": lambda: len,
    "empty array": lambda: np.array([]), "0-d array": lambda: np.array(2.0), "text array": lambda: np.array(["a", "b"]),
    "object array": lambda: np.array([None, 1], dtype=object), "3-d array": lambda: np.zeros((2, 2, 2)),
    "matrix": lambda: np.eye(2), "NaN matrix": lambda: np.full((2, 2), np.nan), "dates": lambda: pd.date_range("2020", periods=3),
    "masked": lambda: np.ma.masked_all(3), "NA": lambda: pd.NA, "NaT": lambda: pd.NaT, "date": lambda: datetime.date(2020, 1, 1),
    "Series": lambda: pd.Series(["a", None]), "frame": lambda: pd.DataFrame({"a": ["x", "y"]}), "no rows": pd.DataFrame,
    "Dataset": xr.Dataset, "DataArray": lambda: xr.DataArray([1.0, np.nan]), "DataTree": xr.DataTree,
    "engine type": lambda: bg.NUTS, "engine": lambda: bg.VB(draws=40), "model": lambda: bg.GaussianMixture(2),
    "prior": lambda: bg.Dirichlet(2.0), "number prior": lambda: 1 + bg.Poisson(1.0), "scale prior": lambda: bg.HalfNormal(1.0),
    "Flat": bg.Flat, "means": lambda: bg.NormalMeans([[1.0, 2.0, 3.0]], 1.0), "structure": lambda: bg.Tied(bg.Diagonal()),
    "RandomState": lambda: np.random.RandomState(1), "module": lambda: types, "exception": lambda: ValueError("x"),
}  # fmt: skip


class Slow(BaseException):
    """The call has been at work for long enough."""


@cache
def rows() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(0.0, 1.0, (20, 2)), rng.normal(6.0, 1.0, (20, 2))])


@cache
def made(what: str) -> Any:
    """What calls need that is not to be wrong."""
    x, quiet = rows(), {"random_seed": 1, "progressbar": False}
    em = bg.EM(n_init=2, n_polish=1)
    match what:
        case "EM":
            return bg.fit(bg.GaussianMixture(2), x, engine=em, **quiet)
        case "draws":
            return bg.fit(bg.GaussianMixture(2), x, engine=bg.Laplace(draws=40, chains=2, n_init=4), **quiet)
        case "chains":
            engine = bg.Gibbs(sweeps=80, burn_in=20, chains=2, thin=2, n_init=2, max_sweeps=80)
            return bg.fit(bg.GaussianMixture(1 + bg.Poisson(1.0)), x, engine=engine, **quiet)
        case "partition":
            return bg.best_partition(made("chains"))
        case "together":
            return bg.coclustering(made("chains"))
        case "numbers":
            return bg.component_posterior(made("chains"))
        case "comparison":
            options = {"n_components": [1, 2], "criteria": [], "cores": 1, **quiet}
            return bg.compare_components(bg.GaussianMixture(1), x, **options)
        case "lrt":
            return bg.bootstrap_lrt(bg.GaussianMixture(1), x, n_bootstrap=3, n_init=2, n_polish=1, cores=1, **quiet)
        case "merged":
            return bg.merge_components(made("draws"))
        case "plate":
            options = {"n_wells": 2, "n_ntc": 1, "n_droplets": 4000, "droplet_volume_nl": 0.85, "random_seed": 1}
            return bg.ddpcr.simulate_plate(samples={"a": 0.2}, **options)
        case "quantified":
            return bg.ddpcr.quantify(made("plate"), droplet_volume_nl=0.85, cores=1, progressbar=False)
        case "birds":
            rng = np.random.default_rng(1)
            who = np.repeat(np.arange(30), 4)
            bill = np.where(who < 15, 10.0, 14.0) + rng.normal(0.0, 0.5, 120)
            return pd.DataFrame({"bird": who, "season": np.tile(["one", "one", "two", "two"], 30), "bill": bill})
        case "known":
            return bg.traits.measurements(made("birds"), value="bill", individual="bird")
        case "discreteness":
            options = {"value": "bill", "individual": "bird", "n_power": 0, "draws": 200, "cores": 1, **quiet}
            return bg.traits.discreteness(made("birds"), **options)
        case "change":
            options = {"value": "bill", "individual": "bird", "occasion": "season", "draws": 1000, "random_seed": 1}
            return bg.traits.change_of_type(made("birds"), **options)
        case "saved":
            return bg.save(made("EM"), f"{made('path')}.nc")
        case "path":
            return os.path.join(tempfile.mkdtemp(), "report")
    raise KeyError(what)


# Arguments of a right call, where they are needed; every other parameter has its default.
RIGHT: dict[str, dict[str, Any]] = {
    "fit": {"model": bg.GaussianMixture(2), "data": rows, "engine": bg.EM(n_init=1, n_polish=1), "progressbar": False},
    "as_data": {"values": rows},
    "add_log_likelihood": {"fit": "draws"}, "add_posterior_predictive": {"fit": "draws", "n_draws": 2},
    "as_prior": {"fit": "draws"}, "align": {"new_fit": "EM", "old_fit": "EM"}, "best_partition": {"fit": "chains"}, "coclustering": {"fit": "chains"},
    "bootstrap_lrt": {"model": bg.GaussianMixture(1), "data": rows, "n_bootstrap": 1, "n_init": 1, "n_polish": 1, "cores": 1, "progressbar": False},
    "compare_components": {"model": bg.GaussianMixture(1), "data": rows, "n_components": [1], "criteria": [], "cores": 1, "progressbar": False},
    "compare_engines": {"fits": lambda: [made("EM"), made("draws")]}, "component_posterior": {"fit": "chains"},
    "denoise": {"fit": "draws"}, "impute": {"fit": "draws"}, "diagnose": {"fit": "EM"},
    "log_evidence": {"model": bg.GaussianMixture(1), "data": lambda: rows()[:6], "estimator": bg.Enumeration(), "progressbar": False},
    "merge_components": {"fit": "draws"}, "occupied_components": {"fit": "draws"}, "predict": {"fit": "draws"},
    "relabel": {"fit": "draws"}, "simulate": {"model_or_fit": "EM", "n_obs": 3}, "summary": {"fit": "draws"},
    "add_prior": {"fit": "draws", "n_draws": 2}, "add_log_prior": {"fit": "draws"}, "to_arviz": {"fit": "draws"},
    "assignments": {"fit": "draws"}, "save": {"result": "EM", "path": "path"}, "load": {"path": "saved"},
    "standard_errors": {"fit": "EM", "n_bootstrap": 2, "progressbar": False}, "to_pymc": {"model": bg.GaussianMixture(2), "data": rows},
    "ddpcr.quantify": {"plate": "plate", "droplet_volume_nl": 0.85, "cores": 1, "progressbar": False},
    "ddpcr.rates": {"fit": "EM"}, "ddpcr.read_plate": {"paths": "no such file", "progressbar": False},
    "ddpcr.simulate_plate": {"samples": {"a": 0.2}, "n_wells": 1, "n_ntc": 1, "n_droplets": 50},
    "ddpcr.well_model": {"result": "quantified", "plate": "plate", "well": "A01", "channel": "Ch1"},
    "ddpcr.two_channel_model": {"result": "quantified", "plate": "plate", "well": "A01"},
    "ddpcr.Plate": {"wells": lambda: tuple(made("plate")), "table": lambda: made("plate").table},
    "ddpcr.Well": {"name": "A01", "channels": ("a",), "amplitudes": lambda: np.ones((3, 1))},
    "ddpcr.CrossTalkMeans": {"baseline": ((0.0, 1.0), (0.0, 1.0)), "log_gap": ((0.0, 1.0), (0.0, 1.0))},
    "traits.measurements": {"data": "birds", "value": "bill", "individual": "bird"},
    "traits.repeatability": {"data": "birds", "value": "bill", "individual": "bird"},
    "traits.change_of_type": {"data": "birds", "value": "bill", "individual": "bird", "occasion": "season", "draws": 1000},
    "traits.discreteness": {"data": "birds", "value": "bill", "individual": "bird", "n_power": 0, "draws": 200, "cores": 1, "progressbar": False},
    "traits.hypotheses": {"known": "known"},
    "traits.one_locus": {"covariances": bg.LKJ(scale=bg.HalfNormal(1.0)), "centre": 1.0, "scale": 1.0},
    "traits.Measurements": {"trait": "bill", "individuals": lambda: np.arange(3), "means": lambda: np.ones(3), "repeats": lambda: np.full(3, 2.0), "errors": lambda: np.ones(3), "error_sd": 1.0, "error_df": 3.0, "squares": lambda: np.ones(3)},
    "plots.plot_bootstrap_lrt": {"result": "lrt"}, "plots.plot_coclustering": {"together": "together"},
    "plots.plot_component_count": {"comparison": "comparison"}, "plots.plot_components": {"fit": "EM"},
    "plots.plot_density": {"fit": "EM", "feature": "x0"}, "plots.plot_droplets": {"result": "quantified", "plate": "plate"},
    "plots.plot_hypotheses": {"result": "discreteness"}, "plots.plot_k_posterior": {"posterior": "numbers"},
    "plots.plot_merging": {"merged": "merged"}, "plots.plot_optimization": {"fit": "EM"},
    "plots.plot_plate": {"result": "quantified"}, "plots.plot_responsibilities": {"fit": "EM"},
    "plots.plot_trait": {"result": "discreteness"}, "plots.plot_type_spread": {"result": "change"},
    "plots.plot_two_channels": {"result": "quantified", "plate": "plate", "well": "A01"},
    "plots.plot_well": {"result": "quantified", "plate": "plate", "well": "A01"},
    "report.write_report": {"result": "quantified", "plate": "plate", "path": "path"},
    "report.write_tables": {"result": "quantified", "path": "path"},
    "BetaNegativeBinomial": {"alpha": 1.0, "a": 4.0, "b": 3.0}, "Exponential": {"lam": 1.0}, "Gamma": {"alpha": 1.0, "beta": 1.0},
    "Data": {"values": rows, "feature_names": ("a", "b")}, "FixedCovariances": {"values": 1.0}, "FixedMeans": {"values": 1.0},
    "FixedWeights": {"values": (0.5, 0.5)}, "GaussianMixture": {"n_components": 2}, "Geometric": {"p": 0.5},
    "HalfNormal": {"sigma": 1.0}, "LogNormal": {"mu": 0.0, "sigma": 1.0}, "Poisson": {"mu": 1.0},
    "ScaledInverseChi": {"df": 3.0, "scale": 1.0}, "UniformComponents": {"most": 3},
    "GaussianMixture.from_json": {"text": bg.GaussianMixture(2).to_json()},
    "GaussianMixture.from_dict": {"plain": bg.GaussianMixture(2).to_dict()},
}  # fmt: skip
# Not called by users, or anything is right.
LEFT_OUT = {"Status", "InputError", "UnsupportedError", "BayesGMMError", "FitError"}
MANY = "fit", "as_data", "GaussianMixture", "predict", "simulate", "compare_components"


def unready() -> list[str]:
    """Parameters without a default and without an argument in `RIGHT`: calls of theirs would all be wrong."""
    return [
        f"{name}({parameter.name}=)"
        for name, function in public().items()
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and parameter.name not in RIGHT.get(name, {})
    ]


def load() -> None:
    """Import what calls import, and make what they need: neither belongs to the time of a call."""
    import matplotlib.pyplot
    import pymc  # noqa: F401

    for name in RIGHT:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            right(name)
    matplotlib.pyplot.figure()
    matplotlib.pyplot.close("all")
    bg.to_pymc(bg.GaussianMixture(2), rows())


def public() -> dict[str, Any]:
    """Everything that can be called, by its name below the package."""
    found: dict[str, Any] = {}
    for module in MODULES:
        prefix = "" if module is bg else f"{module.__name__.removeprefix('bayesgmm.')}."
        names = getattr(module, "__all__", None) or [name for name in dir(module) if not name.startswith("_")]
        for name in names:
            each = getattr(module, name)
            warning = isinstance(each, type) and issubclass(each, Warning)
            if callable(each) and not warning and name not in LEFT_OUT:
                found[prefix + name] = each
    found["GaussianMixture.from_json"] = bg.GaussianMixture.from_json
    found["GaussianMixture.from_dict"] = bg.GaussianMixture.from_dict
    return found


def right(name: str) -> dict[str, Any]:
    """Arguments of a right call."""
    given = {}
    for key, value in RIGHT.get(name, {}).items():
        if callable(value):
            value = value()
        elif isinstance(value, str) and key in _MADE.get(name, ()):
            value = made(value)
        given[key] = value
    return given


_RESULTS = {
    "fit", "new_fit", "old_fit", "model_or_fit", "result", "plate", "together", "comparison", "posterior", "merged",
    "known", "path",
}  # fmt: skip
_MADE = {name: {*_RESULTS, *({"data"} if name.startswith("traits.") else ())} for name in RIGHT}


def fits(annotation: Any, value: Any) -> bool:
    """Whether a value is one that an annotation allows, roughly: what is wrong with it in detail is not seen."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    value = value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value
    kinds = {each.__name__ for each in type(value).__mro__}
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    number = whole or isinstance(value, (float, np.floating))
    if number and not abs(int(value) if whole else float(value)) <= 1e308:  # NaN is no number either
        return "Any" in text
    listed = isinstance(value, (list, tuple, np.ndarray, range, pd.Series, xr.DataArray, pd.DatetimeIndex))
    checks = {
        "Any": True,
        "None": value is None,
        "bool": isinstance(value, (bool, np.bool_)),
        "int": whole,
        "float": number,
        "str": isinstance(value, str),
        "Literal": isinstance(value, str) and repr(value) in text,
        "Numbers": (number or listed) and _all_numbers(value),
        "Sequence": listed,
        "Iterable": listed or isinstance(value, (set, types.GeneratorType)),
        "Mapping": isinstance(value, dict),
        "CovariancePrior": isinstance(value, bg.Flat) or "CovariancePrior" in kinds,  # which `Flat` stands for
        "tuple": listed,
        "list": listed,
        "Array": listed and (len(value) == 0 or _all_numbers(value)),
        "NDArray": listed and (len(value) == 0 or _all_numbers(value)),
    }
    words = set(re.findall(r"[A-Za-z_]\w*", re.sub(r"\[[^\]]*\]", "", text)))
    return any(checks.get(word, word in kinds) for word in words)


def _all_numbers(value: Any) -> bool:
    try:
        array = np.asarray(value)
        if array.dtype.kind == "O":  # whole numbers beyond 64 bits
            array = array.astype(float)
        return array.dtype.kind in "iuf" and array.size > 0 and bool(np.isfinite(array).all())
    except (ValueError, TypeError, OverflowError):
        return False


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise `Slow` after some time."""

    def late(*_: Any) -> None:
        raise Slow

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def outcome(name: str, function: Any, wrong: dict[str, str]) -> tuple[str, str]:
    """What became of a call in which some parameters have values of the pool, and where an exception came from."""
    given = right(name)
    values = {parameter: POOL[key]() for parameter, key in wrong.items()}
    given |= values
    try:
        with limited(PATIENCE_S), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            function(**given)
    except bg.BayesGMMError as error:
        return "ours", str(error)
    except Slow:
        pass
    except Exception as error:
        frames = [each for each in traceback.extract_tb(error.__traceback__) if "bayesgmm" in each.filename]
        where = f"{frames[-1].filename.rpartition('bayesgmm/')[2]}:{frames[-1].lineno}" if frames else "?"
        return "foreign", f"{type(error).__name__} at {where}: {str(error)[:100]}"
    parameters = inspect.signature(function).parameters
    defaults = {key for key in wrong if values[key] is parameters[key].default}
    fine = all(key in defaults or fits(parameters[key].annotation, values[key]) for key in wrong)
    return ("accepted" if fine else "silent"), ""


def calls(n: int, seed: int, only: str = "") -> Iterator[tuple[str, Any, dict[str, str]]]:
    """So many calls: every value of the pool for every parameter in a random order, then several parameters at once."""
    rng = np.random.default_rng(seed)
    things = {name: each for name, each in public().items() if only in name}
    parameters = {name: list(inspect.signature(each).parameters) for name, each in things.items()}
    single = [(name, parameter, key) for name in things for parameter in parameters[name] for key in POOL]
    order = rng.permutation(len(single))[:n]
    for name, parameter, key in (single[i] for i in order):
        yield name, things[name], {parameter: key}
    several = [name for name in things if len(parameters[name]) > 1]
    for _ in range(n - len(order) if several else 0):
        name = several[rng.integers(len(several))]
        chosen = rng.choice(parameters[name], size=2, replace=False)
        yield name, things[name], {str(each): str(rng.choice(list(POOL))) for each in chosen}


def run(n: int, seed: int, only: str = "", report: Callable[[str], None] = print) -> Counter[str]:
    """Make the calls and count what became of them; defects are reported as they come."""
    counts: Counter[str] = Counter()
    seen: Counter[tuple[str, str]] = Counter()
    began, folder = time.monotonic(), os.getcwd()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        try:
            for name, function, wrong in calls(n, seed, only):
                what, why = outcome(name, function, wrong)
                counts[what] += 1
                if what in ("foreign", "silent"):
                    seen[what, name] += 1
                    report(f"{what:8} {name}({', '.join(f'{a}={b}' for a, b in wrong.items())})  {why}")
                if "plots" in name:
                    from matplotlib import pyplot as plt

                    plt.close("all")
        finally:
            os.chdir(folder)
    report(f"\n{counts.total()} calls in {time.monotonic() - began:.0f} s, seed {seed}")
    report("".join(f"{each:>10}" for each in OUTCOMES))
    report("".join(f"{counts[each]:10d}" for each in OUTCOMES))
    return counts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    os.environ.setdefault("MPLBACKEND", "Agg")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    load()
    raise SystemExit(run(options.calls, options.seed, options.only)["foreign"] > 0)
