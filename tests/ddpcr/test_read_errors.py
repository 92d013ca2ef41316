"""What is wrong with a file is said with its name, the line, and what to do."""

import re
import zipfile

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.ddpcr import read_plate
from tests.ddpcr.files import droplets, naica, qiacuity, quantasoft, qx_manager, save

X = droplets(20)
CALLS = np.array([["0", "1"]] * 20)
CLUSTERS = np.ones(20, dtype=int)
NAME = "p_A01_Amplitude.csv"


def message(tmp_path, lines, name=NAME, **options):
    path = save(tmp_path / name, lines, **options)
    with pytest.raises(bg.InputError) as caught:
        read_plate(path)
    return str(caught.value)


def assert_says(text, line, *parts):
    assert f"{NAME}, line {line}: " in text
    for part in parts:
        assert part in text


FORMS = {
    "1.6": (quantasoft(X, header=("Assay1 Amplitude", "Assay2 Amplitude")), 1),
    "1.7": (quantasoft(X, CLUSTERS), 1),
    "manager": (qx_manager(X, CALLS), 5),
    "manager without preamble": (qx_manager(X, CALLS, preamble=False), 1),
}
by_form = pytest.mark.parametrize(("lines", "header"), FORMS.values(), ids=FORMS)
by_end = pytest.mark.parametrize("end", ["\r", "\n", "\r\n"], ids=["CR", "LF", "CRLF"])


@by_form
@by_end
def test_file_that_was_cut_off(tmp_path, lines, header, end):
    cut = [*lines[:-1], lines[-1].split(",")[0][:4]]
    text = message(tmp_path, cut, end=end, last=False)
    assert_says(text, len(lines), "has 1 field where the header names", "the file ends there", "it was cut off")


@by_form
def test_file_that_was_cut_off_after_a_comma(tmp_path, lines, header):
    cut = [*lines[:-1], lines[-1].split(",")[0] + ","]
    if len(lines[-1].split(",")) == 2:
        # Two columns: what is left has two fields, of which one is blank.
        assert_says(message(tmp_path, cut, last=False), len(lines), "no value in the column 'Assay2 Amplitude'")
    else:
        assert_says(message(tmp_path, cut, last=False), len(lines), "has 2 fields", "cut off")


@pytest.mark.parametrize("row", ['"1.5","2.5"', '"1.5","2.5","1","7"', '"1.5"'])
def test_quotes_do_not_hide_rows_of_another_length(tmp_path, row):
    lines = ['"Ch1 Amplitude","Ch2 Amplitude","Cluster"', '"1.5","2.5","1"', row, '"1.5","2.5","1"']
    assert_says(message(tmp_path, lines), 3, "where the header names 3")


@by_form
@by_end
def test_short_line_in_the_middle(tmp_path, lines, header, end):
    place = header + 6
    damaged = [*lines[: place - 1], lines[place - 1].split(",")[0], *lines[place:]]
    text = message(tmp_path, damaged, end=end)
    assert_says(text, place, "has 1 field", "damaged")
    assert "cut off" not in text


@by_form
@pytest.mark.parametrize("field", [0, 1])
@pytest.mark.parametrize("word", ["abc", "12x", "NaN", "inf", "1_0", "--", "#REF!"])
def test_text_in_a_column_of_numbers(tmp_path, lines, header, field, word):
    place = header + 4
    fields = lines[place - 1].split(",")
    fields[field] = word
    text = message(tmp_path, [*lines[: place - 1], ",".join(fields), *lines[place:]])
    assert_says(text, place, f"has {word!r} in the column", "Amplitude", "decimal point")


@by_form
def test_blank_cell_in_a_column_of_numbers(tmp_path, lines, header):
    place = header + 4
    fields = ["", *lines[place - 1].split(",")[1:]]
    assert_says(message(tmp_path, [*lines[: place - 1], ",".join(fields), *lines[place:]]), place, "has no value in")


@by_form
@pytest.mark.parametrize(("sign", "word"), [(";", "semicolons"), ("\t", "tabs")])
def test_wrong_delimiter(tmp_path, lines, header, sign, word):
    lines = [line.replace(",", sign) if "Target Value" not in line else line for line in lines]
    path = save(tmp_path / NAME, lines)
    with pytest.raises(bg.InputError) as caught:
        read_plate(path, delimiter=",")
    assert_says(str(caught.value), header, f"the fields are separated by {word}, not by commas", "Leave out delimiter=")


