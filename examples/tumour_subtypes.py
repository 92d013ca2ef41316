"""Tumour subtypes from two markers: which patients are on the fence, and how wide is the fence? Simulated data.

Run with ``python examples/tumour_subtypes.py [folder]``; pictures go to the folder, ``pictures`` if left out.
"""

# %%
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

import bayesgmm as bg

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "pictures")
folder.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## Made-up patients
#
# No patient is real, and neither are the markers: 300 tumours of three subtypes are simulated, so that the truth is
# known. Values are log2 expression. Subtype C is small and overlaps with B.

# %%
rng = np.random.default_rng(1)
SUBTYPES = np.array(["A", "B", "C"])
SIZES = [140, 120, 40]
MEANS = [[6.0, 9.0], [8.4, 6.6], [9.6, 8.6]]
COVARIANCES = [[[0.64, -0.17], [-0.17, 0.49]], [[0.49, 0.11], [0.11, 0.64]], [[0.36, 0.14], [0.14, 0.36]]]
values = [rng.multivariate_normal(*each) for each in zip(MEANS, COVARIANCES, SIZES, strict=True)]
order = rng.permutation(sum(SIZES))
true = np.repeat(SUBTYPES, SIZES)[order]
names = [f"P{i:03d}" for i in range(1, order.size + 1)]
patients = pd.DataFrame(np.vstack(values)[order], columns=["marker_1", "marker_2"], index=names)
print("Simulated log2 expression, no real patients")
print(patients.describe().loc[["count", "mean", "std", "min", "max"]].round(2).to_string())

# %% [markdown]
# ## Declaring what is known
#
# An earlier study, let us say, knew roughly where the subtypes lie: within 1 unit (one sd) of the values below. That
# gives the components their names. Standard deviations within a subtype are around 0.6, and hardly above 1.6.

# %%
model = bg.GaussianMixture(
    3,
    component_names=SUBTYPES,
    means=bg.NormalMeans([[6, 9], [8, 7], [10, 9]], 1.0),
    covariances=bg.LKJ(scale=bg.LogNormal(-0.5, 0.5)),
)
fit = bg.fit(model, patients, engine=bg.NUTS(draws=500), random_seed=1)
print(f"\n{bg.GaussianMixture.from_json(fit.attrs['model'])}\n")
print(bg.summary(fit).T.to_string(float_format="{:.2f}".format))
print("\nDiagnosis")
checks = bg.diagnose(fit)
for ok, message in zip(checks["ok"].to_numpy(), checks["message"].to_numpy(), strict=True):
    print(textwrap.fill(message, 100, initial_indent="  ok  " if ok else "LOOK  ", subsequent_indent=" " * 6))
# Chains in a mode that was left out, or that do not agree, make intervals too narrow: see `LOOK` above.

# %% [markdown]
# ## Patients on the fence
#
# The responsibility of a subtype is the probability that a patient belongs to it. It has an interval of its own, since
# the subtypes themselves are only known from these patients. A patient is *on the fence* if the interval of the label's
# responsibility reaches down to 0.5: with what else the data allow, another label may have been chosen.

# %%
assigned = fit["assignments"].to_dataset()
label = assigned["label"].to_numpy().astype(str)
own = assigned.sel(component=assigned["label"])
doubts = pd.DataFrame(
    {
        "label": label,
        "responsibility": own["responsibilities"].to_numpy(),
        "lower": own["responsibilities_lower"].to_numpy(),
        "upper": own["responsibilities_upper"].to_numpy(),
    },
    index=names,
)
doubts["width"] = doubts["upper"] - doubts["lower"]
fence = doubts["lower"] <= 0.5
unsure = doubts["responsibility"] < 0.95
print(f"\n{unsure.sum()} of {len(doubts)} labels are uncertain (responsibility below 0.95).")
print(f"{fence.sum()} patients are on the fence ({fit['assignments'].attrs['interval']}):")
print(doubts[fence].sort_values("responsibility").to_string(float_format="{:.2f}".format))

# %% [markdown]
# ## Two kinds of doubt
#
# Near a boundary a responsibility is near 0.5. If the interval is narrow, the place of the boundary is well known, and
# the markers of this patient cannot decide: only another marker would help. If it is wide, it is the boundary that is
# not known: more patients would help.

# %%
near = doubts[doubts["responsibility"] < 0.7].sort_values("width")
narrow, wide = near.index[0], near.index[-1]
for name, word, remedy in ((narrow, "narrowest", "another marker"), (wide, "widest", "more patients")):
    row = doubts.loc[name]
    others = assigned["responsibilities"].isel(obs=names.index(name)).to_series().nlargest(2)
    print(
        f"{name}, the {word} interval near a boundary ({' or '.join(others.index)}): responsibility "
        f"{row['responsibility']:.2f}, from {row['lower']:.2f} to {row['upper']:.2f}. Would help: {remedy}."
    )

# %% [markdown]
# ## Were they mislabelled?
#
# Only a simulation can tell.

# %%
wrong = label != true
print(f"\nMislabelled: {wrong.sum()} of all {len(doubts)}.")
for which, rows in {"on the fence": fence, "uncertain": unsure, "neither": ~(fence | unsure)}.items():
    print(f"{which}: {rows.sum()} patients, {wrong[rows].sum()} of them mislabelled")
expected = (1 - doubts["responsibility"]).sum()
spread = np.sqrt((doubts["responsibility"] * (1 - doubts["responsibility"])).sum())
print(
    f"Calibration: responsibilities expect {expected:.1f} wrong labels (sd {spread:.1f}), and {wrong.sum()} are wrong."
)

# %%
figure, (ax, of_rows) = plt.subplots(1, 2, figsize=(13, 5), layout="constrained")
for marker, subtype in zip("osD", SUBTYPES, strict=True):
    ax.scatter(*patients[label == subtype].to_numpy().T, s=14, marker=marker, color="0.7", label=f"label {subtype}")
shown = ax.scatter(*patients[fence].to_numpy().T, s=60, c=doubts["width"][fence], cmap="viridis_r", edgecolors="black")
ax.plot(*patients[wrong].to_numpy().T, "x", color="tab:red", markersize=9, label="truly of another subtype")
for name, place in ((narrow, (0.02, 0.36)), (wide, (0.55, 0.94))):  # where there are no patients
    text = f"{name}: {doubts.loc[name, 'lower']:.2f} to {doubts.loc[name, 'upper']:.2f}"
    ax.annotate(text, patients.loc[name], place, textcoords="axes fraction", arrowprops={"arrowstyle": "-"})
figure.colorbar(shown, ax=ax, label="on the fence: width of the interval")
ax.set_xlabel("marker 1 (log2 expression)")
ax.set_ylabel("marker 2 (log2 expression)")
ax.set_title(f"{fence.sum()} simulated patients on the fence", loc="left")
ax.legend(loc="lower left", fontsize="small")
bg.plots.plot_responsibilities(fit, max_rows=60, ax=of_rows)
figure.savefig(folder / "tumour_fence.png", dpi=100)
bg.plots.plot_components(fit)[0].figure.savefig(folder / "tumour_components.png", dpi=100)
print(f"\nPictures are in {folder}/.")
