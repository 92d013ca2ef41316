"""Imports run down the layers only. The source is read, so that imports inside functions count too."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAX_LINES = 400

# From top to bottom; names in one row do not import each other.
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"__main__"}),
    frozenset({"cli", "sklearn"}),
    frozenset({"report"}),
    frozenset({"traits", "ddpcr", "plots"}),
    frozenset({"inference"}),
    frozenset({"results"}),
    frozenset({"engines"}),
    frozenset({"model", "data"}),
    frozenset({"numerics"}),
    frozenset({"_schema", "_errors", "_status", "_version", "_words", "_arguments", "_interrupts", "_spreadsheet"}),
)
DEPTH = {name: depth for depth, row in enumerate(LAYERS) for name in row}
# The bottom row is one layer of small shared modules: a schema check has to be able to raise one of our errors.
MAY_IMPORT_ITS_ROW = LAYERS[-1]

NOT_IN_NUMERICS = frozenset(
    {"xarray", "pandas", "narwhals", "matplotlib", "arviz", "arviz_base", "arviz_stats", "arviz_plots", "pymc"}
)
NOT_LOADED_BY_PACKAGE = NOT_IN_NUMERICS - {"xarray", "pandas", "narwhals"} | {"numba"}


def module_name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imported(path: str, source: str, modules: frozenset[str]) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of everything that one file imports, also by `import_module` with a literal name.

    `from a import b` counts as `a.b` if that is one of `modules`, else as `a`.
    """
    package = module_name(path) if path.endswith("/__init__.py") else module_name(path).rpartition(".")[0]

    def absolute(name: str, level: int) -> str:
        if level == 0:
            return name
        parent = package.split(".")[: len(package.split(".")) - (level - 1)]
        return ".".join([*parent, name] if name else parent)

    for node in ast.walk(ast.parse(source, filename=path)):
        match node:
            case ast.Import():
                yield from ((node.lineno, alias.name) for alias in node.names)
            case ast.ImportFrom():
                base = absolute(node.module or "", node.level)
                for alias in node.names:
                    full = f"{base}.{alias.name}"
                    yield node.lineno, full if full in modules else base
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                level = len(name) - len(name.lstrip("."))
                yield node.lineno, absolute(name[level:], level)


def complaint(importer: str, target: str) -> str | None:
    """Why `importer` must not import `target` (absolute names), or None if it may."""
    _, unit, *inner = importer.split(".")
    if unit == "numerics" and target.split(".")[0] in NOT_IN_NUMERICS:
        return f"numerics works on plain arrays, without {target.split('.')[0]}"
    if target.split(".")[0] != "bayesgmm":
        return None
    if target == "bayesgmm":
        return "the package itself lies above all layers; import from the module that owns the name"

    _, target_unit, *target_inner = target.split(".")
    if unit == target_unit:
        return engines_complaint(inner, target_inner) if unit == "engines" else None
    if unit == "datasets":
        return None if target_unit in LAYERS[-1] - {"_schema"} else "datasets stands alone, but for the lowest layer"
    if target_unit not in DEPTH:
        return f"{target_unit} is not in the table of layers, nothing may import it"
    if unit not in DEPTH:
        return None  # `violations` has already said that the importer has no layer
    if DEPTH[unit] < DEPTH[target_unit] or {unit, target_unit} <= MAY_IMPORT_ITS_ROW:
        return None
    return f"{target_unit} is not below {unit}"


def engines_complaint(inner: list[str], target_inner: list[str]) -> str | None:
    """The rule inside `engines`: concrete engines see shared modules, shared modules see no concrete engine."""
    if not inner:  # engines/__init__.py collects the engines
        return None
    if not target_inner:
        return "engines/__init__.py loads every engine; import the module that is meant"
    name, target = inner[0], target_inner[0]
    if target == name or target == "base" or target.startswith("_"):
        return None
    return f"engines.{name} must not know engines.{target}"


