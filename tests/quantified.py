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


@cache
def compared() -> tuple[ddpcr.Plate, xr.Dataset]:
    """Five wells with all that is compared: targets, kinds of controls, ng, and what an instrument reported."""
    made = ddpcr.simulate_plate(
        samples={"s": (0.4, 0.15), "p": (0.2, 0.1)}, n_wells=2, n_ntc=1, n_droplets=1500, separation=20.0, random_seed=5
    )
    table = made.table.reset_index()[["well", "sample"]]
    kinds = {"s": "", "p": "positive", "NTC": "ntc"}
    table = table.assign(control=[kinds[name] for name in table["sample"]], ng=[10.0, 10.0, 20.0, 20.0, 0.0])
    plate = made.with_table(table, targets=["MUT p.V600E", "WT"], dilutions={"s": 4.0})
    rows = [
        {"well": well, "target": target, "channel": channel, "positives": positives}
        | {
            "sample": "s",
            "n_droplets": 1500.0,
            "concentration": 400.0,
            "lower": 380.0,
            "upper": 420.0,
            "source": "x.csv",
        }
        for well, target, channel, positives in (
            ("A01", "MUT p.V600E", "Ch1", 30.0),
            ("A01", "WT", "", 210.0),
            ("E01", "", "Ch2", 0.0),
            ("H12", "x", "Ch1", 9.0),
        )
    ]
    plate = ddpcr.Plate(plate.wells, plate.table, pd.DataFrame(rows))
    options = {"reaction_volume_ul": 22.0, "reference": "WT", "reference_copies": 4}
    return plate, ddpcr.quantify(plate, droplet_volume_nl=0.85, cores=1, progressbar=False, **options)