def test_delimiter_that_the_user_gave_by_mistake(tmp_path):
    path = save(tmp_path / NAME, quantasoft(X))
    with pytest.raises(bg.InputError, match=r"A01_Amplitude.csv, line 1: .* by commas, not by semicolons"):
        read_plate(path, delimiter=";")
    with pytest.raises(bg.InputError, match=r"delimiter: got '\|'"):
        read_plate(path, delimiter="|")


@by_form
def test_decimal_commas(tmp_path, lines, header):
    changed = [line if i < header else line.replace(".", ",") for i, line in enumerate(lines)]
    assert_says(message(tmp_path, changed), header + 1, "If numbers have decimal commas")


def test_decimal_commas_where_fields_are_said_to_end_at_commas(tmp_path):
    lines = ["Ch1 Amplitude", *(repr(x).replace(".", ",") for x in X[:, 0].tolist())]
    path = save(tmp_path / NAME, lines)
    with pytest.raises(bg.InputError) as caught:
        read_plate(path, delimiter=",")
    assert_says(str(caught.value), 2, "has 2 fields where the header names 1", "decimal commas")


@pytest.mark.parametrize("lines", [[], ["", "", "   "]], ids=["nothing", "blank lines"])
def test_empty_file(tmp_path, lines):
    assert_says(message(tmp_path, lines, last=bool(lines)), 1, "the file is empty")
    save(tmp_path / "p_B01_Amplitude.csv", quantasoft(X))
    with pytest.raises(bg.InputError, match=r"A01_Amplitude.csv, line 1: the file is empty"):
        read_plate(tmp_path)


def test_unknown_header(tmp_path):
    text = message(tmp_path, ["", "Time,Signal", "1,2"])
    assert_says(
        text, 2, "is no known header: 'Time,Signal'", "Ch1 Amplitude,Ch2 Amplitude,Cluster", "QIAcuity", "Naica"
    )
    save(tmp_path / "p_B01_Amplitude.csv", quantasoft(X))
    with pytest.raises(bg.InputError, match=r"A01_Amplitude.csv, line 2: is no known header"):
        read_plate(tmp_path)


def test_header_without_a_name_between_others(tmp_path):
    assert_says(message(tmp_path, ["Ch1 Amplitude,,Cluster", "1,2,3"]), 1, "column 2 has no name")


def test_binary_file(tmp_path):
    path = tmp_path / NAME
    path.write_bytes(bytes(range(256)) * 20)
    with pytest.raises(bg.InputError, match=r"A01_Amplitude.csv, line 1: is no known header"):
        read_plate(path)


@pytest.mark.parametrize("call", ["2", "-1", "", "x", "0.5"])
def test_calls_that_are_none(tmp_path, call):
    lines = qx_manager(X, CALLS)
    lines[8] = ",".join([*lines[8].split(",")[:2], call, "1", ""])
    assert_says(message(tmp_path, lines), 9, f"has {call!r} in the column 'MUT'", "0, 1 or u")


@pytest.mark.parametrize("cluster", ["1.5", "-1"])
def test_clusters_that_are_none(tmp_path, cluster):
    lines = quantasoft(X, CLUSTERS)
    lines[7] = ",".join([*lines[7].split(",")[:2], cluster])
    assert_says(message(tmp_path, lines), 8, f"has {cluster} in the column 'Cluster'")


def test_truncated_utf_16(tmp_path):
    path = save(tmp_path / NAME, quantasoft(X, CLUSTERS), encoding="utf-16")
    path.write_bytes(path.read_bytes()[:-61])
    with pytest.raises(bg.InputError, match=r"A01_Amplitude.csv, line 2\d: has \d fields? where .* cut off"):
        read_plate(path)


def test_naica_errors(tmp_path):
    lines = naica(X)
    lines[4] = lines[4].replace(",", ",x", 2)
    path = save(tmp_path / "p_A01_RawData.csv", lines)
    with pytest.raises(bg.InputError, match=r"A01_RawData.csv, line 5: has 'x.*' in the column 'Blue'"):
        read_plate(path)
    save(path, naica(X, delimiter=";"))
    with pytest.raises(bg.InputError, match=r"A01_RawData.csv, line 1: .* semicolons"):
        read_plate(path, delimiter=",")


