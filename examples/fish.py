"""Lengths of fish from a frequency table: five age groups whose spreads grow with their means.

The catch is simulated, so that the truth is known. Run with ``python examples/fish.py [folder]``; the picture goes to
the folder, ``pictures`` if left out.
"""

# %%
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from scipy import stats

import bayesgmm as bg

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "pictures")
folder.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# 1500 fish of ages 1 to 5, whose mean length follows von Bertalanffy's curve. At every age the standard deviation is 8%
# of the mean. What is left of the catch is how many were in each class of 2 cm, with open ends.

# %%
rng = np.random.default_rng(1)
age = np.arange(1, 6)
truth = pd.DataFrame({"true mean": 100 * (1 - np.exp(-0.2 * (age + 0.3)))}, age)
truth["true sd"] = 0.08 * truth["true mean"]
caught = rng.choice(5, 1500, p=[0.25, 0.35, 0.2, 0.12, 0.08])
edges = np.concatenate([[-np.inf], np.arange(20, 75, 2), [np.inf]])
counts = np.histogram(rng.normal(*truth.to_numpy()[caught].T), edges)[0]
print(f"{counts.sum()} fish (simulated) in {len(counts)} classes: below 20 cm, 20 to 22 cm, ..., 74 cm and more.")
print(*counts)

# %% [markdown]
# Maximum likelihood with one coefficient of variation, and with a standard deviation of its own for each age. The log
# density of a bin is the log of its probability; expected counts and the deviance follow.

# %%
table, flat = bg.as_data(bins=edges, counts=counts), bg.Flat()
fits, deviances = {}, []
for name, part in {"one coefficient of variation": bg.ConstantCV(flat), "free standard deviations": flat}.items():
    model = bg.GaussianMixture(5, weights=flat, means=flat, covariances=part)
    fits[name] = fit = bg.fit(model, table, random_seed=1)
    expected = counts.sum() * np.exp(bg.predict(fit)["log_density"].to_numpy())
    deviances.append(2 * (counts * np.log(np.maximum(counts, 1) / expected)).sum())
    df = len(counts) - 1 - fit["point_estimate"].attrs["n_parameters"]
    print(f"\n{name}: deviance {deviances[-1]:.1f} with {df} degrees of freedom", end=" ")
    print(
        f"(p = {stats.chi2.sf(deviances[-1], df):.2f}); chi-square {((counts - expected) ** 2 / expected).sum():.1f}."
    )
    growth = bg.summary(fit)[["weight", "mean[x]", "sd[x]"]].set_index(age).join(truth)
    print(growth.rename_axis("age").round(2).to_string())
gain = deviances[0] - deviances[1]
print(
    f"\nFour more parameters lower the deviance by {gain:.1f} (p = {stats.chi2.sf(gain, 4):.2f}). The table hardly asks"
)
print("for them, and the growth that they give is worse: where ages overlap, a narrow hump stands for one of them.")

# %% [markdown]
# How sure is the growth? The same with weak priors, by NUTS.

# %%
priors = {"means": bg.NormalMeans(mu=50, sigma=30), "covariances": bg.ConstantCV(bg.HalfNormal(0.3))}
sampled = bg.fit(bg.GaussianMixture(5, **priors), table, engine=bg.NUTS(draws=500, chains=2), random_seed=1)
growth = bg.summary(sampled).set_index(age)
print(f"\nMean lengths in cm (intervals: {growth.attrs['interval']})")
for a, row in growth.iterrows():
    mean, low, high = row["mean[x]"], row["mean[x]_lower"], row["mean[x]_upper"]
    print(f"  age {a}: {mean:.1f} ({low:.1f} to {high:.1f}); the truth is {truth['true mean'][a]:.1f}")
cv = (sampled["posterior"]["sds"] / sampled["posterior"]["means"]).isel(component=0)
print(f"The coefficient of variation is {float(cv.mean()):.3f} with a standard deviation of {float(cv.std()):.3f}.")

# %%
figure, axes = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained", sharey=True)
length = np.linspace(14, 82, 681)
for ax, (name, fit) in zip(axes, fits.items(), strict=True):
    point = fit["point_estimate"].to_dataset().isel(feature=0)
    curves = stats.norm.pdf(length[:, None], point["means"], point["sds"]) * point["weights"].to_numpy() * counts.sum()
    ax.stairs(counts[1:-1] / 2, edges[1:-1], fill=True, color="0.85", label="fish caught")
    ax.stairs([counts[0] / 2, np.nan, counts[-1] / 2], [18, 20, 74, 76], hatch="////", color="0.6", label="open ends")
    ax.plot(length, curves.sum(axis=1), color="black", linewidth=3, alpha=0.6, label="total")
    ax.plot(length, curves, label=[f"age {a}" for a in age])
    ax.plot(truth["true mean"], np.zeros(5), "k^", clip_on=False, zorder=3, label="true mean")
    ax.set(title=name, xlabel="length (cm)", xlim=(14, 82), ylim=(0, 95))
axes[0].set_ylabel("fish per cm of length")
axes[1].legend(frameon=False)
figure.savefig(folder / "fish.png", dpi=100)
print(f"\nThe picture is in {folder}/.")
