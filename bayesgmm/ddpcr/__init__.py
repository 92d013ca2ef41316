"""Droplet digital PCR: plates of droplets, read from what instruments write, or simulated, and concentrations."""

from bayesgmm.ddpcr._cross_talk import CrossTalkMeans
from bayesgmm.ddpcr._plate import Plate, Well
from bayesgmm.ddpcr._quantify import quantify
from bayesgmm.ddpcr._read import SkippedFilesWarning, read_plate
from bayesgmm.ddpcr._simulate import simulate_plate
from bayesgmm.ddpcr._volume import instruments
from bayesgmm.ddpcr._well_model import rates, two_channel_model, well_model

__all__ = [
    "CrossTalkMeans",
    "Plate",
    "SkippedFilesWarning",
    "Well",
    "instruments",
    "quantify",
    "rates",
    "read_plate",
    "simulate_plate",
    "two_channel_model",
    "well_model",
]
