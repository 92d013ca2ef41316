"""Two peaks in a histogram: two discrete types, two populations, or one odd shape? From raw repeats to a verdict.

Run with ``python examples/discrete_or_continuous.py [folder]``; pictures go to the folder, ``pictures`` if left out.
"""

# %%
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

import bayesgmm as bg
from bayesgmm import traits

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "pictures")
folder.mkdir(parents=True, exist_ok=True)
SEED = 1


def say(text: str) -> None:
    print(textwrap.fill(text, 100))


# %% [markdown]
# ## Three made-up species
#
# No animal is real, so that the truth is known. In each species 120 animals were measured four times with the same
# callipers (sd of an error 0.3 mm), some of them less often. In the first a gene makes two types, and all else is
# error. In the second two races have met, each with variation of its own. The third has one population that is skewed.
# The histograms of the means all have a second bump or a shoulder.

# %%
rng = np.random.default_rng(5)
N, REPEATS, ERROR = 120, 4, 0.3
second = rng.random(N) < 0.4
true = {
    "two types": np.where(second, 13.0, 10.0),
    "two races": np.where(second, 12.0, 10.0) + 0.45 * rng.standard_normal(N),
    "one skewed population": 9.5 + 0.8 * rng.lognormal(0.0, 0.55, N),
}
tables = {}
for name, values in true.items():
    repeats = values[:, None] + ERROR * rng.standard_normal((N, REPEATS))
    long = pd.DataFrame({"animal": np.repeat(np.arange(N), REPEATS), "bill length (mm)": repeats.ravel()})
    tables[name] = long.drop(index=rng.choice(len(long), 20, replace=False))
print(tables["two types"].head(6).to_string(index=False))

# %% [markdown]
# ## How well can it be measured?
#
# One-way random-effects analysis: the error variance, and the repeatability (the share of the variance of single
# measurements that is between animals).

# %%
rows = []
for name, table in tables.items():
    found = traits.repeatability(table, value="bill length (mm)", individual="animal")
    rows.append([name, float(found["variance_error"]) ** 0.5, float(found["repeatability"])])
summary = pd.DataFrame(rows, columns=["species", "sd of an error (mm)", "repeatability"])
print("\n" + summary.round(3).to_string(index=False))

# %% [markdown]
# ## Discrete, mixed or continuous?
#
# Evidence for all hypotheses, the error estimated jointly, and what the answer depends on.

# %%
results = {}
for name, table in tables.items():
    results[name] = traits.discreteness(
        table,
        value="bill length (mm)",
        individual="animal",
        n_types=2,
        n_power=4,
        draws=4000,
        random_seed=SEED,
    )
    print(f"\n{name} (the truth)")
    say(results[name].attrs["verdict"])
    if results[name].attrs["notes"]:
        say(results[name].attrs["notes"])
    print(results[name]["class_probability"].to_pandas().round(3).to_string())

# %% [markdown]
# ## Pictures

# %%
figure, axes = plt.subplots(3, 1, figsize=(9, 12), layout="constrained")
for ax, (name, found) in zip(axes, results.items(), strict=True):
    bg.plots.plot_trait(found, ax=ax)
    ax.set_title(f"{name}: {found.attrs['decision']}", fontsize="medium", loc="left")
figure.savefig(folder / "traits_densities.png", dpi=120)

figure, axes = plt.subplots(3, 1, figsize=(10, 10), layout="constrained")
for ax, (name, found) in zip(axes, results.items(), strict=True):
    bg.plots.plot_hypotheses(found, ax=ax)
    ax.set_title(f"{name}: {found.attrs['decision']}", fontsize="medium", loc="left")
figure.savefig(folder / "traits_hypotheses.png", dpi=120)

figure, axes = plt.subplots(2, 1, figsize=(9, 7), layout="constrained")
for ax, name in zip(axes, ("two types", "two races"), strict=True):
    bg.plots.plot_type_spread(results[name], ax=ax)
    shown = f"{100 * results[name].attrs['interval']:.0f} %"
    ax.set_title(f"{name}: spread within each, if mixed; bars are {shown} intervals", fontsize="medium", loc="left")
figure.savefig(folder / "traits_spread.png", dpi=120)
print(f"\npictures in {folder}")

# %% [markdown]
# ## Two samples: has the share of a type changed?
#
# The same two types at two sites. Weights differ between groups, components are shared, and so the posterior of the
# difference falls out of the fit.

# %%
shares = {"island": 0.25, "mainland": 0.55}
sites = np.repeat(list(shares), 60)
is_second = rng.random(sites.size) < np.repeat(list(shares.values()), 60)
x = np.where(is_second, 11.2, 10.0)[:, None] + ERROR * rng.standard_normal((sites.size, REPEATS))
known = traits.measurements(x)
data = bg.as_data(known.means[:, None], noise=known.errors[:, None], groups=sites)
model = bg.GaussianMixture(2, covariances=bg.LKJ(scale=bg.HalfNormal(0.3)), component_names=["short", "long"])
fit = bg.fit(model, data, random_seed=SEED, progressbar=False)
long_bills = fit["posterior"]["weights"].sel(component="long")
change = long_bills.sel(group="mainland") - long_bills.sel(group="island")
low, high = np.quantile(change, [0.025, 0.975])
say(
    f"Share of long bills: mainland minus island {float(change.mean()):.2f} (95 % between {low:.2f} and {high:.2f}; "
    f"P(more on the mainland) = {float((change > 0).mean()):.3f}; the truth is "
    f"{shares['mainland'] - shares['island']:.2f})."
)

# %% [markdown]
# ## The same animals before and after: who changed type?
#
# Where the same animals come back the pairs tell more than two samples do: which animals changed, and, if few did,
# how little the share has changed. One animal in eight changes from short to long here, none back.

# %%
early = rng.random(60) < 0.4
late = early | (rng.random(60) < 0.125 / 0.6)
seen = np.where(np.stack([early, late]), 11.2, 10.0)[..., None] + ERROR * rng.standard_normal((2, 60, REPEATS))
pairs = pd.DataFrame(
    {
        "animal": np.tile(np.repeat(np.arange(60), REPEATS), 2),
        "season": np.repeat(["spring", "autumn"], 60 * REPEATS),
        "bill length (mm)": seen.ravel(),
    }
)
turned = traits.change_of_type(
    pairs, value="bill length (mm)", individual="animal", occasion="season", random_seed=SEED
)
print("\nshares of animals by what they were in spring (rows) and autumn (columns)")
print(turned["joint"].mean("draw").to_pandas().round(3).to_string())
say(
    f"Share of long bills: autumn minus spring {float(turned['change'].mean()):.2f} (89 % between "
    f"{float(turned['change_lower']):.2f} and {float(turned['change_upper']):.2f}; the truth is "
    f"{late.mean() - early.mean():.2f}); {float(turned['changed_lower']):.2f} to {float(turned['changed_upper']):.2f} "
    "of all changed type one way or the other."
)
certain = turned["individual_joint"].sel(before="low", after="high") > 0.95
print(f"animals that surely grew long bills: {', '.join(turned['individual'].to_numpy()[certain])}")
print(f"those that did: {', '.join(map(str, np.flatnonzero(late & ~early)))}")
