"""Which version this is."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path


def package_version() -> str:
    """The version that was installed, or that of the folder of sources in which this file lies."""
    try:
        return metadata.version("bayesgmm")
    except metadata.PackageNotFoundError:
        pass
    try:
        with (Path(__file__).parents[1] / "pyproject.toml").open("rb") as file:
            project = tomllib.load(file).get("project", {})
    except (OSError, tomllib.TOMLDecodeError):
        project = {}
    return str(project["version"]) if project.get("name") == "bayesgmm" else "unknown"
