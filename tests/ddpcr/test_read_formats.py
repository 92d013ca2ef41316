"""Every form of file, and every way of encoding and ending lines, gives the same droplets."""

import zipfile

import numpy as np
import pytest

from bayesgmm.ddpcr import SkippedFilesWarning, _text, read_plate
from tests.ddpcr.files import PREAMBLE, droplets, naica, qiacuity, quantasoft, qx_manager, save

X = droplets()
CLUSTERS = np.arange(40) % 5
ENDS = {"CR": "\r", "LF": "\n", "CRLF": "\r\n"}
ENCODINGS = ["ascii", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]
CALLS = np.array([["0", "0"], ["1", "0"], ["1", "1"], ["0", "1"], ["u", "0"]] * 8)


@pytest.fixture
def fast(monkeypatch):
    """No file may need to be read line by line."""

    def careful(*arguments):
        raise AssertionError("read line by line")

    monkeypatch.setattr(_text, "_carefully", careful)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("last", [True, False])
def test_line_ends_and_encodings(tmp_path, fast, end, encoding, last):
    save(tmp_path / "p_B03_Amplitude.csv", quantasoft(X, CLUSTERS), ENDS[end], encoding, last)
    plate = read_plate(tmp_path)
    assert len(plate) == 1
    well = plate["B03"]
    np.testing.assert_array_equal(well.amplitudes, X)
    np.testing.assert_array_equal(well.clusters, CLUSTERS)
    assert (well.channels, well.name, well.volume_nl) == (("Ch1", "Ch2"), "B03", None)
    assert well.source.endswith("p_B03_Amplitude.csv")
    assert X.min() < 0


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("encoding", [*ENCODINGS, "utf-8"])
def test_preamble_of_qx_manager(tmp_path, fast, end, encoding):
    targets = ("MUT", "Wildtyp \u00fc" if encoding != "ascii" else "WT")
    save(tmp_path / "p_B03_Amplitude.csv", qx_manager(X, CALLS, targets), ENDS[end], encoding)
    plate = read_plate(tmp_path)
    np.testing.assert_array_equal(plate["B03"].amplitudes, X)
    np.testing.assert_array_equal(plate["B03"].clusters, [1, 2, 3, 4, 0] * 8)
    assert list(plate.table.loc["B03", ["target Ch1", "target Ch2"]]) == list(targets)


@pytest.mark.parametrize("end", ["", ","])
@pytest.mark.parametrize("preamble", [True, False])
def test_qx_manager_with_one_target(tmp_path, fast, end, preamble):
    calls = np.array([["0"], ["1"], ["u"], ["1"]] * 10)
    save(tmp_path / "p_B03_Amplitude.csv", qx_manager(X, calls, ["Mnelei"], preamble, end))
    plate = read_plate(tmp_path)
    np.testing.assert_array_equal(plate["B03"].amplitudes, X)
    np.testing.assert_array_equal(plate["B03"].clusters, [1, 2, 0, 2] * 10)


def test_qx_manager_saved_by_a_spreadsheet(tmp_path):
    """Every line has the commas of the longest, and there are lines of nothing else at the end."""
    lines = [line + ",,,," if line in PREAMBLE else line for line in qx_manager(X, CALLS)]
    save(tmp_path / "p_B03_Amplitude.csv", [*lines, ",,,,", ",,,,"])
    np.testing.assert_array_equal(read_plate(tmp_path)["B03"].amplitudes, X)


