"""Published plates: lambda against counts of the same droplets, where clusters overlap as well."""

import numpy as np
import pytest

from bayesgmm import ddpcr
from tests.shared_data import FOLDER, table

OPTIONS = {"droplet_volume_nl": 0.91, "cores": 1, "progressbar": False}


def albumin(sd: float = 0.0, seed: int = 0) -> tuple[ddpcr.Plate, np.ndarray, np.ndarray]:
    from dataclasses import replace

    wells = table("ddpcr_albumin", "wells.csv")
    plate = ddpcr.read_plate(FOLDER / "ddpcr_albumin", table=wells.rename(columns={"level": "sample"}), ntc="A11-D11")
    truth = np.array([-np.log(np.mean(well.channel("Ch1") < 13_500)) for well in plate])
    levels = plate.table["sample"].to_numpy()
    if sd:
        rng = np.random.default_rng(seed)
        noisy = (replace(w, amplitudes=w.amplitudes + rng.normal(0.0, sd, w.amplitudes.shape)) for w in plate)
        plate = replace(plate, wells=tuple(noisy))
    return plate, truth, levels


@pytest.mark.fit
def test_far_apart_it_counts_as_a_threshold_does():
    plate, truth, levels = albumin()
    found = ddpcr.quantify(plate, **OPTIONS).isel(channel=0)
    rate = found["copies_per_droplet"].to_numpy()
    for level in ("10e5", "10e4"):
        own = levels == level
        assert np.all(np.abs(rate[own] / truth[own] - 1) < 0.01), level
    measured = np.isin(levels, ["10e5", "10e4", "10e3", "10e2"])
    lower, upper = (found[f"copies_per_droplet_{end}"].to_numpy() for end in ("lower", "upper"))
    assert np.all((lower <= truth)[measured] & (truth <= upper)[measured])
    flags = dict(zip(found["well"].to_numpy(), found["flags"].to_numpy(), strict=True))
    assert "baseline shifted" in str(flags["E09"])
    controls = found["ntc"].to_numpy()
    assert np.all(upper[controls] < 1e-3)


@pytest.mark.fit
def test_noise_that_makes_clusters_overlap():
    plate, truth, levels = albumin(sd=3300.0)
    found = ddpcr.quantify(plate, **OPTIONS).isel(channel=0)
    error = np.abs(found["copies_per_droplet"].to_numpy() / np.maximum(truth, 1e-9) - 1)
    for level, most in (("10e5", 0.03), ("10e4", 0.05), ("10e3", 0.15)):
        assert np.median(error[levels == level]) <= most, level
    by_threshold = np.abs(found["copies_per_droplet_threshold"].to_numpy() / np.maximum(truth, 1e-9) - 1)
    assert np.median(by_threshold[levels == "10e3"]) > 1.0


@pytest.fixture(scope="module")
def braf() -> ddpcr.Plate:
    table("ddpcr_braf_evagreen", "wells.csv")
    return ddpcr.read_plate(FOLDER / "ddpcr_braf_evagreen", ntc="F07-F10")


@pytest.mark.fit
def test_one_dye_in_the_wrong_channel(braf):
    truth = np.array([-np.log(np.mean(well.channel("Ch1") < 6800)) for well in braf])
    found = ddpcr.quantify(braf, channels=["Ch2"], **OPTIONS).isel(channel=0)
    names = found["well"].to_numpy().astype(str)
    judged = (names >= "D07") & (names < "F07")
    rate, lower, upper = (found[f"copies_per_droplet{end}"].to_numpy() for end in ("", "_lower", "_upper"))
    covered = (lower <= truth) & (truth <= upper)
    assert judged.sum() == 16
    assert np.median(np.abs(rate / truth - 1)[judged]) <= 0.10
    assert covered[judged].sum() >= 14
    # Two kinds of positives: covered, or said.
    flags = found["flags"].to_numpy().astype(str)
    assert all(covered[i] or flags[i] for i in np.flatnonzero(names < "D07"))


@pytest.mark.fit
def test_controls_that_no_template_was_learned_from(braf):
    for left_out in ("F07", "F10"):
        others = [name for name in ("F07", "F08", "F09", "F10") if name != left_out]
        plate = braf.select(wells=["D08", "E04", "F04", "F06", left_out, *others]).with_table(ntc=others)
        found = ddpcr.quantify(plate, channels=["Ch1"], **OPTIONS).sel(well=left_out, channel="Ch1")
        assert 0 < float(found["copies_per_droplet_upper"]) < 1e-3
