"""The first hour with a file of one's own: from a CSV with text and holes to scores of new rows in another process.

Run with ``python examples/first_hour.py [folder]``, or cell by cell as a notebook; files and pictures go to the folder,
``first_hour`` if left out.
"""

# %% [markdown]
# # The first hour
#
# A CSV as it comes from the field: an identifier, a column of text, three measurements, and holes where somebody could
# not measure. It is simulated here, so that the example has something to read.

# %%
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

import bayesgmm as bg

folder = Path(sys.argv[1] if len(sys.argv) == 2 else "first_hour")
folder.mkdir(parents=True, exist_ok=True)


def field_trip(n, seed):
    """Shells of three kinds, of which two are alike; about one measurement in twenty is missing."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(3, size=n, p=[0.45, 0.35, 0.2])
    centers = np.array([[21.0, 14.0, 3.1], [26.0, 14.4, 5.2], [37.0, 19.0, 9.5]])
    size = rng.normal(size=(n, 1)) * np.array([1.6, 0.9, 0.5])
    shells = centers[kind] + size + rng.normal(size=(n, 3)) * np.array([0.8, 0.6, 0.4])
    table = pd.DataFrame(shells.round(2), columns=["length", "width", "mass"])
    table = table.mask(rng.random(table.shape) < 0.05)
    table.insert(0, "beach", rng.choice(["north", "south", "harbour"], size=n))
    table.insert(0, "shell", [f"S{seed}-{i:03d}" for i in range(n)])
    return table


field_trip(200, seed=1).to_csv(folder / "shells.csv", index=False)

# %% [markdown]
# ## Read it
#
# Measurements go into the model, the rest stays in the table. Holes may stay: a row counts with what was measured in
# it.

# %%
shells = pd.read_csv(folder / "shells.csv", index_col="shell")
measurements = ["length", "width", "mass"]
print(f"{shells[measurements].isna().sum().sum()} of {shells[measurements].size} measurements are missing")
shells.head()

# %% [markdown]
# ## How many kinds?
#
# A model says what is believed before the rows are seen. What is left out gets weak priors, and printing says which.

# %%
model = bg.GaussianMixture(3)
model

# %% [markdown]
# Several criteria beside each other, because they ask for different things.

# %%
counts = bg.compare_components(
    model, shells[measurements], n_components=[2, 3, 4], criteria=["bic", "icl"], random_seed=1
)
print(counts.attrs["reading"])
panels = bg.plots.plot_component_count(counts)
panels[0].figure.savefig(folder / "how_many.png", dpi=100)

# %% [markdown]
# ## Fit

# %%
fit = bg.fit(model, shells[measurements], random_seed=1)
fit

# %%
bg.summary(fit)

# %% [markdown]
# What to know before it is trusted:

# %%
print("\n".join(bg.diagnose(fit)["message"].values))

# %% [markdown]
# ## Look at it

# %%
panels = bg.plots.plot_components(fit, ["length", "mass"])
panels[0].figure.savefig(folder / "kinds.png", dpi=100)

# %%
ax = bg.plots.plot_density(fit, feature=2)
ax.figure.savefig(folder / "mass.png", dpi=100)

# %% [markdown]
# ## Back to the table
#
# One row for each row of the table, with its index: `join` is the whole job.

# %%
joined = shells.join(bg.assignments(fit))
joined.head()

# %% [markdown]
# Which shells are on the fence, and between which kinds?

# %%
uncertain = joined[joined["uncertain"]].sort_values("probability")
print(f"{len(uncertain)} of {len(joined)} shells are uncertain")
uncertain[["length", "mass", "label", "probability", "lower", "upper", "second_label"]].head(8)

# %%
ax = bg.plots.plot_responsibilities(fit, max_rows=30)
ax.figure.savefig(folder / "fence.png", dpi=100)

# %% [markdown]
# Text is good for what comes after: are the kinds equally frequent on the beaches?

# %%
pd.crosstab(joined["beach"], joined["label"])

# %% [markdown]
# ## Save, and how it is loaded
#
# The file holds the model, the fit and the rows, so that nothing else is needed on another day.

# %%
bg.save(fit, folder / "shells.nc")

# %% [markdown]
# ## Another day, another process
#
# New shells have been found. Their file has the columns in another order and one more; the fit finds its own by name.

# %%
new = field_trip(12, seed=2)
new["finder"] = "M."
new[["finder", "mass", "shell", "length", "beach", "width"]].to_csv(folder / "new_shells.csv", index=False)

score = """
import sys
import pandas as pd
import bayesgmm as bg

fit = bg.load(sys.argv[1])
new = pd.read_csv(sys.argv[2], index_col="shell")
new.join(bg.assignments(fit, new)).to_csv(sys.argv[3])
"""
files = [str(folder / name) for name in ("shells.nc", "new_shells.csv", "scored.csv")]
done = subprocess.run([sys.executable, "-c", score, *files], check=True)

# %%
scored = pd.read_csv(folder / "scored.csv", index_col="shell")
assert len(scored) == len(new)
scored[["length", "mass", "label", "probability", "uncertain"]]
