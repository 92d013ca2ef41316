"""Files of real instruments, against what is known of them."""

import re

import numpy as np
import pytest

from bayesgmm.ddpcr import _text, read_plate
from tests.shared_data import FOLDER, table

# Copies per droplet with the threshold 13500, as the data's README has them.
ALBUMIN = {
    "10e5": [2.168, 2.175, 2.194, 2.162],
    "10e4": [0.2246, 0.2256, 0.2264, 0.2366],
    "10e3": [0.0351, 0.0393, 0.0337, 0.0364],
    "10e2": [0.0043, 0.0031, 0.0027, 0.0034],
}


def test_albumin():
    wells = table("ddpcr_albumin", "wells.csv")
    folder = FOLDER / "ddpcr_albumin"
    plate = read_plate(folder, table=wells.rename(columns={"level": "sample"}), ntc="A11-D11", targets="ALB")
    assert len(plate) == 28
    assert plate.channels == ("Ch1",)  # the second column is empty
    assert (min(well.n_droplets for well in plate), max(well.n_droplets for well in plate)) == (10545, 14722)
    assert plate.table["ntc"].sum() == 4
    assert plate.table.loc["A08", "nominal_copies_per_reaction_unverified"] == 10000
    for level, known in ALBUMIN.items():
        wells = plate.select(samples=level)
        found = [-np.log(np.mean(well.channel("Ch1") < 13500)) for well in wells]
        np.testing.assert_allclose(found, known, atol=0.5 * 10.0 ** -(3 if level == "10e5" else 4))
        assert wells.table["replicate"].tolist() == [1, 2, 3, 4]
    positives = [int((well.channel("Ch1") > 13500).sum()) for well in plate.select(samples=["10e0", "neg"])]
    assert max(positives) <= 2
    assert np.median(plate["E09"].channel("Ch1")) - np.median(plate["F09"].channel("Ch1")) > 1000


def test_albumin_level_is_in_the_names_of_files():
    wells = table("ddpcr_albumin", "wells.csv")
    plate = read_plate(FOLDER / "ddpcr_albumin")
    levels = {well.name: re.search(r"albumin_(\w+)_[A-H]\d\d_", well.source)[1] for well in plate}
    assert levels == dict(zip(wells["well"], wells["level"], strict=True))


def test_braf():
    known = table("ddpcr_braf_evagreen", "wells.csv").set_index("well")
    plate = read_plate(FOLDER / "ddpcr_braf_evagreen", ntc="F07-F10")
    assert [well.name for well in plate] == known.index.tolist()
    assert plate.channels == ("Ch1", "Ch2")
    for well in plate:
        row = known.loc[well.name]
        assert well.n_droplets == row["droplets"]
        assert (well.channel("Ch1") > 6800).sum() == row["ch1_gt_6800"]
        counts = np.bincount(well.clusters, minlength=5)
        assert counts[2:].tolist() == [row["cluster2"], row["cluster3"], row["cluster4"]]


@pytest.mark.parametrize("name", ["ddpcr_albumin", "ddpcr_braf_evagreen"])
def test_real_files_take_the_fast_parser(monkeypatch, name):
    """It needs 0.01 s a well; line by line would be 0.3 s."""
    table(name, "wells.csv")
    monkeypatch.setattr(_text, "_carefully", None)
    assert len(read_plate(FOLDER / name)) > 20
