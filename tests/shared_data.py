"""Reference data sets that are too large or too many to ship: a folder beside the project, where it exists."""

import json
from pathlib import Path

import pandas as pd
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data"


def _file(data_set: str, name: str) -> Path:
    path = FOLDER / data_set / name
    if not path.exists():
        pytest.skip(f"needs the reference data {data_set}/{name}, looked for in {FOLDER}")
    return path


def table(data_set: str, name: str = "data.csv") -> pd.DataFrame:
    """A table, or skip the test that asks for it."""
    return pd.read_csv(_file(data_set, name), comment="#")


def reference(data_set: str) -> dict:
    """The numbers that other programs found, or skip the test that asks for them."""
    return json.loads(_file(data_set, "reference.json").read_text(encoding="utf-8"))
