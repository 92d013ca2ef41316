"""Messages that users see: not more names than can be read, the argument that is wrong, advice that can be followed."""

from __future__ import annotations

import dataclasses
import inspect
import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
import xarray as xr

import bayesgmm as bg
from bayesgmm.results import sealed

NAMES = [f"column_{j}" for j in range(40)]
MOST = 5


def table(n=60):
    return pd.DataFrame(np.random.default_rng(0).normal(size=(n, len(NAMES))), columns=NAMES)


@pytest.fixture(scope="module")
def wide_fit():
    model = bg.GaussianMixture(2, covariances=bg.Diagonal())
    rows = table()
    rows.iloc[:30] += 3.0
    return bg.fit(model, rows, engine=bg.VB(n_init=2, n_polish=1), random_seed=1)


def _repeated(rows):
    return pd.concat([rows, rows], axis=1)


DATA = {
    "text": lambda rows: rows.astype(str),
    "text of polars": lambda rows: pl.from_pandas(rows.astype(str)),
    "truth values": lambda rows: rows > 0,
    "times": lambda rows: rows.apply(lambda column: pd.Timestamp("2020") + pd.to_timedelta(column.abs(), "D")),
    "infinite": lambda rows: rows * np.inf,
    "nothing observed in all but one": lambda rows: rows.assign(**dict.fromkeys(NAMES[1:], np.nan)),
    "constant": lambda rows: rows * 0.0,
    "dependent": lambda rows: rows.assign(column_0=rows.iloc[:, 1:].sum(axis=1)),
    "huge": lambda rows: rows * 1e200,
    "tiny": lambda rows: rows * 1e-200,
    "close": lambda rows: 1e9 + rows * 1e-7,
    "names twice": _repeated,
    "structured": lambda rows: rows.to_records(index=False),
    "objects": lambda rows: rows.astype(object).map(lambda each: {each}),
    "variables of other dimensions": lambda rows: xr.Dataset(
        {name: (f"dim_{j}", rows[name]) for j, name in enumerate(rows)}
    ),
}


def names_in(message):
    return len(set(re.findall(r"column_\d+", message)))


@pytest.mark.parametrize("make", DATA.values(), ids=DATA)
def test_at_most_five_columns_are_named_by_fit(make):
    with pytest.raises(bg.InputError) as caught:
        bg.fit(bg.GaussianMixture(2), make(table()), random_seed=1)
    assert 0 < names_in(str(caught.value)) <= MOST


def _renamed(fit):
    other = fit.copy()
    names = [name + "0" for name in NAMES]
    other["point_estimate"] = other["point_estimate"].to_dataset().assign_coords(feature=names, feature_bis=names)
    return sealed(other, "fit")


WIDE = {
    "predict": lambda fit: bg.predict(fit, table().rename(columns=lambda name: name + "0")),
    "predict of few": lambda fit: bg.predict(fit, table()[NAMES[:2]]),
    "predict of an array": lambda fit: bg.predict(fit, table().to_numpy()[:, :3]),
    "density": lambda fit: bg.plots.plot_density(fit, "size"),
    "components": lambda fit: bg.plots.plot_components(fit, [NAMES[0], NAMES[0]]),
    "noise": lambda fit: bg.as_data(table(), noise=table().abs().rename(columns=lambda name: name + "0")),
    "noise of columns": lambda fit: bg.as_data(table(), noise={name + "0": 1.0 for name in NAMES}),
    "align": lambda fit: bg.align(fit, _renamed(fit)),
    "individual": lambda fit: bg.traits.discreteness(table(), value=NAMES[0], individual="who"),
}


@pytest.mark.parametrize("call", WIDE.values(), ids=WIDE)
def test_at_most_five_columns_are_named_by_whatever_takes_a_fit(call, wide_fit):
    with pytest.raises(bg.InputError) as caught:
        call(wide_fit)
    assert 0 < names_in(str(caught.value)) <= 2 * MOST
    for sentence in re.split(r"\. |; |, the values", str(caught.value)):
        assert names_in(sentence) <= MOST


@pytest.mark.parametrize("values", [[[np.nan, np.nan]] * 3, [[np.nan]], [None, None]])
def test_rows_without_a_value_are_called_so(values):
    n = len(values)
    rows = f"{n} row{'s' if n > 1 else ''}"
    with pytest.raises(bg.InputError, match=f"data: nothing was observed: all entries of {rows} are missing"):
        bg.fit(bg.GaussianMixture(2), np.array(values, dtype=float))


