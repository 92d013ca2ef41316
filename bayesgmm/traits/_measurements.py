"""What is known of a trait of each individual, from repeats or with standard errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm._arguments import as_floats, as_number, as_text, as_texts, as_whole, as_written
from bayesgmm._errors import InputError
from bayesgmm.data import Data, RowsBeside, as_data, describe_columns, read_labels, read_numbers
from bayesgmm.model import ScaledInverseChi
from bayesgmm.traits._equal_values import grid_step, matters, rounding_variance, spread_out

Array = NDArray[np.float64]

_FEWEST_INDIVIDUALS = 10
# A variance from fewer degrees of freedom has no mean, let alone an interval that is of use.
_FEWEST_DF = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Measurements:
    """A trait of n individuals with its errors of measurement; made by `measurements`.

    The mean of an individual's repeats and the pooled sum of squares within individuals hold all that Normal errors
    with one variance let the data say, so that models are fitted to n rows however often each was measured.

    Attributes
    ----------
    trait : str
    individuals : (n,) array
        Labels.
    means : (n,) array
    repeats : (n,) array
        Number of measurements of each.
    errors : (n,) array
        Standard errors of the means, at the estimate `error_sd` of the error where that is not known.
    error_sd : float
        Standard deviation of the error of a single measurement (of a typical individual where errors differ).
    error_df : float
        Degrees of freedom of that estimate; infinite where it is known.
    squares : (n,) array
        Sums of squares of the repeats about their means.
    n_dropped : int
        Individuals without any measurement.
    step : float
        Of the grid that all values stand on, where many of them are equal; 0 where they do not. If it is wider than
        the errors, equal `means` are spread out over it, and `errors` contain what rounding moves them by.
    """

    trait: str
    individuals: NDArray[Any]
    means: Array
    repeats: Array
    errors: Array
    error_sd: float
    error_df: float
    squares: Array
    n_dropped: int = 0
    step: float = 0.0

    def __post_init__(self) -> None:
        as_text("Measurements.trait", self.trait)
        n = self.individuals.size if isinstance(self.individuals, np.ndarray) else 0
        if not n or self.individuals.ndim != 1:
            hint = "Give an array of their labels"
            raise InputError("Measurements.individuals", f"got {as_written(self.individuals)}", hint)
        for name in ("means", "repeats", "errors", "squares"):
            hint = f"Give {n} numbers, one for each of the individuals"
            array = as_floats(f"Measurements.{name}", getattr(self, name), n_axes=1, hint=hint)
            if array.size != n:
                raise InputError(f"Measurements.{name}", f"has the shape {array.shape}", hint)
        as_number("Measurements.error_sd", self.error_sd, above=0.0)
        if not (isinstance(self.error_df, float) and self.error_df == np.inf):
            as_number("Measurements.error_df", self.error_df, above=0.0)
        as_whole("Measurements.n_dropped", self.n_dropped)
        as_number("Measurements.step", self.step, least=0.0)

    @property
    def n(self) -> int:
        """Number of individuals."""
        return self.means.size

    @property
    def repeated(self) -> bool:
        """Whether the error was estimated from repeats, at least in part."""
        return bool((self.repeats > 1).any())

    def to_data(self) -> Data:
        """The means with their errors, for `fit`. An estimated error keeps its uncertainty (``noise_scale``)."""
        prior = None if np.isinf(self.error_df) else ScaledInverseChi(self.error_df, 1.0)
        return as_data({self.trait: self.means}, noise=self.errors[:, None], noise_scale=prior)

    def taken(self, which: NDArray[Any]) -> Measurements:
        """Some individuals; the error is still what all of them have told."""
        own = ("individuals", "means", "repeats", "errors", "squares")
        return replace(self, **{name: getattr(self, name)[which] for name in own})


def measurements(
    data: Any,
    *,
    value: str | list[str] | None = None,
    individual: str | None = None,
    error: str | float | Array | None = None,
    error_df: float | None = None,
) -> Measurements:
    """Read repeat measurements of a trait, or values with standard errors.

    Parameters
    ----------
    data : DataFrame or array-like
        A dataframe with one row for each measurement (`value` and `individual` name columns), one with a row for each
        individual and its repeats in several columns (`value` is a list), or an array (individuals, repeats), NaN where
        there is no repeat. An array (individuals,) has one value each.
    value : str or list of str, optional
        Column with the measurements, or columns with repeats.
    individual : str, optional
        Column that says who was measured.
    error : str, float or (individuals,) array, optional
        Where there are no repeats: the standard error of each value (a column or an array), or the standard deviation
        of the error of any single measurement (a number) as it is known from elsewhere.
    error_df : float, optional
        Degrees of freedom of that knowledge; it is taken as exact if left out. With repeats it is added to what they
        say.

    Returns
    -------
    Measurements

    Raises
    ------
    InputError
        For fewer than 10 individuals, one measurement each without `error`, errors that are not positive, and whatever
        else leaves the size of the errors unknown.
    """
    table, labels, trait, errors = _table(data, value, individual, error)
    there = ~np.isnan(table)
    repeats = there.sum(axis=1).astype(float)
    seen = repeats > 0
    table, labels, there, repeats = table[seen], labels[seen], there[seen], repeats[seen]
    if labels.size < _FEWEST_INDIVIDUALS:
        raise InputError(
            "data",
            f"there are {labels.size} individuals with measurements",
            f"Shapes of distributions cannot be told from fewer than {_FEWEST_INDIVIDUALS}; measure more",
        )
    means = np.where(there, table, 0.0).sum(axis=1) / repeats
    squares = np.where(there, np.square(table - means[:, None]), 0.0).sum(axis=1)
    common: dict[str, Any] = {
        "trait": trait,
        "individuals": labels,
        "means": means,
        "repeats": repeats,
        "squares": squares,
        "n_dropped": int((~seen).sum()),
        "step": grid_step(table[there]),
    }
    _check_df(error_df, error)
    if np.ptp(means) == 0:
        raise InputError(
            "data", f"all individuals have the mean {means[0]:g}", "A trait that does not vary has no types"
        )
    if isinstance(errors, np.ndarray):
        if (repeats > 1).any():
            raise InputError(
                "error", "got one for each of several repeats", "Give repeats, or single values with errors"
            )
        errors = _positive(errors[seen], labels)
        typical = float(np.sqrt(np.mean(np.square(errors))))
        df = np.inf if error_df is None else float(error_df)
        return Measurements(**common, errors=errors, error_sd=typical, error_df=df)
    sd, df = _pooled(squares, repeats, errors, error_df)
    errors, rounding = sd / np.sqrt(repeats), rounding_variance(sd, common["step"])
    if matters(rounding, float(np.median(errors))):
        common["means"] = spread_out(means, rounding)
        errors = np.sqrt(np.square(errors) + 2.0 * rounding)
    return Measurements(**common, errors=errors, error_sd=sd, error_df=df)


def _table(
    data: Any, value: str | list[str] | None, individual: str | None, error: Any
) -> tuple[Array, NDArray[Any], str, Array | float | None]:
    """Values (individuals, repeats), labels, the name of the trait, and errors as numbers."""
    import narwhals as nw

    frame = nw.from_native(data, eager_only=True, pass_through=True)
    if not isinstance(frame, nw.DataFrame):
        return _array(data, value, individual, error)
    hint = "Name the column of measurements (with individual=...), or the list of columns that hold repeats"
    columns = () if value is None else as_texts("value", [value] if isinstance(value, str) else value, hint)
    if not columns:
        raise InputError("value", f"got {as_written(value)} for a dataframe", hint)
    if individual is not None:
        as_text("individual", individual)
    wanted = [*columns, *([individual] if individual is not None else []), *([error] if isinstance(error, str) else [])]
    absent = [name for name in wanted if name not in frame.columns]
    if absent:
        raise InputError("data", f"has no column {absent[0]!r}", f"It has {describe_columns(frame.columns)}")
    values = as_data(frame.select(list(columns)).to_native()).values
    trait = columns[0] if len(columns) == 1 else _shared_name(columns)
    errors: Any = error
    if isinstance(error, str):
        errors = as_data(frame.select([error]).to_native()).values[:, 0]
    elif _is_column(error):
        errors = read_numbers("error", error, RowsBeside.of_values(data))
    elif error is not None:
        errors = as_number("error", error, above=0.0)
    if individual is None:
        return values, np.arange(len(values)), trait, errors
    if frame[individual].is_null().any():
        row = int(np.argmax(frame[individual].is_null().to_numpy()))
        raise InputError("individual", f"column {individual!r} has no label in row {row}", "Say who was measured")
    who = read_labels("individual", frame[individual].to_native(), RowsBeside(n=len(values)))
    labels, places = np.unique(who, return_inverse=True)
    if isinstance(errors, np.ndarray):
        if labels.size < who.size:
            label = labels[np.bincount(places).argmax()]
            hint = "Errors by row go with one row for each individual; leave error out where there are repeats"
            raise InputError("error", f"individual {label.item()!r} has several rows", hint)
        return values, who, trait, errors
    # Rows of one individual side by side.
    numbers = np.zeros(len(places), dtype=int)
    order = np.argsort(places, kind="stable")
    first = np.searchsorted(places[order], np.arange(labels.size))
    numbers[order] = np.arange(len(places)) - first[places[order]]
    wide = np.full((labels.size, (numbers.max() + 1) * values.shape[1]), np.nan)
    for j in range(values.shape[1]):
        wide[places, numbers * values.shape[1] + j] = values[:, j]
    return wide, labels, trait, errors


def _array(data: Any, value: Any, individual: Any, error: Any) -> tuple[Array, NDArray[Any], str, Array | float | None]:
    for name, given in (("value", value), ("individual", individual)):
        if given is not None:
            raise InputError(
                name, f"got {as_written(given)} for data without named columns", "Give a dataframe, or leave it out"
            )
    if isinstance(error, str):
        raise InputError(
            "error", f"got {as_written(error)} for data without named columns", "Give a number or an array"
        )
    values = as_data(data).values
    errors = error
    if _is_column(error):
        errors = read_numbers("error", error, RowsBeside.of_values(data))
    elif error is not None:
        errors = as_number("error", error, above=0.0)
    return values, np.arange(len(values)), "trait", errors


def _is_column(error: Any) -> bool:
    """Whether there is an error for each row, and not one number for all."""
    return isinstance(error, (list, tuple, Mapping)) or (hasattr(error, "__array__") and np.ndim(error) > 0)


def _shared_name(columns: tuple[str, ...]) -> str:
    """What the names of columns with repeats begin with."""
    first, last = min(columns), max(columns)
    same = next((i for i, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))
    return first[:same].rstrip("_-. 0123456789") or "trait"


def _positive(errors: Array, labels: NDArray[Any]) -> Array:
    bad = np.flatnonzero(~(np.isfinite(errors) & (errors > 0)))
    if bad.size:
        raise InputError(
            "error", f"is {errors[bad[0]]:g} for individual {labels[bad[0]]!s}", "Standard errors are positive numbers"
        )
    return errors


def _check_df(error_df: Any, error: Any) -> None:
    if error_df is None:
        return
    if error is None:
        raise InputError("error_df", f"got {as_written(error_df)} without error", "Give error=, which it belongs to")
    as_number("error_df", error_df, least=_FEWEST_DF)


def _pooled(squares: Array, repeats: Array, error: Any, error_df: float | None) -> tuple[float, float]:
    """Standard deviation of the error of one measurement, and its degrees of freedom."""
    df = float((repeats - 1.0).sum())
    total = float(squares.sum())
    if error is not None:
        error = as_number("error", error, above=0.0)
        if error_df is None:
            return float(error), np.inf
        total, df = total + error_df * float(error) ** 2, df + float(error_df)
    if df == 0:
        raise InputError(
            "data",
            "every individual was measured once, so nothing tells how large the errors are",
            "Measure some of them again, or give error= (with error_df= where it is an estimate)",
        )
    if df < _FEWEST_DF:
        raise InputError(
            "data",
            f"the repeats leave {df:g} degree{'s' if df > 1 else ''} of freedom for the error",
            f"Repeat at least {_FEWEST_DF} measurements, or give error= and error_df= from elsewhere",
        )
    if total == 0:
        raise InputError(
            "data",
            "all repeats of an individual are equal, so the error seems to be 0",
            "Measure to more digits, or give error=, such as the rounding error: the last digit divided by sqrt(12)",
        )
    return float(np.sqrt(total / df)), df
