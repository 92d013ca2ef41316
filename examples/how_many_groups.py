"""How many groups are there? A posterior of the number of components, and what does not depend on it.

The velocities of 82 galaxies, whose number of groups has been argued about since 1990, under the priors of Richardson &
Green (1997). Run with ``python examples/how_many_groups.py [folder]``; pictures go to the folder, ``pictures`` if left
out.
"""

# %%
import sys
import warnings
from pathlib import Path

import numpy as np

import bayesgmm as bg

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "pictures")
folder.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# Instead of a number of components the declaration has a prior on it, here all numbers from 1 to 30 alike. How wide
# components are is learnt from them: their variances share a scale matrix that is unknown itself.

# %%
galaxies = bg.datasets.load_galaxies()
velocity = galaxies["velocity"].to_numpy()
R, middle = np.ptp(velocity), (velocity.min() + velocity.max()) / 2
model = bg.GaussianMixture(
    bg.UniformComponents(30),
    weights=bg.Dirichlet(1.0),
    means=bg.NormalMeans(middle, R),
    covariances=bg.Spherical(bg.HierarchicalInverseWishart(df=4, scale_df=0.4, scale_mean=0.04 * R**2)),
)
print(model)

# %% [markdown]
# The telescoping sampler. Numbers of components change slowly, so it takes many sweeps, which are cheap; if the chains
# still disagree the fit says so.

# %%
with warnings.catch_warnings():
    warnings.simplefilter("ignore", bg.NotConvergedWarning)
    fit = bg.fit(model, galaxies[["velocity"]], engine=bg.Gibbs(sweeps=16_000, thin=8), random_seed=1)
print(fit.attrs["status_message"])

# %% [markdown]
# K counts the components of the model, K+ those that hold a galaxy. Between 4 and 8 anything is plausible: these
# data do not say how many groups there are, and no single number should be reported.

# %%
posterior = bg.component_posterior(fit)
print(posterior[["probability", "probability_error", "probability_occupied"]].to_dataframe().head(10).round(3))
print("R-hat of K:", round(posterior.attrs["r_hat_n_components"], 3))
bg.plots.plot_k_posterior(posterior).figure.savefig(folder / "how_many_groups_k.png", dpi=120)

# %% [markdown]
# What does not depend on the number: which galaxies belong together. Seven slow ones and three fast ones stand apart
# whatever the number; the rest may be one group or several.

# %%
together = bg.coclustering(fit)
partition = bg.best_partition(fit)
print(partition["size"].to_numpy(), "galaxies in", partition.attrs["n_clusters"], "clusters")
picture = bg.plots.plot_coclustering(together, partition=partition)
picture.figure.savefig(folder / "how_many_groups_together.png", dpi=120)

# %% [markdown]
# Given the most frequent K+ the components have labels, but for these data most draws cannot be labelled: their
# components do not fall into as many clusters. The share says how far a table of them would be an artefact.

# %%
print(f"draws that cannot be labelled: {posterior.attrs['non_permutation_rate']:.0%}")
print(bg.summary(fit).round(2).T)
