"""The page holds what is in the result, and nothing from outside."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

import bayesgmm as bg
from bayesgmm._spreadsheet import unguarded
from bayesgmm.report._tables import FILES
from tests.quantified import NAMES, quantified

VOID = {"meta", "img", "br", "path", "image", "link"}


class Page(HTMLParser):
    """Text and attributes by tag; complains about tags that do not close."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.text, self.attributes = [], [], [], []
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    plate, result = quantified()
    before = plt.get_fignums()
    path = tmp_path_factory.mktemp("report") / "report.html"
    assert bg.report.write_report(result, plate, path, title="Plate <7> & more", command="bayesgmm ddpcr x") == path
    assert plt.get_fignums() == before
    source = path.read_text(encoding="utf-8")
    return source, Page(source)


def test_every_well_sample_and_channel_is_there(page):
    _, result = quantified()
    _, parsed = page
    for well in result["well"].values:
        assert parsed.text.count(str(well)) >= 4  # two histograms, a scatter plot, the table
    for name in [*NAMES, "Ch1", "Ch2", "0.85 nL", "stated by the user", "Plate <7> & more", "bayesgmm ddpcr x"]:
        assert name in parsed.words
    assert parsed.tags.count("svg") >= 3 * result.sizes["well"]
    assert parsed.tags.count("img") == 2 * result.sizes["channel"]


def test_every_flag_is_there(page):
    _, result = quantified()
    _, parsed = page
    flags = {each for flags in result["flags"].values.ravel() for each in str(flags).split("; ") if each}
    assert len(flags) > 3
    assert any(each.startswith("no droplets") for each in flags)
    for each in flags:
        assert each in parsed.words or each.startswith("no positives")
    assert parsed.words.index("fewer than") < parsed.words.index("Samples Sample")


def test_numbers_are_those_of_the_result(page):
    _, result = quantified()
    _, parsed = page
    for sample in NAMES:
        for channel in ("Ch1", "Ch2"):
            row = result.sel(sample=sample, channel=channel)
            lower, upper = (float(row[f"sample_copies_per_ul_{end}"]) for end in ("lower", "upper"))
            places = int(max(1 - np.floor(np.log10(upper - lower)), 0))
            assert f"{lower:,.{places}f} to {upper:,.{places}f}" in parsed.words
    blank = float(result["limit_of_blank"].sel(channel="Ch1"))
    assert re.search(rf"\b{blank:.2g}", parsed.words)


def test_names_are_escaped_and_nothing_is_loaded(page):
    source, parsed = page
    assert "script" not in parsed.tags
    assert "<script" not in source
    assert "&lt;script&gt;" in source
    links = [value for name, value in parsed.attributes if name in ("src", "href", "xlink:href")]
    assert links
    assert all(value.startswith(("data:image/png;base64,", "#")) for value in links)
    assert "http" not in source.replace("http-equiv", "")
    assert "@import" not in source
    assert not re.search(r"url\(", source)
    anchors = {value for name, value in parsed.attributes if name == "id"}
    assert {value[1:] for value in links if value.startswith("#")} <= anchors


def test_size_is_that_of_a_mail(page):
    source, _ = page
    assert len(source) < 6e6 * 7 / 96 + 1e6


def test_what_dmiqe_asks_for(page):
    _, parsed = page
    for item in ("Copies per partition", "Partition volume and its source", "Total volume", "Classification"):
        assert item in parsed.words
    for item in ("Controls without template", "Replication", "Variance and intervals"):
        assert item in parsed.words


def test_one_channel_without_controls(tmp_path):
    plate, result = quantified()
    part = result.sel(well=["A01", "B01"], channel=["Ch1"]).drop_dims("pair")
    part["flags"][:] = ""
    path = bg.report.write_report(part, plate.select(wells=["A01", "B01"]), tmp_path / "report")
    assert path.name == "report.html"
    parsed = Page(path.read_text(encoding="utf-8"))
    assert "None: no well and no channel needs a word" in parsed.words
    assert "None named." in parsed.words
    assert parsed.tags.count("img") == 2


def test_tables_are_the_result(tmp_path):
    _, result = quantified()
    written = bg.report.write_tables(result, tmp_path / "results.csv")
    assert [path.name for path in written] == [
        *(f"results{suffix}.csv" for suffix in FILES.values()),
        "results_columns.csv",
    ]
    seen = set()
    for dims, path in zip(FILES, written, strict=False):
        table = pd.read_csv(path, keep_default_na=False)
        seen |= set(table.columns)
        labels = [[unguarded(str(label)) for label in row] for row in table[list(dims)].to_numpy()]
        for name in set(table.columns) & set(map(str, result.data_vars)):
            values = result[name]
            for row, cell in zip(labels, table[name], strict=True):
                known = values.sel(
                    {dim: label for dim, label in zip(dims, row, strict=True) if dim in values.dims}
                ).item()
                read = (
                    np.nan
                    if cell == "" and isinstance(known, float)
                    else type(known)(unguarded(cell) if isinstance(known, str) else cell)
                )
                assert read == known or (read != read and known != known), (name, row)
    # Coordinates of the fit are for programs, not for tables.
    assert {str(name) for name in result.data_vars} - {"mode"} <= seen


def test_columns_are_explained(tmp_path):
    _, result = quantified()
    *tables, columns = bg.report.write_tables(result, tmp_path / "results.csv")
    told = pd.read_csv(columns, keep_default_na=False)
    for path in tables:
        names = path.read_text(encoding="utf-8").splitlines()[0].replace('"', "").split(",")
        assert told.loc[told["file"] == path.name, "column"].tolist() == names
    assert (told["meaning"] != "").all()
    units = told.set_index(["file", "column"])["unit"]
    assert units["results.csv", "copies_per_ul_total_upper"] == "copies per microlitre of reaction"
    assert units["results.csv", "threshold"] == "amplitude"


def test_text_is_quoted(tmp_path):
    _, result = quantified()
    first, *_ = bg.report.write_tables(result, tmp_path / "results.csv")
    line = next(line for line in first.read_text(encoding="utf-8").splitlines() if line.startswith('"A01","Ch1"'))
    assert '"<script>alert(1)</script>"' in line
    assert f'"{result["flags"].sel(well="A01", channel="Ch1").values}"' in line


def test_errors(tmp_path):
    plate, result = quantified()
    with pytest.raises(bg.InputError, match=r"Give what ddpcr\.quantify returned"):
        bg.report.write_report({}, plate, tmp_path / "report.html")
    with pytest.raises(bg.InputError, match="there is no folder"):
        bg.report.write_report(result, plate, tmp_path / "none" / "report.html")
    with pytest.raises(bg.InputError, match="is a folder"):
        bg.report.write_tables(result, tmp_path)
    with pytest.raises(bg.InputError, match="other wells or droplets"):
        bg.report.write_report(result, plate.select(wells="A01"), tmp_path / "report.html")
    with pytest.raises(bg.InputError, match="plate: got int"):
        bg.report.write_report(result, 3, tmp_path / "report.html")
