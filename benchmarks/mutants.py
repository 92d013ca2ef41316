"""Mutants of one line, drawn from all that are made: each must make a test of its room fail.

    python benchmarks/mutants.py [--seed 1] [--each 5] [--rooms data model] [--show]

Comparisons are swapped with their neighbours, `+` with `-`, `*` with `/`, `and` with `or`, `not` is removed, numbers
and truth values are changed. The package is copied and changed there, and the fast tests of the room run on the copy,
those whose names speak of the file first. A mutant that survives is either a test that is missing or no other program.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent.parent
LIMIT_S = 240.0

# Files of a room, as patterns below `bayesgmm`, and its tests below `tests`, in the order in which they are tried.
ROOMS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "data": (("data/*.py",), ("data", "inference/test_assignments.py", "inference/test_new_rows.py")),
    "model": (
        ("model/*.py",),
        ("model", "engines/test_objective.py", "engines/test_linked.py", "engines/test_pymc_model.py"),
    ),
    "engines": (
        ("engines/*.py", "numerics/*.py"),
        (
            "engines/test_objective.py", "engines/test_optima.py", "engines/test_hills.py", "engines/test_newton.py",
            "engines/test_em.py", "engines/test_vb.py", "engines/test_laplace.py", "engines/test_nested.py",
            "engines/test_measured.py", "engines/test_missing.py", "engines/test_groups.py", "engines/test_gibbs.py",
            "engines/test_native_density.py", "engines/test_convergence.py", "engines/test_equivariance.py", "numerics",
        ),
    ),
    "evidence": (
        (
            "inference/evidence.py", "inference/_evidence*.py", "inference/component_counts.py", "inference/_assess.py",
            "inference/_readings.py", "inference/_visited.py", "engines/_bridge.py", "engines/_importance.py",
            "engines/_enumeration.py", "engines/_weighed.py", "engines/_labels.py",
        ),
        ("inference/test_evidence.py", "inference/test_compare_components.py", "engines/test_laplace.py"),
    ),
    "results": (("results/*.py",), ("results", "inference/test_roundtrip.py", "inference/test_align.py")),
    "ddpcr": (("ddpcr/*.py",), ("ddpcr",)),
}  # fmt: skip

SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Add: ast.Sub, ast.Sub: ast.Add,
    ast.Mult: ast.Div, ast.Div: ast.Mult, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """A file below the repository, the place of an expression in it, and what stands there instead."""

    path: str
    line: int
    begin: int  # of the source in bytes
    end: int
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.before}  ->  {self.after}"


def mutants_of(path: Path) -> list[Mutant]:
    """All mutants of one file."""
    source = path.read_bytes()
    starts = np.concatenate([[0], np.cumsum([len(line) for line in source.splitlines(keepends=True)])])
    found = []
    for node, changed in _changes(ast.parse(source)):
        begin = int(starts[node.lineno - 1]) + node.col_offset
        end = int(starts[node.end_lineno - 1]) + node.end_col_offset
        before = source[begin:end].decode()
        if "\n" not in before:
            after = ast.unparse(changed)
            after = f"({after})" if isinstance(changed, (ast.BoolOp, ast.Compare, ast.UnaryOp, ast.BinOp)) else after
            found.append(Mutant(str(path.relative_to(HERE)), node.lineno, begin, end, before, after))
    return found


def _changes(tree: ast.Module) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Expressions and what they become; annotations and texts are left alone."""
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.AnnAssign, ast.arg)) and node.annotation is not None:
            skipped.update(ast.walk(node.annotation))
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.returns is not None:
            skipped.update(ast.walk(node.returns))
        elif isinstance(node, (ast.JoinedStr, ast.Raise)):
            skipped.update(ast.walk(node))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        match node:
            case ast.Compare() if len(node.ops) == 1 and type(node.ops[0]) in SWAPS:
                changed = copy.deepcopy(node)
                changed.ops = [SWAPS[type(node.ops[0])]()]  # type: ignore[list-item]
                yield node, changed
            case ast.BinOp() | ast.BoolOp() if type(node.op) in SWAPS:
                changed = copy.deepcopy(node)
                changed.op = SWAPS[type(node.op)]()  # type: ignore[assignment]
                yield node, changed
            case ast.UnaryOp(op=ast.Not()):
                yield node, node.operand
            case ast.Constant(value=bool()):
                yield node, ast.Constant(not node.value)
            case ast.Constant(value=int()):
                yield node, ast.Constant(node.value + 1)
            case ast.Constant(value=float()):
                yield node, ast.Constant(2.0 * node.value or 1.0)


def drawn(room: str, each: int, seed: int) -> list[Mutant]:
    """So many mutants of a room."""
    files = sorted({path for pattern in ROOMS[room][0] for path in (HERE / "bayesgmm").glob(pattern)})
    every = [mutant for path in files for mutant in mutants_of(path)]
    rng = np.random.default_rng([seed, list(ROOMS).index(room)])
    return [every[i] for i in rng.choice(len(every), each, replace=False)]


def tests_of(room: str, path: str) -> list[str]:
    """Test files of a room, those first whose names share a word with the file."""
    found: list[str] = []
    for each in ROOMS[room][1]:
        place = HERE / "tests" / each
        found += [str(f.relative_to(HERE)) for f in ([place] if place.is_file() else sorted(place.glob("test_*.py")))]
    words = set(Path(path).stem.strip("_").split("_"))
    return sorted(found, key=lambda file: not words & set(Path(file).stem.split("_")))


def tried(mutant: Mutant, room: str) -> str:
    """ "killed" with the test that failed, "survived", or "too slow", which is killed as well."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("bayesgmm", "tests", "benchmarks", "pyproject.toml", "README.md", "docs", "examples"):
            source, target = HERE / name, Path(folder) / name
            shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
        place = Path(folder) / mutant.path
        source = place.read_bytes()
        place.write_bytes(source[: mutant.begin] + mutant.after.encode() + source[mutant.end :])
        command = [
            sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-n", "0", "-p", "no:cacheprovider", "-m", "fast",
            *tests_of(room, mutant.path),
        ]  # fmt: skip
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=os.environ | {"PYTHONPATH": folder},
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
            )
        except subprocess.TimeoutExpired:
            return f"not told within {LIMIT_S:.0f} s"
    if done.returncode == 0:
        return "survived"
    lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return f"killed by {lines[0].split(' ')[1] if lines else done.stderr.strip().splitlines()[-1:]}"


def run(seed: int, each: int, rooms: list[str], report: Callable[[str], None] = print) -> int:
    """Try the mutants and count those that live."""
    alive = 0
    for room in rooms:
        for mutant in drawn(room, each, seed):
            began = time.monotonic()
            what = tried(mutant, room)
            alive += not what.startswith("killed")
            report(f"{room:9} {mutant}\n          {what}  ({time.monotonic() - began:.0f} s)")
    report(f"\n{each * len(rooms)} mutants, {alive} not killed")
    return alive


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--each", type=int, default=5)
    parser.add_argument("--rooms", nargs="*", default=list(ROOMS), choices=list(ROOMS))
    parser.add_argument("--show", action="store_true", help="only list them")
    options = parser.parse_args()
    if options.show:
        for room in options.rooms:
            print("\n".join(f"{room:9} {mutant}" for mutant in drawn(room, options.each, options.seed)))
    else:
        raise SystemExit(run(options.seed, options.each, options.rooms) > 0)
