"""A declared mixture opened as a PyMC model, and a part added by hand: a covariate that moves one mean.

PyTensor compiles for about a minute the first time. Run with ``python examples/extend_in_pymc.py``.
"""

# %%
import sys

import arviz as az
import numpy as np
import pymc as pm

import bayesgmm as bg

# %% [markdown]
# Cells of two kinds in six batches. A standard of the second kind was measured in every batch, at temperatures that
# are known: the mean of that kind moves with temperature.

# %%
rng = np.random.default_rng(0)
signal = np.concatenate([rng.normal(2.0, 0.5, 60), rng.normal(6.0, 0.8, 40)])
temperature = np.array([-1.5, -1.0, -0.5, 0.5, 1.0, 1.5])  # degrees from the temperature of the sample
standard = 6.0 + 0.7 * temperature + rng.normal(0.0, 0.2, 6)

# %%
# Prior means that differ tell the two kinds apart, so that "the second" has a meaning.
declared = bg.GaussianMixture(
    2,
    means=bg.NormalMeans(mu=[[2.0], [6.0]], sigma=2.0),
    covariances=bg.LKJ(1.0, scale=bg.HalfNormal(2.0)),
    component_names=["low", "high"],
)
with bg.to_pymc(declared, {"signal": signal}) as model:
    slope = pm.Normal("slope", 0.0, 2.0)
    error = pm.HalfNormal("error", 1.0)
    second = model["means"][1, 0]
    pm.Normal("standard", second + slope * temperature, error, observed=standard)
    # Good starts matter for mixtures: without them a sampler may settle in a poor mode.
    start = {"means": np.array([[2.0], [6.0]]), "weights": np.array([0.6, 0.4])}
    posterior = pm.sample(
        draws=500,
        tune=500,
        chains=2,
        random_seed=1,
        initvals=start,
        nuts_sampler="pymc",
        init="adapt_diag",
        progressbar=sys.stderr.isatty(),
    )

# %%
print(az.summary(posterior, var_names=["slope", "means", "sds", "weights"]).to_string())
