"""A result in a file is enough to predict on another day, in another process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesgmm as bg
from tests.inference.conftest import EM, FLAT, fit, two_groups

ROOT = Path(__file__).resolve().parents[2]
VB = bg.VB(threads=1, draws=200)
NEW_ROWS = np.array([[0.0, 0.0], [3.0, 3.5], [7.0, 5.0], [40.0, -40.0]])

SCRIPT = """
import sys
import numpy as np
import xarray as xr
import bayesgmm as bg

for path in sys.argv[2:]:
    options = {"consolidated": False} if path.endswith("plain.zarr") else {}
    fit = xr.open_datatree(path, **options)
    new = np.array(eval(sys.argv[1]))
    bg.predict(fit).to_netcdf(path + ".fitted.nc")
    bg.predict(fit, new).to_netcdf(path + ".new.nc")
    bg.diagnose(fit).to_netcdf(path + ".checks.nc")
    bg.occupied_components(fit).to_netcdf(path + ".occupied.nc")
    bg.simulate(fit, 4, random_seed=3).to_netcdf(path + ".simulated.nc")
    bg.summary(fit).to_json(path + ".summary.json", orient="table", double_precision=15)
"""


def dated():
    rows = two_groups()
    return pd.DataFrame(rows, columns=["a", "b"], index=pd.date_range("2020-01-01", periods=len(rows)))


FITS = {
    "vb": lambda table: fit(bg.GaussianMixture(2, component_names=["kurz", "länger"]), table, VB),
    "em": lambda table: fit(bg.GaussianMixture(2, component_names=["kurz", "länger"]), table, EM),
    "ml, no names": lambda table: fit(bg.GaussianMixture(2, **FLAT), table.to_numpy(), EM),
    "vb, draws only": lambda table: fit(bg.GaussianMixture(2, means=bg.NormalMeans()), table.to_numpy(), VB),
    "vb, sticks, diagonal, dates": lambda table: fit(
        bg.GaussianMixture(2, weights=bg.StickBreaking(1.0), covariances=bg.Tied(bg.Diagonal())), dated(), VB
    ),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory, table):
    """Every fit, the paths of its files, and one process that has read them all."""
    folder = tmp_path_factory.mktemp("fits")
    fits, paths = {}, {}
    for i, (name, build) in enumerate(FITS.items()):
        fits[name] = build(table)
        paths[name] = {kind: folder / f"{i}{kind}" for kind in (".nc", ".zarr", "plain.zarr")}
        fits[name].to_netcdf(paths[name][".nc"])
        fits[name].to_zarr(paths[name][".zarr"], zarr_format=2)
        fits[name].to_zarr(paths[name]["plain.zarr"], consolidated=False)
    listed = [str(path) for kinds in paths.values() for path in kinds.values()]
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, repr(NEW_ROWS.tolist()), *listed], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return fits, paths


def same(got: xr.Dataset, expected: xr.Dataset) -> None:
    assert set(got.variables) == set(expected.variables)
    for name, values in expected.variables.items():
        other = got[name].transpose(*values.dims)
        if values.dtype.kind == "f":
            np.testing.assert_allclose(other, values, rtol=1e-12, atol=1e-12, err_msg=str(name))
        else:
            np.testing.assert_array_equal(other, values, err_msg=str(name))


@pytest.mark.parametrize("kind", [".nc", ".zarr", "plain.zarr"])
@pytest.mark.parametrize("name", FITS)
class TestFile:
    def open(self, written, name, kind, what):
        return xr.open_dataset(f"{written[1][name][kind]}.{what}.nc")

    def test_predicts_alone_in_a_new_process(self, written, name, kind):
        result = written[0][name]
        same(self.open(written, name, kind, "fitted"), bg.predict(result))
        same(self.open(written, name, kind, "new"), bg.predict(result, NEW_ROWS))

    def test_other_functions_work_in_a_new_process(self, written, name, kind):
        result = written[0][name]
        same(self.open(written, name, kind, "checks"), bg.diagnose(result))
        same(self.open(written, name, kind, "occupied"), bg.occupied_components(result))
        same(self.open(written, name, kind, "simulated"), bg.simulate(result, 4, random_seed=3))
        table = pd.read_json(f"{written[1][name][kind]}.summary.json", orient="table", precise_float=True)
        pd.testing.assert_frame_equal(
            table, pd.DataFrame(bg.summary(result)), check_index_type=False, check_dtype=False, rtol=1e-12
        )

    def test_holds_everything(self, written, name, kind):
        options = {"consolidated": False} if kind == "plain.zarr" else {}
        with xr.open_datatree(written[1][name][kind], **options) as read:
            result = written[0][name]
            assert read.attrs == result.attrs
            assert set(read.children) == set(result.children)
            for group in result.children:
                same(read[group].to_dataset(), result[group].to_dataset())
                assert dict(read[group].attrs) == dict(result[group].attrs)
            model = bg.GaussianMixture.from_json(read.attrs["model"])
            assert model.n_components == 2
            assert model == bg.GaussianMixture.from_json(result.attrs["model"])


def test_log_likelihood_and_draws_from_a_file(written):
    result, path = written[0]["vb"], written[1]["vb"][".nc"]
    with xr.open_datatree(path) as read:
        same(
            bg.add_log_likelihood(read)["log_likelihood"].to_dataset(),
            bg.add_log_likelihood(result)["log_likelihood"].to_dataset(),
        )
        same(bg.predict(read, NEW_ROWS, per_draw=True), bg.predict(result, NEW_ROWS, per_draw=True))


def test_dimensions_in_another_order_are_read_right(vb_fit, em_fit):
    for result in (vb_fit, em_fit):
        turned = result.copy(deep=True)
        for group in ("point_estimate", "posterior", "observed_data", "assignments"):
            if group in turned.children:
                values = turned[group].to_dataset()
                turned[group] = values.transpose(*list(values.dims)[::-1])
        assert turned["observed_data"]["x"].dims == ("feature", "obs")
        same(bg.predict(turned), bg.predict(result))
        pd.testing.assert_frame_equal(bg.summary(turned), bg.summary(result), rtol=1e-12)
        same(bg.simulate(turned, 3, random_seed=1), bg.simulate(result, 3, random_seed=1))
