"""Random small plates through `ddpcr.quantify`, tables, report and command: each is answered, or refused by name.

    python benchmarks/fuzz_plates.py [plates, 300 if left out] [seed, 0 if left out]

Wells have 0 to 1,500 droplets, 1 to 3 channels, none to nearly all droplets positive; names are formulas, markup or those
of channels; wells are controls of all kinds or none; nanograms, results of an instrument and targets are there or not,
and belong to other wells and channels now and then. What is neither answered nor refused for an argument of the user is
printed and makes the run fail, as do infinite numbers and cells that a spreadsheet would take for a formula.
"""

from __future__ import annotations

import contextlib
import csv
import io
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

import bayesgmm as bg
from bayesgmm import ddpcr
from bayesgmm.cli import _ddpcr as command

_NAMES = ["A", "=B", "x; y", "<i>", "Ch1", "NTC 2", "-"]
_ARGUMENTS = {"plate", "channels", "reference"}


def plate(rng: np.random.Generator) -> ddpcr.Plate:
    """A plate with whatever may be in one."""
    channels = tuple(f"Ch{c + 1}" for c in range(rng.integers(1, 4)))
    wells = []
    for row in "ABCDE"[: rng.integers(1, 6)]:
        n = int(rng.choice([0, 1, 3, 50, 300, 1500]))
        x = rng.normal(1000.0, 100.0, (n, len(channels)))
        for c in range(len(channels)):
            rate = rng.choice([0.0, 0.0, 0.01, 0.3, 3.0, 8.0])
            x[rng.random(n) < -np.expm1(-rate), c] += 100.0 * rng.choice([3.0, 8.0, 40.0])
        wells.append(ddpcr.Well(name=f"{row}01", channels=channels, amplitudes=x, source="simulated"))
    names, W = [well.name for well in wells], len(wells)
    kinds = rng.choice(["", "ntc", "wild_type", "positive"], W, p=[0.5, 0.2, 0.15, 0.15])
    table = {"sample": rng.choice(_NAMES, W), "dilution": rng.choice([0.5, 1.0, 10.0], W), "ntc": kinds == "ntc"}
    table |= {"replicate": 1} | {f"target {name}": rng.choice(["MUT", "WT", name]) for name in channels}
    table |= {"control": kinds} if rng.random() < 0.7 else {}
    table |= {"ng": rng.choice([0.0, 5.0, np.nan], W)} if rng.random() < 0.5 else {}
    frame = pd.DataFrame(table, index=pd.Index(names, name="well", dtype=object))
    return ddpcr.Plate(tuple(wells), frame, _reported(rng, names, channels) if rng.random() < 0.5 else None)


def _reported(rng: np.random.Generator, wells: list[str], channels: tuple[str, ...]) -> pd.DataFrame:
    rows = [
        {"well": rng.choice([*wells, "H12"]), "sample": "s", "target": rng.choice(["MUT", "WT", "z", ""])}
        | {"channel": rng.choice([*channels, "", "Ch9"]), "n_droplets": rng.choice([np.nan, 300.0])}
        | {"positives": rng.choice([np.nan, 3.0, 100.0]), "concentration": rng.choice([np.nan, 3.0])}
        | {"lower": np.nan, "upper": np.nan, "source": "results.csv"}
        for _ in range(rng.integers(1, 6))
    ]
    return pd.DataFrame(rows)


def outcome(rng: np.random.Generator) -> str:
    """What comes of a plate: "answered", "refused", or what should not be (warnings count as such)."""
    made = plate(rng)
    options = {"reference": str(rng.choice(["MUT", "WT", "Ch1"]))} if rng.random() < 0.3 else {}
    try:
        with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
            warnings.simplefilter("error")
            result = ddpcr.quantify(made, droplet_volume_nl=0.85, cores=1, progressbar=False, **options)
            written = bg.report.write_tables(result, Path(folder) / "results.csv")
            bg.report.write_report(result, made, Path(folder) / "report.html")
            with contextlib.redirect_stdout(io.StringIO()):
                command._print(result, made, [])
            cells = [
                cell
                for file in written
                for row in csv.reader(file.read_text(encoding="utf-8").splitlines())
                for cell in row
            ]
    except bg.InputError as error:
        return "refused" if error.argument in _ARGUMENTS else f"InputError: {str(error)[:100]}"
    except Exception as error:  # an exception is what is looked for here
        return f"{type(error).__name__}: {str(error)[:100]}"
    numbers = [values for values in result.data_vars.values() if values.dtype.kind == "f"]
    if any(np.isinf(values).any() for values in numbers):
        return "infinite numbers"
    signs = [cell for cell in cells if cell[:1] in tuple("=+-@") and not _is_number(cell)]
    return f"a formula: {signs[0]!r}" if signs else "answered"


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def main(n: int, seed: int) -> int:
    """Print the counts; the number of outcomes that must not be."""
    found = Counter(outcome(np.random.default_rng([seed, i])) for i in range(n))
    for what, number in found.most_common():
        print(f"{number:>6}  {what}")
    bad = sum(number for what, number in found.items() if what not in ("answered", "refused"))
    print(f"{n} plates, {bad} neither answered nor refused for an argument")
    return bad


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:]]
    sys.exit(main(given[0] if given else 300, given[1] if len(given) > 1 else 0) > 0)
