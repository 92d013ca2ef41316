"""Droplet volumes: the user's to state, or an instrument's with its source."""

from __future__ import annotations

from dataclasses import dataclass

from bayesgmm._arguments import as_number, as_written
from bayesgmm._errors import InputError
from bayesgmm.ddpcr._plate import Plate

_REMEDY = "Give droplet_volume_nl= in nanolitres, or instrument= one of "


@dataclass(frozen=True, kw_only=True)
class Volume:
    """Nanolitres of a droplet of each well, and where the number comes from."""

    by_well: dict[str, float]
    source: str


_INSTRUMENTS: dict[str, tuple[float, str]] = {
    "QX100/QX200, QuantaSoft before 1.7.4": (0.91, "used by QuantaSoft before version 1.7.4"),
    "QX200, QuantaSoft 1.7.4": (0.85, "used by QuantaSoft from version 1.7.4 on"),
    "QX200, QX Manager": (0.795, "used by QX Manager, known at second hand"),
    "QuantStudio 3D": (0.755, "stated by the maker"),
    "QuantStudio Absolute Q": (0.432, "lambda over concentration in its tables of results"),
}


def instruments() -> dict[str, float]:
    """Names that ``quantify(instrument=...)`` takes, and the droplet volume of each in nanolitres."""
    return {name: volume for name, (volume, _) in _INSTRUMENTS.items()}


def volumes(plate: Plate, droplet_volume_nl: object, instrument: object) -> Volume:
    """What the user says, or the files do.

    Raises
    ------
    InputError
        If nobody says it, or twice.
    """
    names = [well.name for well in plate]
    known = _REMEDY + "; ".join(f"{name!r} ({volume:g} nL)" for name, (volume, _) in _INSTRUMENTS.items())
    if droplet_volume_nl is not None and instrument is not None:
        raise InputError(
            "instrument", f"got {as_written(instrument)} as well as droplet_volume_nl", "Give one of the two"
        )
    if droplet_volume_nl is not None:
        nl = as_number("droplet_volume_nl", droplet_volume_nl, above=0.0, below=1000.0)
        return Volume(by_well=dict.fromkeys(names, nl), source="stated by the user")
    if instrument is not None:
        if not isinstance(instrument, str) or instrument not in _INSTRUMENTS:
            raise InputError("instrument", f"got {as_written(instrument)}", known)
        volume, source = _INSTRUMENTS[str(instrument)]
        return Volume(by_well=dict.fromkeys(names, volume), source=f"{instrument}: {volume:g} nL, {source}")
    by_well = {well.name: well.volume_nl for well in plate}
    if all(volume is not None for volume in by_well.values()):
        found = {name: float(volume) for name, volume in by_well.items() if volume is not None}
        return Volume(by_well=found, source="stated in the files")
    raise InputError("droplet_volume_nl", "is not given, and concentrations are proportional to 1 / volume", known)
