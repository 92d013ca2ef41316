# %% [markdown]
# # Iris: maximum likelihood, maximum a posteriori and variational Bayes
#
# 150 flowers of three species, four lengths. The species are not used to fit; they are compared at the end.
#
# `python examples/iris.py [folder]` saves the pictures in the folder (`pictures/` if left out).

# %%
import sys
from pathlib import Path

import pandas as pd

import bayesgmm as bg

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "pictures")
folder.mkdir(parents=True, exist_ok=True)
iris = bg.datasets.load_iris()
species = iris.pop("species")


def against_species(fit):
    return pd.crosstab(fit["assignments"]["label"].to_numpy(), species.to_numpy(), rownames=["component"])


# %% [markdown]
# `Flat()` in every part is maximum likelihood. Its objective has no maximum: 29 flowers share one petal width, and a
# component that closes in on them has a likelihood without bound. Starts that end there are marked and not used.

# %%
flat = bg.Flat()
ml = bg.fit(bg.GaussianMixture(3, weights=flat, means=flat, covariances=flat), iris, engine=bg.EM(), random_seed=1)
search = ml["optimization"].to_dataset()
print(f"Maximum likelihood, log-likelihood {ml['point_estimate'].attrs['log_likelihood']:.3f}")
print("How the starts ended:")
print(pd.Series(search["status"].values).value_counts().to_string())
print(against_species(ml).to_string())
bg.plots.plot_optimization(ml).figure.savefig(folder / "iris_optimization.png", dpi=110)

# %% [markdown]
# A prior on correlations and standard deviations (LKJ) has no closed updates; `EM` finds its mode by quasi-Newton
# steps all the same.

# %%
lkj = bg.fit(bg.GaussianMixture(3, covariances=bg.LKJ(2, scale=bg.HalfNormal(1.0))), iris, random_seed=1)
print(f"\nLKJ prior, engine {lkj.attrs['engine']}")
print(bg.summary(lkj).T.to_string(float_format=lambda value: f"{value:.3f}"))

# %% [markdown]
# With the default priors variational Bayes prefers two large components: versicolor and virginica overlap, and under a
# weak prior on four-dimensional covariances a third component does not pay. That is a statement about Gaussians and
# priors, not about species. With one covariance for all components three pay.

# %%
for name, covariances in {"full": None, "tied": bg.Tied(bg.Full(bg.InverseWishart()))}.items():
    fit = bg.fit(bg.GaussianMixture(3, covariances=covariances), iris, random_seed=1)
    print(f"\nVariational Bayes, {name} covariances: bound {fit['point_estimate'].attrs['elbo']:.1f}")
    print(against_species(fit).to_string())
    for message in bg.diagnose(fit)["message"].values:
        print(f"- {message}")
figure = bg.plots.plot_components(fit)
getattr(figure, "figure", figure).savefig(folder / "iris_components.png", dpi=90)
bg.plots.plot_responsibilities(fit).figure.savefig(folder / "iris_responsibilities.png", dpi=110)
print(f"\nPictures are in {folder}/")