def test_a_wrong_reference_is_called_reference(wide_fit):
    with pytest.raises(bg.InputError, match=r"^reference: got int\. Give what bayesgmm\.fit returned"):
        bg.relabel(wide_fit, reference=3)
    with pytest.raises(bg.InputError, match=r"^fits: got int"):
        bg.compare_engines([wide_fit, 3])
    with pytest.raises(bg.InputError, match=r"^fits: got str"):
        bg.compare_engines({"a": wide_fit, "b": "b"})
    with pytest.raises(bg.InputError, match=r"^model_or_fit: got int"):
        bg.simulate(3, 5)


def _declarations():
    for name in bg.__all__:
        kind = getattr(bg, name)
        if inspect.isclass(kind) and dataclasses.is_dataclass(kind) and kind is not bg.Data:
            yield from ((kind, field.name) for field in dataclasses.fields(kind) if field.init)


def _error_of(kind, arguments):
    try:
        kind(**arguments)
    except (bg.InputError, bg.UnsupportedError) as error:
        return error
    return None


# Values with which a class can be made, for what it has no default of.
GIVEN = {"GaussianMixture": {"n_components": 2}, "Geometric": {"p": 0.5}}


@pytest.mark.parametrize(("kind", "name"), list(_declarations()), ids=lambda each: getattr(each, "__name__", each))
@pytest.mark.parametrize("wrong", ["x", object(), -1, [[["a"]]], {}], ids=["text", "object", "-1", "list", "dict"])
def test_errors_of_declarations_name_the_argument(kind, name, wrong):
    needed = [
        field.name
        for field in dataclasses.fields(kind)
        if field.init and field.default is field.default_factory is dataclasses.MISSING
    ]
    arguments = {each: GIVEN.get(kind.__name__, {}).get(each, 1.0) for each in needed} | {name: wrong}
    error = _error_of(kind, arguments)
    if isinstance(error, bg.InputError):
        assert error.argument.split(".")[-1].split("[")[0] == name
    elif error is not None:
        assert kind.__name__ in str(error)


FLAT = bg.Flat()
STRUCTURES = [kind(FLAT) for kind in (bg.Full, bg.Diagonal, bg.Spherical)]
COLLAPSING = [*STRUCTURES, *map(bg.Tied, STRUCTURES), bg.Full(bg.LKJ(2)), bg.Diagonal(bg.LKJ(2))]


@pytest.mark.parametrize("n_components", [1, 3])
@pytest.mark.parametrize("covariances", COLLAPSING, ids=lambda each: repr(each)[:40])
def test_advice_is_what_the_model_is_not_already(covariances, n_components):
    from bayesgmm.engines._problem import build_problem
    from bayesgmm.engines._remedies import advice

    model = bg.GaussianMixture(n_components, weights=FLAT, means=FLAT, covariances=covariances)
    problem = build_problem(model, bg.as_data(np.random.default_rng(0).normal(size=(30, 2))))
    for unbounded in (False, True):
        text = advice(problem, unbounded=unbounded)
        assert ("fewer components" in text) == (n_components > 1)
        structure = covariances.structure if isinstance(covariances, bg.Tied) else covariances
        for kind in (bg.Full, bg.Diagonal, bg.Spherical):
            if isinstance(structure, kind):
                assert kind.__name__ not in text
        if isinstance(covariances, bg.Tied):
            assert "Tied" not in text
        if isinstance(structure.prior, bg.LKJ):
            assert "a proper covariance prior" not in text
        assert re.match("(Use|Give) .*[a-z()]\\.$", text)


@pytest.mark.filterwarnings("ignore::bayesgmm.FewerGroupsWarning")
def test_an_error_of_a_fit_gives_advice_that_can_be_followed():
    rows = np.repeat([[0.0, 0.0], [1.0, 2.0], [2.0, 1.0], [3.0, 4.0]], 5, axis=0)
    model = bg.GaussianMixture(4, weights=FLAT, means=FLAT, covariances=bg.Spherical(FLAT))
    with pytest.raises(bg.FitError, match="Use a proper covariance prior such as InverseWishart") as caught:
        bg.fit(model, rows, random_seed=1)
    assert "Spherical" not in str(caught.value)
    advised = bg.GaussianMixture(4, covariances=bg.Spherical(bg.InverseWishart()))
    assert bg.fit(advised, rows, engine=bg.EM(), random_seed=1).attrs["status"] == "CONVERGED"
