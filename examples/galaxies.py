# %% [markdown]
# # Galaxies: how many groups?
#
# Velocities of 82 galaxies (1000 km/s); a famous case in which the number of components is not settled by the data.
#
# `python examples/galaxies.py [folder]` saves the pictures in the folder (`pictures/` if left out).

# %%
import sys
from pathlib import Path

import pandas as pd

import bayesgmm as bg

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "pictures")
folder.mkdir(parents=True, exist_ok=True)
galaxies = bg.datasets.load_galaxies()

# %% [markdown]
# The bound (ELBO) for several numbers of components. It is a bound on the log evidence under these weak, data-scaled
# priors; it is not a posterior of the number of components. Pareto k says how far q is from the posterior.

# %%
rows, fits = [], {}
for k in range(2, 7):
    fits[k] = fit = bg.fit(bg.GaussianMixture(k), galaxies, random_seed=1)
    checks = bg.diagnose(fit)
    rows.append(
        {
            "components": k,
            "bound": fit["point_estimate"].attrs["elbo"],
            "Pareto k": float(checks["value"].sel(check="k_hat")),
            "smallest (rows)": float(checks["value"].sel(check="smallest_component")),
        }
    )
print(pd.DataFrame(rows).to_string(index=False, float_format=lambda value: f"{value:.2f}"))

# %% [markdown]
# A screen with many components and a sparse prior: how many stay occupied?

# %%
sparse = bg.fit(bg.GaussianMixture(10, weights=bg.Dirichlet(0.01)), galaxies, random_seed=1)
occupied = bg.occupied_components(sparse)
print("\nSparse prior with 10 components, probability of each number of occupied ones:")
print(occupied["probability"].to_series()[lambda p: p > 0].to_string())

# %% [markdown]
# Three groups, with the posterior band of the density; and the mode under an LKJ prior (one feature, so only the prior
# on the standard deviation acts).

# %%
print("\nThree components")
print(bg.summary(fits[3]).T.to_string(float_format=lambda value: f"{value:.3f}"))
bg.plots.plot_density(fits[3]).figure.savefig(folder / "galaxies_density.png", dpi=110)
bg.plots.plot_responsibilities(fits[3]).figure.savefig(folder / "galaxies_responsibilities.png", dpi=110)

half_normal = bg.GaussianMixture(4, covariances=bg.LKJ(1, scale=bg.LogNormal(0.0, 1.0)))
mode = bg.fit(half_normal, galaxies, random_seed=1)
print(f"\nFour components, log-normal prior on the standard deviations ({mode.attrs['engine']})")
print(bg.summary(mode).T.to_string(float_format=lambda value: f"{value:.3f}"))
bg.plots.plot_density(mode).figure.savefig(folder / "galaxies_mode.png", dpi=110)
print(f"\nPictures are in {folder}/")
