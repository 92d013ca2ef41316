"""Fisher's irises: how many components, why two and three both have a case, and what maximum likelihood hides.

Run with ``python examples/iris.py [folder]``; pictures go to the folder, ``pictures`` if left out.
"""

# %%
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd

import bayesgmm as bg

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "pictures")
folder.mkdir(parents=True, exist_ok=True)

iris = bg.datasets.load_iris()
species = iris["species"]
flowers = iris.drop(columns="species")
SEED = 1


def say(text: str, first: str = "") -> None:
    print(textwrap.fill(text, 100, initial_indent=first, subsequent_indent=" " * len(first)))


def show(values) -> None:
    print(values.to_pandas().to_string(float_format="{:.2f}".format))


# %% [markdown]
# How well do labels agree with the species, which no fit has seen? The adjusted Rand index (Hubert & Arabie 1985) is 1
# for the same partition and 0, on average, for random labels. It needs the table of counts alone.


# %%
def adjusted_rand(table: pd.DataFrame) -> float:
    """Adjusted Rand index of the two partitions that a table of counts crosses."""

    def pairs(counts: np.ndarray) -> float:
        return float((counts * (counts - 1) / 2).sum())

    counts = table.to_numpy()
    both, first, second = pairs(counts), pairs(counts.sum(axis=1)), pairs(counts.sum(axis=0))
    by_chance = first * second / pairs(counts.sum())
    return (both - by_chance) / ((first + second) / 2 - by_chance)


def crossed(fit) -> pd.DataFrame:
    label = pd.Series(fit["assignments"]["label"].to_numpy(), name="component", index=species.index)
    return pd.crosstab(species, label)


# %% [markdown]
# ## Maximum likelihood: BIC and ICL
#
# `Flat()` in every part, so that the numbers may be compared with those of other programs. Two structures of the
# covariances: one for each component, or one for all (tied).

# %%
flat = bg.Flat()
likelihood = bg.GaussianMixture(1, weights=flat, means=flat, covariances=flat)
classical = bg.compare_components(
    likelihood,
    flowers,
    n_components=range(1, 6),
    structures={"full": flat, "tied": bg.Tied(flat)},
    cores=1,
    random_seed=SEED,
)
for name in ("bic", "icl", "smallest_component"):
    print(f"\n{name}, maximum likelihood")
    show(classical[name])
print()
say(classical.attrs["reading"].splitlines()[0])

# %% [markdown]
# ## Evidence, with priors in numbers
#
# Means are within a few cm of what a botanist would expect of an iris, and the sds within a component are some
# millimetres: InverseWishart(6, 0.2), whose mean is a variance of 0.2 in each of the four lengths. Other numbers would
# do as well, which is why the prior on means is shown at three widths.

# %%
model = bg.GaussianMixture(1, means=bg.NormalMeans([6, 3, 4, 1], 2), covariances=bg.Full(bg.InverseWishart(6, 0.2)))
print(f"\n{model}\n")
table = bg.compare_components(
    model,
    flowers,
    n_components=range(1, 6),
    structures=["full", "tied"],
    criteria=["elbo", "evidence"],
    draws=500,
    cores=1,
    random_seed=SEED,
)
evidence = table["log_evidence"]
print("Log evidence, and the estimator at the declared width")
for structure in table["structure"].to_numpy():
    columns = evidence.sel(structure=structure).to_pandas().add_prefix("width ")
    columns["from"] = table["evidence_from"].sel(structure=structure, mean_scale=1.0).to_pandas()
    print(f"\n{structure}\n{columns.to_string(float_format='{:.2f}'.format)}")
print()
for sentence in table.attrs["reading"].splitlines():
    say(sentence, "- ")
bg.plots.plot_component_count(table, structure="full")[0].figure.savefig(folder / "iris_criteria_full.png", dpi=100)
bg.plots.plot_component_count(table, structure="tied")[0].figure.savefig(folder / "iris_criteria_tied.png", dpi=100)

# %% [markdown]
# ## Three components under several priors
#
# The default priors learn how wide a component is from groups in the rows, and keep all components occupied. How much
# of an answer is theirs shows beside other priors and engines. `flowers in doubt` have no responsibility of at least
# 0.95.

# %%
three = model._replace(n_components=3)
scaled = bg.GaussianMixture(3)
declarations = {
    "default priors, VB": (scaled, bg.VB()),
    "default priors, mode": (scaled, bg.EM()),
    "default priors, tied, VB": (bg.GaussianMixture(3, covariances=bg.Tied(bg.Full())), bg.VB()),
    "diagonal, VB": (bg.GaussianMixture(3, covariances=bg.Diagonal()), bg.VB()),
    "prior above, VB": (three, bg.VB()),
    "prior above, Laplace": (three, bg.Laplace()),
    "LKJ, mode": (bg.GaussianMixture(3, covariances=bg.LKJ(2, scale=bg.HalfNormal(1))), bg.EM()),
    "maximum likelihood": (likelihood._replace(n_components=3), bg.EM()),
}
fits = {
    name: bg.fit(declared, flowers, engine=engine, random_seed=SEED)
    for name, (declared, engine) in declarations.items()
}
lines = []
for name, fit in fits.items():
    search, point = fit["optimization"].attrs, fit["point_estimate"].attrs
    lines.append(
        {
            "declaration": name,
            "ELBO": point.get("elbo", np.nan),
            "log likelihood": point.get("log_likelihood", np.nan),
            "occupied": int((bg.occupied_components(fit)["rows"] >= 0.5).sum()),
            "ARI": adjusted_rand(crossed(fit)),
            "flowers in doubt": int(bg.summary(fit)["uncertain"].sum()),
            "best reached": search["times_best_reached"],
            "optima": search["n_optima"],
        }
    )