def test_targets_of_qx_manager_belong_to_the_channel_where_they_stand_out(tmp_path):
    """Columns in the other order than channels: clusters still count the first channel first."""
    x = np.random.default_rng(1).normal(1000.0, 50.0, size=(40, 2))
    first, second = CALLS[:, 0] == "1", CALLS[:, 1] == "1"
    x[:, 0] += 5000.0 * second
    x[:, 1] += 3000.0 * first
    save(tmp_path / "p_A01_Amplitude.csv", qx_manager(x, CALLS, ("WT", "MUT")))
    save(tmp_path / "p_A02_Amplitude.csv", qx_manager(x[:5] * 0.1, np.full((5, 2), "0"), ("WT", "MUT")))
    plate = read_plate(tmp_path)
    np.testing.assert_array_equal(plate["A01"].clusters, [1, 4, 3, 2, 0] * 8)
    np.testing.assert_array_equal(plate["A02"].clusters, [1] * 5)
    assert (plate.table["target Ch1"] == "MUT").all()
    assert (plate.table["target Ch2"] == "WT").all()


def test_wells_of_one_plate_may_have_other_targets(tmp_path):
    save(tmp_path / "p_A01_Amplitude.csv", qx_manager(X, CALLS, ("a", "b")))
    save(tmp_path / "p_A02_Amplitude.csv", qx_manager(X, CALLS, ("c", "d")))
    plate = read_plate(tmp_path)
    assert plate.table[["target Ch1", "target Ch2"]].to_numpy().tolist() == [["a", "b"], ["c", "d"]]
    np.testing.assert_array_equal(plate["A02"].clusters, [1, 2, 3, 4, 0] * 8)


def test_three_targets_are_a_binary_number(tmp_path):
    calls = np.array([[a, b, c] for a in "01" for b in "01" for c in "01"])
    save(tmp_path / "p_A01_Amplitude.csv", qx_manager(droplets(8, 0, 3), calls, ("a", "b", "c")))
    np.testing.assert_array_equal(read_plate(tmp_path)["A01"].clusters, [1, 5, 3, 7, 2, 6, 4, 8])


@pytest.mark.parametrize("empty_second", [True, False])
def test_quantasoft_before_1_7(tmp_path, fast, empty_second):
    """A channel that was not used is an empty column."""
    lines = quantasoft(X, header=("Assay1 Amplitude", "Assay2 Amplitude"))
    if empty_second:
        lines = [lines[0], *(line.split(",")[0] + "," for line in lines[1:])]
    save(tmp_path / "p_C12_Amplitude.csv", lines)
    well = read_plate(tmp_path)["C12"]
    np.testing.assert_array_equal(well.amplitudes, X[:, :1] if empty_second else X)
    assert well.channels == (("Ch1",) if empty_second else ("Ch1", "Ch2"))
    assert well.clusters is None


def test_quantasoft_1_6_with_clusters(tmp_path):
    save(tmp_path / "p_C12_Amplitude.csv", quantasoft(X, CLUSTERS, ("Assay1 Amplitude", "Assay2 Amplitude")))
    np.testing.assert_array_equal(read_plate(tmp_path)["C12"].clusters, CLUSTERS)


def test_wells_without_droplets_are_kept(tmp_path):
    """Their channels are those of the others, also where the others did not use one that the header has."""
    one = [line.split(",")[0] + "," for line in quantasoft(X)[1:]]
    save(tmp_path / "p_A01_Amplitude.csv", [quantasoft(X)[0], *one])
    save(tmp_path / "p_A02_Amplitude.csv", quantasoft(X[:0]))
    save(tmp_path / "p_A03_Amplitude.csv", quantasoft(X[:0], []))
    save(tmp_path / "p_A04_Amplitude.csv", qx_manager(X[:0], CALLS[:0]))
    plate = read_plate(tmp_path)
    assert [well.n_droplets for well in plate] == [40, 0, 0, 0]
    assert {well.channels for well in plate} == {("Ch1",)}
    assert plate["A03"].clusters.shape == (0,)
    alone = read_plate(tmp_path / "p_A02_Amplitude.csv")
    assert alone["A02"].amplitudes.shape == (0, 2)
    assert "0 droplets each" in repr(alone)


