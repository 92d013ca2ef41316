"""Every script of benchmarks/ can at least be loaded with the package as it is."""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
LOAD = (
    "import importlib, sys; sys.path.insert(0, sys.argv[1]); [importlib.import_module(name) for name in sys.argv[2:]]"
)


def test_all_scripts_import():
    scripts = sorted(path.stem for path in FOLDER.glob("[a-z]*.py"))
    assert len(scripts) > 10
    # A process of its own: they set numbers of threads, which has to be done before numpy is loaded.
    done = subprocess.run([sys.executable, "-c", LOAD, str(FOLDER), *scripts], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
