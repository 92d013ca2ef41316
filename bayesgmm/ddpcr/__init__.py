"""Droplet digital PCR: plates of droplets, read from what instruments write, or simulated, and concentrations."""

from bayesgmm.ddpcr._plate import Plate, Well
from bayesgmm.ddpcr._quantify import quantify
from bayesgmm.ddpcr._read import read_plate
from bayesgmm.ddpcr._simulate import simulate_plate
from bayesgmm.ddpcr._volume import instruments

__all__ = ["Plate", "Well", "instruments", "quantify", "read_plate", "simulate_plate"]