def test_semicolons_and_decimal_commas_where_the_user_says_so(tmp_path, fast):
    european = [line.replace(",", ";").replace(".", ",") for line in quantasoft(X, CLUSTERS)]
    tabs = [line.replace(",", "\t") for line in quantasoft(X, CLUSTERS)]
    save(tmp_path / "p_A01_Amplitude.csv", european)
    np.testing.assert_array_equal(read_plate(tmp_path, delimiter=";")["A01"].amplitudes, X)
    save(tmp_path / "p_A01_Amplitude.csv", tabs)
    np.testing.assert_array_equal(read_plate(tmp_path, delimiter="\t")["A01"].amplitudes, X)


def test_blank_lines_and_quotes(tmp_path):
    quoted = ",".join(f'"{name}"' for name in ("Ch1 Amplitude", "Ch2 Amplitude", "Cluster"))
    lines = quantasoft(X, CLUSTERS)
    save(tmp_path / "p_A01_Amplitude.csv", ["", quoted, *lines[1:20], "", *lines[20:], "", ""])
    np.testing.assert_array_equal(read_plate(tmp_path)["A01"].amplitudes, X)
    save(tmp_path / "p_A01_Amplitude.csv", [quoted, *(f'"{line.replace(",", '","')}"' for line in lines[1:])])
    np.testing.assert_array_equal(read_plate(tmp_path)["A01"].amplitudes, X)


@pytest.mark.parametrize("seed", range(8))
def test_any_numbers_come_back(tmp_path, seed):
    """Round trip: shapes, sizes of numbers, ends of lines and encodings by chance."""
    rng = np.random.default_rng(seed)
    wells = {}
    for i in range(int(rng.integers(1, 6))):
        x = rng.normal(size=(int(rng.integers(0, 60)), 2)) * 10.0 ** rng.integers(-3, 6)
        name = f"{rng.choice(list('ABCDEFGHIJKLMNOP'))}{i + 1 + 4 * rng.integers(5):02d}"
        wells[name] = (x, rng.integers(0, 5, size=len(x)))
        end, encoding = ENDS[rng.choice(list(ENDS))], str(rng.choice(ENCODINGS))
        save(tmp_path / f"x_{name}_Amplitude.csv", quantasoft(*wells[name]), end, encoding, bool(rng.integers(2)))
    plate = read_plate(tmp_path)
    assert [well.name for well in plate] == sorted(wells)
    for well in plate:
        np.testing.assert_allclose(well.amplitudes, wells[well.name][0], rtol=1e-14)
        np.testing.assert_array_equal(well.clusters, wells[well.name][1])


@pytest.mark.parametrize(
    ("name", "well"),
    [
        ("run_1_A01_Amplitude.csv", "A01"),
        ("B02_C3_amplitude.CSV", "C03"),
        ("A01_Amplitude.csv", "A01"),
        ("x_P24_Amplitude.csv", "P24"),
        ("BRAF V600E H12.csv", "H12"),
        ("A1.csv", "A01"),
        ("D05_patient.csv", "D05"),
        ("E3_F04.csv", "F04"),
    ],
)
def test_well_in_the_name(tmp_path, name, well):
    path = save(tmp_path / name, quantasoft(X))
    assert [each.name for each in read_plate(path)] == [well]


def test_naica(tmp_path, fast):
    save(tmp_path / "run_A1_RawData.csv", naica(X))
    save(tmp_path / "run_A2_RawData.csv", naica(X[:0]))
    plate = read_plate(tmp_path)
    np.testing.assert_array_equal(plate["A01"].amplitudes, X)
    assert plate.channels == ("Blue", "Green")
    assert plate["A02"].n_droplets == 0
    assert plate["A01"].clusters is None


RFU = {"G": droplets(12, 1, 1)[:, 0], "Y": droplets(12, 2, 1)[:, 0]}
INVALID = {"G": [0] * 11 + [1], "Y": [1] + [0] * 11}
POSITIVE = {"G": [0, 1] * 6, "Y": [0, 0, 1, 1] * 3}


