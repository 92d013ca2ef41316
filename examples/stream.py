"""A stellar stream among field stars, every star with measurement errors of its own: how cold is the stream itself?

The stars are simulated, so that the truth is known. Run with ``python examples/stream.py [folder]``; the picture goes
to the folder, ``pictures`` if left out.
"""

# %%
import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import bayesgmm as bg

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "pictures")
folder.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# 600 stars with a line-of-sight velocity and a metallicity; one in five belongs to the stream. The errors of most of
# them are larger than the spread of the stream, whose true standard deviations are 4 km/s and 0.08 dex.

# %%
rng = np.random.default_rng(1)
N, TRUE_SD = 600, 4.0
in_stream = rng.random(N) < 0.2
stream, field = rng.normal([-165, -2.1], [TRUE_SD, 0.08], (N, 2)), rng.normal([-40, -1.4], [110, 0.45], (N, 2))
errors = np.column_stack([rng.uniform(1, 10, N), rng.uniform(0.1, 0.3, N)])  # as a pipeline would report them
true = np.where(in_stream[:, None], stream, field)
V, FE = "velocity (km/s)", "[Fe/H] (dex)"
measured = dict(zip([V, FE], (true + errors * rng.standard_normal((N, 2))).T, strict=True))

# %% [markdown]
# Priors in the units of the data: anywhere in the halo, and spreads from a few km/s to a few hundred. They are the same
# for both components and do not say which one is cold. The default prior would not do: its spreads are like the data's.

# %%
spreads = bg.LKJ(scale=bg.LogNormal(np.log([20, 0.2]), [1.5, 1.0]))
means = bg.NormalMeans(mu=[-100, -1.5], sigma=[150, 1])
model = bg.GaussianMixture(2, means=means, covariances=bg.Diagonal(spreads), component_names=["stream", "field"])
data = bg.as_data(measured, noise=errors)
fits = {
    "errors used": bg.fit(model, data, engine=bg.NUTS(), random_seed=1),
    "errors ignored": bg.fit(model, measured, engine=bg.NUTS(), random_seed=1),
}
for name, fit in fits.items():
    table = bg.summary(fit)
    sd, low, high = (table.loc["stream", f"sd[{V}]{end}"] for end in ("", "_lower", "_upper"))
    print(f"{name}: the stream's dispersion is {sd:.1f} km/s ({low:.1f} to {high:.1f}); the truth is {TRUE_SD:.1f}.")
fit = fits["errors used"]
draws = {name: f["posterior"]["sds"].sel(component="stream", feature=V).to_numpy().ravel() for name, f in fits.items()}
inflation = draws["errors ignored"].mean() / draws["errors used"].mean()
print(f"Ignoring the errors makes the stream {inflation:.1f} times as hot (intervals: {table.attrs['interval']}).")

# %% [markdown]
# Membership: probabilities with their intervals, and the truth, which only a simulation can tell.

# %%
member = fit["assignments"].to_dataset().sel(component="stream", drop=True).to_dataframe()
p = member["responsibilities"].to_numpy()
print(f"\n{p.sum():.0f} members are expected; there are {in_stream.sum()}. Of {(p > 0.5).sum()} stars with a", end=" ")
print(f"probability above 0.5, {in_stream[p > 0.5].mean():.0%} are members; expected were {p[p > 0.5].mean():.0%}.")

# %% [markdown]
# `denoise` moves each star towards the components that it may belong to, as far as its error allows.

# %%
denoised = bg.denoise(fit)
rms = [np.sqrt(np.mean((x - true)[in_stream, 0] ** 2)) for x in (data.values, denoised["x"].to_numpy())]
print(f"Distance of the members' velocities from the truth: {rms[0]:.1f} km/s measured, {rms[1]:.1f} denoised.\n")
few = [*np.argsort(-p)[:2], *np.argsort(np.abs(p - 0.5))[:2], np.argmin(p)]
table = member.iloc[few][["responsibilities", "responsibilities_lower", "responsibilities_upper"]]
table = table.set_axis(["p(stream)", "lower", "upper"], axis=1)
x, sd = (denoised[name].sel(feature=V)[few] for name in ("x", "x_sd"))
table = table.assign(measured=measured[V][few], error=errors[few, 0], denoised=x, sd=sd, truth=true[few, 0])
print(table.rename_axis("star").round(2).to_string())

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained", width_ratios=[1.7, 1])
left.errorbar(*measured.values(), *errors.T[::-1], fmt="none", ecolor="0.6", elinewidth=0.5, alpha=0.5, zorder=0)
dots = left.scatter(*measured.values(), c=p, s=16, cmap="cividis_r", vmin=0, vmax=1, edgecolors="black", linewidths=0.3)
figure.colorbar(dots, ax=left, label="probability of belonging to the stream")
left.set(
    xlabel="line-of-sight velocity (km/s)", ylabel="[Fe/H] (dex)", title="600 stars as measured, with their errors"
)
for (name, sample), color in zip(draws.items(), ["#0072B2", "#D55E00"], strict=True):
    right.hist(sample, bins=40, density=True, color=color, alpha=0.6, label=name)
right.axvline(TRUE_SD, color="black", linestyle="--", label="truth")
right.set(
    xlabel="dispersion of the stream (km/s)", ylabel="posterior density (per km/s)", title="How cold is the stream?"
)
right.set(xlim=(0, 9.5), ylim=(0, 1.4 * right.get_ylim()[1]))  # room for the legend
right.legend(frameon=False, loc="upper right")
figure.savefig(folder / "stream.png", dpi=100)
print(f"\nThe picture is in {folder}/.")
