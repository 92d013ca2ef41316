"""The command ``bayesgmm``."""

from bayesgmm.cli._main import main

__all__ = ["main"]
