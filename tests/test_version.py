"""The version is said in one place, and nothing is lost where it is not known."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import bayesgmm as bg
from bayesgmm import _version
from tests.inference.conftest import EM, fit, two_groups

ROOT = Path(__file__).resolve().parents[1]
DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@pytest.fixture(autouse=True)
def _fresh():
    _version.version.cache_clear()
    yield
    _version.version.cache_clear()


def not_installed(name):
    raise importlib.metadata.PackageNotFoundError(name)


def test_it_is_that_of_the_installation():
    assert _version.version() == importlib.metadata.version("bayesgmm") == DECLARED


@pytest.mark.parametrize("found", [not_installed, lambda _: None])
def test_in_a_source_folder_it_is_the_declared_one(monkeypatch, found):
    monkeypatch.setattr(importlib.metadata, "version", found)
    assert _version.version() == DECLARED
    assert fit(bg.GaussianMixture(2), two_groups(), EM).attrs["inference_library_version"] == DECLARED


@pytest.mark.parametrize("text", [None, "", "[project", "project = 3", '[project]\nname = "other"\nversion = "9"'])
def test_elsewhere_it_is_unknown_and_a_fit_is_not_lost(monkeypatch, tmp_path, text):
    monkeypatch.setattr(importlib.metadata, "version", not_installed)
    (tmp_path / "package").mkdir()
    monkeypatch.setattr(_version, "__file__", str(tmp_path / "package" / "_version.py"))
    if text is not None:
        (tmp_path / "pyproject.toml").write_text(text)
    assert _version.version() == "unknown"
    result = fit(bg.GaussianMixture(2), two_groups(), EM)
    assert result.attrs["inference_library_version"] == "unknown"
    assert bg.load(bg.save(result, tmp_path / "fit.nc")).identical(result)


def test_without_an_installation_a_fit_ends_well(tmp_path):
    """The package alone on the path, as from a zip of its sources, without its metadata."""
    (tmp_path / "bayesgmm").symlink_to(ROOT / "bayesgmm")
    code = (
        "import importlib.metadata as m, sys\n"
        "real = m.version\n"
        "def version(name):\n"
        "    if name == 'bayesgmm': raise m.PackageNotFoundError(name)\n"
        "    return real(name)\n"
        "m.version = version\n"
        "import bayesgmm as bg\n"
        "fit = bg.fit(bg.GaussianMixture(2), bg.datasets.load_faithful(), engine=bg.EM(), progressbar=False)\n"
        "print(fit.attrs['inference_library_version'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.strip() == DECLARED  # the link leads to the source folder


def test_nothing_else_asks_for_it():
    asks = re.compile(r"importlib.metadata|metadata\.version\(")
    files = [path for path in (ROOT / "bayesgmm").rglob("*.py") if asks.search(path.read_text(encoding="utf-8"))]
    assert [path.name for path in files] == ["_version.py"]