print()
print(pd.DataFrame(lines).to_string(index=False, float_format="{:.2f}".format, na_rep="-"))
for name in ("default priors, mode", "maximum likelihood"):
    print(f"\n{name}\n{crossed(fits[name]).to_string()}")

# %% [markdown]
# ## Clusters
#
# Of three components, are two one cluster? ICL asks this of the whole fit, merging asks it of pairs of components.

# %%
chosen = fits["prior above, Laplace"]
merged = bg.merge_components(chosen)
print()
say(merged.attrs["message"])
print(f"Entropy left and overlap of the merged pair, by number of clusters ({merged.attrs['rule']}):")
print(merged[["entropy", "overlap", "probability"]].to_dataframe().to_string(float_format="{:.2f}".format))
two = bg.merge_components(chosen, n_clusters=2)
clusters = pd.crosstab(species, pd.Series(two["label"].to_numpy(), name="cluster", index=species.index))
print(f"\nMerged into two clusters: {adjusted_rand(clusters):.2f} adjusted Rand index\n{clusters.to_string()}")
bg.plots.plot_merging(merged)[0].figure.savefig(folder / "iris_merging.png", dpi=100)

# %% [markdown]
# ## How sure are the numbers of a mode?
#
# Standard errors of the maximum-likelihood means, from the curvature of the likelihood.

# %%
errors = bg.standard_errors(fits["maximum likelihood"])
print("\nMeans of maximum likelihood, and their standard errors")
print(pd.concat({"mean": errors["means"].to_pandas(), "se": errors["means_se"].to_pandas()}).round(2).to_string())

# %% [markdown]
# ## The likelihood has no maximum
#
# Lengths are rounded to 0.1 cm, and 29 flowers share a petal width of 0.2 cm. A component that takes only flowers with
# the same width has a singular covariance, and the likelihood grows without bound. What is reported is the best
# *proper* optimum; ends that are not proper stay in the table of starts. With more starts, followed to the end, more of
# them are found.

# %%
many = bg.fit(declarations["maximum likelihood"][0], flowers, engine=bg.EM(n_init=100, n_polish=40), random_seed=SEED)
print(f"\nFlowers with a petal width of 0.2 cm: {int((flowers['petal_width'] == 0.2).sum())}")
starts = many["optimization"].to_dataset()
ends = pd.crosstab(pd.Series(starts["method"], name="method"), pd.Series(starts["status"], name="status"))
print(ends.to_string())
for name, fit in {"Maximum likelihood": fits["maximum likelihood"], "with 100 starts": many}.items():
    checks = bg.diagnose(fit)
    print(f"\n{name}")
    for ok, message in zip(checks["ok"].to_numpy(), checks["message"].to_numpy(), strict=True):
        say(message, "  ok  " if ok else "LOOK  ")

# %% [markdown]
# A higher likelihood is not a better answer here. If the search with more starts finds a proper optimum that lies a
# little higher, look at its smallest component: one that only just passes the rule for proper optima (more than d + 1
# rows) is on its way to the singular ends. A proper prior for the covariances takes such optima away.

# %%
print()
for name, fit in {"32 starts": fits["maximum likelihood"], "100 starts": many}.items():
    log_likelihood = fit["point_estimate"].attrs["log_likelihood"]
    rows = float(bg.occupied_components(fit)["rows"].min())
    print(f"{name}: log likelihood {log_likelihood:.2f}, smallest component {rows:.1f} rows, ", end="")
    print(f"ARI {adjusted_rand(crossed(fit)):.2f}")

# %% [markdown]
# ## The answer

# %%
by_bic, by_icl = (int(classical[name].sel(structure="full").idxmin()) for name in ("bic", "icl"))
by_width = evidence.sel(structure="full").idxmax("n_components").astype(int).to_series()
tied = int(evidence.sel(structure="tied", mean_scale=1).idxmax())
bic = classical["bic"].sel(structure="full")
behind = float(bic.sel(n_components=3) - bic.min())
widths = ", ".join(f"{K} ({scale:.2g} times the width)" for scale, K in by_width.items())
likely = fits["maximum likelihood"]
print()
say(
    f"Full covariances: BIC chooses {by_bic} and ICL {by_icl}; three are {behind:.1f} behind by BIC. The "
    f"evidence chooses {widths}. "
    f"Tied covariances cannot differ in shape, and the evidence takes {tied} of them. Merging three components leaves "
    f"{merged.attrs['recommended']} clusters. Botanists know {species.nunique()} species, and three components of "
    f"maximum likelihood find them with an adjusted Rand index of {adjusted_rand(crossed(likely)):.2f}."
)
if len({by_bic, by_icl, *by_width}) > 1:
    say(
        "So two and three both have a case: one group stands apart, and whether the others are one or two depends on "
        "the criterion and on the prior. That species are three is known from more than four lengths."
    )

# %%
bg.plots.plot_optimization(many).figure.savefig(folder / "iris_optimization.png", dpi=100)
bg.plots.plot_components(fits["maximum likelihood"])[0].figure.savefig(folder / "iris_components.png", dpi=100)
bg.plots.plot_components(fits["diagonal, VB"], ["petal_length", "petal_width"])[0].figure.savefig(
    folder / "iris_diagonal.png", dpi=100
)
bg.plots.plot_responsibilities(chosen).figure.savefig(folder / "iris_responsibilities.png", dpi=100)
print(f"\nPictures are in {folder}/.")
