"""What every part of a declaration shares: it is frozen, it compares by value, and it goes to JSON and back."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Hashable
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from bayesgmm._arguments import as_texts, as_written, is_number
from bayesgmm._errors import InputError, UnsupportedError
from bayesgmm.model._features import in_order, labels_of, order_of

Array = NDArray[np.float64]
# A number or (nested) tuples of numbers: hashable, comparable and plain JSON, unlike an array.
Numbers = float | tuple[Any, ...]
# Arrays of more numbers are printed in part: so many along an axis at most.
_MOST_SHOWN = 16
_MOST_ALONG_AN_AXIS = 4

# Parts within parts, and axes of their arrays: no declaration comes near.
_DEEPEST = 20
# What JSON calls labels of features.
_LABELS = "features"
_IMPORT = "import the module that defines it"


class Spec(ABC):
    """Base of all parts of a declaration. Every concrete subclass is registered by its name for `from_dict`."""

    _by_name: ClassVar[dict[str, type[Spec]]] = {}
    # Fields with a number for each feature: from how many axes on, and how many of the last axes are those of features.
    _by_feature: ClassVar[dict[str, tuple[int, int]]] = {}
    # Labels of the features, where numbers came with some: a Series, a table or a DataArray.
    features: tuple[str, ...] | None = None

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
        labels = {} if self.features is None else {_LABELS: list(self.features)}
        return {"type": type(self).__name__, **{name: _to_plain(value) for name, value in fields.items()}, **labels}

    @classmethod
    def from_dict(cls, plain: Any) -> Self:
        """Rebuild what ``to_dict`` wrote.

        Raises
        ------
        InputError
            If it is no part of a model, or not one of this class; if a field is unknown, missing or has a value that
            the part refuses.
        """
        built = _rebuilt(plain, 0)
        if not isinstance(built, cls):
            raise InputError("type", f"got {_named(plain)}", f"Give what {cls.__name__}.to_dict or to_json wrote")
        return built

    def to_json(self) -> str:
        """This part as JSON; ``from_json`` is the inverse."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Rebuild what ``to_json`` wrote.

        Raises
        ------
        InputError
            If the text is no JSON, or not that of a part of this class.
        """
        if not isinstance(text, str):
            raise InputError("text", f"got {as_written(text)}", f"Give the string that {cls.__name__}.to_json wrote")
        hint = f"Give what {cls.__name__}.to_json wrote, unchanged"
        try:
            plain = json.loads(text, object_pairs_hook=_without_repeats)
        except InputError:
            raise
        except json.JSONDecodeError as error:
            raise InputError("text", f"is no JSON: {error}", hint) from None
        except RecursionError:
            raise InputError("text", "is nested too deeply", hint) from None
        except ValueError as error:  # a number of thousands of digits
            raise InputError("text", f"holds what cannot be read: {error}", hint) from None
        return cls.from_dict(plain)

    def aligned(self, names: tuple[str, ...]) -> Self:
        """This part with its numbers in the order of columns of these names, where they came with labels.

        Raises
        ------
        InputError
            If labels are not the names of the columns.
        """
        changes: dict[str, Any] = {}
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, Spec):
                part = value.aligned(names)
                changes |= {field.name: part} if part is not value else {}
            elif self.features is not None and field.name in self._by_feature:
                least, n_axes = self._by_feature[field.name]
                if np.ndim(value) >= least:
                    order = order_of(self.features, names, f"{type(self).__name__}.{field.name}")
                    changes[field.name] = freeze(in_order(value, order, n_axes))
        return self._replace(**changes) if changes else self

    def _note_features(self, name: str, value: Any, array: Array) -> None:
        """Keep the labels with which numbers of a field came; those of all fields must go together."""
        least, n_axes = self._by_feature.get(name, (np.inf, 0))
        if array.ndim < least:
            return
        argument = f"{type(self).__name__}.{name}"
        labels, known = labels_of(value, argument, n_axes), self.__dict__.get("_labels", {})
        others = set(known.values()) - {labels}
        if others:
            raise InputError(
                argument,
                f"is labelled {labels}, and another part {others.pop()}"
                if labels
                else "has no labels, unlike another part",
                "Give all numbers with the same labels in the same order, or all without",
            )
        self._set("_labels", {**known, name: labels})
        self._set("features", labels)

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
        array = _floats(value)
        self._check(
            name,
            array.size > 0 and bool(np.isfinite(array).all()) and array.ndim <= most_axes,
            f"got {as_written(value)}",
            "Give a finite number" + (f" or an array of them with at most {most_axes} axes" if most_axes else ""),
        )
        if positive:
            self._check(
                name, bool((array > 0).all()), f"got {as_written(value)}", "Every number must be greater than 0"
            )
        self._note_features(name, value, array)
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


def _floats(value: Any) -> Array:
    """Numbers as an array of floats; NaN for what holds anything else, or is no array.

    Strings and truth values would convert to numbers, but nobody means them.
    """
    if _masked(value):
        return np.array(np.nan)
    try:
        given = np.asarray(value, dtype=object if isinstance(value, (list, tuple)) else None)
        if given.dtype.kind == "O" and all(is_number(each) for each in given.ravel()):
            return given.astype(float)
    except (TypeError, ValueError):  # rows of different lengths, objects that no array can hold
        return np.array(np.nan)
    return given.astype(float) if given.dtype.kind in "iuf" else np.array(np.nan)


def freeze(array: Any) -> Any:
    """Nested tuples of floats from anything array-like."""

    def nested(value: Any) -> Any:
        return tuple(nested(item) for item in value) if isinstance(value, list) else value

    return nested(np.asarray(array, dtype=float).tolist())


def rows_as_keys(array: Array) -> list[Hashable]:
    """One hashable key for each entry along the first axis: equal keys, equal numbers."""
    return [entry.tobytes() for entry in np.ascontiguousarray(array)]


def show(value: Any) -> str:
    """A number or array as people write it, to four significant digits; of many numbers the first and the last ones."""
    array = np.asarray(value, dtype=float)
    return _show(array, brief=array.size > _MOST_SHOWN)


def _show(array: Array, *, brief: bool) -> str:
    if array.ndim == 0:
        return f"{float(array):.4g}"
    if array.ndim == 1 and array.size > 1 and np.all(array == array[0]):
        return f"({show(array[0])}, ..., {show(array[0])})" if array.size > 3 else f"({', '.join(map(show, array))})"
    if array.shape == (1,):
        return show(array[0])
    opening, closing = ("(", ")") if array.ndim == 1 else ("[", "]")
    items = [array[0], array[1], None, array[-1]] if brief and len(array) > _MOST_ALONG_AN_AXIS else list(array)
    return opening + ", ".join("..." if item is None else _show(item, brief=brief) for item in items) + closing


def _to_plain(value: Any) -> Any:
    if isinstance(value, Spec):
        return value.to_dict()
    if isinstance(value, tuple):
        return [_to_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _rebuilt(plain: Any, depth: int) -> Any:
    """The part that nested dicts and lists stand for."""
    known = {name: kind for name, kind in Spec._by_name.items() if not inspect.isabstract(kind)}
    name = plain.get("type") if isinstance(plain, dict) else None
    if not isinstance(name, str) or name not in known:
        listed = ", ".join(sorted(each for each in known if not each.startswith("_")))
        raise InputError("type", f"no part of a model is called {_named(plain)}", f"Known: {listed}; {_IMPORT}")
    fields = {field.name: field for field in dataclasses.fields(known[name]) if field.init}  # type: ignore[arg-type]
    for key in plain:
        if key not in fields and key != "type" and not (key == _LABELS and known[name]._by_feature):
            raise InputError(
                f"{name}.{as_written(key)}", "is no field of it", f"Its fields are {', '.join(fields) or 'none'}"
            )
    for key, field in fields.items():
        if key not in plain and field.default is field.default_factory is dataclasses.MISSING:
            raise InputError(f"{name}.{key}", "is missing", "Give all fields that to_json writes")
    try:
        built = known[name](**{key: _from_plain(plain[key], depth) for key in plain if key in fields})
    except UnsupportedError as error:  # each part by itself could be used, but no declaration holds both
        raise InputError(name, str(error).removesuffix("."), "Give what to_json wrote, unchanged") from None
    if _LABELS in plain:
        built._set(_LABELS, as_texts(f"{name}.{_LABELS}", plain[_LABELS], "Give what to_json wrote, unchanged"))
    return built


def _from_plain(value: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        raise InputError("text", "is nested too deeply", "Give what to_json wrote, unchanged")
    if isinstance(value, dict):
        return _rebuilt(value, depth + 1)
    if isinstance(value, list):
        return tuple(_from_plain(item, depth + 1) for item in value)
    return value


def _named(plain: Any) -> str:
    """How a message names what should have been a part of a model."""
    return (
        as_written(plain["type"])
        if isinstance(plain, dict) and "type" in plain
        else f"{as_written(plain)}, without a type"
    )


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; of fields that stand there twice Python would take the last without a word."""
    plain = dict(pairs)
    if len(plain) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise InputError("text", f"holds the field {as_written(repeated)} more than once", "Give each field once")
    return plain
