"""Amplitudes that grow with the number of molecules: used where data earn it."""

import numpy as np
import pytest

from bayesgmm import ddpcr
from bayesgmm.ddpcr._graded_model import most_molecules
from bayesgmm.plots._droplets import clusters
from tests.ddpcr.test_real_plates import albumin

OPTIONS = {"droplet_volume_nl": 0.85, "cores": 1, "progressbar": False, "amplitudes": "graded"}


@pytest.mark.fit
def test_a_line_is_earned_and_narrows_the_interval():
    rates = {"a": 1.0, "b": 3.0}
    n = 8000
    plate = ddpcr.simulate_plate(
        samples=rates, n_wells=1, n_ntc=1, n_droplets=n, separation=4.0, rho=1.0, positive_sd=1.05, random_seed=3
    )
    found = ddpcr.quantify(plate, **OPTIONS)
    assert found.attrs["amplitudes Ch1"].startswith("graded, rho 0.9")
    assert found.attrs["flags Ch1"].startswith("no sample has several wells")
    for well, rate in zip(("A01", "B01"), rates.values(), strict=True):
        one = found.sel(well=well, channel="Ch1")
        lower, upper = float(one["copies_per_droplet_lower"]), float(one["copies_per_droplet_upper"])
        assert lower < rate < upper
        assert float(one["gap"]) == pytest.approx(5000, rel=0.05)
        assert float(one["rho"]) == pytest.approx(1.0, abs=0.05)
        if rate == 3.0:  # counting without error has 1 here, two Gaussians 4 sd apart 1.27
            counting = np.sqrt(np.expm1(rate) / n)
            assert (upper - lower) / 3.92 < 0.6 * counting
        # The stored declaration and mode say how droplets are spread.
        x, fitted = plate[well].channel("Ch1"), clusters(found, well, "Ch1")
        assert fitted is not None
        edges = np.linspace(-2000, 60_000, 1241)
        share = fitted.densities(0.5 * (edges[1:] + edges[:-1])).sum(axis=0) * 50.0
        assert share.sum() == pytest.approx(1.0, abs=0.01)
        assert np.abs(np.cumsum(share - np.histogram(x, edges)[0] / n)).max() < 1.6 / np.sqrt(n)


@pytest.mark.fit
def test_positives_that_are_alike_do_not_earn_it():
    plate = ddpcr.simulate_plate(samples=2.0, n_wells=1, n_ntc=1, n_droplets=6000, separation=6.0, random_seed=1)
    found = ddpcr.quantify(plate, **OPTIONS)
    flags = found.attrs["flags Ch1"]
    assert "the data do not earn them (log evidence -" in flags
    assert "rho" not in found
    one = found.sel(well="A01", channel="Ch1")
    assert float(one["copies_per_droplet_lower"]) < 2.0 < float(one["copies_per_droplet_upper"])


@pytest.mark.fit
def test_skewed_positives_of_real_droplets_are_not_taken_for_grades():
    plate, truth, _ = albumin()
    names = [well.name for well in plate]
    found = ddpcr.quantify(plate.select(wells=["E08", "A08", "A11"]), **OPTIONS)
    assert "positives do not follow Poisson's law" in found.attrs["flags Ch1"]
    for well in ("E08", "A08"):
        rate = float(found["copies_per_droplet"].sel(well=well, channel="Ch1"))
        assert rate == pytest.approx(truth[names.index(well)], rel=0.01)


def test_hardly_a_droplet_is_in_the_tail():
    from scipy.stats import poisson

    for rate in (0.01, 0.5, 3.0):
        most = most_molecules(rate)
        assert poisson.sf(most, rate) < 1e-8
        assert most == 2 or poisson.sf(most - 1, rate) >= 1e-8
