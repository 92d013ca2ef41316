"""The command from files to tables and report."""

import io
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from bayesgmm import ddpcr
from bayesgmm.cli import _ddpcr, main
from tests.ddpcr.files import quantasoft, save


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files of five wells as QuantaSoft writes them, and a plate table."""
    made = ddpcr.simulate_plate(
        samples={"a": (0.4, 0.2), "[b]": (0.1, 0.2)}, n_wells=2, n_ntc=1, n_droplets=3000, random_seed=2
    )
    out = tmp_path_factory.mktemp("export")
    for well in made:
        save(out / f"run_{well.name}_Amplitude.csv", quantasoft(well.amplitudes.round(2), well.clusters))
    made.table[["sample", "ntc"]].to_csv(out / "plate.csv")
    head = "Well;Sample;TypeAssay;Assay;Concentration;PoissonConfMax;PoissonConfMin;Positives;AcceptedDroplets"
    save(out / "results.csv", [head, "A01;;Ch1Unknown;MUT;123,4;130,5;115,6;7;3000"])
    return out


@pytest.fixture(scope="module")
def ran(folder, tmp_path_factory):
    """Output of one run, and the Dataset behind it."""
    out, kept = tmp_path_factory.mktemp("out"), []
    with pytest.MonkeyPatch.context() as patch:

        def recorded(*args, **options):
            kept.append(ddpcr.quantify(*args, **options))
            return kept[-1]

        patch.setattr(_ddpcr, "quantify", recorded)
        patch.setenv("COLUMNS", "120")
        arguments = ["ddpcr", str(folder), "--volume-nl", "0.85", "--plate", str(folder / "plate.csv")]
        arguments += ["--targets", "MUT, WT", "--out", str(out / "results.csv"), "--report", str(out / "report.html")]
        capture = io.StringIO()
        patch.setattr(sys, "stdout", capture)
        code = main([*arguments, "--cores", "1", "--seed", "3", "--probability", "0.9"])
    return code, capture.getvalue(), kept[0], out


def test_the_table_is_printed(ran):
    code, printed, result, _ = ran
    assert code == 0
    assert "5 wells (1 without template), 3,000 droplets each." in printed
    assert "Droplet volume 0.85 nL (stated by the user)." in printed
    assert "90 % statistical" in printed
    assert re.search(r"^\[b\] +MUT +2 +[\d,]+ of 6,000 ", printed, re.MULTILINE)
    assert "Ch1" not in printed.partition("Written")[0]
    assert "Copy number of MUT with 2 of WT." in printed
    assert re.search(r"^a +MUT / WT ", printed, re.MULTILINE)
    value = float(result["sample_copies_per_ul"].sel(sample="a", channel="Ch1"))
    assert f"{value:,.0f}" in printed
    assert "fractional abundance" in printed
    assert re.search(r"^A01 +MUT +[\d,]+ +7 .* 123 \(116 to 130\)", printed, re.MULTILINE)
    assert "the instrument counted 7 positives of 3,000 droplets, here are " in printed
    assert "limit of blank" in printed
    assert "only 3,000 droplets (fewer than 10,000)" in printed


def test_tables_hold_the_result(ran):
    _, printed, result, out = ran
    table = pd.read_csv(out / "results.csv").set_index(["well", "channel"])
    assert len(table) == 10
    for name in ("copies_per_ul", "copies_per_ul_total_upper", "positives", "threshold"):
        known = result[name].to_series()
        np.testing.assert_array_equal(table[name].reindex(known.index), known)
    assert table.loc["A01", "Ch1"]["target"] == "MUT"
    samples = pd.read_csv(out / "results_samples.csv")
    assert set(samples["sample"]) == {"a", "[b]"}
    for path in sorted(out.iterdir()):
        assert str(path) in printed.replace("\n", "")


def test_report_tells_what_was_run(ran, folder):
    _, _, _, out = ran
    page = (out / "report.html").read_text(encoding="utf-8")
    assert f"<h1>Droplet digital PCR: {folder.name}</h1>" in page
    assert "--volume-nl 0.85" in page
    assert f"5 files in {folder}" in page


BAD = {
    "no volume": ([], "--volume-nl: is not given"),
    "two volumes": (["--volume-nl", "1", "--instrument", "QX200, QuantaSoft 1.7.4"], "--instrument: got"),
    "unknown instrument": (["--instrument", "QX9"], "'QX200, QuantaSoft 1.7.4' (0.85 nL)"),
    "negative volume": (["--volume-nl", "-1"], "--volume-nl: got -1.0"),
    "unknown well": (["--volume-nl", "1", "--ntc", "H12"], "--ntc: there are no droplets of H12"),
    "unknown channel": (["--volume-nl", "1", "--channels", "Ch9"], "--channels: got ['Ch9']. The plate has Ch1, Ch2"),
    "no such table": (["--volume-nl", "1", "--plate", "none.csv"], "--plate: 'none.csv' cannot be read"),
    "no such folder": (["--volume-nl", "1", "--out", "none/results.csv"], "--out: there is no folder 'none'"),
    "probability": (["--volume-nl", "1", "--probability", "2"], "--probability: got 2.0"),
    "threshold": (["--volume-nl", "1", "--threshold", "Ch1"], "--threshold: got 'Ch1'. Give each channel"),
    "threshold of what": (
        ["--volume-nl", "1", "--threshold", "FAM=3"],
        "--threshold: there is no channel or target 'FAM'",
    ),
    "reference": (["--volume-nl", "1", "--reference", "KRAS"], "--reference: got 'KRAS'"),
    "reaction": (["--volume-nl", "1", "--reaction-volume-ul", "0"], "--reaction-volume-ul: got 0.0"),
    "nanograms": (["--volume-nl", "1", "--ng", "-2"], "--ng: got -2.0"),
    "seed": (["--volume-nl", "1", "--seed", "-1"], "--seed: got -1"),
    "wells without engine": (["--volume-nl", "1", "--wells", "A1"], "--wells: got ['A1'] without an engine. Name"),
    "engine for other wells": (
        ["--volume-nl", "1", "--engine", "nuts", "--wells", "H9"],
        "--wells: the plate has no",
    ),
    "cores": (["--volume-nl", "1", "--cores", "0"], "--cores: got 0"),
}


@pytest.mark.parametrize(("arguments", "told"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line_and_exit_code_2(arguments, told, folder, capsys):
    assert main(["ddpcr", str(folder), *arguments]) == 2
    out, error = capsys.readouterr()
    assert not out
    assert error.startswith("bayesgmm ddpcr: ")
    assert told in error
    assert error.count("\n") == 1


def test_a_damaged_file_is_named(folder, tmp_path, capsys):
    (tmp_path / "run_A01_Amplitude.csv").write_text("Ch1 Amplitude,Ch2 Amplitude\n1.0,2.0\n3.0,x\n", encoding="utf-8")
    assert main(["ddpcr", str(tmp_path), "--volume-nl", "0.85"]) == 2
    error = capsys.readouterr().err
    assert "run_A01_Amplitude.csv" in error
    assert "line 3" in error
    assert main(["ddpcr", str(tmp_path / "none"), "--volume-nl", "0.85"]) == 2
    assert "FOLDER" in capsys.readouterr().err


def test_wrong_options_exit_with_2(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["ddpcr", "x", "--volume-nl", "much"])
    assert stopped.value.code == 2
    assert "invalid float value: 'much'" in capsys.readouterr().err


def test_help_and_version(capsys):
    assert main([]) == 0
    assert "ddpcr" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        main(["ddpcr", "--help"])
    assert stopped.value.code == 0
    told = capsys.readouterr().out
    assert "--volume-nl" in told
    for name, volume in ddpcr.instruments().items():
        assert f'"{name}"  {volume:g} nL' in told
    with pytest.raises(SystemExit):
        main(["--version"])
    assert re.match(r"bayesgmm \d", capsys.readouterr().out)


def test_runs_as_a_module():
    run = subprocess.run(
        [sys.executable, "-m", "bayesgmm", "ddpcr", "none"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert run.stderr.startswith("bayesgmm ddpcr: FOLDER: 'none' does not exist")
    assert "Traceback" not in run.stderr
