"""The code in the documents runs as it stands there."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def blocks(name: str) -> list[str]:
    return re.findall(
        r"^```python\n(.*?)^```", (ROOT / name).read_text(encoding="utf8"), flags=re.MULTILINE | re.DOTALL
    )


@pytest.mark.fit
@pytest.mark.parametrize("name", ["README.md", "docs/extending.md"])
def test_code_blocks_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # examples may save pictures
    monkeypatch.setenv("MPLBACKEND", "Agg")
    found = blocks(name)
    assert found
    document = types.ModuleType("document")
    monkeypatch.setitem(sys.modules, "document", document)  # dataclasses look their module up
    namespace = vars(document)
    for i, block in enumerate(found):
        # Blocks of one document build on each other, as a reader would run them.
        exec(compile(block, f"{name} block {i}", "exec"), namespace)
    assert capsys.readouterr().out


def test_pictures_of_the_readme_exist() -> None:
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf8"))
    assert pictures
    for picture in pictures:
        assert (ROOT / picture).is_file(), picture
