# %% [markdown]
# # Old Faithful: two kinds of eruptions
#
# 272 eruptions with their duration and the waiting time to the next one. How many are long, how long are they, and
# which eruptions cannot be told apart?
#
# `python examples/quickstart.py [folder]` saves the pictures in the folder (`pictures/` if left out).

# %%
import sys
from pathlib import Path

import bayesgmm as bg

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "pictures")
folder.mkdir(parents=True, exist_ok=True)
faithful = bg.datasets.load_faithful()

# %% [markdown]
# Declare, and fit. Parts that are left out get weak priors whose numbers come from the data.

# %%
model = bg.GaussianMixture(2, component_names=["short", "long"])
fit = bg.fit(model, faithful, random_seed=1)
print("The model with the numbers that were used:\n")
print(bg.GaussianMixture.from_json(fit.attrs["model"]))
print(f"\nEngine: {fit.attrs['engine']}, because {fit.attrs['engine_reason']}.")

# %% [markdown]
# One component a column, with 89 % intervals.

# %%
table = bg.summary(fit)
print(f"\nSummary (interval: {table.attrs['interval']}; uncertain: {table.attrs['uncertain']})\n")
print(table.T.to_string(float_format=lambda value: f"{value:.3f}"))

# %% [markdown]
# How sure is each assignment? The eruptions nearest to the fence, with the interval of their responsibility.

# %%
assigned = fit["assignments"].to_dataset()
long = assigned.sel(component="long")
fence = abs(long["responsibilities"] - 0.5).argsort().values[:6]
nearest = faithful.iloc[fence].assign(
    p_long=long["responsibilities"].values[fence],
    lower=long["responsibilities_lower"].values[fence],
    upper=long["responsibilities_upper"].values[fence],
)
print("\nEruptions nearest to the fence: probability of being long\n")
print(nearest.to_string(float_format=lambda value: f"{value:.3f}"))

# %% [markdown]
# What to know before trusting it.

# %%
print("\nDiagnosis")
for message in bg.diagnose(fit)["message"].values:
    print(f"- {message}")

# %% [markdown]
# Pictures.

# %%
bg.plots.plot_components(fit).figure.savefig(folder / "quickstart_components.png", dpi=110)
bg.plots.plot_density(fit, "waiting").figure.savefig(folder / "quickstart_density.png", dpi=110)
bg.plots.plot_responsibilities(fit).figure.savefig(folder / "quickstart_responsibilities.png", dpi=110)
bg.plots.plot_optimization(fit).figure.savefig(folder / "quickstart_optimization.png", dpi=110)
print(f"\nPictures are in {folder}/")
