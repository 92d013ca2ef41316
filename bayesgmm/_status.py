"""How a fit, or one of its starts, ended. Each value is a sentence with a remedy."""

from __future__ import annotations

from enum import Enum


class Status(Enum):
    """How an optimisation ended.

    The name goes into tables; the value is the sentence to print.
    """

    CONVERGED = "Converged: the estimated gain left is below the tolerance."
    BOUNDARY = (
        "At the boundary: a component fits as well with no spread of its own in some direction, so the errors of "
        "measurement or the widths of bins explain all of it there; its covariance is known from above only. Use a "
        "proper covariance prior for its uncertainty."
    )
    MAX_STEPS = "Not converged: the passes ran out; raise `max_steps`."
    STALLED = (
        "Not converged: no step improves the objective any more although a gain is estimated to be left; "
        "the objective is flat or badly scaled here. Use a stronger prior or fewer components."
    )
    SINGULAR = (
        "Singular: a component collapsed onto too few distinct rows, or an empty one grew beyond all data, where the "
        "objective has no maximum; "
        "this end is not used. Use a proper covariance prior such as InverseWishart, or Tied covariances."
    )
    TOO_FEW_ROWS = (
        "Spurious: a component holds no more effective rows than its covariance needs (d + 1, for Diagonal and "
        "Spherical 2), so the data do not support it; "
        "this end is not used. Use a proper covariance prior such as InverseWishart, or fewer components."
    )
    COINCIDING = (
        "Not an optimum for so many components: two of them coincide or one is empty, so that fewer components are as "
        "likely and the point says nothing about this number; this end is not used. Use fewer components."
    )
    SCREENED_OUT = (
        "Not followed to the end: after the short run other starts were ahead; raise `n_polish` to follow it."
    )

    SAMPLED = "Sampled: the chains agree in everything that does not depend on labels, as far as R-hat can tell."
    NOT_MIXED = (
        "Not converged: the chains still differ by more than they should (R-hat of label-invariant quantities); "
        "raise `tune` and `draws` (`burn_in` and `sweeps` of Gibbs), and look at `diagnose`."
    )
    MULTIMODAL = (
        "Multimodal: chains sampled different modes of similar density without changing between them, so how much of "
        "the posterior each mode holds is unknown; look at `diagnose`, at `chains` and at each chain."
    )
    INTERRUPTED = "Interrupted: the draws made until then were kept; there are fewer than asked for."

    @property
    def of_chains(self) -> bool:
        """Whether this is how chains end; the others are how an optimisation ends."""
        return self in (Status.SAMPLED, Status.NOT_MIXED, Status.MULTIMODAL, Status.INTERRUPTED)

    @property
    def usable(self) -> bool:
        """Whether parameters that ended this way may be reported as a result."""
        return self in (Status.CONVERGED, Status.BOUNDARY, Status.MAX_STEPS, Status.STALLED)
