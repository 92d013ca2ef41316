"""Files that are damaged, locked or much too large are refused with their name, and nothing else happens."""

from __future__ import annotations

import struct
import zipfile
from collections import Counter

import fuzz_droplet_files as fuzz
import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.ddpcr import _zip, read_plate
from tests.ddpcr.files import droplets, qiacuity, quantasoft, save

X = droplets(20)
NAME = "p_A01_Amplitude.csv"


def zipped(path, lines=None, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(NAME, "\r\n".join(quantasoft(X) if lines is None else lines))
    return path


def test_every_damage_is_read_or_refused(tmp_path):
    found = Counter()
    for kind, damage, name, raw in fuzz.cases(3):
        what = fuzz.outcome(tmp_path, name, raw)
        assert what in ("read", "refused"), (kind, damage, what)
        found[what] += 1
    assert min(found["read"], found["refused"]) > 5


@pytest.mark.parametrize("row", [1, 10, 20])
@pytest.mark.parametrize("filling", ["7", "x", '"x'])
def test_a_field_that_is_too_long_names_the_line(tmp_path, row, filling):
    lines = quantasoft(X)
    lines[row] = filling * 140_000 + "," + lines[row].split(",")[1]
    with pytest.raises(bg.InputError, match=rf"{NAME}, line {row + 1}: (cannot be split|has '7777)") as caught:
        read_plate(save(tmp_path / NAME, lines))
    assert len(str(caught.value)) < 2000


def test_a_header_that_is_too_long_is_no_header(tmp_path):
    lines = quantasoft(X)
    lines[0] = "x" * 140_000 + "," + lines[0]
    with pytest.raises(bg.InputError, match=f"{NAME}, line 1: is no known header"):
        read_plate(save(tmp_path / NAME, lines))
    save(tmp_path / "notes.csv", ["x" * 140_000])
    save(tmp_path / NAME, quantasoft(X))
    assert len(read_plate(tmp_path)) == 1  # what is no file of droplets is passed over


def test_a_plate_table_with_a_field_that_is_too_long(tmp_path):
    save(tmp_path / NAME, quantasoft(X))
    table = save(tmp_path / "table.txt", ["well,sample", "A01," + "x" * 140_000])
    with pytest.raises(bg.InputError, match=r"table\.txt, line 2: cannot be split into fields"):
        read_plate(tmp_path / NAME, table=table)


def set_in_headers(path, place, number):
    """Write a number of two bytes into the header of the first file and into the directory at the end of a zip."""
    raw = bytearray(path.read_bytes())
    # The directory has one field more, of two bytes, in front.
    for at in (raw.index(b"PK\x03\x04") + place, raw.index(b"PK\x01\x02") + place + 2):
        raw[at : at + 2] = struct.pack("<H", number)
    path.write_bytes(raw)


def test_a_locked_zip(tmp_path):
    path = zipped(tmp_path / "plate.zip")
    set_in_headers(path, 6, 1)  # the flag for a password
    with pytest.raises(bg.InputError, match=rf"paths: .*plate\.zip/{NAME} is locked by a password\. Unpack the zip"):
        read_plate(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_file_in_a_zip(tmp_path, method):
    path = zipped(tmp_path / "plate.zip", method=method)
    raw = bytearray(path.read_bytes())
    at = raw.index(NAME.encode()) + len(NAME) + 60
    raw[at : at + 8] = bytes(8)
    path.write_bytes(raw)
    with pytest.raises(
        bg.InputError, match=rf"paths: '.*plate\.zip/{NAME}' is no zip, or is damaged: .*Export it again"
    ):
        read_plate(path)


def test_a_way_of_packing_that_is_not_known(tmp_path):
    path = zipped(tmp_path / "plate.zip")
    set_in_headers(path, 8, 97)  # the way of packing
    with pytest.raises(bg.InputError, match=r"cannot be unpacked: .*Unpack the zip and give its files"):
        read_plate(path)


def test_a_zip_that_unpacks_to_too_much(tmp_path, monkeypatch):
    path = zipped(tmp_path / "plate.zip")
    assert len(read_plate(path)) == 1
    monkeypatch.setattr(_zip, "MOST_UNPACKED", 100)
    with pytest.raises(
        bg.InputError, match=r"plate\.zip' would become 0\.0 GB, more than .*an instrument exported, unpack"
    ):
        read_plate(path)


def test_a_zip_of_zeros_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "plate.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(NAME, "w") as file:
        file.write(bytes(2**20))
    raw = bytearray(path.read_bytes())
    at = raw.index(b"PK\x01\x02") + 24
    raw[at : at + 4] = struct.pack("<I", 2**32 - 2)  # what the directory says of the size
    path.write_bytes(raw)
    with pytest.raises(bg.InputError, match="is damaged: it has 1048576 bytes where the zip says 4294967294"):
        read_plate(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for well in ("A01", "B01"):
            archive.writestr(f"p_{well}_Amplitude.csv", b"1")
    raw = bytearray(path.read_bytes())
    at = raw.index(b"PK\x01\x02")
    for _ in range(2):
        raw[at + 24 : at + 28] = struct.pack("<I", 2**32 - 2)
        at = raw.find(b"PK\x01\x02", at + 1)
    path.write_bytes(raw)
    with pytest.raises(bg.InputError, match=r"would become 8\.0 GB, more than 4 GB"):
        read_plate(path)


@pytest.mark.parametrize(("column", "value"), [(5, "1e30"), (5, "1.5"), (5, "-1"), (7, "1e30"), (7, "2")])
def test_numbers_of_partitions_and_calls_are_whole(tmp_path, column, value):
    n = 6
    ones = np.ones(n, dtype=int)
    lines = qiacuity("Green", {"A1": ("s", X[:n, 0], 0 * ones, ones)})
    fields = lines[4].split(",")
    fields[column] = value
    lines[4] = ",".join(fields)
    with pytest.raises(bg.InputError, match=r"line 5: has .* in the column '(Partition|Is positive)'"):
        read_plate(save(tmp_path / "RFU_img1_CH1.csv", lines))