def violations(sources: dict[str, str]) -> list[str]:
    """Every broken rule in a tree of sources, given by their paths from the root of the repository."""
    modules = frozenset(module_name(path) for path in sources)
    found, with_pymc = [], []
    for path, source in sources.items():
        lines = len(source.splitlines())
        if lines > MAX_LINES:
            found.append(f"{path}: {lines} lines, at most {MAX_LINES}")
        imports = list(imported(path, source, modules))
        if any(target.split(".")[0] == "pymc" for _, target in imports):
            with_pymc.append(path)
        if path == "bayesgmm/__init__.py":
            continue
        unit = module_name(path).split(".")[1]
        if unit not in DEPTH and unit != "datasets":
            found.append(f"{path}: {unit} has no layer; give it one in {Path(__file__).name}")
        for line, target in imports:
            reason = complaint(module_name(path), target)
            if reason:
                found.append(f"{path}:{line}: imports {target}: {reason}")
    if len(with_pymc) > 1:
        found.append(f"pymc is imported in more than one module: {', '.join(sorted(with_pymc))}")
    return found


def loaded_by(statement: str, names: frozenset[str]) -> set[str]:
    """Those of `names` that a new interpreter has loaded after `statement`."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return names & set(run.stdout.split())


def test_package_keeps_its_layers():
    files = sorted((ROOT / "bayesgmm").rglob("*.py"))
    sources = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in files}
    assert "bayesgmm/_errors.py" in sources  # else the check below has looked at nothing
    found = violations(sources)
    assert not found, "\n" + "\n".join(found)


def test_import_of_package_is_light():
    assert loaded_by("import bayesgmm", NOT_LOADED_BY_PACKAGE) == set()


def test_probe_of_light_import_sees_what_is_loaded():
    assert loaded_by("import matplotlib", NOT_LOADED_BY_PACKAGE) == {"matplotlib"}


TREE = {
    "bayesgmm/__init__.py": "from bayesgmm.inference import fit\n",
    "bayesgmm/_errors.py": "",
    "bayesgmm/_schema.py": "",
    "bayesgmm/cli.py": "",
    "bayesgmm/data.py": "",
    "bayesgmm/datasets/__init__.py": "",
    "bayesgmm/engines/__init__.py": "from bayesgmm.engines.em import EM\nfrom . import vb\n",
    "bayesgmm/engines/_starts.py": "",
    "bayesgmm/engines/base.py": "",
    "bayesgmm/engines/em.py": "",
    "bayesgmm/engines/vb/__init__.py": "",
    "bayesgmm/engines/vb/_bound.py": "",
    "bayesgmm/inference.py": "",
    "bayesgmm/model/__init__.py": "",
    "bayesgmm/model/weights.py": "",
    "bayesgmm/numerics/__init__.py": "",
    "bayesgmm/numerics/kernels.py": "",
    "bayesgmm/plots.py": "",
    "bayesgmm/results.py": "",
    "bayesgmm/traits.py": "",
}


def test_clean_fake_tree_has_no_violations():
    assert violations(TREE) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("bayesgmm/cli.py", "from bayesgmm.inference import fit"),
        ("bayesgmm/engines/em.py", "from .base import Engine\nfrom . import _starts\nfrom ..numerics import kernels"),
        ("bayesgmm/engines/vb/__init__.py", "from ._bound import bound\nfrom bayesgmm.engines._starts import starts"),
        ("bayesgmm/engines/vb/_bound.py", "from bayesgmm.model.weights import Dirichlet\nfrom ... import data"),
        ("bayesgmm/model/__init__.py", "from .weights import Dirichlet"),
        ("bayesgmm/numerics/kernels.py", "import numpy, scipy.special, numba"),
        ("bayesgmm/_schema.py", "from bayesgmm._errors import InputError"),
        ("bayesgmm/datasets/__init__.py", "from bayesgmm._errors import InputError\nimport pandas"),
        ("bayesgmm/inference.py", "import pymc"),
        ("bayesgmm/model/weights.py", '"""\nimport bayesgmm.engines\n"""  # import bayesgmm.engines'),
    ],
)
def test_checker_allows_what_runs_down(path, source):
    assert violations(TREE | {path: source}) == []


@pytest.mark.parametrize(
    ("path", "source", "target"),
    [
        ("bayesgmm/model/weights.py", "import bayesgmm.inference", "bayesgmm.inference"),
        ("bayesgmm/model/weights.py", "from bayesgmm.inference import fit", "bayesgmm.inference"),
        ("bayesgmm/model/weights.py", "from ..inference import fit", "bayesgmm.inference"),
        ("bayesgmm/model/weights.py", "from .. import inference as i", "bayesgmm.inference"),
        ("bayesgmm/model/__init__.py", "from ..data import Data", "bayesgmm.data"),
        ("bayesgmm/data.py", "def f():\n    from bayesgmm.model import weights", "bayesgmm.model.weights"),
        ("bayesgmm/data.py", "if TYPE_CHECKING:\n    import bayesgmm.results", "bayesgmm.results"),
        ("bayesgmm/data.py", "import importlib\nimportlib.import_module('bayesgmm.cli')", "bayesgmm.cli"),
        ("bayesgmm/data.py", "import_module('.cli', package=__package__)", "bayesgmm.cli"),
        ("bayesgmm/data.py", "from bayesgmm import GaussianMixture", "bayesgmm"),
        ("bayesgmm/data.py", "from bayesgmm import datasets", "bayesgmm.datasets"),
        ("bayesgmm/data.py", "from bayesgmm.new import x", "bayesgmm.new"),
        ("bayesgmm/traits.py", "import bayesgmm.plots", "bayesgmm.plots"),
        ("bayesgmm/_errors.py", "from bayesgmm.numerics import kernels", "bayesgmm.numerics.kernels"),
        ("bayesgmm/datasets/__init__.py", "from bayesgmm._schema import check", "bayesgmm._schema"),
        ("bayesgmm/engines/em.py", "from bayesgmm.engines.vb import VB", "bayesgmm.engines.vb"),
        ("bayesgmm/engines/em.py", "from .vb._bound import bound", "bayesgmm.engines.vb._bound"),
        ("bayesgmm/engines/em.py", "from . import VB", "bayesgmm.engines"),
        ("bayesgmm/engines/vb/_bound.py", "from ..em import EM", "bayesgmm.engines.em"),
        ("bayesgmm/engines/base.py", "from bayesgmm.engines import em", "bayesgmm.engines.em"),
        ("bayesgmm/engines/_starts.py", "from bayesgmm.engines.em import EM", "bayesgmm.engines.em"),
        ("bayesgmm/numerics/kernels.py", "def f():\n    import arviz.stats", "arviz.stats"),
        ("bayesgmm/numerics/__init__.py", "from xarray import DataTree", "xarray"),
    ],
)
def test_checker_finds_a_violation(path, source, target):
    (found,) = violations(TREE | {path: source})
    assert found.startswith(f"{path}:{source.count('\n') + 1}: imports {target}: ")


def test_checker_finds_a_module_without_a_layer():
    assert violations(TREE | {"bayesgmm/extra.py": ""}) == [
        "bayesgmm/extra.py: extra has no layer; give it one in test_layers.py"
    ]


def test_checker_finds_pymc_in_two_modules():
    twice = {"bayesgmm/inference.py": "import pymc as pm", "bayesgmm/plots.py": "def f():\n    from pymc import Model"}
    assert violations(TREE | twice) == [
        "pymc is imported in more than one module: bayesgmm/inference.py, bayesgmm/plots.py"
    ]


def test_checker_finds_a_long_module():
    assert violations(TREE | {"bayesgmm/data.py": "x = 1\n" * MAX_LINES}) == []
    assert violations(TREE | {"bayesgmm/data.py": "x = 1\n" * (MAX_LINES + 1)}) == [
        "bayesgmm/data.py: 401 lines, at most 400"
    ]
