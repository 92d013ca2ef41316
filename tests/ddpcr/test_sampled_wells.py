"""Wells of a plate by NUTS."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesgmm as bg
from bayesgmm import ddpcr
from bayesgmm._errors import InputError
from bayesgmm.ddpcr._sample_wells import check_engine, warn_of_time
from bayesgmm.report import write_tables

OPTIONS = {"droplet_volume_nl": 0.85, "cores": 1, "progressbar": False}


@pytest.fixture(scope="module")
def plate() -> ddpcr.Plate:
    return ddpcr.simulate_plate(samples=0.3, n_wells=1, n_ntc=1, n_droplets=4_000, separation=5.0, random_seed=1)


@pytest.mark.fit
def test_nuts_agrees_with_the_fast_answer(plate, tmp_path):
    """Where clusters overlap, by another sampler in other coordinates."""
    engine = bg.NUTS(draws=250, tune=200, chains=2, n_init=4, n_polish=1)
    fast = ddpcr.quantify(plate, **OPTIONS, random_seed=1)
    found = ddpcr.quantify(plate, **OPTIONS, random_seed=1, engine=engine, wells="A01")
    one, other = (each.sel(well="A01", channel="Ch1") for each in (fast, found))
    lower, middle, upper = (f"copies_per_droplet{end}" for end in ("_lower", "", "_upper"))
    sd = float(one[upper] - one[lower]) / 3.92
    assert float(other[middle]) == pytest.approx(float(one[middle]), abs=0.3 * sd)
    assert float(other[middle]) != float(one[middle])
    for end in (lower, upper):
        assert float(other[end]) == pytest.approx(float(one[end]), abs=0.5 * sd)
    assert str(other["sampling"].item()) in ("SAMPLED", "NOT_MIXED")
    assert 100 < float(other["effective_draws"]) < 1000
    assert float(other["r_hat"]) < 1.1
    assert np.isnan(float(other["pareto_k"]))
    # The mode is the same one, by another search.
    np.testing.assert_allclose(other["mode"], one["mode"], atol=0.05, rtol=1e-3)
    # So is what follows from it, and what was not asked for is as it was.
    assert float(other["sample_copies_per_ul"][0]) == pytest.approx(float(one["sample_copies_per_ul"][0]), rel=0.05)
    assert "NUTS(draws=250" in found.attrs["engine"]
    assert found.attrs["engine"].endswith("in A01")
    control = found.sel(well="B01")
    assert str(control["sampling"].item()) == ""
    xr.testing.assert_equal(control["copies_per_ul"], fast["copies_per_ul"].sel(well="B01"))
    table = pd.read_csv(write_tables(found, tmp_path / "results.csv")[0], keep_default_na=False).set_index("well")
    assert table["sampling"].tolist() == [str(other["sampling"].item()), ""]
    assert float(table["r_hat"]["A01"]) == float(other["r_hat"])
    found.to_netcdf(tmp_path / "plate.nc")


def test_all_wells_are_sampled_unless_some_are_named(plate):
    assert check_engine(bg.NUTS(), None, plate) == ["A01", "B01"]
    assert check_engine(bg.NUTS(), "B1", plate) == ["B01"]
    assert check_engine(None, None, plate) == []


def test_who_would_wait_for_long_is_told():
    with pytest.warns(UserWarning, match="sampling 96 wells will take some 100 minutes"):
        warn_of_time(bg.NUTS(), 96, 1)
    warn_of_time(bg.NUTS(), 4, 1)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"engine": bg.EM()}, "engine: got EM"),
        ({"engine": bg.NUTS(sampler="pymc")}, "sampler='native'"),
        ({"wells": "A01"}, "wells: got 'A01' without an engine"),
        ({"engine": bg.NUTS(), "wells": "C01"}, "wells: the plate has no C01"),
        ({"amplitudes": "linear"}, "amplitudes: got 'linear'"),
    ],
)
def test_bad_input_is_named_before_anything_is_fitted(plate, options, match):
    with pytest.raises(InputError, match=match):
        ddpcr.quantify(plate, **OPTIONS, **options)
