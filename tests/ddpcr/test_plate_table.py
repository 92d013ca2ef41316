"""The plate table: from a file, from dataframes and from arguments; what does not fit is named."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

import bayesgmm as bg
from bayesgmm.ddpcr import Plate, Well, read_plate
from bayesgmm.ddpcr._wells import wells_in
from tests.ddpcr.files import droplets, quantasoft, save

WELLS = ["A01", "A02", "B01", "B02"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run").mkdir()
    for i, well in enumerate(WELLS):
        save(tmp_path / "run" / f"p_{well}_Amplitude.csv", quantasoft(droplets(10 + i)))
    return tmp_path / "run"


def column(plate, name):
    return plate.table[name].tolist()


def test_defaults(folder):
    plate = read_plate(folder)
    assert plate.table.index.name == "well"
    assert plate.table.index.tolist() == WELLS
    assert list(plate.table.columns) == ["sample", "dilution", "ntc", "replicate", "target Ch1", "target Ch2"]
    assert column(plate, "sample") == WELLS
    assert column(plate, "dilution") == [1.0] * 4
    assert column(plate, "ntc") == [False] * 4
    assert column(plate, "replicate") == [1] * 4
    assert column(plate, "target Ch2") == ["Ch2"] * 4


def test_arguments(folder):
    plate = read_plate(
        folder,
        samples={"A01-A02": "x", "B1": "y"},
        targets=["MUT", "WT"],
        dilutions={"x": 10, "B02": 2.5},
        ntc="B02",
    )
    assert column(plate, "sample") == ["x", "x", "y", "B02"]
    assert column(plate, "dilution") == [10.0, 10.0, 1.0, 2.5]
    assert column(plate, "ntc") == [False, False, False, True]
    assert column(plate, "replicate") == [1, 2, 1, 1]
    assert column(plate, "target Ch1") == ["MUT"] * 4
    assert column(plate, "target Ch2") == ["WT"] * 4


def test_functions_and_one_dilution_for_all(folder):
    plate = read_plate(folder, samples=lambda well: f"row {well[0]}", dilutions=5, ntc=lambda well: well == "B01")
    assert column(plate, "sample") == ["row A", "row A", "row B", "row B"]
    assert column(plate, "dilution") == [5.0] * 4
    assert column(plate, "ntc") == [False, False, True, False]
    assert column(read_plate(folder, targets={"Ch2": "WT"}), "target Ch1") == ["Ch1"] * 4


TABLE = {
    "Well": ["a1", "A2", "B01", "B02", "C01"],
    "Sample Name": ["x", "x", "7", "water", None],
    "Dilution Factor": [10.0, 10.0, None, 1.0, None],
    "NTC": ["no", "no", None, "yes", None],
    "target_Ch1": ["MUT", "MUT", "MUT", "MUT", None],
    "batch": ["b", "c", None, "d", "e"],
}


def assert_is_table(plate):
    assert column(plate, "sample") == ["x", "x", "7", "water"]
    assert column(plate, "dilution") == [10.0, 10.0, 1.0, 1.0]
    assert column(plate, "ntc") == [False, False, False, True]
    assert column(plate, "replicate") == [1, 2, 1, 1]
    assert column(plate, "target Ch1") == ["MUT"] * 4
    assert column(plate, "target Ch2") == ["Ch2"] * 4
    assert column(plate, "batch")[:2] == ["b", "c"]


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_dataframes(folder, frame):
    assert_is_table(read_plate(folder, table=frame(TABLE)))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_csv(tmp_path, folder, delimiter, encoding):
    path = tmp_path / "plate.csv"
    pd.DataFrame(TABLE).to_csv(path, index=False, sep=delimiter, encoding=encoding)
    assert_is_table(read_plate(folder, table=path))
    assert_is_table(read_plate(folder, table=str(path)))


def test_further_columns_of_a_file_are_numbers_where_they_can_be(tmp_path, folder):
    lines = ["well,day,level,ng", "A01,1,10,2.5", "A02,2,high,", "B01,3,,1e3", "B02,4,,0"]
    table = read_plate(folder, table=save(tmp_path / "plate.csv", lines)).table
    assert table["day"].tolist() == [1.0, 2.0, 3.0, 4.0]
    assert table["level"].tolist()[:2] == ["10", "high"]
    np.testing.assert_array_equal(table["ng"], [2.5, np.nan, 1000.0, 0.0])


def test_arguments_go_before_the_table(folder):
    plate = read_plate(folder, table=pd.DataFrame(TABLE), samples={"A01": "z"}, ntc=["A01"], targets=["p", "q"])
    assert column(plate, "sample") == ["z", "x", "7", "water"]
    assert column(plate, "ntc") == [True, False, False, False]
    assert column(plate, "target Ch1") == ["p"] * 4


def test_ranges_and_numbers_in_a_table(folder):
    table = pd.DataFrame({"well": ["A01-B01", "A02, B02"], "sample": [7.0, 8.0], "ntc": [True, False]})
    plate = read_plate(folder, table=table)
    assert column(plate, "sample") == ["7", "8", "7", "8"]
    assert column(plate, "ntc") == [True, False, True, False]
    assert column(plate, "replicate") == [1, 1, 2, 2]


def test_replicates_that_are_given_stay(folder):
    table = pd.DataFrame({"well": WELLS, "sample": ["x"] * 4, "replicate": [3, None, 1, None]})
    assert column(read_plate(folder, table=table), "replicate") == [3, 2, 1, 4]


def test_samples_named_as_controls(folder):
    names = dict(zip(WELLS, ["NTC", "ntc_2", "No template control", "control"], strict=True))
    assert column(read_plate(folder, samples=names), "ntc") == [True, True, True, False]
    assert column(read_plate(folder, samples=names, ntc="B02"), "ntc") == [False, False, False, True]


def test_with_table(folder):
    first = read_plate(folder, table=pd.DataFrame(TABLE))
    second = first.with_table(samples={"A02": "y"}, ntc=["A01"])
    assert_is_table(first)
    assert column(second, "sample") == ["x", "y", "7", "water"]
    assert column(second, "replicate") == [1, 1, 1, 1]
    assert column(second, "ntc") == [True, False, False, False]
    assert column(second, "dilution") == column(first, "dilution")
    assert column(second, "batch")[:2] == ["b", "c"]
    assert_is_table(second.with_table(first.table))
    assert second.wells[0] is first.wells[0]


def test_select(folder):
    plate = read_plate(folder, table=pd.DataFrame(TABLE))
    assert [well.name for well in plate.select(samples="x")] == ["A01", "A02"]
    assert [well.name for well in plate.select(wells=["B2", "A01"])] == ["A01", "B02"]
    some = plate.select(samples=["x", "7"], wells="A02-B02")
    assert [well.name for well in some] == ["A02"]
    assert some.table.loc["A02", "sample"] == "x"
    for options, text in (
        ({"samples": "w"}, r"samples: the plate has no w. The samples are x, 7, water"),
        ({"wells": "C01"}, r"wells: the plate has no C01. Its wells are A01, A02, B01, B02"),
        ({"wells": "C"}, r"wells: 'C' is no well"),
    ):
        with pytest.raises(bg.InputError, match=text):
            plate.select(**options)


def test_plate_shows_itself(folder):
    plate = read_plate(folder, table=pd.DataFrame(TABLE))
    assert repr(plate).splitlines() == [
        "Plate of 4 wells, 10 to 13 droplets each",
        "  channel Ch1: MUT",
        "  channel Ch2",
        "  2 samples: x (x2), 7",
        "  no-template wells: B02",
    ]
    assert "none named" in repr(read_plate(folder))
    assert repr(plate["A1"]).startswith("Well(A01: 10 droplets, Ch1, Ch2, from ")
    assert repr(plate.select(samples="7")).startswith("Plate of 1 well, 12 droplets")


def test_plate_is_a_collection_of_wells(folder):
    plate = read_plate(folder)
    assert len(plate) == 4
    assert [well.name for well in plate] == WELLS
    assert plate["b2"] is plate.wells[3]
    np.testing.assert_array_equal(plate["A01"].channel("Ch2"), droplets(10)[:, 1])
    with pytest.raises(bg.InputError, match=r"the plate has no well 'C01'. Its wells are A01"):
        plate["C01"]
    with pytest.raises(bg.InputError, match=r"well A01 has no channel 'Ch3'. It has Ch1, Ch2"):
        plate["A01"].channel("Ch3")
    with pytest.raises(AttributeError):
        plate.wells = ()


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({"sample": ["x"]}, r"table: has no column 'well'. It has column 'sample'"),
        ({"well": ["A01"]}, r"table: has no row for A02, B01, B02"),
        ({"well": [*WELLS, "C05"], "sample": ["x"] * 5}, r"table: there are no droplets of C05"),
        ({"well": [*WELLS, "C05"], "dilution": [1.0] * 5}, r"table: there are no droplets of C05"),
        ({"well": [*WELLS, "A1"]}, r"table, row 5: A01 is there twice"),
        ({"well": ["A01", "x9"]}, r"table, row 2: 'x9' is no well"),
        (
            {"well": WELLS, "Sample": ["x"] * 4, "sample name": ["x"] * 4},
            r"'Sample' and 'sample name' are both 'sample'",
        ),
        (
            {"well": WELLS, "dilution": ["1", "1:10", "1", "1"]},
            r"row 2, dilution: got '1:10'. .*10 for a dilution of 1",
        ),
        ({"well": WELLS, "dilution": [1, 0, 1, 1]}, r"row 2, dilution: got 0"),
        ({"well": WELLS, "ntc": ["yes", "maybe", "no", "no"]}, r"row 2, ntc: got 'maybe'. Give true or false"),
        ({"well": WELLS, "replicate": [1, 2, 3, 1.5]}, r"row 4, replicate: got 1.5"),
        (
            {"well": WELLS, "target Ch3": ["x"] * 4},
            r"there is no channel for the column 'target Ch3'. Channels are Ch1",
        ),
    ],
)
def test_tables_that_do_not_fit(folder, table, text):
    with pytest.raises(bg.InputError, match=text):
        read_plate(folder, table=pd.DataFrame(table))


def test_table_files_that_do_not_fit(tmp_path, folder):
    for lines, text in (
        (["sample", "x"], r"plate.csv: has no column 'well'"),
        (["well,sample", "A01,x,y"], r"plate.csv: the row of 'A01' has 3 fields"),
        ([], r"plate.csv: the file is empty"),
    ):
        with pytest.raises(bg.InputError, match=text):
            read_plate(folder, table=save(tmp_path / "plate.csv", lines))
    with pytest.raises(bg.InputError, match=r"table: .*absent.csv' cannot be read"):
        read_plate(folder, table=tmp_path / "absent.csv")
    with pytest.raises(bg.InputError, match=r"table: got int"):
        read_plate(folder, table=3)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"samples": {"C01": "x"}}, r"samples: there are no droplets of C01. The wells are A01"),
        ({"samples": "x"}, r"samples: got 'x'. Give a mapping"),
        ({"dilutions": {"A01": -1}}, r"dilutions: got -1"),
        ({"dilutions": {"nobody": 2}}, r"dilutions: 'nobody' is no well"),
        ({"dilutions": True}, r"dilutions: got True"),
        ({"ntc": "C01"}, r"ntc: there are no droplets of C01"),
        ({"ntc": 5}, r"ntc: got 5"),
        ({"ntc": [5]}, r"ntc: got 5 for a well"),
        ({"targets": ["a"]}, r"targets: there are 1 for 2 channels, Ch1, Ch2"),
        ({"targets": {"FAM": "a"}}, r"targets: there is no channel FAM. Channels are Ch1, Ch2"),
        ({"targets": 5}, r"targets: got 5"),
    ],
)
def test_arguments_that_do_not_fit(folder, options, text):
    with pytest.raises(bg.InputError, match=text):
        read_plate(folder, **options)


@pytest.mark.parametrize(
    ("text", "wells"),
    [
        ("a1", ["A01"]),
        ("A01-D01", ["A01", "B01", "C01", "D01"]),
        ("E08-E10", ["E08", "E09", "E10"]),
        ("A01:B02", ["A01", "B01", "A02", "B02"]),
        ("A1, P24", ["A01", "P24"]),
        (["A1", "A01-A02"], ["A01", "A02"]),
    ],
)
def test_ranges(text, wells):
    assert wells_in(text, "wells") == wells


@pytest.mark.parametrize("text", ["", "A00", "A25", "Q01", "A01-", "A01-B01-C01", "A001", "1A"])
def test_what_is_no_well(text):
    with pytest.raises(bg.InputError, match="is no well"):
        wells_in(text, "wells")
    with pytest.raises(bg.InputError, match="runs backwards"):
        wells_in("B01-A02", "wells")


def test_wells_and_plates_by_hand():
    x = np.zeros((3, 1))
    well = Well(name="a1", channels=("Ch1",), amplitudes=x)
    assert (well.name, well.n_droplets) == ("A01", 3)
    for options, text in (
        ({"name": "Z"}, r"Well.name: got 'Z'"),
        ({"amplitudes": np.zeros((3, 2))}, r"Well.amplitudes of A01: has the shape \(3, 2\).*Ch1"),
        ({"amplitudes": x + np.nan}, "not finite"),
        ({"clusters": [1, 2]}, r"Well.clusters of A01: has shape \(2,\).*each of the 3 rows"),
    ):
        with pytest.raises(bg.InputError, match=text):
            Well(**({"name": "A01", "channels": ("Ch1",), "amplitudes": x} | options))
    with pytest.raises(bg.InputError, match="table: has the index"):
        Plate((well,), pd.DataFrame(index=["A02"]))
    with pytest.raises(bg.InputError, match="A01 is there twice"):
        Plate((well, well), pd.DataFrame(index=["A01", "A01"]))
    assert repr(Plate((), pd.DataFrame())) == "Plate without wells"
