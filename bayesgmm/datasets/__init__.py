"""Small data sets whose mixtures are known from the literature."""

from bayesgmm.datasets._tables import load_faithful, load_galaxies, load_iris

__all__ = ["load_faithful", "load_galaxies", "load_iris"]
