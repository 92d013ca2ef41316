"""Declarations: Gaussian mixtures and the priors of their parts."""

from bayesgmm.model._interfaces import CovariancePrior, Covariances, Means
from bayesgmm.model._weights_interface import Weights
from bayesgmm.model.covariance_priors import LKJ
from bayesgmm.model.fixed_covariances import FixedCovariances
from bayesgmm.model.flat import Flat
from bayesgmm.model.hardy_weinberg import HardyWeinberg
from bayesgmm.model.hierarchical import HierarchicalInverseWishart
from bayesgmm.model.inverse_wishart import InverseWishart
from bayesgmm.model.linear_variance import LinearVariance
from bayesgmm.model.linked import ConstantCV, EvenlySpacedMeans
from bayesgmm.model.means import ConjugateMeans, FixedMeans, NormalMeans
from bayesgmm.model.mixture import FilledMixture, GaussianMixture
from bayesgmm.model.number_priors import BetaNegativeBinomial, Geometric, NumberPrior, Poisson, UniformComponents
from bayesgmm.model.poisson import PoissonWeights
from bayesgmm.model.poisson_product import PoissonProductWeights
from bayesgmm.model.saturating import Beta, SaturatingMeans
from bayesgmm.model.scale_priors import Exponential, Gamma, HalfNormal, LogNormal, ScaledInverseChi
from bayesgmm.model.sparse import FDistribution, SparseDirichlet
from bayesgmm.model.structures import Diagonal, Full, Spherical, Tied
from bayesgmm.model.warped import WarpedCovariances, WarpedMeans, warped_normal
from bayesgmm.model.weights import Dirichlet, FixedWeights, StickBreaking

__all__ = [
    "LKJ",
    "Beta",
    "BetaNegativeBinomial",
    "ConjugateMeans",
    "ConstantCV",
    "CovariancePrior",
    "Covariances",
    "Diagonal",
    "Dirichlet",
    "EvenlySpacedMeans",
    "Exponential",
    "FDistribution",
    "FilledMixture",
    "FixedCovariances",
    "FixedMeans",
    "FixedWeights",
    "Flat",
    "Full",
    "Gamma",
    "GaussianMixture",
    "Geometric",
    "HalfNormal",
    "HardyWeinberg",
    "HierarchicalInverseWishart",
    "InverseWishart",
    "LinearVariance",
    "LogNormal",
    "Means",
    "NormalMeans",
    "NumberPrior",
    "Poisson",
    "PoissonProductWeights",
    "PoissonWeights",
    "SaturatingMeans",
    "ScaledInverseChi",
    "SparseDirichlet",
    "Spherical",
    "StickBreaking",
    "Tied",
    "UniformComponents",
    "WarpedCovariances",
    "WarpedMeans",
    "Weights",
    "warped_normal",
]
