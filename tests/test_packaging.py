"""What package indexes, type checkers and those who cite look for."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import bayesgmm as bg
from bayesgmm import _version
from bayesgmm.cli import main

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_version_is_that_of_the_project_everywhere():
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert bg.__version__ == PROJECT["version"]
    assert f"\nversion: {PROJECT['version']}\n" in cited
    assert f"\nlicense: {PROJECT['license']}\n" in cited


def test_version_of_a_folder_of_sources(monkeypatch, tmp_path):
    def absent(name):
        raise _version.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(_version.metadata, "version", absent)
    _version.version.cache_clear()
    assert _version.version() == PROJECT["version"]
    monkeypatch.setattr(_version, "__file__", str(tmp_path / "bayesgmm" / "_version.py"))
    _version.version.cache_clear()
    assert _version.version() == "unknown"
    for text in ('[project]\nname = "other"\nversion = "9"\n', "[project", "[tool]\nx = 1\n"):
        (tmp_path / "pyproject.toml").write_text(text)
        _version.version.cache_clear()
        assert _version.version() == "unknown"
    _version.version.cache_clear()


def test_types_are_announced():
    assert (Path(bg.__file__).parent / "py.typed").is_file()
    assert "Typing :: Typed" in PROJECT["classifiers"]


def test_every_python_that_is_allowed_is_classified():
    classified = {each.rpartition(" ")[2] for each in PROJECT["classifiers"] if each.startswith("Programming Language")}
    assert {"3.12", "3.13", "3.14"} <= classified
    assert PROJECT["requires-python"] == ">=3.12"


@pytest.mark.parametrize(
    "name", ["README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "CITATION.cff"]
)
def test_files_that_people_look_for(name):
    assert (ROOT / name).stat().st_size > 200


def test_help_has_no_empty_name(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "usage: bayesgmm [-h] [--version] command ..." in text
    lines = text.splitlines()
    assert all(not (line != "" and line.strip() == "") for line in lines)
    assert any(line.split()[:1] == ["ddpcr"] for line in lines)


def test_version_from_the_command_line():
    done = subprocess.run([sys.executable, "-m", "bayesgmm", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"bayesgmm {PROJECT['version']}"
