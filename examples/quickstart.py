"""Old Faithful in one page: declare, fit, read the table, see which eruptions are uncertain, check the fit.

Run with ``python examples/quickstart.py [folder]``; pictures go to the folder, ``pictures`` if left out.
"""

# %%
import sys
import textwrap
from pathlib import Path

import arviz as az

import bayesgmm as bg

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "pictures")
folder.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# The data: how long each of 272 eruptions took, and how long the wait was until the next one, both in minutes.

# %%
eruptions = bg.datasets.load_faithful()
print(eruptions.describe().loc[["count", "mean", "std", "min", "max"]].round(2).to_string())

# %% [markdown]
# The declaration prints like the model section of a paper. Parts that are left out get weak priors that are scaled by
# the data; the fit stores the numbers that were used.

# %%
model = bg.GaussianMixture(2, component_names=["short", "long"])
print(f"\n{model}")

# %%
fit = bg.fit(model, eruptions, random_seed=1)
print(f"\nWith its numbers:\n{bg.GaussianMixture.from_json(fit.attrs['model'])}")
print(f"\nEngine: {fit.attrs['engine']}. {fit.attrs['engine_reason']}")

# %% [markdown]
# The table, on its side to fit a narrow page. `members` are the rows with that label; `uncertain` counts those among
# them that could well belong elsewhere.

# %%
table = bg.summary(fit)
print(f"\nIntervals: {table.attrs['interval']}. Uncertain: {table.attrs['uncertain']}.")
print(table.T.to_string(float_format="{:.2f}".format))

# %% [markdown]
# Which eruptions are on the fence? Each responsibility comes with its own posterior interval.

# %%
assigned = fit["assignments"].to_dataset()
own = assigned["responsibilities"].max("component").to_numpy()
doubtful = own.argsort()[:5]
long = assigned.sel(component="long").isel(obs=doubtful)
rows = eruptions.iloc[doubtful].copy()
rows["p(long)"] = long["responsibilities"].to_numpy()
rows["lower"] = long["responsibilities_lower"].to_numpy()
rows["upper"] = long["responsibilities_upper"].to_numpy()
print("\nThe five least certain eruptions, with their probability of being long:")
print(rows.to_string(float_format="{:.3f}".format))

# %% [markdown]
# Was the fit any good? Each check is a sentence.

# %%
checks = bg.diagnose(fit)
print("\nDiagnosis")
for ok, message in zip(checks["ok"].to_numpy(), checks["message"].to_numpy(), strict=True):
    print(textwrap.fill(message, 100, initial_indent="  ok  " if ok else "LOOK  ", subsequent_indent=" " * 6))

# %% [markdown]
# New data: the same `predict` works on rows that the fit has not seen.

# %%
new = bg.predict(fit, {"eruptions": [2.0, 3.1, 4.5], "waiting": [50.0, 66.0, 85.0]})
print("\nThree new eruptions")
print(new[["responsibilities", "label"]].to_dataframe().unstack("component")["responsibilities"].round(3).to_string())

# %% [markdown]
# The result is a DataTree in ArviZ's schema, so ArviZ takes it as it is.

# %%
print("\nThe weights by ArviZ")
print(az.summary(fit, var_names=["weights"], kind="stats").to_string())

# %%
bg.plots.plot_components(fit)[0].figure.savefig(folder / "quickstart_components.png", dpi=100)
bg.plots.plot_density(fit, "eruptions").figure.savefig(folder / "quickstart_density.png", dpi=100)
bg.plots.plot_responsibilities(fit).figure.savefig(folder / "quickstart_responsibilities.png", dpi=100)
bg.plots.plot_optimization(fit).figure.savefig(folder / "quickstart_optimization.png", dpi=100)
print(f"\nPictures are in {folder}/.")
