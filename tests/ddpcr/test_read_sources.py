"""Files in every wrapping, with every sign, in folders and workbooks: read, refused or named in one warning."""

import bz2
import gzip
import importlib.util
import lzma
import zipfile

import numpy as np
import openpyxl
import pandas as pd
import pytest

import bayesgmm as bg
from bayesgmm.ddpcr import SkippedFilesWarning, read_plate
from tests.ddpcr.files import droplets, naica, qiacuity, quantasoft, qx_manager, save
from tests.quantified import quantified

X = droplets(40)
CLUSTERS = np.tile([1, 2, 3, 4], 10)
PACK = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def european(lines, sign=";"):
    """Other separators of fields, and decimal commas."""
    return [line.replace(",", sign).replace(".", ",") for line in lines]


FORMS = {
    "1.6": quantasoft(X, header=("Assay1 Amplitude", "Assay2 Amplitude")),
    "1.7": quantasoft(X, CLUSTERS),
    "manager": qx_manager(X, np.array([["0", "1"]] * 40)),
    "one channel": quantasoft(X[:, :1], header=("Ch1 Amplitude",)),
    "one channel and clusters": quantasoft(X[:, :1], CLUSTERS, header=("Ch1 Amplitude",)),
}


@pytest.mark.parametrize("lines", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("sign", [";", "\t"], ids=["semicolons", "tabs"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_separators_and_decimal_commas_are_found(tmp_path, lines, sign, encoding):
    path = save(tmp_path / "p_A01_Amplitude.csv", european(lines, sign), encoding=encoding)
    known = read_plate(save(tmp_path / "q_A01_Amplitude.csv", lines))["A01"]
    read = read_plate(path)["A01"]
    np.testing.assert_array_equal(read.amplitudes, known.amplitudes)
    np.testing.assert_array_equal(read.clusters, known.clusters)


def test_separators_of_other_instruments_are_found(tmp_path):
    save(tmp_path / "p_A02_RawData.csv", european(naica(X)))
    save(tmp_path / "p_A01_RawData.csv", naica(X, delimiter="\t"))
    for well in read_plate(tmp_path):
        np.testing.assert_array_equal(well.amplitudes, X)
    lines = qiacuity("Green", {"A1": ("s; t", X[:, 0], [0] * 40, [0] * 40)})[1:]
    body = [line.replace(",", "\t").replace(".", ",") for line in lines]
    plate = read_plate(save(tmp_path / "x_RFU_img1_Green.csv", body))
    np.testing.assert_array_equal(plate["A01"].amplitudes[:, 0], X[:, 0])
    assert plate["A01"].volume_nl == pytest.approx(0.012 * 1000 / 40)
    assert plate.table.loc["A01", "sample"] == "s; t"


def test_a_wrong_sep_line_does_not_hide_the_header(tmp_path):
    path = save(tmp_path / "p_A01_Amplitude.csv", ["sep=,", *european(quantasoft(X))])
    np.testing.assert_array_equal(read_plate(path)["A01"].amplitudes, X)


@pytest.mark.parametrize(
    ("lines", "known"),
    [
        (["Ch1 Amplitude;Ch2 Amplitude", "1.234,5;987,25", "12.345;3.000"], [[1234.5, 987.25], [12345.0, 3000.0]]),
        (['Ch1 Amplitude,Ch2 Amplitude', '"1,234.5",987.25', '"12,345",3'], [[1234.5, 987.25], [12345.0, 3.0]]),
        (['Ch1 Amplitude,Ch2 Amplitude', '"1234,5","987,25"', '"-3,5","4"'], [[1234.5, 987.25], [-3.5, 4.0]]),
        (["Ch1 Amplitude\tCh2 Amplitude", "1,234.5\t987.25", "12,345\t3"], [[1234.5, 987.25], [12345.0, 3.0]]),
        (["Ch1 Amplitude;Ch2 Amplitude", "1,5e3;2", "3;4"], [[1500.0, 2.0], [3.0, 4.0]]),
        (["Ch1 Amplitude;Ch2 Amplitude", "1.5;2.25", "3;4"], [[1.5, 2.25], [3.0, 4.0]]),
        (["Ch1 Amplitude;Ch2 Amplitude", "3,214;812.5", "987;0.25"], [[3214.0, 812.5], [987.0, 0.25]]),
        (["Ch1 Amplitude;Ch2 Amplitude", "3.214;812,5", "987;0,25"], [[3214.0, 812.5], [987.0, 0.25]]),
        (["Ch1 Amplitude,Ch2 Amplitude", '"3,214",812.5', "987,0.25"], [[3214.0, 812.5], [987.0, 0.25]]),
        (["Ch1 Amplitude", "1234,5", "987"], [[1234.5], [987.0]]),
        (["Ch1 Amplitude,", "1234.5,", "987,"], [[1234.5], [987.0]]),
    ],
)  # fmt: skip
def test_signs_in_numbers(tmp_path, lines, known):
    path = save(tmp_path / "p_A01_Amplitude.csv", lines)
    np.testing.assert_array_equal(read_plate(path)["A01"].amplitudes, known)


@pytest.mark.parametrize(
    "lines",
    [
        ["Ch1 Amplitude;Ch2 Amplitude", "3.214;10", "987;20", "12.345;30"],
        ["Ch1 Amplitude;Ch2 Amplitude", "3,214;10", "987;20", "12,345;30"],
        ["Ch1 Amplitude,Ch2 Amplitude", "3.214,10", "987,20", "12.345,30"],
        ["Ch1 Amplitude,Ch2 Amplitude", '"3,214",10', "987,20", '"12,345",30'],
    ],
)
def test_numbers_that_may_be_a_thousandfold_are_refused(tmp_path, lines):
    path = save(tmp_path / "p_A01_Amplitude.csv", lines)
    with pytest.raises(bg.InputError, match=r"line 2: has '3.214' in the column 'Ch1 Amplitude', which may be 3214"):
        read_plate(path)


@pytest.mark.parametrize("last", ["3.2145;10", "3214.5;10", "0.214;10", "1987;10", "3.21;10"])
def test_one_number_tells_that_a_sign_is_the_decimal_sign(tmp_path, last):
    lines = ["Ch1 Amplitude;Ch2 Amplitude", "3.214;10", "987;20", last]
    assert read_plate(save(tmp_path / "p_A01_Amplitude.csv", lines))["A01"].amplitudes[0, 0] == 3.214


def workbook(path, sheets):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, lines in sheets.items():
        sheet = book.create_sheet(title)
        for line in lines:
            cells = [field.strip('"') for field in line.split(",")]
            sheet.append([float(cell) if cell.lstrip("-").replace(".", "").isdigit() else cell for cell in cells])
    book.save(path)


def test_many_numbers_under_an_unknown_header_are_named(tmp_path):
    save(tmp_path / "p_A01_Amplitude.csv", quantasoft(X))
    save(tmp_path / "lane1.csv", ["Channel1;Channel2;Flag", *(f"{i},5;{i};Valid" for i in range(5000))])
    save(tmp_path / "log.txt", ["Log"] + ["the reader began to read a well of the plate"] * 5000)
    save(tmp_path / "few.csv", ["a,b"] + ["1,2"] * 500)
    with pytest.warns(SkippedFilesWarning, match=r"lane1.csv \(its header is none that is known: 'Channel1;.*'\)$"):
        plate = read_plate(tmp_path)
    assert len(plate) == 1


def test_every_wrapping_and_subfolders_are_read(tmp_path):
    lines = quantasoft(X, CLUSTERS)
    deep = tmp_path / "run 1" / "deeper"
    deep.mkdir(parents=True)
    save(tmp_path / "p_A01_Amplitude.csv", lines)
    save(deep / "p_A02_Amplitude.txt", lines)
    save(tmp_path / "run 1" / "p_A03_Amplitude.tsv", [line.replace(",", "\t") for line in lines])
    for i, (ending, pack) in enumerate(PACK.items()):
        (deep / f"p_B0{i + 1}_Amplitude.csv{ending}").write_bytes(pack("\r\n".join(european(lines)).encode("utf-16")))
    workbook(tmp_path / "p_C01_Amplitude.xlsx", {"Sheet1": lines})
    workbook(tmp_path / "export A to D.xlsx", {"C02": lines, "C03": lines, "notes": ["made by hand"]})
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.writestr("folder/p_D01_Amplitude.txt", "\n".join(lines))
        archive.writestr("folder/readme.txt", "text")
    save(tmp_path / "readme.txt", ["text"])
    hidden = tmp_path / ".cache"
    hidden.mkdir()
    save(hidden / "p_A01_Amplitude.csv", lines)
    plate = read_plate(tmp_path)
    names = ["A01", "A02", "A03", "B01", "B02", "B03", "C01", "C02", "C03", "D01"]
    assert [well.name for well in plate] == names
    for well in plate:
        np.testing.assert_array_equal(well.amplitudes, X)
        np.testing.assert_array_equal(well.clusters, CLUSTERS)


def test_files_that_are_not_read_are_named_in_one_warning(tmp_path, monkeypatch):
    save(tmp_path / "p_A01_Amplitude.csv", quantasoft(X))
    workbook(tmp_path / "p_A02_Amplitude.xlsx", {"Sheet1": quantasoft(X)})
    (tmp_path / "in").mkdir()
    for name in ("p_A03_Amplitude.xls", "p_A04_Amplitude.parquet", "raw.7z", "chip.eds", "drops.fcs", "plate.qlp"):
        (tmp_path / "in" / name).write_bytes(b"x")
    for name in ("p_A01_Amplitude.png", "plan.xlsx", "notes.docx"):
        (tmp_path / name).write_bytes(b"x")
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.writestr("p_A05_Amplitude.csv.gz", b"x")
        archive.writestr("notes.doc", b"x")
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "openpyxl" else found(name))
    with pytest.warns(SkippedFilesWarning) as told:
        plate = read_plate(tmp_path)
    assert [well.name for well in plate] == ["A01"]
    assert len(told) == 1
    said = str(told[0].message)
    for part in (
        *("p_A02_Amplitude.xlsx (workbooks are read where openpyxl is installed: `pip install openpyxl`", "A03", "A04"),
        *("raw.7z (an archive", "chip.eds (an experiment of the QuantStudio 3D", "RainDance", "p_A05_Amplitude.csv.gz"),
    ):
        assert part in said
    for part in ("png", "plan", "notes", "qlp"):
        assert part not in said
    with pytest.raises(bg.InputError, match=r"A02_Amplitude.xlsx' is not read. Workbooks are read where openpyxl is"):
        read_plate(tmp_path / "p_A02_Amplitude.xlsx")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("chip.eds", "QuantStudio 3D or Absolute Q: export raw data as CSV"),
        ("drops.fcs", "RainDance"),
        ("plate.qlp", "QuantaSoft: in its options export amplitude and cluster data"),
        ("plate.ddpcr", "QX Manager: export amplitude data"),
        ("plate.ncx", "Crystal Miner"),
    ],
)
def test_instruments_whose_own_files_are_not_read_are_named(tmp_path, name, says):
    (tmp_path / name).write_bytes(b"PK\3\4")
    with pytest.raises(bg.InputError, match=f"{name}.*{says}"):
        read_plate(tmp_path / name)
    if name in ("chip.eds", "drops.fcs"):
        with pytest.raises(bg.InputError, match=f"no files with droplets in .*{name}.*{says}"):
            read_plate(tmp_path)


