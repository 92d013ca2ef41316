"""The same declaration under three engines: how the posterior by NUTS differs from the mode and from variational Bayes.

Overlapping groups, where the difference matters. Run with ``python examples/nuts.py [folder]``; pictures go to the
folder, ``pictures`` if left out.
"""

# %%
import sys
import textwrap
from pathlib import Path

import arviz as az
import numpy as np

import bayesgmm as bg

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "pictures")
folder.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# Two overlapping populations of 120 individuals with two traits, made up so that the truth is known.

# %%
rng = np.random.default_rng(4)
first = rng.random(120) < 0.65
traits = np.where(
    first[:, None], rng.normal([0.0, 0.0], [1.0, 1.0], (120, 2)), rng.normal([3.0, 1.5], [1.2, 0.7], (120, 2))
)
table = {"length": 30.0 + 4.0 * traits[:, 0], "width": 8.0 + traits[:, 1]}

# %%
model = bg.GaussianMixture(2, component_names=["short", "long"])
fits = {
    "EM": bg.fit(model, table, engine=bg.EM(), random_seed=1),
    "VB": bg.fit(model, table, engine=bg.VB(), random_seed=1),
    "NUTS": bg.fit(model, table, engine=bg.NUTS(), random_seed=1),
}

# %% [markdown]
# Side by side: the mode has no intervals, and those of variational Bayes are too narrow here.

# %%
together = bg.compare_engines(fits)
weight = together[["weights", "weights_lower", "weights_upper"]].sel(component="long").to_dataframe()
print(f"Weight of the long ones ({together.attrs['interval']}):")
print(weight[["weights", "weights_lower", "weights_upper"]].round(3).to_string())
print("\nLargest differences from the first fit:")
apart = ["apart", "apart_where", "responsibilities_apart", "responsibilities_where"]
print(together[apart].to_dataframe()[apart].round(2).to_string())

# %% [markdown]
# What to know before trusting the draws.

# %%
print()
for check in bg.diagnose(fits["NUTS"])["message"].values:
    print(textwrap.fill(str(check), 100, initial_indent="- ", subsequent_indent="  "))

# %% [markdown]
# How sure is each assignment? The individuals with the widest intervals.

# %%
assigned = fits["NUTS"]["assignments"].to_dataset().sel(component="long", drop=True)
assigned = assigned.drop_vars(["label_probability", "expected_rows"]).to_dataframe()
assigned["width"] = assigned["responsibilities_upper"] - assigned["responsibilities_lower"]
print(f"\nResponsibility of the long ones ({fits['NUTS']['assignments'].attrs['interval']}):")
print(assigned.nlargest(5, "width").round(2).to_string())

# %% [markdown]
# The result is ArviZ's: its tables, plots and leave-one-out work as they are.

# %%
nuts = bg.add_posterior_predictive(bg.add_log_likelihood(fits["NUTS"]), random_seed=1)
print(f"\n{az.loo(nuts)}")
bg.plots.plot_components(nuts)[0].figure.savefig(folder / "nuts_components.png", dpi=150)
az.plot_ppc_dist(nuts, num_samples=50, cols=["feature"]).savefig(folder / "nuts_predictive.png")
print(f"Pictures are in {folder}.")
