"""Results of a long study as lines of JSON, so that it can be stopped and goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def read(path: Path) -> list[Record]:
    """All records of a file; a line that was cut off by a stop is left out."""
    found = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            print(f"left out a line that was cut off: {line[:60]}...")
    return found


def append(path: Path, record: Record) -> None:
    """Write one record, after a line break where the file ends within a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as out:
        out.seek(max(0, out.seek(0, 2) - 1))
        cut_off = out.read(1) not in (b"", b"\n")
        out.write(("\n" * cut_off + json.dumps(record) + "\n").encode())


def work_off(jobs: Sequence[Any], one: Callable[[Any], Record], path: Path, workers: int) -> None:
    """Append the record of every job as soon as it is there. More than one worker are processes of their own."""
    if workers == 1:
        for job in jobs:
            append(path, one(job))
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for finished in as_completed([pool.submit(one, job) for job in jobs]):
            append(path, finished.result())
