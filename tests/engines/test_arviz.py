"""What is loaded of ArviZ and nutpie behaves as the whole, and leaves nothing behind."""

import subprocess
import sys

import pytest

CODE = """
import sys
import numpy as np
from bayesgmm.engines import _arviz

stats = _arviz.array_stats()
loaded = [name for name in sys.modules if name.startswith(("arviz", "scipy.signal", "matplotlib"))]
assert not loaded, loaded
x = np.random.default_rng(0).normal(size=(4, 200))
r_hat, ess = float(stats.rhat(x)), float(stats.ess(x))
density = stats.kde(x[0])[1]  # loads what was left out

_arviz.nutpie()
_arviz.nutpie()
assert "arviz" not in sys.modules

import scipy.signal
import arviz_stats
from arviz_stats.base import array_stats as whole

assert scipy.signal.windows.gaussian(3, 1.0)[1] == 1.0
assert r_hat == whole.rhat(x) and ess == whole.ess(x)
assert np.array_equal(density, whole.kde(x[0])[1])
print("same")
"""


@pytest.mark.parametrize("before", ["", "import arviz\n"], ids=["alone", "after arviz"])
def test_a_part_of_arviz_is_loaded_and_gives_the_same_numbers(before):
    code = before + (CODE if not before else CODE.split("loaded =")[0] + "assert stats is not None; print('same')")
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "same", run.stderr
