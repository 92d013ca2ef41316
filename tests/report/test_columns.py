"""Names of targets and columns: in the page, in tables, and in docs/ddpcr_columns.md.

`python -m tests.report.test_columns` writes the document anew.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd

import bayesgmm as bg
from bayesgmm.report._tables import columns_of
from bayesgmm.results import sealed
from tests.quantified import compared, quantified

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "ddpcr_columns.md"


def document() -> str:
    """All columns of all tables, with those that need results of an instrument or nanograms."""
    _, result = compared()
    lines = [
        "# Columns of the tables of a plate",
        "",
        "What `report.write_tables(result, \"results.csv\")` and `bayesgmm ddpcr --out results.csv` write, of a plate",
        "with two targets, nanograms of template in each well and the instrument's own results; without those their",
        "columns are left out. `results_columns.csv` holds the same beside the tables. UTF-8, commas, decimal points,",
        "text in quotes.",
        "",
    ]  # fmt: skip
    for file, own in columns_of(result, Path("results.csv")).groupby("file", sort=False):
        lines += [f"## `{file}`", "", "| column | unit | meaning |", "|---|---|---|"]
        lines += [f"| `{each.column}` | {each.unit} | {each.meaning} |" for each in own.itertuples()]
        lines.append("")
    return "\n".join(lines)


def test_the_document_names_every_column():
    assert DOCUMENT.read_text(encoding="utf-8") == document()


def test_droplets_are_whole_numbers_in_tables(tmp_path):
    _, result = compared()
    first, samples, *_ = bg.report.write_tables(result, tmp_path / "results.csv")
    for path in (first, samples):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        counts = [name for name in table if "counted_" in name or name.endswith("droplets") or "reported_pos" in name]
        assert len(counts) >= 3
        for name in set(counts) - {"effective_droplets"}:
            assert all(cell == "" or cell.isdecimal() for cell in table[name]), name
    assert pd.read_csv(first)["control"].fillna("").tolist() == [*[""] * 4, *["positive"] * 4, *["ntc"] * 2]


def test_targets_are_named_in_place_of_channels(tmp_path):
    plate, result = compared()
    page = bg.report.write_report(result, plate, tmp_path / "report.html").read_text(encoding="utf-8")
    body = re.sub(r"base64,[^\"]*", "", page.partition("<body>")[2].partition('id="columns"')[0])
    assert body.count("MUT p.V600E") > 20
    # Which channel a target is in is told once.
    assert body.count("Ch1") == body.count("Ch2") == 1
    for told in ("if there are 4 of WT (95 %, total)", "per well of 22 µL", "Positive, instrument", "Copies per ng"):
        assert told in body
    pairs = pd.read_csv(tmp_path / "x_pairs.csv") if bg.report.write_tables(result, tmp_path / "x.csv") else None
    assert pairs["pair_targets"].tolist() == ["MUT p.V600E / WT"] * 2


def test_channels_stay_where_no_target_or_the_same_is_named():
    from bayesgmm.plots._droplets import by_target, measured

    _, result = quantified()
    assert measured(result, "Ch1") == "Ch1"
    twice = result.assign_coords(target=("channel", ["EGFR", "EGFR"]))
    assert [measured(twice, name) for name in ("Ch1", "Ch2")] == ["EGFR (Ch1)", "EGFR (Ch2)"]
    one = result.assign_coords(target=("channel", ["EGFR", "Ch2"]))
    assert by_target(one, "Ch1, not Ch12, beside Ch2") == "EGFR, not Ch12, beside Ch2"


def test_every_sentence_stays_whole():
    from bayesgmm.plots._droplets import split_flags

    assert split_flags("a (b; c), d; e") == ["a (b; c), d", "e"]
    assert split_flags("") == []


def test_names_of_samples_and_targets_are_not_cut_off():
    """Every label lies within its figure, however long names are."""
    plate, result = compared()
    long = "a sample with a very long name, of the second visit of the third patient"
    target = "EGFR p.Leu858Arg (c.2573T>G), assay of the second generation with a very long name"
    renamed = result.assign_coords(
        target=("channel", [target, f"{target} WT"]),
        well_sample=("well", [long if name == "s" else name for name in result["well_sample"].to_numpy()]),
        sample=[long, "p"],
    )
    renamed = sealed(renamed, "ddpcr.quantify")
    for axes in (
        bg.plots.plot_plate(renamed, "Ch1")[0],
        bg.plots.plot_droplets(renamed, plate, "Ch1"),
        bg.plots.plot_well(renamed, plate, "A01", "Ch1"),
        bg.plots.plot_two_channels(renamed, plate, "A01"),
    ):
        figure = axes.get_figure(root=True)
        figure.canvas.draw()
        width, height = figure.canvas.get_width_height()
        for text in figure.findobj(match=lambda artist: hasattr(artist, "get_text") and bool(artist.get_text())):
            if text.get_visible() and text.get_text() not in ("", " "):
                box = text.get_window_extent()
                if np.isfinite(box.bounds).all() and box.width > 0 and len(text.get_text()) > 20:
                    assert box.x0 >= -2, text.get_text()
                    assert box.x1 <= width + 2, text.get_text()
                    assert box.y0 >= -2, text.get_text()
                    assert box.y1 <= height + 2, text.get_text()


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