def qiacuity_files(**options):
    """Two channels; the second well is sample NTC."""
    return {
        f"P_RFU_img1_{c}_21_05_2026.csv": qiacuity(
            c,
            {"A1": ("s 1", RFU[c], INVALID[c], POSITIVE[c]), "B10": ("NTC", RFU[c][:7], [0] * 7, [0] * 7)},
            **options,
        )
        for c in ("G", "Y")
    }


@pytest.mark.parametrize("plate_columns", [True, False])
@pytest.mark.parametrize("zipped", [True, False])
def test_qiacuity(tmp_path, fast, plate_columns, zipped):
    files = qiacuity_files(plate=plate_columns)
    header = "Plate name,Plate ID,Plate type,Well,Sample,REF,Cycled volume,Threshold high,Threshold low,"
    row = "P1,1,Nanoplate,A1,s 1,Std-Ref,0.012,206.55,94.99,1,0,122.62"
    files["P_RFU_img1_REF_21_05_2026.csv"] = ["sep=,", header + "Partition,Is invalid,RFU", row]
    if zipped:
        with zipfile.ZipFile(tmp_path / "raw.zip", "w") as archive:
            for name, lines in files.items():
                archive.writestr(f"inside/{name}", "\r\n".join(lines) + "\r\n")
            archive.writestr("__MACOSX/._P_RFU_img1_G.csv", b"\0\5\26\7")
        plate = read_plate(tmp_path / "raw.zip")
        assert plate["A01"].source.endswith("raw.zip/inside/P_RFU_img1_G_21_05_2026.csv")
        assert len(read_plate(tmp_path)) == 2  # a zip in a folder
    else:
        for name, lines in files.items():
            save(tmp_path / name, lines)
        plate = read_plate(tmp_path)
    well = plate["A1"]
    assert plate.channels == ("G", "Y")
    np.testing.assert_array_equal(well.amplitudes, np.column_stack([RFU["G"], RFU["Y"]])[1:-1])
    np.testing.assert_array_equal(well.clusters, [2, 4, 3, 1, 2, 4, 3, 1, 2, 4])
    assert well.volume_nl == pytest.approx(1.0)  # 0.012 microlitres over 12 partitions
    assert plate["B10"].volume_nl == pytest.approx(1.0)  # the highest number in the file, not the seven lines
    assert plate.table["sample"].to_dict() == {"A01": "s 1", "B10": "NTC"}
    assert plate.table["ntc"].to_dict() == {"A01": False, "B10": True}


def test_qiacuity_without_calls_or_volume(tmp_path):
    lines = ["sep=,", "Well,Channel,Partition,RFU", "A1,G,1,20.5", "A1,G,2,-3.25"]
    save(tmp_path / "x_RFU_img1_G.csv", lines, encoding="utf-16")
    well = read_plate(tmp_path)["A01"]
    np.testing.assert_array_equal(well.amplitudes, [[20.5], [-3.25]])
    assert (well.clusters, well.volume_nl) == (None, None)


def test_qiacuity_volume_where_lines_are_left_out_and_where_numbers_run_on(tmp_path):
    header = "Well,Channel,Cycled volume,Partition,RFU"
    rows = [f"A1,G,0.012,{i},1.5" for i in range(1, 13)]
    for given, expected in (
        (rows, 1.0),
        (rows[3:], 1.0),
        ([f"{well},G,0.012,{i + 12 * k},1.5" for k, well in enumerate(("A1", "B1", "C1")) for i in range(1, 13)], 1.0),
        ([f"A1,G,,{i},1.5" for i in range(1, 13)], None),
    ):
        save(tmp_path / "x_RFU_img1_G.csv", ["sep=,", header, *given])
        assert read_plate(tmp_path)["A01"].volume_nl == (None if expected is None else pytest.approx(expected))


def test_quoted_names_of_samples_may_have_commas(tmp_path, fast):
    lines = qiacuity("G", {"A1": ('"a, b"', RFU["G"], [0] * 12, [0] * 12)})
    save(tmp_path / "x_RFU_img1_G.csv", lines)
    plate = read_plate(tmp_path)
    assert plate.table.loc["A01", "sample"] == "a, b"
    np.testing.assert_array_equal(plate["A01"].amplitudes[:, 0], RFU["G"])


