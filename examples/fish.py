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
# 1500 fish of ages 1 to 5, whose mean length grows after von Bertalanffy's curve. At every age the standard deviation is
# 8% of the mean. What is left of the catch is how many were in each class of 2 cm, and the ends are open.

# %%
rng = np.random.default_rng(1)
age = np.arange(1, 6)
TRUE_MEANS, TRUE_CV = 100 * (1 - np.exp(-0.2 * (age + 0.3))), 0.08
caught = rng.choice(5, 1500, p=[0.25, 0.35, 0.2, 0.12, 0.08])
edges = np.concatenate([[-np.inf], np.arange(20, 75, 2), [np.inf]])
counts = np.histogram(rng.normal(TRUE_MEANS[caught], TRUE_CV * TRUE_MEANS[caught]), edges)[0]
classes = ["below 20", *(f"{low:.0f}-{low + 2:.0f}" for low in edges[1:-2]), "74 and more"]
print("Length in cm: number of fish (simulated)")
print("; ".join(f"{name}: {count}" for name, count in zip(classes, counts, strict=True)))

# %% [markdown]
# Maximum likelihood with one coefficient of variation, and with a standard deviation of its own for each age. The log
# density of a bin is the log of its probability, so that the expected counts and the deviance follow.

# %%
table, flat = bg.as_data(bins=edges, counts=counts), bg.Flat()
fits = {
    "one coefficient of variation": bg.ConstantCV(flat),
    "free standard deviations": flat,
}
fits = {
    name: bg.fit(bg.GaussianMixture(5, weights=flat, means=flat, covariances=part), table, random_seed=1)
    for name, part in fits.items()
}
deviances = {}
for name, fit in fits.items():
    point = fit["point_estimate"].to_dataset().isel(feature=0)
    expected = counts.sum() * np.exp(bg.predict(fit)["log_density"].to_numpy())
    deviances[name] = 2 * (counts * np.log(np.maximum(counts, 1) / expected)).sum()
    df = len(counts) - 1 - fit["point_estimate"].attrs["n_parameters"]
    p = stats.chi2.sf(deviances[name], df)
    print(f"\n{name}: deviance {deviances[name]:.1f} with {df} degrees of freedom (p = {p:.2f}),", end=" ")
    print(f"chi-square {((counts - expected) ** 2 / expected).sum():.1f}, smallest expected count {expected.min():.1f}.")
    growth = {"share": point["weights"], "mean (cm)": point["means"], "sd (cm)": point["sds"]}
    print(pd.DataFrame({**growth, "true mean": TRUE_MEANS, "true sd": TRUE_CV * TRUE_MEANS}, age).T.round(2).to_string())
gain = np.subtract(*deviances.values())
print(f"\nFour more parameters lower the deviance by {gain:.1f} (p = {stats.chi2.sf(gain, 4):.2f}): the table does not", end=" ")
print("ask for them. They buy a narrow hump that is no age group, and growth that is wrong where groups overlap.")

# %% [markdown]
# How sure is the growth? The same model with weak priors, by NUTS.

# %%
prior = bg.NormalMeans(mu=50, sigma=30)
model = bg.GaussianMixture(5, means=prior, covariances=bg.ConstantCV(bg.HalfNormal(0.3)))
sampled = bg.fit(model, table, engine=bg.NUTS(draws=500, chains=2), random_seed=1)
growth = bg.summary(sampled)
print(f"\nMean lengths in cm, by NUTS ({growth.attrs['interval']}):")
for a, (_, row) in zip(age, growth.iterrows(), strict=True):
    mean, low, high = row["mean[x]"], row["mean[x]_lower"], row["mean[x]_upper"]
    print(f"  age {a}: {mean:.1f} ({low:.1f} to {high:.1f}); the truth is {TRUE_MEANS[a - 1]:.1f}")
