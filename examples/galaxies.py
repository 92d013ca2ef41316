"""Velocities of 82 galaxies: a report on the number of components, on which nobody agrees.

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


def say(text: str, first: str = "") -> None:
    print(textwrap.fill(text, 100, initial_indent=first, subsequent_indent=" " * len(first)))


galaxies = bg.datasets.load_galaxies()
SEED = 1

# %% [markdown]
# ## The priors, in numbers
#
# The evidence depends on the priors however many galaxies there are, so they are stated and not taken from the data.
# Velocities are in 1000 km/s. The survey looks at velocities up to about 40, so a mean velocity is Normal(20, 10). The
# dispersion within a cluster of galaxies is some hundred to a few thousand km/s: InverseWishart(4, 4) for the variance.
# What that says about the standard deviation is best seen by drawing from it.

# %%
one = bg.GaussianMixture(1, means=bg.NormalMeans(20, 10), covariances=bg.Full(bg.InverseWishart(4, 4)))
print(one)
sds = np.sqrt(4 / np.random.default_rng(SEED).chisquare(4, 100_000))
low, middle, high = np.quantile(sds, [0.025, 0.5, 0.975])
say(f"A component's sd, before the data: {middle:.1f}, with 95 % between {low:.1f} and {high:.1f} (1000 km/s).")

# %% [markdown]
# ## Every criterion for one to six components

# %%
table = bg.compare_components(
    one, galaxies, n_components=range(1, 7), mean_scales=(0.5, 1, 2), draws=500, cores=1, random_seed=SEED
)
columns = ["log_likelihood", "bic", "icl", "aic", "elpd_loo", "elbo", "smallest_component", "pareto_k", "n_optima"]
print("\nCriteria (BIC, ICL and AIC: lower is better; elpd_loo and elbo: higher)")
print(table[columns].to_dataframe()[columns].to_string(float_format="{:.2f}".format))
evidence = table["log_evidence"].to_pandas().T.rename_axis(index="width of the prior on means")
probability = table["posterior_probability"].to_pandas().T.rename_axis(index="width of the prior on means")
print("\nLog evidence, with the prior on means half and twice as wide")
print(evidence.to_string(float_format="{:.2f}".format))
print("\nPosterior probability of each number, equal before the data")
print(probability.to_string(float_format="{:.2f}".format))
print()
for sentence in table.attrs["reading"].splitlines():
    say(sentence, "- ")

# %% [markdown]
# The evidence of many components is hard to estimate: those with a Pareto k above 0.7 are guesses. The bars of such
# numbers are hatched in the picture. `engine=bg.NUTS()` samples every one of them, in minutes.

# %%
bg.plots.plot_component_count(table)[0].figure.savefig(folder / "galaxies_criteria.png", dpi=100)

# %% [markdown]
# ## A test of three against four
#
# Maximum likelihood, and the distribution of its ratio from data sets simulated with three components. The test stops
# as soon as three of them are as extreme as the data. Its search is quick, and the same for all data sets; here its
# likelihoods stand beside those of the full search of `EM`.

# %%
flat = bg.Flat()
three = bg.GaussianMixture(3, weights=flat, means=flat, covariances=flat)
tested = bg.bootstrap_lrt(three, galaxies, n_bootstrap=39, stop_after=3, cores=1, random_seed=SEED)
print()
say(f"Three or four: {tested.attrs['reading']}")
full = [
    bg.fit(three._replace(n_components=K), galaxies, engine=bg.EM(), random_seed=SEED)["point_estimate"].attrs
    for K in (3, 4)
]
likelihoods = pd.DataFrame(
    {"the test": tested["log_likelihood"].to_numpy(), "EM()": [each["log_likelihood"] for each in full]}, index=[3, 4]
)
print(likelihoods.rename_axis(index="components").to_string(float_format="{:.2f}".format))
if (likelihoods["EM()"] - likelihoods["the test"]).max() > 0.5:
    say("The quick search missed the best optimum: the test keeps its level and has lost power.")
bg.plots.plot_bootstrap_lrt(tested).figure.savefig(folder / "galaxies_test.png", dpi=100)

# %% [markdown]
# ## How much does the density depend on the number?
#
# The posterior round the mode, by `Laplace`: bands are posterior intervals of the density.

# %%
fits = {K: bg.fit(one._replace(n_components=K), galaxies, engine=bg.Laplace(), random_seed=SEED) for K in range(3, 7)}
figure, axes = plt.subplots(2, 2, figsize=(11, 7), layout="constrained", sharex=True, sharey=True)
for ax, (K, fit) in zip(axes.flat, fits.items(), strict=True):
    bg.plots.plot_density(fit, ax=ax, legend=False)
    k_hat = float(fit.attrs["pareto_k"])
    ax.label_outer()
    ax.set_title(f"{K} components, Pareto k {k_hat:.2f}" + (": bands are rough" if k_hat > 0.7 else ""))
figure.savefig(folder / "galaxies_by_number.png", dpi=100)

grid = np.linspace(9, 35, 300)[:, None]
densities = {K: np.exp(bg.predict(fit, grid)["log_density"].to_numpy()) for K, fit in fits.items()}
apart = {K: 0.5 * np.trapezoid(abs(densities[K] - densities[3]), grid[:, 0]) for K in (4, 5, 6)}
print("\nTotal variation between the predictive density of three components and that of more:")
print(", ".join(f"{K}: {distance:.2f}" for K, distance in apart.items()))

# %% [markdown]
# ## Clusters
#
# Components that overlap are merged. What is left counts groups of galaxies and not Gaussians.

# %%
print()
merged = {K: bg.merge_components(fit) for K, fit in fits.items()}
for found in merged.values():
    say(found.attrs["message"], "- ")
bg.plots.plot_merging(merged[6])[0].figure.savefig(folder / "galaxies_merging.png", dpi=100)

# %% [markdown]
# ## Ten components and a sparse prior
#
# With a small concentration, weights that are not needed go to zero, and counting the occupied components screens for
# their number (Malsiner-Walli et al. 2016). It is no posterior of K: it depends on the concentration, on the prior
# of the covariances, and on the approximation, here variational Bayes.

# %%
counts = {}
for concentration in (0.01, 0.1):
    declared = one._replace(n_components=10, weights=bg.Dirichlet(concentration))
    sparse = bg.fit(declared, galaxies, engine=bg.VB(), random_seed=SEED)
    counts[f"Dirichlet({concentration})"] = bg.occupied_components(sparse)["probability"].to_series()
print("\nProbability of so many occupied components:")
print(pd.DataFrame(counts).T.to_string(float_format="{:.3f}".format))

# %% [markdown]
# ## Narrower components
#
# An astronomer who is sure that clusters are narrow says so: a half-normal prior on the standard deviations, on the
# scale of 1000 km/s. Its density is positive at 0: narrow components are not excluded. `fit` warns that the rows hardly
# tell four components from three.

# %%
declared = one._replace(n_components=4, covariances=bg.LKJ(scale=bg.HalfNormal(1.0)))
print(f"\n{declared}")
narrow = bg.fit(declared, galaxies, random_seed=SEED)
say(f"Engine: {narrow.attrs['engine']}. Reason: {narrow.attrs['engine_reason']}")
print(bg.summary(narrow).T.to_string(float_format="{:.2f}".format))
for message in bg.diagnose(narrow)["message"].to_numpy():
    say(message, "- ")
bg.plots.plot_density(narrow).figure.savefig(folder / "galaxies_narrow.png", dpi=100)
bg.plots.plot_responsibilities(narrow).figure.savefig(folder / "galaxies_responsibilities.png", dpi=100)

# %% [markdown]
# ## The answer, and what it is not

# %%
chosen = {name: int(table[name].idxmin()) for name in ("bic", "icl", "aic")}
chosen |= {name: int(table[name].idxmax()) for name in ("elbo", "elpd_loo")}
by_evidence = table["log_evidence"].idxmax("n_components").to_numpy().astype(int).tolist()
least, most = min([*chosen.values(), *by_evidence]), max([*chosen.values(), *by_evidence])
clusters = sorted({int(found.attrs["recommended"]) for found in merged.values()})
print()
say(
    f"Criteria choose between {least} and {most} Gaussians, the evidence {', '.join(map(str, by_evidence))} with a "
    f"prior on means of half, once and twice the width; {most} is "
    f"{'also the largest number that was tried' if most == table['n_components'].max() else 'not at the edge'}. "
    f"Merged, they are {' or '.join(map(str, clusters))} clusters."
)
say(
    "The number of Gaussians is not identified by 82 velocities: it depends on what is asked (density, clusters, "
    "prediction) and on priors. It is no number of galaxy clusters either, as a cluster need not be Gaussian."
    if least < most
    else "All agree here. It is no number of galaxy clusters, as a cluster need not be Gaussian."
)
print(f"\nPictures are in {folder}/.")