def test_qiacuity_errors(tmp_path):
    lines = qiacuity("G", {"A1": ("s", X[:, 0], [0] * 20, [0] * 20)})
    path = tmp_path / "p_RFU_img1_G_1.csv"
    for line, old, new, problem in (
        (5, None, "A1,s,G", "has 3 fields where the header names 9"),
        (6, lines[5].rpartition(",")[2], "n/a", "has 'n/a' in the column 'RFU'"),
        (7, "A1,", "Z9,", "'Z9' is no well"),
    ):
        damaged = list(lines)
        damaged[line - 1] = new if old is None else damaged[line - 1].replace(old, new)
        save(path, damaged)
        with pytest.raises(bg.InputError, match=re.escape(f"img1_G_1.csv, line {line}: {problem}")):
            read_plate(tmp_path)
    save(path, lines)
    save(tmp_path / "p_RFU_img2_G_1.csv", lines)
    with pytest.raises(bg.InputError, match=r"img1_G_1.csv and .*img2_G_1.csv are both channel G of A01.*one image"):
        read_plate(tmp_path)


def test_results_errors(tmp_path):
    save(tmp_path / NAME, quantasoft(X))
    header = "Well,Sample,Target,Concentration,Positives,AcceptedDroplets"
    save(tmp_path / "results.csv", [header, "A01,s,t,3.5,10,20", "A01,s"])
    with pytest.raises(bg.InputError, match=r"results.csv, line 3: has 2 fields where the header names 6.*cut off"):
        read_plate(tmp_path)
    save(tmp_path / "results.csv", [header, "Z01,s,t,3.5,10,20"])
    with pytest.raises(bg.InputError, match=r"results.csv, line 2: 'Z01' is no well"):
        read_plate(tmp_path)
    save(tmp_path / "results.csv", [line.replace(",", ";") for line in (header, "A01,s,t,3.5,10,20")])
    with pytest.raises(bg.InputError, match=r"results.csv, line 1: .*semicolons"):
        read_plate(tmp_path, delimiter=",")


def test_two_files_of_one_well(tmp_path):
    save(tmp_path / "p_A01_Amplitude.csv", quantasoft(X))
    save(tmp_path / "q_A1_Amplitude.csv", quantasoft(X))
    with pytest.raises(bg.InputError, match=r"p_A01_Amplitude.csv and .*q_A1_Amplitude.csv are both well A01"):
        read_plate(tmp_path)


@pytest.mark.parametrize("name", ["plate_Amplitude.csv", "plate_A25_Amplitude.csv", "Q01.csv", "AA01_Amplitude.csv"])
def test_no_well_in_the_name(tmp_path, name):
    path = save(tmp_path / name, quantasoft(X))
    with pytest.raises(bg.InputError, match=rf"{name}: there is no well in the name.*plate_A01_Amplitude.csv"):
        read_plate(path)


def test_nothing_to_read(tmp_path):
    with pytest.raises(bg.InputError, match=r"paths: there are no files with droplets in .*Export amplitudes"):
        read_plate(tmp_path)
    save(tmp_path / "notes.csv", ["a,b", "1,2"])
    with pytest.raises(bg.InputError, match=r"no files with droplets in .* \(passed over: notes.csv\)"):
        read_plate(tmp_path)
    save(tmp_path / "results.csv", ["Well,Target,Concentration,Positives,AcceptedDroplets", "A01,t,1,1,2"])
    with pytest.raises(bg.InputError, match="only results"):
        read_plate(tmp_path)
    with pytest.raises(bg.InputError, match=r"'.*absent' does not exist"):
        read_plate(tmp_path / "absent")
    with pytest.raises(bg.InputError, match="there are no files with droplets"):
        read_plate([])
    with pytest.raises(bg.InputError, match="paths: got 3"):
        read_plate(3)


def test_damaged_zip(tmp_path):
    path = tmp_path / "raw.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("p_A01_Amplitude.csv", "Ch1 Amplitude\n1.5\nx\n")
    with pytest.raises(bg.InputError, match=r"raw.zip/p_A01_Amplitude.csv, line 3: has 'x'"):
        read_plate(path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(bg.InputError, match=r"raw.zip' is no zip, or is damaged"):
        read_plate(path)
