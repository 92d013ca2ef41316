"""`save` and `load`: the same result on another day, and never a damaged one or the loss of an older file."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import fuzz_results
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesgmm as bg
from bayesgmm import ddpcr, traits
from bayesgmm.results import _replace
from tests.inference.conftest import fit, two_groups
from tests.quantified import quantified

ROOT = Path(__file__).resolve().parents[2]
FORMS = (".nc", ".zarr")

READ = """
import sys
import bayesgmm as bg
fit = bg.load(sys.argv[1])
bg.save(bg.predict(fit), sys.argv[2])
bg.save(bg.predict(fit, [[0.0, 0.0], [7.0, 5.0]]), sys.argv[3])
bg.summary(fit).to_pickle(sys.argv[4])
bg.save(bg.relabel(fit), sys.argv[5])
"""


@pytest.fixture(scope="module")
def other_fits():
    rows = two_groups()
    dated = pd.DataFrame(rows, columns=["a", "ö"], index=pd.date_range("2020-01-01", periods=len(rows)))
    groups = bg.as_data(rows, groups=np.repeat(["x", "y"], 30), counts=np.resize([1, 2], 60))
    holes = rows.copy()
    holes[3, 1] = np.nan
    number = bg.GaussianMixture(1 + bg.Poisson(1.0))
    names = bg.GaussianMixture(2, component_names=["kurz", "länger"])
    return {
        "dates and names": fit(names, dated, bg.EM(threads=1)),
        "groups and counts": fit(bg.GaussianMixture(2), groups, bg.Laplace(draws=60, threads=1)),
        "holes": fit(bg.GaussianMixture(2), holes, bg.Laplace(draws=60, threads=1)),
        "unknown number": fit(number, rows, bg.Gibbs(sweeps=200)),
    }


@pytest.mark.parametrize("form", FORMS)
def test_another_process_gets_the_same(vb_fit, tmp_path, form):
    bg.save(vb_fit, tmp_path / f"fit{form}")
    paths = [tmp_path / name for name in ("a.nc", "b.nc", "c.pickle", "d.nc")]
    subprocess.run([sys.executable, "-c", READ, tmp_path / f"fit{form}", *paths], check=True, cwd=ROOT)
    new = pd.DataFrame([[0.0, 0.0], [7.0, 5.0]], columns=["length", "width"])
    assert bg.load(paths[0]).identical(bg.predict(vb_fit))
    assert bg.load(paths[1]).equals(bg.predict(vb_fit, new))
    pd.testing.assert_frame_equal(pd.read_pickle(paths[2]), bg.summary(vb_fit), check_exact=True)
    assert bg.load(paths[3])["relabelling"].identical(bg.relabel(vb_fit)["relabelling"])


@pytest.mark.fit
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.filterwarnings("ignore::bayesgmm.NotConvergedWarning")
def test_every_kind_of_fit_comes_back_as_it_was(other_fits, vb_fit, tmp_path, form):
    for i, (name, result) in enumerate({**other_fits, "vb": vb_fit}.items()):
        path = bg.save(result, tmp_path / f"{i}{form}")
        again = bg.load(path)
        assert again.identical(result), name
        assert list(again.children) == list(result.children), name
        assert bg.predict(again).identical(bg.predict(result)), name
        assert bg.summary(again).equals(bg.summary(result)), name
        assert bg.diagnose(again).identical(bg.diagnose(result)), name
        engine = "h5netcdf" if form == ".nc" else "zarr"
        with xr.open_datatree(path, engine=engine) as opened:  # by xarray as well, and still checked
            assert bg.summary(opened).equals(bg.summary(result)), name


@pytest.mark.fit
@pytest.mark.parametrize("form", FORMS)
def test_tables_come_back_as_they_were(vb_fit, tmp_path, form):
    plate, result = quantified()
    measured = [[i + e for e in (-0.1, 0.0, 0.1)] for i in range(12)]
    rows = two_groups(d=1)
    tables = {
        "compare_components": bg.compare_components(
            bg.GaussianMixture(1), rows, n_components=[1, 2], criteria=["bic", "icl"], random_seed=1, progressbar=False
        ),
        "quantify": result,
        "repeatability": traits.repeatability(measured),
        "predict": bg.predict(vb_fit),
        "merge_components": bg.merge_components(vb_fit),
    }
    for name, table in tables.items():
        path = bg.save(table, tmp_path / f"{name}{form}")
        assert bg.load(path).identical(table), name
    model, _ = ddpcr.well_model(bg.load(tmp_path / f"quantify{form}"), plate, "A01", "Ch1")
    assert model == ddpcr.well_model(result, plate, "A01", "Ch1")[0]
    bg.plots.plot_merging(bg.load(tmp_path / f"merge_components{form}"))


@pytest.mark.parametrize("form", FORMS)
def test_an_older_file_is_replaced_and_nothing_is_left_beside_it(vb_fit, em_fit, tmp_path, form):
    path = tmp_path / f"fit{form}"
    bg.save(vb_fit, path)
    bg.save(em_fit, path)
    assert bg.load(path).identical(em_fit)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("form", FORMS)
def test_behind_a_link_the_file_is_replaced_and_the_link_stays(vb_fit, em_fit, tmp_path, form):
    (tmp_path / "there").mkdir()
    link, path = tmp_path / f"link{form}", tmp_path / "there" / f"fit{form}"
    bg.save(vb_fit, path)
    link.symlink_to(path)
    assert bg.save(em_fit, link) == path.resolve()
    assert link.is_symlink()
    assert bg.load(path).identical(em_fit)


@contextmanager
def small_files(size):
    """A limit on the size of files, which ends a write as a full disk does; no longer than the write lasts."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.fit
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [0, 300, 5_000])
def test_a_full_disk_is_an_error_and_costs_nothing(vb_fit, em_fit, tmp_path, form, size):
    path = tmp_path / f"fit{form}"
    bg.save(vb_fit, path)
    kept = "the result was not saved; what was there before is as it was"
    with pytest.raises(OSError, match=kept) as caught, small_files(size):
        bg.save(em_fit, path)
    assert caught.value.errno == errno.EFBIG
    assert caught.value.filename == str(path)
    with pytest.raises(OSError, match=r"the result was not saved\. Make room"), small_files(size):
        bg.save(em_fit, tmp_path / f"new{form}")
    assert os.listdir(tmp_path) == [path.name]
    assert bg.load(path).identical(vb_fit)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("step", ["write", "fsync", "rename"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_whatever_stops_a_save_costs_nothing(vb_fit, em_fit, tmp_path, monkeypatch, form, step, error):
    path = tmp_path / f"fit{form}"
    bg.save(vb_fit, path)

    def fail(*_):
        raise error

    if step == "write":
        monkeypatch.setattr(_replace, "_write", fail)
    elif step == "fsync":
        monkeypatch.setattr(_replace.os, "fsync", fail)
    else:
        rename = os.rename
        # The first rename puts the older folder aside; the one that fails comes after it.
        monkeypatch.setattr(_replace.os, "replace", fail)
        monkeypatch.setattr(_replace.os, "rename", lambda a, b: fail() if str(a).endswith(".part") else rename(a, b))
    with pytest.raises(type(error)):
        bg.save(em_fit, path)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == [path.name]
    assert bg.load(path).identical(vb_fit)


@pytest.mark.parametrize("form", FORMS)
def test_writing_is_not_permitted(vb_fit, tmp_path, monkeypatch, form):
    def refused(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(_replace, "_write", refused)
    with pytest.raises(PermissionError, match="Permission denied: the result was not saved"):
        bg.save(vb_fit, tmp_path / f"fit{form}")


@pytest.mark.fit
def test_damaged_files_are_refused():
    """The study of benchmarks/fuzz_results.py, in small."""
    counts, findings = fuzz_results.fuzz_files(40, seed=3)
    assert not findings
    assert {how for _, how in counts} == {"refused"}


def test_files_of_others_are_refused(vb_fit, tmp_path):
    vb_fit.to_netcdf(tmp_path / "fit.nc")
    (tmp_path / "empty.nc").touch()
    (tmp_path / "text.nc").write_text("a,b\n1,2\n" * 100)
    (tmp_path / "other.zarr").mkdir()
    for name, message in {
        "fit.nc": "was not written by save, or its end is missing",
        "empty.nc": "was not written by save",
        "text.nc": "was not written by save",
        "other.zarr": "was not written by save",
        "absent.nc": "there is no",
        "absent.zarr": "there is no",
    }.items():
        with pytest.raises(bg.InputError, match=f"path: .*{message}"):
            bg.load(tmp_path / name)


def test_a_file_of_another_schema_says_what_to_do(vb_fit, tmp_path, monkeypatch):
    from bayesgmm import _schema

    path = bg.save(vb_fit, tmp_path / "fit.nc")
    monkeypatch.setattr(_schema, "SCHEMA_VERSION", 2)
    with pytest.raises(
        bg.InputError, match=r"path: has the schema version 1 .* reads 2. Read it with the bayesgmm that"
    ):
        bg.load(path)


@pytest.mark.parametrize("path", ["fit", "fit.csv", "fit.nc\0", b"fit.nc", 3, None, "", ".nc"])
def test_paths_that_are_none(vb_fit, path):
    for call in (lambda: bg.save(vb_fit, path), lambda: bg.load(path)):
        with pytest.raises(bg.InputError, match="path: got"):
            call()


def test_places_where_nothing_is_written(vb_fit, tmp_path):
    (tmp_path / "mine.zarr").mkdir()
    (tmp_path / "mine.zarr" / "thesis.txt").write_text("all of it")
    (tmp_path / "folder.nc").mkdir()
    (tmp_path / "file.zarr").touch()
    for name, message in {
        "mine.zarr": "is a folder that save did not write",
        "folder.nc": "is a folder. A .zarr is a folder, and a .nc is a file",
        "file.zarr": "is a file",
        "nowhere/fit.nc": "there is no folder",
    }.items():
        with pytest.raises(bg.InputError, match=f"path: .*{message}"):
            bg.save(vb_fit, tmp_path / name)
    assert (tmp_path / "mine.zarr" / "thesis.txt").read_text() == "all of it"


def test_what_cannot_be_saved(vb_fit, tmp_path):
    path = tmp_path / "fit.nc"
    for result, message in (
        (bg.summary(vb_fit), "result: got SummaryTable.*to_csv"),
        (3, "result: got int"),
        (xr.DataTree.from_dict({"/a": xr.Dataset({"x": 1.0})}), "result: got DataTree, which has no schema version"),
    ):
        with pytest.raises(bg.InputError, match=message):
            bg.save(result, path)
    for value in (None, {"a": 1}, True, 1 + 2j, "a\0b", "\ud800", 10**400, [], ["a", None]):
        out = vb_fit.copy()
        out.attrs["mine"] = value
        with pytest.raises(bg.InputError, match=r"the attribute 'mine' of '' is .*, which a file cannot hold"):
            bg.save(out, path)
    for values in (np.array([1j]), np.array([object()]), np.array(["a\0b"], dtype=object), np.array([{}])):
        with pytest.raises(bg.InputError, match=r"'mine' holds .*, which a file cannot hold"):
            bg.save(xr.Dataset({"mine": ("n", values)}), path)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("form", FORMS)
def test_what_users_added_is_saved(vb_fit, tmp_path, form):
    out = bg.add_log_likelihood(vb_fit)
    out.attrs |= {"mine": "text", "empty": "", "numbers": [1.5, 2.5], "number": 3}
    table = out["assignments"].to_dataset()
    out["assignments"] = table.assign(seen=table["label_probability"] > 0.9, when=("obs", np.full(60, "2020-01-01")))
    again = bg.load(bg.save(out, tmp_path / f"fit{form}"))
    assert again["log_likelihood"].identical(out["log_likelihood"])
    assert again["assignments"].identical(out["assignments"])
    assert again.attrs["mine"] == "text"
    assert np.asarray(again.attrs["numbers"]).tolist() == [1.5, 2.5]
