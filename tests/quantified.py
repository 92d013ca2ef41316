"""A small plate with two channels and its result, for tests of what is made from results."""

from functools import cache

import numpy as np
import pandas as pd
import xarray as xr

from bayesgmm import ddpcr

NAMES = {"<script>alert(1)</script>": (0.4, 0.15), 'rare & "odd" $x$': (0.05, 0.15)}


@cache
def quantified() -> tuple[ddpcr.Plate, xr.Dataset]:
    """Seven wells: two samples in two wells each, two controls, and a well without droplets."""
    made = ddpcr.simulate_plate(
        samples=NAMES, n_wells=2, n_ntc=2, n_droplets=(3000, 3500), separation=7.0, rain=0.02, random_seed=4
    )
    empty = ddpcr.Well(name="H12", channels=("Ch1", "Ch2"), amplitudes=np.empty((0, 2)), source="simulated")
    table = pd.concat([made.table, made.table.iloc[:1].set_axis(pd.Index(["H12"], name="well"))])
    plate = ddpcr.Plate((*made.wells, empty), table)
    return plate, ddpcr.quantify(plate, droplet_volume_nl=0.85, cores=1, progressbar=False)
