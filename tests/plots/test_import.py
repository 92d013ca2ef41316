import subprocess
import sys


def test_matplotlib_is_loaded_by_the_first_plot_only():
    code = """
import sys
import bayesgmm as bg
bg.plots.plot_density, bg.plots.plot_components, bg.plots.plot_responsibilities, bg.plots.plot_optimization
assert not any(name.split(".")[0] == "matplotlib" for name in sys.modules)
fit = bg.fit(bg.GaussianMixture(1), [[1.0], [2.0], [4.0]], random_seed=0)
assert not any(name.split(".")[0] == "matplotlib" for name in sys.modules)
import matplotlib
matplotlib.use("agg")
before = matplotlib.rcParams.copy()
bg.plots.plot_density(fit)
assert matplotlib.rcParams == before
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
