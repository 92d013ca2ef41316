"""Bayesian Gaussian mixtures: one declaration, fast native engines, one ArviZ result."""

from bayesgmm._interrupts import Interrupts as _Interrupts

with _Interrupts():  # half of a package could not be imported again
    from bayesgmm import datasets, ddpcr, plots, report, traits
    from bayesgmm._errors import BayesGMMError, FitError, InputError, UnsupportedError
    from bayesgmm._status import Status
    from bayesgmm._version import version as _installed_version
    from bayesgmm.data import Data, as_data
    from bayesgmm.engines.em import EM
    from bayesgmm.engines.gibbs import Gibbs
    from bayesgmm.engines.laplace import Laplace
    from bayesgmm.engines.nuts import NUTS
    from bayesgmm.engines.vb import VB
    from bayesgmm.inference.alignment import align
    from bayesgmm.inference.assignment_table import assignments
    from bayesgmm.inference.clustering import best_partition, coclustering
    from bayesgmm.inference.comparison import compare_engines
    from bayesgmm.inference.component_counts import compare_components
    from bayesgmm.inference.component_posterior import component_posterior
    from bayesgmm.inference.concerns import FewerGroupsWarning, NotGaussianWarning, UncalibratedWarning
    from bayesgmm.inference.diagnosis import diagnose
    from bayesgmm.inference.evidence import Bridge, Enumeration, LaplaceEvidence, Telescoping, VBBound, log_evidence
    from bayesgmm.inference.fitting import NotConvergedWarning, fit
    from bayesgmm.inference.imputation import denoise, impute
    from bayesgmm.inference.likelihood import add_log_likelihood
    from bayesgmm.inference.likelihood_ratio import bootstrap_lrt
    from bayesgmm.inference.merging import merge_components
    from bayesgmm.inference.next_prior import as_prior
    from bayesgmm.inference.opening import to_pymc
    from bayesgmm.inference.posterior_predictive import add_posterior_predictive
    from bayesgmm.inference.prediction import predict
    from bayesgmm.inference.prior_groups import add_log_prior, add_prior
    from bayesgmm.inference.simulation import simulate
    from bayesgmm.inference.standard_errors import standard_errors
    from bayesgmm.inference.summaries import occupied_components, summary
    from bayesgmm.inference.to_arviz import to_arviz
    from bayesgmm.model import (
        LKJ,
        Beta,
        BetaNegativeBinomial,
        ConjugateMeans,
        ConstantCV,
        Diagonal,
        Dirichlet,
        EvenlySpacedMeans,
        Exponential,
        FDistribution,
        FixedCovariances,
        FixedMeans,
        FixedWeights,
        Flat,
        Full,
        Gamma,
        GaussianMixture,
        Geometric,
        HalfNormal,
        HardyWeinberg,
        HierarchicalInverseWishart,
        InverseWishart,
        LinearVariance,
        LogNormal,
        NormalMeans,
        Poisson,
        PoissonProductWeights,
        PoissonWeights,
        SaturatingMeans,
        ScaledInverseChi,
        SparseDirichlet,
        Spherical,
        StickBreaking,
        Tied,
        UniformComponents,
        WarpedCovariances,
        WarpedMeans,
        warped_normal,
    )
    from bayesgmm.results.files import load, save
    from bayesgmm.results.relabel import relabel

__version__ = _installed_version()

__all__ = [
    "EM",
    "LKJ",
    "NUTS",
    "VB",
    "BayesGMMError",
    "Beta",
    "BetaNegativeBinomial",
    "Bridge",
    "ConjugateMeans",
    "ConstantCV",
    "Data",
    "Diagonal",
    "Dirichlet",
    "Enumeration",
    "EvenlySpacedMeans",
    "Exponential",
    "FDistribution",
    "FewerGroupsWarning",
    "FitError",
    "FixedCovariances",
    "FixedMeans",
    "FixedWeights",
    "Flat",
    "Full",
    "Gamma",
    "GaussianMixture",
    "Geometric",
    "Gibbs",
    "HalfNormal",
    "HardyWeinberg",
    "HierarchicalInverseWishart",
    "InputError",
    "InverseWishart",
    "Laplace",
    "LaplaceEvidence",
    "LinearVariance",
    "LogNormal",
    "NormalMeans",
    "NotConvergedWarning",
    "NotGaussianWarning",
    "Poisson",
    "PoissonProductWeights",
    "PoissonWeights",
    "SaturatingMeans",
    "ScaledInverseChi",
    "SparseDirichlet",
    "Spherical",
    "Status",
    "StickBreaking",
    "Telescoping",
    "Tied",
    "UncalibratedWarning",
    "UniformComponents",
    "UnsupportedError",
    "VBBound",
    "WarpedCovariances",
    "WarpedMeans",
    "add_log_likelihood",
    "add_log_prior",
    "add_posterior_predictive",
    "add_prior",
    "align",
    "as_data",
    "as_prior",
    "assignments",
    "best_partition",
    "bootstrap_lrt",
    "coclustering",
    "compare_components",
    "compare_engines",
    "component_posterior",
    "datasets",
    "ddpcr",
    "denoise",
    "diagnose",
    "fit",
    "impute",
    "load",
    "log_evidence",
    "merge_components",
    "occupied_components",
    "plots",
    "predict",
    "relabel",
    "report",
    "save",
    "simulate",
    "standard_errors",
    "summary",
    "to_arviz",
    "to_pymc",
    "traits",
    "warped_normal",
]