def test_sep_in_the_file_goes_before_the_argument(tmp_path):
    lines = [
        "sep=;",
        *(line.replace(",", ";").replace(".", ",") for line in qiacuity_files()["P_RFU_img1_G_21_05_2026.csv"][1:]),
    ]
    save(tmp_path / "x_RFU_img1_G.csv", lines)
    np.testing.assert_array_equal(read_plate(tmp_path)["A01"].amplitudes[:, 0], RFU["G"][:-1])


QUANTASOFT_RESULTS = [
    "Well,ExptType,Experiment,Sample,TargetType,Target,Status,Concentration,Supermix,CopiesPer20uLWell,TotalConfMax,"
    "TotalConfMin,PoissonConfMax,PoissonConfMin,Positives,Negatives,Linkage,AcceptedDroplets,MergedWells,",
    '"M01",Absolute,"ABS","p 1",Ch1Unknown,"BRAF, V600E",,28.9,mix,,30,27,29.9,27.9,60,140,0,200,"(A01,A02)",',
    '"A01",Absolute Quantification,"ABS","p 1",Ch1Unknown,"BRAF, V600E",Manual,28.6,mix,572,,,31.6,25.6,30,70,0,100,,',
    '"A01",Absolute Quantification,"ABS","p 1",Ch2Unknown,"WT",Manual,21.2,mix,424,,,23.7,18.6,20,80,0,100,,',
    '"A02",Absolute Quantification,"ABS","water",Ch1NTC,"BRAF, V600E",Manual,No Call,mix,0,,,0.1,0,0,90,0,90,,',
]
QX_MANAGER_RESULTS = [
    "Well,Sample description 1,Sample description 2,Target,Conc(copies/\u00b5L),Status,SampleType,DyeName(s),"
    "PoissonConfMax,PoissonConfMin,Accepted Droplets,Positives,Negatives",
    "A01,p 1,,MUT,28.6,Manual,Unknown,FAM,31.6,25.6,100,30,70",
    "A02,water,,WT,0,Manual,NTC,HEX,0.1,0,90,0,90",
]


def plate_with(tmp_path, *files):
    for well in ("A01", "A02"):
        save(tmp_path / f"p_{well}_Amplitude.csv", quantasoft(X))
    for name, lines, encoding in files:
        save(tmp_path / name, lines, encoding=encoding)
    return read_plate(tmp_path)


def test_results_of_quantasoft(tmp_path):
    with pytest.warns(SkippedFilesWarning, match=r"^Merged wells are left out, .* other wells: M01$"):
        plate = plate_with(tmp_path, ("results.csv", QUANTASOFT_RESULTS, "utf-8-sig"))
    assert len(plate.reported) == 3  # without the merged well
    assert plate.reported.iloc[0].drop("source").to_dict() == {
        "well": "A01", "sample": "p 1", "target": "BRAF, V600E", "channel": "Ch1", "n_droplets": 100.0,
        "positives": 30.0, "concentration": 28.6, "lower": 25.6, "upper": 31.6,
    }  # fmt: skip
    assert np.isnan(plate.reported["concentration"][2])
    assert plate.table["sample"].to_dict() == {"A01": "p 1", "A02": "water"}
    assert plate.table["ntc"].to_dict() == {"A01": False, "A02": True}
    assert list(plate.table.loc["A01", ["target Ch1", "target Ch2"]]) == ["BRAF, V600E", "WT"]
    assert plate.table.loc["A02", "target Ch2"] == "Ch2"
    assert "3 results reported" in repr(plate)
    assert len(plate.select(wells="A02").reported) == 1


def test_results_of_qx_manager(tmp_path):
    plate = plate_with(tmp_path, ("results.csv", QX_MANAGER_RESULTS, "cp1252"))
    assert list(plate.reported["concentration"]) == [28.6, 0.0]
    assert list(plate.reported["channel"]) == ["Ch1", "Ch2"]
    assert plate.table["ntc"].to_dict() == {"A01": False, "A02": True}
    assert plate.table.loc["A02", "target Ch2"] == "WT"


