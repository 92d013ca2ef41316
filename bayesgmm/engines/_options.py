"""Checks that engines share: of their options, and of what they are asked to fit."""

from __future__ import annotations

from bayesgmm._arguments import as_number, as_whole
from bayesgmm._errors import InputError, UnsupportedError
from bayesgmm.model import FilledMixture


def check_whole(engine: object, option: str, *, least: int) -> None:
    """Raise unless an option is a whole number of at least `least`, and keep it as an ``int``."""
    value = as_whole(f"{type(engine).__name__}.{option}", getattr(engine, option), least=least)
    object.__setattr__(engine, option, value)  # frozen, and normalised only here


def check_positive(engine: object, option: str, *, below: float | None = None) -> None:
    """Raise unless an option is a positive finite number, below another if one is given; keep it as a ``float``."""
    value = as_number(f"{type(engine).__name__}.{option}", getattr(engine, option), above=0.0, below=below)
    object.__setattr__(engine, option, value)


def check_search(engine: object) -> None:
    """Raise unless the options of a search for optima are sound."""
    for option in ("n_init", "n_polish", "max_steps"):
        check_whole(engine, option, least=1)
    check_whole(engine, "short_steps", least=0)
    if getattr(engine, "threads") is not None:  # noqa: B009  # engines have it, objects do not
        check_whole(engine, "threads", least=1)
    check_positive(engine, "tolerance")


def check_draws(engine: object) -> None:
    """Raise unless independent draws can be shared out to the chains that they are stored in."""
    for option in ("draws", "chains"):
        check_whole(engine, option, least=1)
    draws, chains = (getattr(engine, option) for option in ("draws", "chains"))
    if draws % chains:
        hint = "Give a multiple of the number of chains"
        raise InputError(f"{type(engine).__name__}.draws", f"got {draws} for {chains} chains", hint)


def check_proper(who: str, model: FilledMixture, instead: str) -> None:
    """Raise where a part of a model is `Flat`, for `who` needs a posterior distribution.

    `instead` says what else could be done, after giving the part a proper prior.
    """
    if not model.proper:
        flat = " and ".join(model.improper_parts())
        raise UnsupportedError(who, f"Flat() {flat}", f"Give {flat} a proper prior{instead}")
