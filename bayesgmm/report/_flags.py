"""Flags, put together by what they say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bayesgmm.plots._droplets import NO_POSITIVES, Row, by_target, contents, flags_of, measured, split_flags
from bayesgmm.report._html import section, text

if TYPE_CHECKING:
    import xarray as xr

# Wells of which each is named with what is in it.
_FEW = 4
_NUMBER = re.compile(r"[-+−]?\d[\d.,]*(?:e[-+]?\d+)?")


def flags_section(result: xr.Dataset) -> str:
    """What must be said beside the numbers, first of what is in a report."""
    items = [_item(text(told), where) for told, where in gathered(result)]
    plate = [_item(text(told), f"whole plate, {channels}") for channels, told in of_plate(result)]
    expected = _expected(result)
    note = f'<p class="note">As expected of controls: no positives in {text(", ".join(expected))}.</p>' * bool(expected)
    if not items and not plate:
        done = section(
            "Flags", "<p>None: no well and no channel needs a word beside its numbers.</p>", note, anchor="flags"
        )
        return done.replace('id="flags"', 'id="flags" class="none"', 1)
    done = section("Flags", f"<ul>{''.join(plate + items)}</ul>", note, anchor="flags")
    return done.replace('id="flags"', 'id="flags" class="some"', 1)


def of_plate(result: xr.Dataset) -> list[tuple[str, str]]:
    """Channels and sentence."""
    found: dict[str, list[str]] = {}
    for channel in result["channel"].to_numpy().astype(str):
        for told in split_flags(str(result.attrs.get(f"flags {channel}", ""))):
            found.setdefault(by_target(result, told), []).append(measured(result, str(channel)))
    return [(", ".join(channels), told) for told, channels in found.items()]


def gathered(result: xr.Dataset) -> list[tuple[str, str]]:
    """A sentence, and the wells it is said of; sentences that differ in numbers alone are one."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for well, channel, told in _each(result):
        found.setdefault(_NUMBER.sub("…", told), []).append((well, channel, told))
    out = []
    for general, members in found.items():
        same = len({told for _, _, told in members}) == 1
        if len(members) > _FEW:
            out.append((members[0][2] if same else general, _places(result, members)))
            continue
        wells = [f"{well}{_of(result, channel)} ({contents(result, well)})" for well, channel, _ in members]
        if same:
            out.append((members[0][2], ", ".join(wells)))
        else:
            out += [(told, where) for (_, _, told), where in zip(members, wells, strict=True)]
    return out


def _of(result: xr.Dataset, channel: str) -> str:
    return f" {measured(result, channel)}" if result.sizes["channel"] > 1 else ""


def _places(result: xr.Dataset, members: list[tuple[str, str, str]]) -> str:
    """Wells by target; once where they are the same for all targets."""
    by_channel: dict[str, list[str]] = {}
    for well, channel, _ in members:
        by_channel.setdefault(channel, []).append(well)
    every = list(by_channel.values())
    if len(every) == result.sizes["channel"] and all(wells == every[0] for wells in every):
        return ", ".join(every[0]) + (", all targets" if len(every) > 1 else "")
    return "; ".join(f"{', '.join(wells)}{_of(result, channel)}" for channel, wells in by_channel.items())


def _each(result: xr.Dataset) -> list[tuple[str, str, str]]:
    """Well, channel and sentence, without what every control should have."""
    out = []
    for well in result["well"].to_numpy().astype(str):
        for channel in result["channel"].to_numpy().astype(str):
            out += [(well, channel, told) for told in flags_of(result, well, channel)]
    return out


def _expected(result: xr.Dataset) -> list[str]:
    wells = []
    for well in result["well"].to_numpy().astype(str):
        rows = [Row(result, well=well, channel=channel) for channel in result["channel"].to_numpy().astype(str)]
        if any(bool(row["ntc"]) and NO_POSITIVES in str(row["flags"]) for row in rows):
            wells.append(well)
    return wells


def _item(told: str, where: str) -> str:
    return f"<li><b>{told}</b> <span class=where>{text(where)}</span></li>"
