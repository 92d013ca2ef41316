"""Old Faithful with holes: the exact likelihood of what was observed, against dropping the rows with holes.

Run with ``python examples/missing.py [folder]``; the picture goes to the folder, ``pictures`` if left out.
"""

# %%
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

import bayesgmm as bg

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "pictures")
folder.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# Waits are removed by chance, and the longer the eruption the likelier: from never after the shortest one to nine
# times in ten after the longest. The chance depends on what is still observed, the duration, so that the likelihood
# of the observed entries needs no model of the losses ("missing at random", Rubin 1976). Whole rows alone are biased.

# %%
complete = bg.datasets.load_faithful()
duration = complete["eruptions"]
chance = 0.9 * (duration - duration.min()) / (duration.max() - duration.min())
lost = np.random.default_rng(1).random(len(complete)) < chance.to_numpy()
holes = complete.copy()
holes.loc[lost, "waiting"] = np.nan
print(f"Of {len(holes)} eruptions {lost.sum()} have lost their wait; {len(holes.dropna())} rows are whole.")

# %%
model = bg.GaussianMixture(2, component_names=["short", "long"])
tables = {"complete": complete, "with holes": holes, "whole rows only": holes.dropna()}
fits = {name: bg.fit(model, table, engine=bg.NUTS(draws=500), random_seed=1) for name, table in tables.items()}
estimates = pd.concat({name: bg.summary(fit).loc["long"] for name, fit in fits.items()}, axis=1).T
shown = ["weight", "weight_lower", "weight_upper", "mean[eruptions]", "mean[waiting]", "sd[waiting]"]
print(f"\nThe long eruptions (minutes; intervals: {bg.summary(fits['complete']).attrs['interval']})")
print(estimates[shown].astype(float).round(2).to_string())

# %% [markdown]
# What may the lost waits have been? Each has a mean, a standard deviation and draws, given how long the eruption took.

# %%
filled = bg.impute(fits["with holes"], n_draws=2000, random_seed=1)
waits = filled.sel(feature="waiting").isel(obs=np.flatnonzero(lost))
removed = complete["waiting"].to_numpy()[lost]
lower, upper = waits["x_draws"].quantile([0.05, 0.95], "draw").to_numpy()
miss = np.sqrt(np.mean((waits["x"].to_numpy() - removed) ** 2))
by_mean = np.sqrt(np.mean((holes["waiting"].mean() - removed) ** 2))
print(
    f"\nRoot mean square distance from the removed waits: {miss:.1f} minutes, where the standard deviations of", end=" "
)
print(
    f"imputation say {np.sqrt(np.mean(waits['x_sd'] ** 2)):.1f}; the mean of the observed waits is {by_mean:.1f} off."
)
inside = int(((lower <= removed) & (removed <= upper)).sum())
print(f"{inside} of {lost.sum()} removed waits ({inside / lost.sum():.0%}) lie in their 90% intervals.")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained", width_ratios=[2.6, 1])
left.plot(duration[~lost], holes["waiting"][~lost], ".", color="0.6", label="observed")
left.vlines(duration[lost], lower, upper, color="#0072B2", alpha=0.25, label="90% interval of a removed wait")
left.plot(duration[lost], waits["x"], "_", color="#0072B2", label="its posterior mean")
left.plot(duration[lost], removed, "x", color="#D55E00", markersize=5, label="the wait that was removed")
left.set(xlabel="duration of the eruption (minutes)", ylabel="wait until the next one (minutes)")
left.legend(frameon=False, loc="upper left")
weight = estimates["weight"].to_numpy(float)
bars = np.abs(estimates[["weight_lower", "weight_upper"]].to_numpy(float).T - weight)
right.errorbar(weight, [2, 1, 0], xerr=bars, fmt="o", color="black", capsize=3)
right.set_yticks([2, 1, 0], estimates.index)
right.set(xlabel="share of long eruptions", ylim=(-0.5, 2.5), xlim=(0, 1))
figure.savefig(folder / "missing.png", dpi=100)
print(f"\nThe picture is in {folder}/.")