QIACUITY_RESULTS_1 = [
    "sep=,,,,,,,,,,,,,",
    ",Sample/NTC/Control,Type,Plate ID,Reaction Mix,Target,IC,Control type,Concentration (copies/\u00b5L),CI (95%),"
    "Partitions (valid),Partitions (positive),Partitions (negative),Threshold",
    "A1,p 1,Sample,9,5p,T,-,-,86.32,4.60%,25485,1778,23707,53.55",
    "A2,water,Non Template Control,9,5p,T,-,-,0.5,150%,8000,1,7999,53.55",
]
QIACUITY_RESULTS_2 = [
    "sep=,",
    '"Plate name","Well","Sample/NTC/Control","Type","Target (Name)","Conc. [cp/\u00b5L] (undiluted sample)",'
    '"Conc. [cp/mL] (dPCR reaction)","CI (95%) (dPCR reaction)","Conc. [cp/\u00b5L] (dPCR reaction)",'
    '"Partitions (Valid)","Partitions (Positive)","Concentration factor"',
    "",
    '"x","A1","p 1","Sample","T","1000","86320","4.6%","86.32","25485","1778","50"',
    '"","A2","NTC_1","Sample","T","0.000","500","1.5","0.5","8000","1","1"',
]


@pytest.mark.parametrize("lines", [QIACUITY_RESULTS_1, QIACUITY_RESULTS_2], ids=["first", "second"])
@pytest.mark.parametrize("encoding", ["cp1252", "utf-8"])
def test_results_of_qiacuity(tmp_path, lines, encoding):
    plate = plate_with(tmp_path, ("results.csv", lines, encoding))
    first, second = (row for _, row in plate.reported.iterrows())
    assert (first["well"], first["sample"], first["target"], first["positives"]) == ("A01", "p 1", "T", 1778)
    assert first["concentration"] == 86.32
    assert [first["lower"], first["upper"]] == pytest.approx([86.32 * 0.954, 86.32 * 1.046])
    assert [second["lower"], second["upper"]] == pytest.approx([0.0, 1.25])
    assert plate.table["ntc"].to_dict() == {"A01": False, "A02": True}


def test_what_is_beside_droplets_in_a_folder(tmp_path):
    """Lists of samples, notes and what a Mac leaves are passed over."""
    save(tmp_path / "wells.csv", ["well,level", "A01,1", "A02,2"])
    save(tmp_path / "empty.csv", [])
    save(tmp_path / "README.md", ["text"])
    (tmp_path / "._p_A01_Amplitude.csv").write_bytes(b"\0\5\26\7")
    (tmp_path / "more").mkdir()
    plate = plate_with(tmp_path)
    assert [well.name for well in plate] == ["A01", "A02"]
    assert plate.reported is None


def test_several_paths_and_one_path_twice(tmp_path):
    a = save(tmp_path / "p_A01_Amplitude.csv", quantasoft(X))
    b = save(tmp_path / "p_A02_Amplitude.csv", quantasoft(X[:3]))
    assert [well.n_droplets for well in read_plate([a, str(b), tmp_path])] == [40, 3]


def test_large_files_are_read_by_the_fast_parser(tmp_path, fast):
    x = droplets(5000)
    save(tmp_path / "a_A01_Amplitude.csv", quantasoft(x, np.ones(5000, dtype=int)))
    save(tmp_path / "a_A02_Amplitude.csv", qx_manager(x, np.full((5000, 2), "1")))
    save(tmp_path / "a_A03_Amplitude.csv", [line.rpartition(",")[0] + "," for line in quantasoft(x)])
    save(tmp_path / "a_A04_RawData.csv", naica(x))
    assert [well.n_droplets for well in read_plate([*tmp_path.iterdir()])] == [5000] * 4