def test_a_well_in_two_folders_is_an_error_that_names_both(tmp_path):
    for name in ("plate 1", "plate 2"):
        (tmp_path / name).mkdir()
        save(tmp_path / name / "p_A01_Amplitude.csv", quantasoft(X))
    with pytest.raises(bg.InputError, match=r"plate 1.p_A01_Amplitude.csv and .*plate 2.p_A01_.* are both well A01"):
        read_plate(tmp_path)
    # The same file by two ways is one file.
    (tmp_path / "plate 1" / "again").symlink_to(tmp_path / "plate 1", target_is_directory=True)
    assert len(read_plate(tmp_path / "plate 1")) == 1


@pytest.mark.parametrize("ending", PACK)
def test_damaged_packed_files(tmp_path, ending):
    raw = PACK[ending]("\n".join(quantasoft(droplets(3000))).encode())
    path = tmp_path / f"p_A01_Amplitude.csv{ending}"
    for bad in (raw[: len(raw) // 2], b"no such thing", raw[:40] + bytes(200) + raw[240:]):
        path.write_bytes(bad)
        with pytest.raises(bg.InputError, match=r"p_A01_Amplitude.csv.* cannot be unpacked: .+Export it again"):
            read_plate(tmp_path)
    path.write_bytes(PACK[ending](b""))
    save(tmp_path / "p_A02_Amplitude.csv", quantasoft(X))
    with pytest.raises(bg.InputError, match=r"p_A01_Amplitude.csv.*, line 1: the file is empty"):
        read_plate(tmp_path)


def test_damaged_workbooks(tmp_path):
    path = tmp_path / "p_A01_Amplitude.xlsx"
    workbook(path, {"Sheet1": quantasoft(X)})
    raw = path.read_bytes()
    for bad in (b"no such thing", raw[: len(raw) // 2]):
        path.write_bytes(bad)
        with pytest.raises(bg.InputError, match=r"p_A01_Amplitude.xlsx' is no workbook, or is damaged"):
            read_plate(tmp_path)
    save(tmp_path / "p_A02_Amplitude.csv", quantasoft(X))
    path.rename(tmp_path / "samples.xlsx")
    assert [well.name for well in read_plate(tmp_path)] == ["A02"]  # no droplets in it by its name
    workbook(path, {"Sheet1": ["", ""], "Sheet2": []})
    with pytest.raises(bg.InputError, match=r"p_A01_Amplitude.xlsx, line 1: the file is empty"):
        read_plate(tmp_path)
    workbook(path, {"Sheet1": [*quantasoft(X)[:3], "x,2"]})
    with pytest.raises(bg.InputError, match=r"p_A01_Amplitude.xlsx, line 4: has 'x'"):
        read_plate(tmp_path)


OLD_RESULTS = [
    "Well,ExptType,Experiment,Sample,TypeAssay,Assay,Status,Concentration,PoissonConfMax,PoissonConfMin,Positives,"
    "Negatives,AcceptedDroplets,MergedWells",
    "A01,Absolute Quantification,,p 1,Ch1Unknown,BRAF,Manual,28.6,31.6,25.6,30,70,100,",
    "A01,Absolute Quantification,,p 1,Ch2Unknown,WT,Manual,21.2,23.7,18.6,20,80,100,",
    "A02,Absolute Quantification,,water,Ch1NTC,BRAF,Manual,,,,,,,",
]


@pytest.mark.parametrize("change", [list, european], ids=["commas", "semicolons"])
def test_results_of_quantasoft_before_1_7(tmp_path, change):
    for well in ("A01", "A02"):
        save(tmp_path / f"p_{well}_Amplitude.csv", quantasoft(X))
    save(tmp_path / "results.csv", change(OLD_RESULTS))
    plate = read_plate(tmp_path)
    assert plate.table["sample"].to_dict() == {"A01": "p 1", "A02": "water"}
    assert plate.table.loc["A01", ["target Ch1", "target Ch2"]].tolist() == ["BRAF", "WT"]
    assert plate.table["ntc"].tolist() == [False, True]
    assert plate.reported["concentration"].tolist()[:2] == [28.6, 21.2]
    assert np.isnan(plate.reported["positives"][2])


def test_thousands_in_results(tmp_path):
    save(tmp_path / "p_A01_Amplitude.csv", quantasoft(X))
    head = "Well,Sample,Target,Concentration,Positives,AcceptedDroplets"
    for row in ('A01,"s, t",u,28.6,"1,234","18,342"', "A01;s, t;u;28,6;1.234;18.342"):
        name = head if '"' in row else head.replace(",", ";")
        save(tmp_path / "results.csv", [name, row])
        found = read_plate(tmp_path).reported.iloc[0]
        assert found[["sample", "concentration", "positives", "n_droplets"]].tolist() == ["s, t", 28.6, 1234.0, 18342.0]


def test_merged_wells_are_no_wells_of_the_plate(tmp_path):
    for well in ("A01", "A02", "M01"):
        save(tmp_path / f"p_{well}_Amplitude.csv", quantasoft(X))
    save(tmp_path / "results.csv", [*OLD_RESULTS, "M01,Absolute,,p 1,Ch1Unknown,BRAF,Manual,28,30,26,60,140,200,"])
    with pytest.warns(SkippedFilesWarning, match=r"Merged wells are left out, .*: M01$") as told:
        plate = read_plate(tmp_path, table=pd.DataFrame({"well": ["A01", "A02", "M01"], "sample": ["s", "t", "s"]}))
    assert len(told) == 1
    assert [well.name for well in plate] == ["A01", "A02"]
    assert set(plate.reported["well"]) == {"A01", "A02"}
    with pytest.raises(bg.InputError, match=r"no files with droplets in .*, only merged wells \(M01\)"):
        read_plate(tmp_path / "p_M01_Amplitude.csv")
    save(tmp_path / "p_P24_Amplitude.csv", quantasoft(X))  # so that M is a row
    assert [well.name for well in read_plate(tmp_path)] == ["A01", "A02", "M01", "P24"]


def absolute_q(wells):
    """Lines of raw data of two dyes; wells are name -> (amplitudes, rejected)."""
    head = "Run,Date,Instrument,Plate,Well ID,Sample,Index,Reject,ROX,FAM,FAM_pos,FAM_target,FAM_threshold"
    lines = [head + ",VIC,VIC_pos,VIC_target,VIC_threshold"]
    for name, (x, rejected) in wells.items():
        for i, ((a, b), bad) in enumerate(zip(x.tolist(), rejected, strict=True)):
            row = f"r,2023-05-24,2262,M01KM,{name},s {name},{i + 1},{bad},10824.202,{a!r},{a > 900},MUT,900,"
            lines.append(f"{row}{b!r},{b > 900},WT,900")
    return lines


def test_absolute_q(tmp_path):
    rejected = [i % 8 == 0 for i in range(40)]
    save(tmp_path / "raw.csv", absolute_q({"A1": (X, rejected), "D4": (X[:5], [False] * 5)}))
    head = "Run,Date,Instrument,Plate,Group,Name,Well,Total,Dye,Target,Conc. cp/uL,SD,CV%,95%CI,Positives"
    rows = ["r,d,i,p,Group 1 (8),,Average,20443.63,VIC,WT,53.71,69.96,130.24,1.68,460"]
    rows += ["r,d,i,p,Group 1,s A1,A1,20449,VIC,WT,3.85,,,1.1,34", "r,d,i,p,Group 1,s A1,A1,20449,FAM,MUT,0.5,,,1.1,4"]
    save(tmp_path / "results.csv", [head, *rows])
    plate = read_plate(tmp_path)
    assert [(well.name, well.channels) for well in plate] == [("A01", ("FAM", "VIC")), ("D04", ("FAM", "VIC"))]
    kept = X[~np.array(rejected)]
    np.testing.assert_array_equal(plate["A01"].amplitudes, kept)
    known = np.array([[1, 4], [2, 3]])[tuple((kept > 900).astype(int).T)]
    np.testing.assert_array_equal(plate["A01"].clusters, known)
    assert plate.table.loc["A01", ["sample", "target FAM", "target VIC"]].tolist() == ["s A1", "MUT", "WT"]
    assert plate.reported[["well", "channel", "positives", "lower"]].to_numpy().tolist() == [
        ["A01", "VIC", 34.0, pytest.approx(2.75)],
        ["A01", "FAM", 4.0, 0.0],
    ]
    for change, says in ((("True", "maybe"), r"line 2: has 'maybe' in the column"), (("A1", "Z9"), "'Z9' is no well")):
        save(tmp_path / "raw.csv", [line.replace(*change) for line in absolute_q({"A1": (X, [True] * 40)})])
        with pytest.raises(bg.InputError, match=rf"raw.csv, .*{says}"):
            read_plate(tmp_path)


NAMES = ["=cmd|' /C calc'!A0", "+1", "-2+3", "@SUM(A1)", "'=1", "''=1", "'s", " =1", "＝1", "-5", "plain", 'a "b", c']


def test_names_never_become_formulas(tmp_path):
    from bayesgmm._spreadsheet import guarded, unguarded
    from bayesgmm.report._tables import _write

    for name in (*NAMES, "\t=1", "\r=1", ""):
        assert unguarded(guarded(name)) == name
        assert not guarded(name).lstrip().startswith(("=", "+", "-", "@", "＝"))
    for i in range(len(NAMES)):
        save(tmp_path / f"p_A{i + 1:02d}_Amplitude.csv", quantasoft(X))
    wells = [f"A{i + 1:02d}" for i in range(len(NAMES))]
    _write(pd.DataFrame({"well": wells, "sample": NAMES, "target": NAMES, "dilution": 1.0}), tmp_path / "plate.csv")
    for line in (tmp_path / "plate.csv").read_text(encoding="utf-8").splitlines()[1:]:
        assert line.split('","')[1][0] not in "=+-@"
    plate = read_plate(tmp_path, table=tmp_path / "plate.csv")
    assert plate.table["sample"].tolist() == [name.strip() for name in NAMES]
    assert plate.table["target Ch1"].tolist() == [name.strip() for name in NAMES]


def test_tables_of_this_package_beside_droplets_are_no_results_of_an_instrument(tmp_path):
    _, result = quantified()
    bg.report.write_tables(result, tmp_path / "results.csv")
    save(tmp_path / "p_A01_Amplitude.csv", quantasoft(X))
    plate = read_plate(tmp_path)
    assert plate.reported is None
    assert len(plate) == 1
