"""The one table of names in a result: groups, variables and their dimensions."""

from __future__ import annotations

CHAIN, DRAW = "chain", "draw"
COMPONENT, FEATURE, FEATURE_BIS, OBS = "component", "feature", "feature_bis", "obs"
# Groups of rows with weights of their own.
GROUP = "group"
START, STEP = "start", "step"
# Components merged into one, and how many such clusters there are.
CLUSTER, N_CLUSTERS = "cluster", "n_clusters"
# Lower and upper edge of a bin.
BOUND = "bound"
# Name of the data in observed_data, log_likelihood and posterior_predictive.
DATA = "x"

POSTERIOR, POINT, VARIATIONAL = "posterior", "point_estimate", "variational"
ASSIGNMENTS, OPTIMIZATION, SAMPLE_STATS = "assignments", "optimization", "sample_stats"
OBSERVED, CONSTANT, LOG_LIKELIHOOD = "observed_data", "constant_data", "log_likelihood"
POSTERIOR_PREDICTIVE = "posterior_predictive"
LOG_PRIOR, PRIOR = "log_prior", "prior"
# Draws as they were sampled, how they were relabelled, chains in lower modes, and a table of all chains.
UNRELABELLED, RELABELLING, LEFT_OUT, CHAINS = "unrelabelled", "relabelling", "left_out", "chains"
SAMPLED_CHAIN = "sampled_chain"
# Components that rows are known to come from.
KNOWN_LABELS = "known_labels"
# How components were matched to those of another fit.
ALIGNMENT = "alignment"
# Groups that verbs add for ArviZ. Nothing here reads them, and they may be taken out again.
FOR_ARVIZ = (LOG_LIKELIHOOD, LOG_PRIOR, PRIOR, POSTERIOR_PREDICTIVE)
# Groups that verbs add to a fit and that others read.
ADDED = (RELABELLING, UNRELABELLED, ALIGNMENT)
# Draws of mixtures of different numbers of components, and the places that those have in a draw.
ALL_DRAWS, SLOT = "all_draws", "slot"

_MATRIX = (COMPONENT, FEATURE, FEATURE_BIS)

# Dimensions of every variable without (chain, draw), which the groups with draws put in front.
DIMS: dict[str, tuple[str, ...]] = {
    "weights": (COMPONENT,),
    "means": (COMPONENT, FEATURE),
    "covariances": _MATRIX,
    "sds": (COMPONENT, FEATURE),
    "correlations": _MATRIX,
    "n_occupied": (),
    "rate": (),
    "shared_rate": (),
    "rate_a": (),
    "rate_b": (),
    "rate_linked": (),
    "allele_frequency": (),
    "responsibilities": (OBS, COMPONENT),
    "responsibilities_lower": (OBS, COMPONENT),
    "responsibilities_upper": (OBS, COMPONENT),
    "label": (OBS,),
    "label_probability": (OBS,),
    "expected_rows": (COMPONENT,),
    "log_density": (OBS,),
    DATA: (OBS, FEATURE),
    "x_sd": (OBS, FEATURE),
    "x_true": (OBS, FEATURE),
    "noise_scale": (),
    "x_draws": (DRAW, OBS, FEATURE),
    "data_mean": (FEATURE,),
    "data_sd": (FEATURE,),
    "counts": (OBS,),
    "noise_sd": (OBS, FEATURE),
    "noise_covariance": (OBS, FEATURE, FEATURE_BIS),
    "bins": (OBS, BOUND),
    "groups": (OBS,),
    KNOWN_LABELS: (OBS,),
    "lp": (),
    "n_components": (),
    "concentration": (),
    "scale_matrix": (FEATURE, FEATURE_BIS),
    "log_q": (),
    "diverging": (),
    "n_steps": (),
    "tree_depth": (),
    "reached_max_treedepth": (),
    "step_size": (),
    "acceptance_rate": (),
    "energy": (),
    "invariants": ("row",),
    "order": (COMPONENT,),
    "margin": (),
    "start": (SAMPLED_CHAIN,),
    "mode": (SAMPLED_CHAIN,),
    "mean_lp": (SAMPLED_CHAIN,),
    "gap": (SAMPLED_CHAIN,),
    "gap_error": (SAMPLED_CHAIN,),
    "kept": (SAMPLED_CHAIN,),
    "log_weight": (),
    "weights_mean": (COMPONENT,),
    "weights_concentration": (COMPONENT,),
    "weights_stick_taken": (COMPONENT,),
    "weights_stick_left": (COMPONENT,),
    "means_loc": (COMPONENT, FEATURE),
    "means_precision_scale": (COMPONENT,),
    "means_covariance": _MATRIX,
    "covariance_df": (COMPONENT,),
    "covariance_scale": _MATRIX,
    "predictive_df": (COMPONENT,),
    "predictive_loc": (COMPONENT, FEATURE),
    "predictive_scale": _MATRIX,
}
# Variables that have the dimension of groups in front where rows belong to groups.
BY_GROUP = (
    *("weights", "weights_mean", "weights_concentration", "weights_stick_taken", "weights_stick_left"),
    *("rate", "rate_a", "rate_b", "rate_linked", "allele_frequency"),
)
# Variables of ALL_DRAWS that have one entry for each place.
BY_SLOT: dict[str, tuple[str, ...]] = {
    "rows": (SLOT,),
    "weights": (SLOT,),
    "means": (SLOT, FEATURE),
    "covariances": (SLOT, FEATURE, FEATURE_BIS),
}
SAMPLED_GROUPS = (POSTERIOR, SAMPLE_STATS, LOG_LIKELIHOOD, POSTERIOR_PREDICTIVE)

# Raised whenever a result of before can no longer be read, or means something else.
SCHEMA_VERSION = 1
# Root attributes that say what a result is: its schema version, which function returned it, what is in it with a
# checksum of each array and attribute, and a checksum of these three.
SCHEMA, RESULT_OF, CONTENTS, CHECKSUM = "schema_version", "result_of", "contents", "contents_checksum"
# Other root attributes.
LIBRARY_VERSION = "inference_library_version"
MODEL, DECLARED = "model", "declared_model"
ENGINE, ENGINE_OPTIONS, ENGINE_REASON = "engine", "engine_options", "engine_reason"
STATUS, STATUS_MESSAGE, SEED = "status", "status_message", "random_seed"
PREDICTIVE_FAMILY = "predictive_family"
INTERVAL = "interval"
# Attribute of what has rows: the library of the table they came from and its index, as JSON. Levels that are no
# labels of rows are variables.
SOURCE, INDEX_LEVEL = "source", "index_"
# Attribute of the noise: the prior of its unknown factor, as JSON.
NOISE_SCALE = "noise_scale"
CAVEAT = "caveat"
# What there is to say where not every component holds rows.
FEWER_GROUPS = "fewer_groups"
# What there is to say where the rows of a component are not like a Gaussian's.
NOT_GAUSSIAN = "not_gaussian"
# Whether neighbours in the order of components are far enough apart for the order to be no matter of chance: 1 or 0.
ORDER_STABLE = "order_stable"
# Of importance weights, where draws were corrected by them (or were not, and why).
PARETO_K, CORRECTION = "pareto_k", "correction"


def dims_of(name: str, *, grouped: bool) -> tuple[str, ...]:
    """Dimensions of a variable in a fit in which rows belong to groups, or do not."""
    return (GROUP, *DIMS[name]) if grouped and name in BY_GROUP else DIMS[name]
