"""The version of this package, in one place."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path

UNKNOWN = "unknown"


@cache
def version() -> str:
    """What is installed; in a source folder that was never installed what its pyproject.toml says; else "unknown".

    Nothing that was computed may be lost because a version is not known.
    """
    try:
        # An installation that was cut short has a folder of metadata without the file that says the version.
        installed: str | None = metadata.version("bayesgmm")
    except (metadata.PackageNotFoundError, KeyError):
        installed = None
    return installed or _in_source_folder() or UNKNOWN


def _in_source_folder() -> str | None:
    file = Path(__file__).resolve().parents[1] / "pyproject.toml"
    try:
        project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
    except (OSError, ValueError):  # not there, not to be read, or no TOML
        return None
    named = isinstance(project, dict) and project.get("name") == "bayesgmm"
    return str(project["version"]) if named and "version" in project else None
