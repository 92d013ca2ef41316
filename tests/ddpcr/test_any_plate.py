"""Plates with whatever may be in one, through the answer, tables, the page and the command."""

import fuzz_plates
import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm import ddpcr
from bayesgmm.ddpcr._compared import comparison, with_compared
from tests.quantified import compared


@pytest.mark.fit
def test_random_plates_are_answered_or_refused_by_name():
    found = [fuzz_plates.outcome(np.random.default_rng([0, i])) for i in range(8)]
    assert set(found) <= {"answered", "refused"}
    assert "answered" in found


def test_results_without_a_number_of_droplets_and_plates_of_controls_alone():
    plate, result = compared()
    rows = plate.reported.assign(n_droplets=np.nan)
    table = plate.table.assign(ntc=True)
    controls = ddpcr.Plate(plate.wells, table, rows)
    by = comparison(controls, ["Ch1", "Ch2"], 20.0, 5.0, None, 2.0)
    old = [name for name in result if str(name).startswith(("reported_", "copies_per_ng", "sample_copies_per_ng"))]
    found = with_compared(result.drop_vars([*old, "input_ng"]), controls, by)
    assert "the instrument counted 30 positives, here are " in str(found["flags"].to_numpy()[0, 0])
    assert (found["sample_wells"] == 0).all()
    assert "copies_per_ng" not in found  # controls without template hold none
    nobody = result.drop_vars([*old, "input_ng"]).isel(sample=slice(0, 0))
    assert with_compared(nobody, controls, by).sizes["sample"] == 0


def test_one_concentration_alone_has_an_axis():
    _, result = compared()
    one = result.sel(well=["A01"])
    axes = bg.plots.plot_plate(one, "Ch1")
    low, high = axes[0].get_ylim()
    assert low < float(one["copies_per_ul"][0, 0]) < high
