"""Declarations: Gaussian mixtures and the priors of their parts."""

from bayesgmm.model._interfaces import CovariancePrior, Covariances, Means
from bayesgmm.model._weights_interface import Weights
from bayesgmm.model.covariance_priors import LKJ, InverseWishart
from bayesgmm.model.fixed_covariances import FixedCovariances
from bayesgmm.model.flat import Flat
from bayesgmm.model.hardy_weinberg import HardyWeinberg
from bayesgmm.model.linear_variance import LinearVariance
from bayesgmm.model.linked import ConstantCV, EvenlySpacedMeans
from bayesgmm.model.means import ConjugateMeans, FixedMeans, NormalMeans
from bayesgmm.model.mixture import FilledMixture, GaussianMixture
from bayesgmm.model.poisson import PoissonWeights
from bayesgmm.model.poisson_product import PoissonProductWeights
from bayesgmm.model.saturating import Beta, SaturatingMeans
from bayesgmm.model.scale_priors import Exponential, Gamma, HalfNormal, LogNormal, ScaledInverseChi
from bayesgmm.model.structures import Diagonal, Full, Spherical, Tied
from bayesgmm.model.warped import WarpedCovariances, WarpedMeans, warped_normal
from bayesgmm.model.weights import Dirichlet, FixedWeights, StickBreaking

__all__ = [
    "LKJ",
    "Beta",
    "ConjugateMeans",
    "ConstantCV",
    "CovariancePrior",
    "Covariances",
    "Diagonal",
    "Dirichlet",
    "EvenlySpacedMeans",
    "Exponential",
    "FilledMixture",
    "FixedCovariances",
    "FixedMeans",
    "FixedWeights",
    "Flat",
    "Full",
    "Gamma",
    "GaussianMixture",
    "HalfNormal",
    "HardyWeinberg",
    "InverseWishart",
    "LinearVariance",
    "LogNormal",
    "Means",
    "NormalMeans",
    "PoissonProductWeights",
    "PoissonWeights",
    "SaturatingMeans",
    "ScaledInverseChi",
    "Spherical",
    "StickBreaking",
    "Tied",
    "WarpedCovariances",
    "WarpedMeans",
    "Weights",
    "warped_normal",
]
