"""Velocities of 82 galaxies: one feature, and no agreement on how many components there are.

Run with ``python examples/galaxies.py [folder]``; pictures go to the folder, ``pictures`` if left out.
"""

# %%
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

import bayesgmm as bg

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "pictures")
folder.mkdir(parents=True, exist_ok=True)

galaxies = bg.datasets.load_galaxies()
SEED = 1

# %% [markdown]
# ## Three to six components
#
# `elbo` is a bound on the log evidence, not the evidence: how far below it lies may differ between numbers of
# components. `symmetrised` adds log K!, what the bound misses at most because it sees one labelling only. A `k-hat`
# above 0.7 says that q is far from the posterior, and most of them are.

# %%
fits = {K: bg.fit(bg.GaussianMixture(K), galaxies, random_seed=SEED) for K in range(3, 7)}
lines = []
for K, fit in fits.items():
    point, checks = fit["point_estimate"].attrs, bg.diagnose(fit)
    lines.append(
        {
            "K": K,
            "elbo": point["elbo"],
            "symmetrised": point["elbo_symmetrised_limit"],
            "k-hat": float(checks["value"].sel(check="k_hat")),
            "smallest component": float(checks["value"].sel(check="smallest_component")),
            "best reached": int(checks["value"].sel(check="starts")),
        }
    )
print(pd.DataFrame(lines).to_string(index=False, float_format="{:.2f}".format))

# %%
table = bg.summary(fits[4])
print(f"\nFour components. Intervals: {table.attrs['interval']}.")
print(table.T.to_string(float_format="{:.2f}".format))

# %% [markdown]
# ## Ten components and a sparse prior
#
# With a small concentration, weights that are not needed go to zero, and counting the occupied components screens for
# their number (Malsiner-Walli et al. 2016). It is no posterior of K: it depends on the concentration and on the prior
# of the covariances.

# %%
counts = {}
sparse = {}
for concentration in (0.001, 0.01, 0.1):
    declared = bg.GaussianMixture(10, weights=bg.Dirichlet(concentration))
    sparse[concentration] = bg.fit(declared, galaxies, random_seed=SEED)
    occupied = bg.occupied_components(sparse[concentration])
    counts[f"Dirichlet({concentration})"] = occupied["probability"].to_series()
print("\nProbability of so many occupied components:")
print(pd.DataFrame(counts).T.to_string(float_format="{:.3f}".format))

# %% [markdown]
# ## Narrower components
#
# The default prior of the variances takes its scale from the variance of all data. Astronomers may know more: a cluster
# of galaxies has a velocity dispersion of some hundred km/s to about 1000 km/s (here 1.0). A half-normal prior on the
# standard deviations says so. It is not conjugate, so `fit` takes EM and says why. Its density is positive at 0: narrow
# components are not excluded, and improper ends are possible.

# %%
declared = bg.GaussianMixture(4, covariances=bg.LKJ(scale=bg.HalfNormal(1.0)))
print(f"\n{declared}")
narrow = bg.fit(declared, galaxies, random_seed=SEED)
print(textwrap.fill(f"Engine: {narrow.attrs['engine']}. Reason: {narrow.attrs['engine_reason']}", 100))
print(bg.summary(narrow).T.to_string(float_format="{:.2f}".format))
for message in bg.diagnose(narrow)["message"].to_numpy():
    print(textwrap.fill(message, 100, initial_indent="- ", subsequent_indent="  "))

# %%
# Log predictive densities of the very rows that were fitted: they describe the fits and do not compare them fairly.
for name, fit in {"VB, K = 4": fits[4], "LKJ and half-normal, K = 4": narrow}.items():
    print(f"{name}: mean log density {float(np.mean(bg.predict(fit)['log_density'])):.3f}")

# %%
bg.plots.plot_density(fits[4]).figure.savefig(folder / "galaxies_density.png", dpi=100)

figure, axes = plt.subplots(2, 2, figsize=(11, 7), layout="constrained", sharex=True, sharey=True)
for ax, (K, fit) in zip(axes.flat, fits.items(), strict=True):
    bg.plots.plot_density(fit, ax=ax, legend=False)
    ax.set_title(f"K = {K}")
figure.savefig(folder / "galaxies_by_number.png", dpi=100)

bg.plots.plot_density(sparse[0.01]).figure.savefig(folder / "galaxies_sparse.png", dpi=100)
bg.plots.plot_density(narrow).figure.savefig(folder / "galaxies_narrow.png", dpi=100)
bg.plots.plot_optimization(narrow).figure.savefig(folder / "galaxies_optimization.png", dpi=100)
bg.plots.plot_responsibilities(narrow).figure.savefig(folder / "galaxies_responsibilities.png", dpi=100)
print(f"\nPictures are in {folder}/.")
