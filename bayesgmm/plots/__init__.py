"""Pictures of a fit. Matplotlib is loaded by the first call, and its settings are read, never changed.

Every function returns what it drew on: one ``Axes``, or an array of them where there are panels. ``ax.figure`` (or
``axes[0].figure``) is the figure, to save it.
"""

from bayesgmm.plots.component_counts import plot_component_count
from bayesgmm.plots.components import plot_components
from bayesgmm.plots.ddpcr import plot_droplets, plot_two_channels, plot_well
from bayesgmm.plots.ddpcr_plate import plot_plate
from bayesgmm.plots.density import plot_density
from bayesgmm.plots.likelihood_ratio import plot_bootstrap_lrt
from bayesgmm.plots.merging import plot_merging
from bayesgmm.plots.optimization import plot_optimization
from bayesgmm.plots.partitions import plot_coclustering, plot_k_posterior
from bayesgmm.plots.responsibilities import plot_responsibilities
from bayesgmm.plots.traits import plot_hypotheses, plot_trait, plot_type_spread

__all__ = [
    "plot_bootstrap_lrt",
    "plot_coclustering",
    "plot_component_count",
    "plot_components",
    "plot_density",
    "plot_droplets",
    "plot_hypotheses",
    "plot_k_posterior",
    "plot_merging",
    "plot_optimization",
    "plot_plate",
    "plot_responsibilities",
    "plot_trait",
    "plot_two_channels",
    "plot_type_spread",
    "plot_well",
]
