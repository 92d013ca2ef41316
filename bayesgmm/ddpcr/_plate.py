"""A plate: droplets of each well, and what was pipetted into it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm._arguments import as_number, as_text, as_texts, as_written
from bayesgmm._errors import InputError
from bayesgmm._words import counted
from bayesgmm.data import read_matrix, read_numbers
from bayesgmm.ddpcr._table import NO_TEMPLATE, plate_table
from bayesgmm.ddpcr._wells import listed, well_name, wells_in

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True, eq=False)
class Well:
    """Droplets of one well.

    Parameters
    ----------
    name : str
        ``A01`` to ``P24``.
    channels : tuple of str
        Such as ``("Ch1", "Ch2")``.
    amplitudes : (n_droplets, n_channels) array
        Fluorescence in the unit of the instrument; baseline corrected values may be negative. There may be no droplets.
    clusters : (n_droplets,) array of int, optional
        Calls of the instrument's own software: 1 negative in both channels, 2 positive in the first only, 3 positive in
        both, 4 positive in the second only, 0 not classified. With a single target 1 is negative and 2 positive. Of
        T > 2 targets the call is 1 + the sum of 2^j over the targets j = 0 ... T - 1 that are positive.
    volume_nl : float, optional
        Volume of a partition in nanolitres where the file states it.
    source : str
        File it was read from.

    Raises
    ------
    InputError
        If shapes do not agree, the name is no well, or an amplitude is not finite.
    """

    name: str
    channels: tuple[str, ...]
    amplitudes: NDArray[np.float64]
    clusters: NDArray[np.int64] | None = None
    volume_nl: float | None = None
    source: str = ""

    def __post_init__(self) -> None:
        name = well_name(self.name)
        if name is None:
            raise InputError("Well.name", f"got {as_written(self.name)}", "Wells are A01 to P24")
        object.__setattr__(self, "name", name)
        channels = as_texts("Well.channels", self.channels, "Give the names of the channels, such as ('Ch1', 'Ch2')")
        object.__setattr__(self, "channels", channels)
        as_text("Well.source", self.source)
        if self.volume_nl is not None:
            object.__setattr__(self, "volume_nl", as_number("Well.volume_nl", self.volume_nl, above=0.0))
        values, droplets = read_matrix(f"Well.amplitudes of {name}", self.amplitudes, self.channels)
        if not np.isfinite(values).all():
            raise InputError(f"Well.amplitudes of {name}", "has values that are not finite", "Leave these droplets out")
        object.__setattr__(self, "amplitudes", values.astype(np.float64))
        if self.clusters is not None:
            clusters = read_numbers(f"Well.clusters of {name}", self.clusters, droplets)
            if not np.array_equal(clusters, np.round(clusters)):
                raise InputError(
                    f"Well.clusters of {name}", "has entries that are no whole numbers", "Give the call of each droplet"
                )
            object.__setattr__(self, "clusters", clusters.astype(np.int64))

    @property
    def n_droplets(self) -> int:
        """Number of droplets."""
        return self.amplitudes.shape[0]

    def channel(self, name: str) -> NDArray[np.float64]:
        """Amplitudes in one channel, shape (n_droplets,)."""
        if name not in self.channels:
            raise InputError(
                "channel", f"well {self.name} has no channel {name!r}", f"It has {', '.join(self.channels)}"
            )
        return self.amplitudes[:, self.channels.index(name)]

    def __repr__(self) -> str:
        return f"Well({self.name}: {self.n_droplets:,} droplets, {', '.join(self.channels)}, from {self.source!r})"


@dataclass(frozen=True, eq=False, repr=False)
class Plate:
    """Wells with their droplets, and a table of what is in them; made by `read_plate`.

    ``plate["A01"]`` is a well, ``len(plate)`` the number of wells, and iteration goes through the wells.

    Parameters
    ----------
    wells : tuple of Well
    table : pandas.DataFrame
        One row for each well, in their order. The index ``well``; the columns ``sample`` (str), ``dilution`` (float,
        the concentration in the sample is ``dilution`` times that in the well), ``ntc`` (bool, a control without
        template), ``replicate`` (int, from 1 within a sample at one dilution) and for each channel
        ``target <channel>`` (str), such as ``target Ch1``, the name of what the channel measures. Further columns of
        the user's table follow; of these ``control`` says which wells are controls (see `controls`).
    reported : pandas.DataFrame, optional
        What the instrument's software reported, one row for each well and target: ``well``, ``sample``, ``target``,
        ``channel``, ``n_droplets``, ``positives``, ``concentration``, ``lower``, ``upper`` (copies per microlitre of
        reaction, 95 %), ``source``.

    Raises
    ------
    InputError
        If the rows of the table are not the wells.
    """

    wells: tuple[Well, ...]
    table: pd.DataFrame
    reported: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        import pandas as pd

        if not isinstance(self.wells, (list, tuple)) or not all(isinstance(well, Well) for well in self.wells):
            raise InputError("Plate.wells", f"got {as_written(self.wells)}", "Give a tuple of Well(...)")
        for name in ("table", "reported"):
            given = getattr(self, name)
            if not isinstance(given, pd.DataFrame) and not (name == "reported" and given is None):
                raise InputError(f"Plate.{name}", f"got {type(given).__name__}", "Give a pandas.DataFrame")
        object.__setattr__(self, "wells", tuple(self.wells))
        names = [well.name for well in self.wells]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError("wells", f"{twice} is there twice", "Give every well once")
        if list(self.table.index) != names:
            index = listed(list(map(str, self.table.index)), 12)
            raise InputError("Plate.table", f"has the index {index}", f"Its rows are the wells {listed(names, 12)}")
        absent = [name for name in ("sample", "ntc") if names and name not in self.table.columns]
        if absent:
            hint = "Give the columns 'sample' and 'ntc', as read_plate does"
            raise InputError("Plate.table", f"has no column {absent[0]!r}", hint)

    def __len__(self) -> int:
        return len(self.wells)

    def __iter__(self) -> Iterator[Well]:
        return iter(self.wells)

    def __getitem__(self, name: str) -> Well:
        wanted = well_name(name)
        for well in self.wells:
            if well.name == wanted:
                return well
        raise InputError("well", f"the plate has no well {name!r}", f"Its wells are {listed(self._names, 12)}")

    @property
    def _names(self) -> list[str]:
        return [well.name for well in self.wells]

    @property
    def channels(self) -> tuple[str, ...]:
        """Channels of all wells."""
        return tuple(dict.fromkeys(channel for well in self.wells for channel in well.channels))

    @property
    def controls(self) -> list[str]:
        """What each well is a control of, in their order.

        ``"ntc"`` (no template), ``"wild_type"`` (template without the mutant), ``"positive"`` (the target is in it),
        and ``""`` for samples. From the columns ``ntc`` and ``control`` of the table.
        """
        ntc = self.table["ntc"].tolist()
        kinds = self.table["control"].astype(str).tolist() if "control" in self.table.columns else [""] * len(ntc)
        return [
            NO_TEMPLATE if none else "" if kind == NO_TEMPLATE else kind for none, kind in zip(ntc, kinds, strict=True)
        ]

    def with_table(
        self,
        table: Any = None,
        *,
        samples: Any = None,
        targets: Any = None,
        dilutions: Any = None,
        ntc: Any = None,
    ) -> Plate:
        """The same droplets with another plate table; what is not given stays. The arguments are those of `read_plate`.

        Replicates are counted anew where samples or dilutions change and ``table`` has no column of them.
        """
        changed = plate_table(
            self._names,
            self.channels,
            known=self.table,
            table=table,
            samples=samples,
            targets=targets,
            dilutions=dilutions,
            ntc=ntc,
        )
        return replace(self, table=changed)

    def select(self, *, samples: Any = None, wells: Any = None) -> Plate:
        """A plate of some wells.

        Parameters
        ----------
        samples : str or list of str, optional
            Names in the column ``sample``.
        wells : str or list of str, optional
            Names or ranges, such as ``"A01-D01"``. With both, wells that are in both.

        Returns
        -------
        Plate

        Raises
        ------
        InputError
            If there is no such sample or well.
        """
        chosen = self._names
        if wells is not None:
            wanted = wells_in(wells, "wells")
            absent = [name for name in wanted if name not in chosen]
            if absent:
                raise InputError("wells", f"the plate has no {listed(absent)}", f"Its wells are {listed(chosen, 12)}")
            chosen = [name for name in chosen if name in wanted]
        if samples is not None:
            asked = [samples] if isinstance(samples, str) else list(samples)
            there = self.table["sample"]
            absent = [str(name) for name in asked if name not in set(there)]
            if absent:
                hint = f"The samples are {listed(there.unique(), 12)}"
                raise InputError("samples", f"the plate has no {listed(absent)}", hint)
            chosen = [name for name in chosen if there[name] in asked]
        reported: Any = self.reported
        if reported is not None:
            reported = reported[reported["well"].isin(chosen)].reset_index(drop=True)
        kept = tuple(well for well in self.wells if well.name in chosen)
        return Plate(kept, self.table.loc[chosen], reported)

    def __repr__(self) -> str:
        if not self.wells:
            return "Plate without wells"
        sizes = [well.n_droplets for well in self.wells]
        droplets = f"{min(sizes):,}" if min(sizes) == max(sizes) else f"{min(sizes):,} to {max(sizes):,}"
        ntc = self.table["ntc"].tolist()
        controls = [name for name, control in zip(self._names, ntc, strict=True) if control]
        samples = Counter(name for name, control in zip(self.table["sample"], ntc, strict=True) if not control)
        named = [name if count == 1 else f"{name} (x{count})" for name, count in samples.items()]
        lines = [f"Plate of {counted(len(self), 'well')}, {droplets} droplets each"]
        for channel in self.channels:
            names = [str(name) for name in self.table[f"target {channel}"].unique()]
            shown = "" if names == [channel] else f": {listed(names)}"
            lines.append(f"  channel {channel}{shown}")
        lines.append(f"  {counted(len(samples), 'sample')}: {listed(named)}" if named else "  no samples")
        lines.append(f"  no-template wells: {listed(controls, 12) if controls else 'none named'}")
        for kind in dict.fromkeys(kind for kind in self.controls if kind not in ("", NO_TEMPLATE)):
            own = [name for name, each in zip(self._names, self.controls, strict=True) if each == kind]
            lines.append(f"  {kind.replace('_', '-')} controls: {listed(own, 12)}")
        if self.reported is not None:
            lines.append(f"  {counted(len(self.reported), 'result')} reported by the instrument")
        return "\n".join(lines)
