"""Input at the edge of what is possible: each case gives a finite result or an error that says what to do."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesgmm as bg
from tests.inference.conftest import EM, FLAT, VB, fit, two_groups

ROWS = two_groups()
WAYS = {
    "ml": (lambda K: bg.GaussianMixture(K, **FLAT), EM),
    "map": (bg.GaussianMixture, EM),
    "vb": (bg.GaussianMixture, bg.VB(threads=1, draws=100)),
}


def with_column(values):
    rows = ROWS.copy()
    rows[:, 1] = values
    return rows


def integers(low, high, dtype):
    return np.random.default_rng(2).integers(low, high, size=(60, 2), dtype=dtype)


def collinear():
    return pd.DataFrame({"a": ROWS[:, 0], "b": ROWS[:, 1], "c": ROWS[:, 0] - 2 * ROWS[:, 1]})


I64 = np.iinfo(np.int64)
DATA = ("values", "data")
SINGULAR = "starts reached a proper optimum"

# name: (K, data, None where every way works, else what the error says; a dict where ways differ).
CASES = {
    "empty": (2, np.empty((0, 2)), (DATA, "0 rows and 2 columns", "at least one row")),
    "empty list": (2, [], (DATA, "empty", "at least one row")),
    "no columns": (2, np.empty((5, 0)), (DATA, "5 rows and 0 columns", "one column")),
    "one row": (1, ROWS[:1], (DATA, "only one row", "give more rows")),
    "one row, two components": (2, ROWS[:1], (("n_components",), "got 2 for 1 row of data", "at most 1")),
    "K > N": (7, ROWS[:5], (("n_components",), "got 7 for 5 rows", "Give at most 5")),
    "constant column": (2, with_column(3.0), (DATA, "'x1'", "constant", "Drop constant columns")),
    "constant column whose mean is rounded": (2, with_column(1e9 + 0.1), (DATA, "'x1'", "constant", "Drop")),
    "identical rows": (2, np.full((20, 2), 0.1), (DATA, "'x0' and 'x1'", "constant", "Drop")),
    "duplicate rows": (2, np.repeat(ROWS, 3, axis=0), None),
    "three distinct rows": (
        2,
        np.repeat([[0.0, 0.0], [1.0, 3.0], [2.0, 1.0]], 10, axis=0),
        {"ml": ((), SINGULAR, "InverseWishart()")},
    ),
    "collinear": (2, collinear(), (DATA, "'a', 'b' and 'c'", "linearly dependent", "Drop one of the columns")),
    "inf": (2, with_column(np.append(np.inf, ROWS[1:, 1])), (DATA, "'x1'", "inf", "row 0", "Drop these rows")),
    "minus inf": (2, with_column(np.append(ROWS[1:, 1], -np.inf)), (DATA, "-inf", "row 59", "Drop these rows")),
    "nan": (2, with_column(np.append(np.nan, ROWS[1:, 1])), None),
    "a column of nan": (2, with_column(np.full(len(ROWS), np.nan)), (DATA, "'x1'", "NaN", "Drop")),
    "strings": (2, [["a", "b"]] * 5, (DATA, "'x0'", "'a' (str) in row 0", "leave the column out")),
    "a string column": (2, pd.DataFrame({"u": ROWS[:, 0], "v": ["w"] * 60}), (DATA, "'v'", "encode it as numbers")),
    "three axes": (2, np.zeros((2, 3, 4)), (DATA, "shape (2, 3, 4)", "Reshape")),
    "ragged": (2, [[1.0, 2.0], [3.0]], (DATA, "row 1 has 1", "same number of values")),
    "complex": (2, ROWS + 0j, (DATA, "complex128", "values.real")),
    "booleans": (2, ROWS > 0, (DATA, "bool", "astype(float)")),
    "a number": (1, 3.0, (DATA, "got 3.0 of type float", "Pass a numpy array")),
    "a path": (1, "rows.csv", (DATA, "got 'rows.csv'", "Pass a numpy array")),
    "None": (1, None, (DATA, "got None", "Pass an array")),
    "int64, range of the type": (2, integers(I64.min, I64.max, np.int64), None),
    "int64, next to the maximum": (2, np.array([[I64.max - i, i] for i in range(40)]), (DATA, "'x0'", "Subtract")),
    "int64, below the maximum": (2, np.array([[I64.max - i * 2**40, i * i] for i in range(40)]), None),
    "uint64, range of the type": (2, integers(0, 2**64 - 1, np.uint64), None),
    "whole numbers above 2**63": (2, [[2**70 + i * 2**60, i * i % 17] for i in range(40)], None),
    "whole numbers above all doubles": (2, [[10**400, 1], [2, 3], [3, 4]], (DATA, "'x0'", "overflows", "Rescale")),
    "uint8": (2, np.clip(ROWS * 10 + 50, 0, 255).astype(np.uint8), None),
    "float16": (2, ROWS.astype(np.float16), None),
    "magnitude 1e151": (2, ROWS * 1e150, (DATA, "'x0'", "above 1e+150", "Rescale")),
    "range below 1e-150": (2, ROWS * 1e-152, (DATA, "'x0'", "below 1e-150", "Rescale")),
    "offset that hides the spread": (2, ROWS * 1e-8 + 1e9, (DATA, "'x0'", "Subtract an offset")),
    "N = K": (5, ROWS[::12], {"ml": ((), SINGULAR, "fewer components")}),
    "N = d": (1, np.random.default_rng(3).normal(size=(5, 5)), (DATA, "5 rows", "5 columns", "Diagonal")),
    "N = d + 1": (1, np.random.default_rng(3).normal(size=(6, 5)), {"ml": ((), "at most 6 rows", "InverseWishart()")}),
    "N < d": (2, np.random.default_rng(3).normal(size=(20, 30)), (DATA, "20 rows", "30 columns", "Diagonal")),
    "one column": (2, ROWS[:, 0], None),
    "one component": (1, ROWS, None),
    "20 components for 60 rows": (20, ROWS, {"ml": ((), SINGULAR, "fewer components")}),
}


# Of these the fit says that there are too few rows for so many components.
FEW_ROWS = {
    "N = K": "0 of 5 components hold enough rows",
    "20 components for 60 rows": r"\d+ of 20 components hold enough rows",
}


def assert_usable(result):
    """Every number that a user meets is finite, and covariances are positive definite in units of their own sds."""
    point = result["point_estimate"].to_dataset()
    for name in ("weights", "means", "covariances", "sds", "correlations"):
        assert np.isfinite(point[name]).all(), name
    np.testing.assert_allclose(point["weights"].sum(), 1.0, rtol=1e-12)
    assert (point["sds"] > 0).all()
    assert np.linalg.eigvalsh(point["correlations"].to_numpy()).min() > 0
    responsibilities = result["assignments"]["responsibilities"]
    np.testing.assert_allclose(responsibilities.sum("component"), 1.0, rtol=1e-10)
    assert np.isfinite(bg.predict(result)["log_density"]).all()
    table = bg.summary(result)
    assert np.isfinite(table.drop(columns="note").to_numpy(dtype=float)).all()
    assert table["members"].sum() == responsibilities.sizes["obs"]
    if "posterior" in result.children:
        for group in ("posterior", "sample_stats"):
            assert all(np.isfinite(values).all() for values in result[group].to_dataset().values())


def assert_helpful(error, arguments, *fragments):
    text = str(error)
    for fragment in fragments:
        assert fragment in text, f"{fragment!r} is not in: {text}"
    if isinstance(error, bg.InputError):
        assert error.argument in arguments
        assert len(error.remedy) > 10
        assert text.endswith(error.remedy)


@pytest.mark.fit
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES)
def test_fit_works_or_says_what_to_do(case, way):
    K, data, outcome = CASES[case]
    model, engine = WAYS[way]
    expected = outcome.get(way) if isinstance(outcome, dict) else outcome
    if expected is None:
        with pytest.warns(bg.FewerGroupsWarning, match=FEW_ROWS[case]) if case in FEW_ROWS else nullcontext():
            result = fit(model(K), data, engine)
        assert_usable(result)
        return
    arguments, *fragments = expected
    kind = bg.InputError if arguments else bg.FitError
    with pytest.raises(kind) as caught:
        fit(model(K), data, engine)
    assert_helpful(caught.value, arguments, *fragments)


UNITS = {
    "1e-150": (1e-150, 0.0),
    "1e-100": (1e-100, 0.0),
    "1e100": (1e100, 0.0),
    "1e149": (1e149, 0.0),
    "mixed": ([1e-100, 1e100], 0.0),
    "mixed to the limits": ([1e-149, 1e149], 0.0),
    "offset 1e9 with sd 1": (1.0, 1e9),
    "offset and small scale": ([1e-60, 1e-20], [1e-54, -1e-14]),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("units", UNITS)
def test_units_and_offsets_do_not_matter(units, way):
    scale, offset = (np.asarray(value) for value in UNITS[units])
    model, engine = WAYS[way]
    plain, changed = fit(model(2), ROWS, engine), fit(model(2), ROWS * scale + offset, engine)
    assert_usable(changed)
    # An offset costs digits: values of 1e9 are stored to 1e-7. Means over draws differ where rounding changes the order
    # in which a search meets the components, and so the draws.
    np.testing.assert_allclose(
        changed["assignments"]["responsibilities"],
        plain["assignments"]["responsibilities"],
        rtol=0,
        atol=1e-3 if way == "vb" else 1e-6,
    )
    np.testing.assert_allclose(changed["point_estimate"]["sds"] / scale, plain["point_estimate"]["sds"], rtol=1e-6)
    np.testing.assert_allclose(
        (changed["point_estimate"]["means"] - offset) / scale, plain["point_estimate"]["means"], rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("covariances", [bg.Diagonal(), bg.Spherical(), bg.InverseWishart(33.0, 1.0)])
def test_more_columns_than_rows_with_the_remedies_that_the_error_names(covariances):
    rows = np.random.default_rng(3).normal(size=(20, 30))
    with pytest.warns(bg.FewerGroupsWarning, match="of 2 components hold enough rows"):
        result = fit(bg.GaussianMixture(2, covariances=covariances), rows, VB)
    assert_usable(result)


@pytest.mark.parametrize("engine", [EM, VB])
@pytest.mark.parametrize(
    ("rows", "grouped"),
    [
        (with_column(3.0), True),
        (np.full((20, 2), 0.1), False),
        (ROWS[:1].repeat(2, axis=0), False),
        (collinear(), True),
    ],
    ids=["constant column", "identical rows", "two identical rows", "collinear"],
)
def test_explicit_inverse_wishart_is_a_remedy(rows, grouped, engine):
    warned = pytest.warns(bg.FewerGroupsWarning, match=r"1 \(0 rows\) hold fewer than the 3 ")
    with nullcontext() if grouped else warned:
        result = fit(bg.GaussianMixture(2, covariances=bg.InverseWishart(5.0, 0.5)), rows, engine)
    assert_usable(result)


@pytest.mark.parametrize("engine", [EM, VB])
@pytest.mark.parametrize("covariances", [bg.Diagonal(), bg.Spherical()])
def test_structures_without_correlations_are_a_remedy_for_collinear_columns(covariances, engine):
    assert_usable(fit(bg.GaussianMixture(2, covariances=covariances), collinear(), engine))


@pytest.mark.parametrize("columns", [["a", "b"], ["a", "c"], ["b", "c"]])
def test_dropping_one_collinear_column_is_a_remedy(columns):
    assert_usable(fit(bg.GaussianMixture(2), collinear()[columns], VB))


def mixture(**parts):
    return lambda: fit(bg.GaussianMixture(2, **parts), ROWS)


# What is wrong, what raises, then the argument, the value and the remedy in its message.
WRONG_ARGUMENTS = {
    "means of 3 columns": (mixture(means=bg.ConjugateMeans(loc=[1, 2, 3])), "ConjugateMeans.loc", "(3,)", "(2,)"),
    "means of 3 components": (
        mixture(means=bg.NormalMeans(mu=np.zeros((3, 2)))), "NormalMeans.mu", "(3, 2)", "(2, 2)",
    ),
    "sds of 3 columns": (mixture(means=bg.NormalMeans(sigma=[1, 2, 3])), "NormalMeans.sigma", "(3,)", "(2, 2)"),
    "fixed means": (mixture(means=bg.FixedMeans([1, 2])), "FixedMeans.values", "(2,)", "one row for each component"),
    "concentration of 3": (lambda: bg.GaussianMixture(2, weights=bg.Dirichlet([1, 2, 3])),
                           "Dirichlet.concentration", "(3,)", "(2,)"),
    "negative concentration": (lambda: bg.Dirichlet(-1), "Dirichlet.concentration", "got -1", "greater than 0"),
    "concentration 0": (lambda: bg.Dirichlet([1, 0]), "Dirichlet.concentration", "[1, 0]", "greater than 0"),
    "concentration nan": (lambda: bg.Dirichlet(np.nan), "Dirichlet.concentration", "nan", "finite number"),
    "concentration text": (lambda: bg.Dirichlet("a"), "Dirichlet.concentration", "'a'", "finite number"),
    "negative sticks": (lambda: bg.StickBreaking(-2), "StickBreaking.concentration", "got -2", "greater than 0"),
    "scale of 3 columns": (
        mixture(covariances=bg.InverseWishart(4, np.eye(3))), "InverseWishart.scale", "(3, 3)", "(2, 2)",
    ),
    "scale vector of 3": (
        mixture(covariances=bg.InverseWishart(4, [1, 2, 3])), "InverseWishart.scale", "(3,)", "(2, 2)",
    ),
    "scale not definite": (
        lambda: bg.InverseWishart(4, [[1, 2], [2, 1]]), "InverseWishart.scale", "[(1, 2), (2, 1)]", "positive definite",
    ),
    "df too small": (mixture(covariances=bg.InverseWishart(1, 1.0)), "InverseWishart.df", "got 1.0", "greater than 1"),
    "spherical scale vector": (
        mixture(covariances=bg.Spherical(bg.InverseWishart(4, [1, 2]))), "InverseWishart.scale", "(2,)", "(1,)",
    ),
    "sd prior of 3 columns": (
        mixture(covariances=bg.LKJ(1, scale=bg.HalfNormal([1, 2, 3]))), "HalfNormal.sigma", "(3,)", "(2,)",
    ),
    "fixed covariances": (
        mixture(covariances=bg.FixedCovariances(np.eye(3))), "FixedCovariances.values", "(3, 3)", "(2, 2, 2)",
    ),
    "fixed weights of 3": (
        lambda: bg.GaussianMixture(2, weights=bg.FixedWeights([0.5, 0.2, 0.3])), "FixedWeights.values", "3", "one",
    ),
    "fixed weights that add up to 0.7": (
        lambda: bg.FixedWeights([0.5, 0.2]), "FixedWeights.values", "0.7", "sum 1",
    ),
    "one name": (
        lambda: bg.GaussianMixture(2, component_names=["a"]), "GaussianMixture.component_names", "('a',)", "one name",
    ),
    "no components": (lambda: bg.GaussianMixture(0), "GaussianMixture.n_components", "got 0", "from 1 to 1,000,000"),
    "half a component": (lambda: bg.GaussianMixture(1.5), "GaussianMixture.n_components", "got 1.5", "whole number"),
    "model is a number": (lambda: fit(2, ROWS), "model", "got int", "fit(GaussianMixture(2), data)"),
    "model and data swapped": (lambda: fit(ROWS, bg.GaussianMixture(2)), "model", "got ndarray", "fit(Gaussian"),
    "engine class": (lambda: fit(bg.GaussianMixture(2), ROWS, bg.EM), "engine", "EM", "Write engine=EM()"),
    "engine name": (lambda: fit(bg.GaussianMixture(2), ROWS, "VB"), "engine", "got 'VB'", "Give EM(...), VB(...)"),
    "engine number": (lambda: fit(bg.GaussianMixture(2), ROWS, 3), "engine", "got 3", "leave it out"),
    "seed -1": (lambda: fit(bg.GaussianMixture(2), ROWS, seed=-1), "random_seed", "got -1", "at least 0"),
    "seed 1.5": (lambda: fit(bg.GaussianMixture(2), ROWS, seed=1.5), "random_seed", "got 1.5", "whole number"),
    "seed text": (lambda: fit(bg.GaussianMixture(2), ROWS, seed="1"), "random_seed", "got '1'", "whole number"),
    "seed True": (lambda: fit(bg.GaussianMixture(2), ROWS, seed=True), "random_seed", "got True", "whole number"),
    "no starts": (lambda: bg.EM(n_init=0), "EM.n_init", "got 0", "at least 1"),
    "no steps": (lambda: bg.VB(max_steps=0), "VB.max_steps", "got 0", "at least 1"),
    "tolerance 0": (lambda: bg.EM(tolerance=0), "EM.tolerance", "got 0", "positive"),
    "no threads": (lambda: bg.EM(threads=0), "EM.threads", "got 0", "at least 1"),
    "threads in words": (lambda: bg.VB(threads="all"), "VB.threads", "got 'all'", "whole number"),
    "draws for 3 chains": (lambda: bg.VB(draws=10, chains=3), "VB.draws", "got 10 for 3 chains", "multiple"),
    "density": (lambda: bg.EM(density="x"), "EM.density", "got 'x'", "'unconstrained'"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG_ARGUMENTS)
def test_wrong_arguments_are_named_with_their_value_and_a_remedy(case):
    call, argument, value, remedy = WRONG_ARGUMENTS[case]
    with pytest.raises(bg.InputError) as caught:
        call()
    error = caught.value
    assert error.argument == argument
    assert value in error.problem
    assert remedy in str(error)
    assert len(error.remedy) > 10


UNSUPPORTED = {
    "VB without weights prior": (bg.VB(), {"weights": bg.Flat()}, ("VB", "Flat() weights", "use EM")),
    "VB without any prior": (bg.VB(), FLAT, ("VB", "Flat() weights and means and covariances", "use EM")),
    "VB with LKJ": (bg.VB(), {"covariances": bg.LKJ()}, ("VB", "LKJ(2)", "Use InverseWishart", "EM")),
    "EM without a mode": (bg.EM(), {"weights": bg.Dirichlet(0.5)}, ("EM", "Dirichlet((0.5, 0.5))", "Use VB")),
    "EM with sticks without a mode": (bg.EM(), {"weights": bg.StickBreaking(0.5)}, ("EM", "StickBreaking", "Use VB")),
}


@pytest.mark.parametrize("case", UNSUPPORTED)
def test_what_an_engine_cannot_do_names_both_parts_and_what_works(case):
    engine, parts, fragments = UNSUPPORTED[case]
    with pytest.raises(bg.UnsupportedError) as caught:
        fit(bg.GaussianMixture(2, **parts), ROWS, engine)
    assert_helpful(caught.value, (), *fragments)


# ---- predict ----------------------------------------------------------------------------------------------------

WRONG_ROWS = {
    "too many columns": (np.ones((3, 3)), "has 3 columns", "'length' and 'width'"),
    "one axis": ([1.0, 2.0], "has 1 column ", "'length' and 'width'"),
    "renamed": (
        pd.DataFrame({"length": [1.0], "depth": [2.0]}),
        "'width'",
        "It has columns 'length' and 'depth'; rename",
    ),
    "inf": ([[np.inf, 1.0]], "inf", "Drop these rows"),
    "no rows": (np.empty((0, 2)), "0 rows", "at least one row"),
    "strings": ([["a", "b"]], "'a'", "leave the column out"),
}


@pytest.mark.parametrize("engine", ["vb_fit", "em_fit"])
@pytest.mark.parametrize("case", WRONG_ROWS)
def test_predict_refuses_rows_that_do_not_match(case, engine, request):
    rows, problem, remedy = WRONG_ROWS[case]
    with pytest.raises(bg.InputError) as caught:
        bg.predict(request.getfixturevalue(engine), rows)
    assert caught.value.argument in DATA
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy


@pytest.mark.parametrize("function", [bg.predict, bg.add_log_likelihood])
def test_columns_are_matched_by_name(function, vb_fit, table):
    swapped = table[["width", "length"]]
    expected, got = function(vb_fit, table), function(vb_fit, swapped)
    if function is bg.add_log_likelihood:
        expected, got = (tree["log_likelihood"].to_dataset() for tree in (expected, got))
    xr.testing.assert_identical(got, expected)
    # Columns in the wrong order would have given other numbers, so the test above can fail.
    by_position = function(vb_fit, swapped.to_numpy())
    name = "x" if function is bg.add_log_likelihood else "log_density"
    by_position = by_position["log_likelihood"] if function is bg.add_log_likelihood else by_position
    assert np.abs(by_position[name].to_numpy() - expected[name].to_numpy()).max() > 0.1


@pytest.mark.parametrize(
    "container",
    [dict, lambda t: bg.as_data(t), lambda t: xr.Dataset.from_dataframe(t), lambda t: t.to_numpy().tolist()],
)
def test_containers_give_the_same_prediction(container, em_fit, table):
    np.testing.assert_array_equal(
        bg.predict(em_fit, container(table))["responsibilities"], bg.predict(em_fit)["responsibilities"]
    )


def test_per_draw_and_log_likelihood_need_draws(em_fit):
    with pytest.raises(bg.InputError, match=r"per_draw.*no posterior draws.*VB"):
        bg.predict(em_fit, per_draw=True)
    with pytest.raises(bg.InputError, match=r"fit.*no posterior draws.*VB"):
        bg.add_log_likelihood(em_fit)


# ---- simulate, summary, and whatever takes a fit ----------------------------------------------------------------


@pytest.mark.parametrize("n_obs", [0, -1, 2.5, True, "3", None])
def test_simulate_needs_a_whole_number_of_rows(n_obs, em_fit):
    with pytest.raises(bg.InputError, match="n_obs") as caught:
        bg.simulate(em_fit, n_obs)
    assert repr(n_obs) in caught.value.problem
    assert "at least 1" in caught.value.remedy if n_obs is not None else "number of rows" in caught.value.remedy


def test_simulate_needs_every_number_of_a_declaration():
    with pytest.raises(bg.InputError, match=r"model_or_fit(.|\n)*leaves numbers to the data(.|\n)*Normal\(data mean, "):
        bg.simulate(bg.GaussianMixture(2), 3, n_features=2)
    with pytest.raises(bg.InputError, match=r"n_features.*how many columns.*Give n_features"):
        bg.simulate(bg.GaussianMixture(2), 3)
    half = bg.GaussianMixture(2, means=bg.NormalMeans([0.0, 0.0], 1.0))
    with pytest.raises(bg.InputError, match="leaves numbers to the data"):
        bg.simulate(half, 3)


@pytest.mark.parametrize("part", ["weights", "means", "covariances"])
def test_simulate_cannot_draw_a_flat_part(part):
    parts = {
        "weights": bg.Dirichlet(1.0),
        "means": bg.ConjugateMeans([0.0, 0.0], 0.1),
        "covariances": bg.InverseWishart(5.0, 1.0),
    } | {part: bg.Flat()}
    with pytest.raises(bg.InputError, match=rf"Flat\(\) {part} cannot be drawn.*proper prior"):
        bg.simulate(bg.GaussianMixture(2, **parts), 3, n_features=2)


def test_simulate_refuses_a_number_of_columns_that_the_prior_contradicts():
    model = bg.GaussianMixture(2, means=bg.ConjugateMeans([0.0, 0.0], 0.1), covariances=bg.InverseWishart(5.0, 1.0))
    with pytest.raises(bg.InputError, match=r"ConjugateMeans.loc.*\(2,\).*\(3,\)"):
        bg.simulate(model, 3, n_features=3)


@pytest.mark.parametrize("certain", [0, -0.1, 1.1, np.nan, np.inf])
def test_certain_is_a_probability(certain, em_fit):
    with pytest.raises(bg.InputError, match="certain") as caught:
        bg.summary(em_fit, certain=certain)
    assert repr(certain) in caught.value.problem
    assert "at most 1" in caught.value.remedy


NO_FITS = {"None": None, "a number": 3, "a path": "fit.nc", "an empty tree": xr.DataTree(), "a Dataset": xr.Dataset()}
TAKE_FITS = [
    bg.summary, bg.predict, bg.diagnose, bg.occupied_components, bg.add_log_likelihood, lambda x: bg.simulate(x, 3),
]  # fmt: skip


@pytest.mark.parametrize("function", TAKE_FITS)
@pytest.mark.parametrize("case", NO_FITS)
def test_what_is_no_fit_is_refused(case, function):
    with pytest.raises(bg.InputError) as caught:
        function(NO_FITS[case])
    assert caught.value.argument in ("fit", "model_or_fit")
    assert type(NO_FITS[case]).__name__ in caught.value.problem
    assert "bayesgmm.fit" in caught.value.remedy


def test_data_are_no_fit(table):
    with pytest.raises(bg.InputError, match=r"got DataFrame.*bayesgmm\.fit"):
        bg.summary(table)


BAD_OPTIONS = {
    "certain text": lambda f: bg.summary(f, certain="0.9"),
    "certain None": lambda f: bg.summary(f, certain=None),
    "simulate with seed -1": lambda f: bg.simulate(f, 3, random_seed=-1),
    "simulate with seed text": lambda f: bg.simulate(f, 3, random_seed="a"),
    "simulate with -1 columns": lambda f: bg.simulate(SIZED_BY_NOTHING, 3, n_features=-1),
    "simulate with 2.5 columns": lambda f: bg.simulate(SIZED_BY_NOTHING, 3, n_features=2.5),
}
SIZED_BY_NOTHING = bg.GaussianMixture(2, means=bg.NormalMeans(0.0, 1.0), covariances=bg.InverseWishart(5.0, 1.0))


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_options_are_checked(case, em_fit):
    with pytest.raises(bg.InputError, match="Give a"):
        BAD_OPTIONS[case](em_fit)


@pytest.mark.parametrize("structure", [bg.Full, bg.Tied])
def test_tables_of_integers_are_fitted(structure):
    # Products of integers leave 6e-18 in one half of a covariance and 0 in the other.
    for seed in range(60):
        answers = np.random.default_rng(seed).integers(1, 6, size=(24, 5)).astype(float)
        covariance = np.cov(answers.T, bias=True)
        covariance[0, 1], covariance[1, 0] = covariance[0, 1] + 6e-18, covariance[0, 1]
        filled = bg.GaussianMixture(2, covariances=structure()).filled(answers.mean(axis=0), covariance)
        scale = np.asarray(filled.covariances.innermost.scale)
        np.testing.assert_array_equal(scale, scale.T)


def test_covariances_that_are_known_up_to_rounding():
    known = np.array([[1.0, 6e-18], [0.0, 1.0]])
    filled = bg.GaussianMixture(2, covariances=bg.FixedCovariances(known)).filled(np.zeros(2), np.eye(2))
    values = np.asarray(filled.covariances.values)
    np.testing.assert_array_equal(values, np.swapaxes(values, 1, 2))


@pytest.mark.parametrize("structure", [bg.Diagonal, bg.Spherical])
def test_variances_need_two_rows_however_many_features_there_are(structure):
    rng = np.random.default_rng(0)
    z = np.repeat([0, 1, 2], 8)
    x = 3.0 * rng.normal(size=(3, 30))[z] + rng.normal(size=(24, 30))
    flat = bg.Flat()
    model = bg.GaussianMixture(3, weights=flat, means=flat, covariances=structure(flat))
    fit = bg.fit(model, x, engine=bg.EM(), random_seed=1, progressbar=False)
    labels = fit["assignments"]["label"].to_numpy()
    assert sorted(np.bincount(labels)) == [8, 8, 8]
    assert all(np.ptp(labels[z == k]) == 0 for k in range(3))
    found = bg.diagnose(fit)
    assert bool(found["ok"].sel(check="smallest_component"))


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        ({"means": bg.NormalMeans(0.0, 1e40)}, "NormalMeans"),
        ({"covariances": bg.InverseWishart(3.0, 1e-90)}, "InverseWishart"),
        ({"covariances": bg.LKJ(2.0, scale=bg.HalfNormal(1e-40))}, "HalfNormal"),
        ({"covariances": bg.FixedCovariances([[1e80]])}, "FixedCovariances"),
    ],
)
def test_priors_far_from_the_scale_of_the_data_are_refused(parts, name):
    x = np.random.default_rng(0).normal(size=40)
    with pytest.raises(bg.InputError, match=rf"{name}: .* times as wide as the data\. Give it in their units"):
        bg.fit(bg.GaussianMixture(2, **parts), x, engine=bg.EM(), random_seed=1, progressbar=False)
