"""Droplet digital PCR: plates of droplets, read from what instruments write."""

from bayesgmm.ddpcr._plate import Plate, Well
from bayesgmm.ddpcr._read import read_plate

__all__ = ["Plate", "Well", "read_plate"]
