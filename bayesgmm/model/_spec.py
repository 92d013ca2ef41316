"""What every part of a declaration shares: it is frozen, it compares by value, and it goes to JSON and back."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Hashable
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from bayesgmm._errors import InputError

Array = NDArray[np.float64]
# A number or (nested) tuples of numbers: hashable, comparable and plain JSON, unlike an array.
Numbers = float | tuple[Any, ...]


class Spec(ABC):
    """Base of all parts of a declaration. Every concrete subclass is registered by its name for `from_dict`."""

    _by_name: ClassVar[dict[str, type[Spec]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Spec._by_name[cls.__name__] = cls

    @abstractmethod
    def describe(self) -> str:
        """The right-hand side of this part's line in the printed model."""

    def __str__(self) -> str:
        return self.describe()

    def to_dict(self) -> dict[str, Any]:
        """This part as nested dicts, lists, numbers and strings; ``from_dict`` is the inverse."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        return {"type": type(self).__name__, **{name: _to_plain(value) for name, value in fields.items()}}

    @staticmethod
    def from_dict(plain: dict[str, Any]) -> Any:
        """Rebuild what ``to_dict`` wrote."""
        name = plain.get("type")
        if name not in Spec._by_name:
            known = ", ".join(sorted(Spec._by_name))
            raise InputError(
                "type", f"no part of a model is called {name!r}", f"Known: {known}; import the module that defines it"
            )
        arguments = {key: _from_plain(value) for key, value in plain.items() if key != "type"}
        return Spec._by_name[name](**arguments)

    def _check(self, name: str, condition: bool, problem: str, remedy: str) -> None:
        if not condition:
            raise InputError(f"{type(self).__name__}.{name}", problem, remedy)

    def _set(self, name: str, value: Any) -> None:
        # Frozen dataclasses normalise their fields in __post_init__, and only there.
        object.__setattr__(self, name, value)

    def _freeze(self, name: str, *, optional: bool = False, positive: bool = False, most_axes: int = 3) -> None:
        """Store a number or array-like field as a float or nested tuples, after checking that it is finite."""
        value = getattr(self, name)
        if value is None and optional:
            return
        try:
            given = np.asarray(np.nan) if _masked(value) else np.asarray(value)
            # Strings and truth values convert to numbers, but nobody means them.
            array = given.astype(float) if given.dtype.kind in "iufO" else np.array(np.nan)
        except (TypeError, ValueError):
            array = np.array(np.nan)
        self._check(
            name,
            array.size > 0 and bool(np.isfinite(array).all()) and array.ndim <= most_axes,
            f"got {value!r}",
            "Give a finite number" + (f" or an array of them with at most {most_axes} axes" if most_axes else ""),
        )
        if positive:
            self._check(name, bool((array > 0).all()), f"got {value!r}", "Every number must be greater than 0")
        self._set(name, freeze(array))

    def _array(self, name: str) -> Array:
        """A field that holds numbers, as an array that is made once and cannot be written to."""
        if name not in self._arrays:
            value = np.array(getattr(self, name), dtype=float)
            value.setflags(write=False)
            self._arrays[name] = value
        return self._arrays[name]

    @cached_property
    def _arrays(self) -> dict[str, Array]:
        return {}

    def _shaped(self, name: str, shape: tuple[int, ...], meaning: str) -> Array:
        """Broadcast a stored field to `shape`, or say which sizes were expected."""
        value = self._array(name)
        if value.shape == shape:
            return value
        try:
            return np.broadcast_to(value, shape)
        except ValueError:
            raise InputError(
                f"{type(self).__name__}.{name}",
                f"has shape {value.shape}, which does not fit {meaning} = {shape}",
                f"Give a single number or an array that broadcasts to {shape}",
            ) from None

    def _replace(self, **changes: Any) -> Self:
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]


def _masked(value: Any) -> bool:
    """Whether an entry, or an entry of a row, is masked: numpy would take what stands under the mask."""
    items = value if isinstance(value, (list, tuple)) else (value,)
    return any(isinstance(item, np.ma.MaskedArray) and bool(np.ma.is_masked(item)) for item in items)


def freeze(array: Any) -> Any:
    """Nested tuples of floats from anything array-like."""

    def nested(value: Any) -> Any:
        return tuple(nested(item) for item in value) if isinstance(value, list) else value

    return nested(np.asarray(array, dtype=float).tolist())


def rows_as_keys(array: Array) -> list[Hashable]:
    """One hashable key for each entry along the first axis: equal keys, equal numbers."""
    return [entry.tobytes() for entry in np.ascontiguousarray(array)]


def show(value: Any) -> str:
    """A number or array as people write it, to four significant digits."""
    array = np.asarray(value, dtype=float)
    if array.ndim == 0:
        return f"{float(array):.4g}"
    if array.ndim == 1 and array.size > 1 and np.all(array == array[0]):
        return f"({show(array[0])}, ..., {show(array[0])})" if array.size > 3 else f"({', '.join(map(show, array))})"
    if array.shape == (1,):
        return show(array[0])
    opening, closing = ("(", ")") if array.ndim == 1 else ("[", "]")
    return opening + ", ".join(show(item) for item in array) + closing


def _to_plain(value: Any) -> Any:
    if isinstance(value, Spec):
        return value.to_dict()
    if isinstance(value, tuple):
        return [_to_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _from_plain(value: Any) -> Any:
    if isinstance(value, dict):
        return Spec.from_dict(value)
    if isinstance(value, list):
        return tuple(_from_plain(item) for item in value)
    return value
