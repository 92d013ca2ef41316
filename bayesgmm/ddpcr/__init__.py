"""Droplet digital PCR: plates of droplets, read from what instruments write, or simulated."""

from bayesgmm.ddpcr._plate import Plate, Well
from bayesgmm.ddpcr._read import read_plate
from bayesgmm.ddpcr._simulate import simulate_plate

__all__ = ["Plate", "Well", "read_plate", "simulate_plate"]
