"""What laboratories compare: whole droplets, copies per well and per ng, copy numbers, the instrument's numbers."""

import numpy as np
import pandas as pd
import pytest

import bayesgmm as bg
from bayesgmm import ddpcr
from bayesgmm.ddpcr._compared import comparison, with_compared
from tests.quantified import compared, quantified

ENDS = ("", "_lower", "_upper", "_total_lower", "_total_upper")


def anew(plate=None, reaction_volume_ul=20.0, input_ng=None, reference=None, reference_copies=2.0):
    """The same result, compared by something else."""
    own, result = compared()
    by = comparison(plate or own, ["Ch1", "Ch2"], reaction_volume_ul, input_ng, reference, reference_copies)
    old = [name for name in result if str(name).startswith(("reported_", "copies_per_ng", "sample_copies_per_ng"))]
    return with_compared(result.drop_vars([*old, "input_ng"]), plate or own, by)


def test_droplets_are_whole_and_add_up():
    plate, result = compared()
    positive, negative = (result[f"counted_{kind}"].to_numpy() for kind in ("positives", "negatives"))
    np.testing.assert_array_equal(positive, np.round(positive))
    np.testing.assert_array_equal(positive + negative, np.full((5, 2), 1500.0))
    for c, channel in enumerate(("Ch1", "Ch2")):
        threshold = result["threshold"].to_numpy()[:, c]
        known = [(well.channel(channel) > at).sum() for well, at in zip(plate, threshold, strict=True)]
        np.testing.assert_array_equal(positive[:, c], known)
    for name, wells in (("s", [0, 1]), ("p", [2, 3])):
        own = result.sel(sample=name)
        np.testing.assert_array_equal(own["sample_counted_positives"], positive[wells].sum(axis=0))
        np.testing.assert_array_equal(own["sample_counted_negatives"], negative[wells].sum(axis=0))
        assert int(own["sample_wells"]) == 2
        assert (own["sample_droplets"] == 3000).all()


def test_copies_per_well_and_per_nanogram():
    _, result = compared()
    ng = np.array([10.0, 10.0, 20.0, 20.0, np.nan])
    np.testing.assert_array_equal(result["input_ng"], ng)
    for end in ENDS:
        concentration = result[f"copies_per_ul{end}"].to_numpy()
        np.testing.assert_allclose(result[f"copies_per_well{end}"], 22.0 * concentration)
        np.testing.assert_allclose(result[f"copies_per_ng{end}"], 22.0 * concentration / ng[:, None])
        # A well of s holds a quarter of its volume of the undiluted sample, in 10 ng.
        of_sample = result[f"sample_copies_per_ul{end}"].sel(sample="s").to_numpy()
        np.testing.assert_allclose(result[f"sample_copies_per_ng{end}"].sel(sample="s"), of_sample * 22.0 / 4.0 / 10.0)
    assert result.attrs["reaction_volume_ul"] == 22.0


def test_copy_numbers_refer_to_the_reference():
    _, result = compared()
    assert result["copy_number_of"].item() == "MUT p.V600E"
    assert result["reference"].item() == "WT"
    for end in ENDS[:3]:
        np.testing.assert_allclose(result[f"copy_number{end}"], 4.0 * result[f"ratio{end}"])
    turned = anew(reference="Ch1")
    assert turned["reference"].item() == "MUT p.V600E"
    np.testing.assert_allclose(turned["copy_number"], 2.0 / turned["ratio"])
    np.testing.assert_allclose(turned["copy_number_lower"], 2.0 / turned["ratio_upper"])
    np.testing.assert_allclose(turned["copy_number_upper"], 2.0 / turned["ratio_lower"])


def test_numbers_of_the_instrument_stand_beside():
    _, result = compared()
    reported = result["reported_positives"].to_numpy()
    assert reported[0].tolist() == [30.0, 210.0]  # the second by its target
    assert reported[4, 1] == 0.0
    assert np.isnan(reported[1:4]).all()
    assert float(result["reported_copies_per_ul_upper"][0, 0]) == 420.0
    ours = int(result["counted_positives"][0, 0])
    flags = result["flags"].to_numpy()
    assert f"the instrument counted 30 positives of 1,500 droplets, here are {ours:,}" in str(flags[0, 0])
    assert "instrument" not in "".join(flags[0, 1:])
    _, without = quantified()
    assert "reported_positives" not in without


def test_two_tables_of_results_that_disagree_say_nothing():
    plate, _ = compared()
    row = plate.reported.iloc[0].to_dict()
    for positives, known in ((30.0, 30.0), (31.0, np.nan)):
        both = ddpcr.Plate(plate.wells, plate.table, pd.DataFrame([row, row | {"positives": positives}]))
        some = anew(both)
        np.testing.assert_array_equal(some["reported_positives"][0, 0], known)
        assert float(some["reported_copies_per_ul"][0, 0]) == 400.0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"reaction_volume_ul": 0.0}, r"reaction_volume_ul: got 0.0. Give a positive number"),
        ({"input_ng": -1.0}, r"input_ng: got -1.0"),
        ({"reference": "KRAS"}, r"reference: got 'KRAS'. Give a channel or its target: Ch1, Ch2, MUT p.V600E, WT"),
        ({"reference": 2}, r"reference: got 2"),
        ({"reference_copies": 0}, r"reference_copies: got 0"),
    ],
)
def test_arguments(options, says):
    plate, _ = compared()
    with pytest.raises(bg.InputError, match=says):
        ddpcr.quantify(plate, droplet_volume_nl=0.85, **options)


def test_without_nanograms_nothing_is_said_of_them():
    plate, _ = compared()
    bare = ddpcr.Plate(plate.wells, plate.table.drop(columns="ng"))
    found = anew(bare)
    assert not [name for name in found if "_ng" in str(name) or str(name).startswith("reported_")]
    same = anew(bare, input_ng=5.0)
    np.testing.assert_allclose(same["copies_per_ng"][:4], 20.0 / 5.0 * same["copies_per_ul"][:4])


def test_nanograms_in_a_plate_table():
    plate, _ = compared()
    wells = [well.name for well in plate]
    table = pd.DataFrame({"well": wells, "Input ng": ["10", "", "0", "5.5", "1"]})
    np.testing.assert_array_equal(plate.with_table(table).table["ng"], [10.0, 10.0, 0.0, 5.5, 1.0])
    with pytest.raises(bg.InputError, match=r"row 1, ng: got 'much'. Give nanograms of template"):
        plate.with_table(table.assign(**{"Input ng": ["much", 1, 1, 1, 1]}))
