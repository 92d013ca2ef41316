"""Damaged files of droplets: each is read, or refused by an error of bayesgmm, and nothing else.

    python benchmarks/fuzz_droplet_files.py [files of each kind, 200 if left out]

Files of every form and zips of them are damaged in the ways that happen: bits that flip, files that are cut off, blocks
that are missing, repeated or filled with zeros, fields and lines that are much too long, numbers that are no
measurements. The table counts what came of it; what is neither read nor refused is printed and makes the run fail.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import sys
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import bayesgmm as bg

Damage = Callable[[bytes, np.random.Generator], bytes]
_ODD = [
    b"1e400",
    b"-1e400",
    b"nan",
    b"inf",
    b"1e308",
    b"9" * 30,
    b"0x1F",
    b"1_0",
    b"\x00",
    b'"',
    b"'",
    b",",
    b"\xff\xfe",
]


def _texts() -> dict[str, tuple[str, bytes]]:
    """Name and bytes of a small file of each form."""
    x = np.random.default_rng(0).normal(3000.0, 900.0, size=(30, 2)).round(2)
    rows = [f"{a},{b}" for a, b in x.tolist()]
    quantasoft = ["Ch1 Amplitude,Ch2 Amplitude,Cluster", *(f"{row},1" for row in rows)]
    manager = ["Ch1Amplitude,Ch2Amplitude,MUT,WT,", *(f"{row},0,1," for row in rows)]
    naica = ["X,Y,Blue,Green,Index", *(f"{i},{i},{row},{i + 1}" for i, row in enumerate(rows))]
    head = "Well,Sample,Channel,Cycled volume,Threshold,Partition,Is invalid,Is positive,RFU"
    qiacuity = ["sep=,", head, *(f"A1,s,Green,0.012,50.5,{i + 1},0,1,{a}" for i, (a, _) in enumerate(x.tolist()))]
    head = "Run,Well ID,Sample,Index,Reject,ROX,FAM,FAM_pos,FAM_target,FAM_threshold"
    absolute = [head, *(f"r,A1,s,{i + 1},False,1.5,{a},{a > 3000},T,3000" for i, (a, _) in enumerate(x.tolist()))]
    european = [line.replace(",", ";").replace(".", ",") for line in quantasoft]
    kinds = {
        "semicolons": ("p_A01_Amplitude.txt", european),
        "Absolute Q": ("raw.csv", absolute),
        "QuantaSoft": ("p_A01_Amplitude.csv", quantasoft),
        "QX Manager": ("p_A01_Amplitude.csv", manager),
        "Naica": ("p_A01_RawData.csv", naica),
        "QIAcuity": ("p_RFU_img1_CH1.csv", qiacuity),
    }
    return {kind: (name, "\r\n".join(lines).encode()) for kind, (name, lines) in kinds.items()}


def _flipped(raw: bytes, rng: np.random.Generator) -> bytes:
    changed = np.frombuffer(raw, dtype=np.uint8).copy()
    at = rng.integers(changed.size, size=rng.integers(1, 6))
    changed[at] ^= (1 << rng.integers(8, size=at.size)).astype(np.uint8)
    return changed.tobytes()


def _block(raw: bytes, rng: np.random.Generator) -> tuple[int, int]:
    begin = int(rng.integers(len(raw)))
    return begin, int(min(len(raw), begin + rng.integers(1, 200)))


def _missing(raw: bytes, rng: np.random.Generator) -> bytes:
    begin, end = _block(raw, rng)
    return raw[:begin] + raw[end:]


def _repeated(raw: bytes, rng: np.random.Generator) -> bytes:
    begin, end = _block(raw, rng)
    return raw[:end] + raw[begin:]


def _zeros(raw: bytes, rng: np.random.Generator) -> bytes:
    begin, end = _block(raw, rng)
    return raw[:begin] + bytes(end - begin) + raw[end:]


def _long_field(raw: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(len(raw)))
    return raw[:at] + rng.choice([b"7", b"x", b'"x', b" "]).item() * 140_000 + raw[at:]


def _odd_field(raw: bytes, rng: np.random.Generator) -> bytes:
    fields = raw.split(b",")
    fields[int(rng.integers(len(fields)))] = _ODD[int(rng.integers(len(_ODD)))]
    return b",".join(fields)


DAMAGES: dict[str, Damage] = {
    "bits flipped": _flipped,
    "cut off": lambda raw, rng: raw[: int(rng.integers(len(raw)))],
    "block missing": _missing,
    "block repeated": _repeated,
    "block of zeros": _zeros,
    "field too long": _long_field,
    "odd field": _odd_field,
}


_OF_BYTES = ("bits flipped", "cut off", "block missing", "block repeated", "block of zeros")


def _zipped(name: str, raw: bytes, method: int) -> bytes:
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", method) as archive:
            archive.writestr(name, raw)
            archive.writestr("readme.csv", b"a,b\n1,2\n")
        file.seek(0)
        return file.read()


def _workbook(raw: bytes) -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    for row in csv.reader(raw.decode().splitlines()):
        book.active.append([float(cell) if cell[0].isdigit() else cell for cell in row])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def cases(n: int) -> Iterator[tuple[str, str, str, bytes]]:
    """Kind, damage, name and bytes of damaged files, n of each kind and damage."""
    rng = np.random.default_rng(18)
    texts = _texts()
    for kind, (name, raw) in texts.items():
        for damage, change in DAMAGES.items():
            for _ in range(n):
                yield kind, damage, name, change(raw, rng)
    methods = {"stored": zipfile.ZIP_STORED, "deflate": zipfile.ZIP_DEFLATED, "bzip2": zipfile.ZIP_BZIP2}
    name, raw = texts["QuantaSoft"]
    for method, number in (methods | {"lzma": zipfile.ZIP_LZMA}).items():
        packed = _zipped(name, raw, number)
        for damage in _OF_BYTES:
            for _ in range(n):
                yield f"zip, {method}", damage, "plate.zip", DAMAGES[damage](packed, rng)
    others = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "xlsx": _workbook}
    for ending, pack in others.items():
        file = f"p_A01_Amplitude.{'' if ending == 'xlsx' else 'csv.'}{ending}"
        packed = pack(raw)
        for damage in _OF_BYTES:
            for _ in range(n):
                yield ending, damage, file, DAMAGES[damage](packed, rng)


def outcome(folder: Path, name: str, raw: bytes) -> str:
    """What reading does: "read", "refused" or the name of another exception (warnings count as such)."""
    path = folder / name
    path.write_bytes(raw)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            plate = bg.ddpcr.read_plate(path, progressbar=False)
    except bg.InputError:
        return "refused"
    except Exception as error:  # an exception is what is looked for here
        return f"{type(error).__name__}: {str(error)[:100]}"
    if not all(np.isfinite(well.amplitudes).all() for well in plate):
        return "read with numbers that are none"
    return "read"


def main(n: int) -> int:
    """Print the table; the number of outcomes that must not be."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, damage, name, raw in cases(n):
            counts.setdefault((kind, damage), Counter())[outcome(Path(folder), name, raw)] += 1
    print(f"{'file':<14}{'damage':<18}{'read':>8}{'refused':>9}{'foreign':>9}")
    bad = 0
    for (kind, damage), found in counts.items():
        foreign = {what: number for what, number in found.items() if what not in ("read", "refused")}
        bad += sum(foreign.values())
        print(f"{kind:<14}{damage:<18}{found['read']:>8}{found['refused']:>9}{sum(foreign.values()):>9}")
        for what, number in foreign.items():
            print(f"    {number} x {what}")
    print(f"{sum(map(Counter.total, counts.values()))} files, {bad} neither read nor refused")
    return bad


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200) > 0)
