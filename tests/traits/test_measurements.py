"""What measurements are read from, the numbers that they become, and what is said where they tell nothing."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

import bayesgmm as bg
from bayesgmm import traits

N, R = 14, 3
X = 10.0 + np.random.default_rng(0).normal(size=(N, 1)) + 0.3 * np.random.default_rng(1).normal(size=(N, R))
MEANS = X.mean(axis=1)
SQUARES = np.square(X - MEANS[:, None]).sum(axis=1)
DF = float(N * (R - 1))
SD = np.sqrt(SQUARES.sum() / DF)
NAMES = np.array([f"bird {i:02d}" for i in range(N)])
WIDE = {"beak_1": X[:, 0], "beak_2": X[:, 1], "beak_3": X[:, 2], "who": NAMES}
LONG = {"beak": X.T.ravel(), "who": np.tile(NAMES, R)}
ONE = {"beak": MEANS, "se": np.linspace(0.1, 0.4, N), "who": NAMES}
FRAMES = pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
COLUMNS = ["beak_1", "beak_2", "beak_3"]


def assert_is_x(known, labels=NAMES):
    np.testing.assert_array_equal(known.individuals, labels)
    np.testing.assert_allclose(known.means, MEANS, rtol=1e-12)
    np.testing.assert_allclose(known.squares, SQUARES, rtol=1e-10)
    np.testing.assert_array_equal(known.repeats, np.full(N, 3.0))
    assert known.error_sd == pytest.approx(SD, rel=1e-12)
    assert known.error_df == DF
    np.testing.assert_allclose(known.errors, SD / np.sqrt(3), rtol=1e-12)
    assert (known.n, known.n_dropped, known.repeated) == (N, 0, True)


@FRAMES
def test_dataframes_with_repeats(frame):
    order = np.random.default_rng(2).permutation(N * R)
    long = traits.measurements(
        frame({name: values[order] for name, values in LONG.items()}), value="beak", individual="who"
    )
    assert_is_x(long)
    assert long.trait == "beak"
    wide = traits.measurements(frame(WIDE), value=COLUMNS, individual="who")
    assert_is_x(wide)
    assert wide.trait == "beak"
    assert_is_x(traits.measurements(frame(WIDE), value=COLUMNS), np.arange(N))


@FRAMES
def test_several_rows_with_several_columns(frame):
    """Two visits of two measurements each are four repeats."""
    visits = frame({"a": X[:, :2].T.ravel(), "b": X[:, 1:].T.ravel(), "who": np.tile(NAMES, 2)})
    known = traits.measurements(visits, value=["a", "b"], individual="who")
    four = np.hstack([X[:, :2], X[:, 1:]])
    np.testing.assert_allclose(known.means, four.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(known.squares, 4 * four.var(axis=1), rtol=1e-10)
    assert known.error_df == 3.0 * N
    assert known.trait == "trait"


def test_labels_that_are_numbers_keep_their_order():
    known = traits.measurements(
        pd.DataFrame({"v": X.ravel(), "id": np.repeat(np.arange(N)[::-1], R)}), value="v", individual="id"
    )
    np.testing.assert_allclose(known.means, MEANS[::-1], rtol=1e-12)
    np.testing.assert_array_equal(known.individuals, np.arange(N))


def test_arrays():
    assert_is_x(traits.measurements(X), np.arange(N))
    assert traits.measurements(X).trait == "trait"
    assert_is_x(traits.measurements(X.tolist()), np.arange(N))


def test_repeats_that_are_missing_and_individuals_without_any():
    x = np.vstack([X, np.full((2, R), np.nan)])
    x[0, 1], x[1, :2], x[2, 2] = np.nan, np.nan, np.nan
    known = traits.measurements(x)
    assert (known.n, known.n_dropped) == (N, 2)
    np.testing.assert_array_equal(known.repeats[:4], [2, 1, 2, 3])
    np.testing.assert_allclose(known.means, np.nanmean(x[:N], axis=1), rtol=1e-12)
    squares = np.nansum(np.square(x[:N] - known.means[:, None]))
    df = (known.repeats - 1).sum()
    assert known.error_df == df
    assert known.error_sd == pytest.approx(np.sqrt(squares / df), rel=1e-12)
    np.testing.assert_allclose(known.errors, known.error_sd / np.sqrt(known.repeats), rtol=1e-12)
    assert known.squares[1] == 0
    long = pd.DataFrame({"v": x.ravel(), "who": np.repeat([*NAMES, "x 1", "x 2"], R)})
    same = traits.measurements(long, value="v", individual="who")
    np.testing.assert_allclose(same.errors, known.errors, rtol=1e-12)
    assert same.n_dropped == 2


@FRAMES
def test_one_value_with_its_error(frame):
    by_name = traits.measurements(frame(ONE), value="beak", individual="who", error="se")
    by_array = traits.measurements(frame(ONE), value="beak", error=ONE["se"])
    without_frame = traits.measurements(MEANS, error=ONE["se"])
    for known in (by_name, by_array, without_frame):
        np.testing.assert_allclose(known.errors, ONE["se"], rtol=1e-12)
        np.testing.assert_allclose(known.means, MEANS, rtol=1e-12)
        assert known.error_sd == pytest.approx(np.sqrt(np.mean(ONE["se"] ** 2)), rel=1e-12)
        assert np.isinf(known.error_df)
        assert not known.repeated
    assert by_name.individuals[3] == "bird 03"
    assert traits.measurements(MEANS, error=ONE["se"], error_df=8).error_df == 8.0


def test_one_number_for_all_errors():
    known = traits.measurements(MEANS, error=0.2)
    np.testing.assert_allclose(known.errors, 0.2)
    assert np.isinf(known.error_df)
    assert traits.measurements(MEANS, error=0.2, error_df=5).error_df == 5.0
    # Of a single measurement, also where there are repeats, and what repeats say is then not used.
    known = traits.measurements(X, error=0.2)
    np.testing.assert_allclose(known.errors, 0.2 / np.sqrt(3))
    assert np.isinf(known.error_df)


def test_errors_and_repeats_are_pooled():
    known = traits.measurements(X, error=0.2, error_df=12)
    assert known.error_df == DF + 12
    assert known.error_sd == pytest.approx(np.sqrt((SQUARES.sum() + 12 * 0.04) / (DF + 12)), rel=1e-12)


def test_individuals_without_a_value_take_their_errors_along():
    x, errors = np.append(MEANS, np.nan), np.append(ONE["se"], 5.0)
    known = traits.measurements(x, error=errors)
    np.testing.assert_allclose(known.errors, ONE["se"])
    assert known.n_dropped == 1
    errors[-1] = np.nan
    np.testing.assert_allclose(traits.measurements(x, error=errors).errors, ONE["se"])


def test_data_for_fits():
    data = traits.measurements(X).to_data()
    np.testing.assert_allclose(data.values[:, 0], MEANS, rtol=1e-12)
    problem_noise = bg.fit(bg.GaussianMixture(1), data, engine=bg.EM(threads=1), random_seed=1, progressbar=False)
    assert problem_noise["point_estimate"].sizes["component"] == 1
    assert data.noise_scale == bg.ScaledInverseChi(DF, 1.0)
    assert traits.measurements(MEANS, error=0.2).to_data().noise_scale is None


def test_taken():
    known = traits.measurements(X).taken(np.arange(1, N))
    np.testing.assert_allclose(known.means, MEANS[1:])
    np.testing.assert_allclose(known.squares, SQUARES[1:])
    assert (known.n, known.error_sd, known.error_df) == (N - 1, pytest.approx(SD), DF)


EQUAL = np.repeat(np.arange(12.0)[:, None], 2, axis=1)
FEW_REPEATS = np.where(np.arange(12)[:, None] < [12, 2], EQUAL + np.array([0.0, 0.5]), np.nan)
NULL = pd.DataFrame({"beak": [1.0, 2.0, 3.0], "who": ["a", None, "b"]})
READ = traits.measurements
LONG_FRAME, ONE_FRAME = pd.DataFrame(LONG), pd.DataFrame(ONE)


@pytest.mark.parametrize(
    ("build", "wanted"),
    [
        (lambda: READ(X[:9]), "data: there are 9 individuals.*fewer than 10"),
        (lambda: READ(np.where(np.arange(N)[:, None] < 9, X, np.nan)), "there are 9 individuals with measurements"),
        (lambda: READ(MEANS), "measured once.*give error="),
        (lambda: READ(X[:, :1]), "measured once"),
        (lambda: READ(FEW_REPEATS), "leave 2 degrees of freedom.*at least 3"),
        (lambda: READ(np.where(np.arange(12)[:, None] < [12, 1], EQUAL, np.nan)), "leave 1 degree of freedom"),
        (lambda: READ(EQUAL), r"repeats of an individual are equal.*sqrt\(12\)"),
        (lambda: READ(np.full(12, 3.0), error=0.1), "all individuals have the mean 3.*no types"),
        (lambda: READ(np.full(12, 3.0), error=np.full(12, 0.1)), "all individuals have the mean 3.*no types"),
        (lambda: READ(MEANS, error=0.0), "error: got 0.0.*positive"),
        (lambda: READ(MEANS, error=-0.1), "error: got -0.1.*positive"),
        (lambda: READ(MEANS, error=np.nan), "error: got nan"),
        (lambda: READ(MEANS, error=True), "error: got True"),
        (lambda: READ(MEANS, error=np.where(np.arange(N) == 4, -1.0, 0.1)), "error: is -1 for individual 4"),
        (lambda: READ(MEANS, error=np.where(np.arange(N) == 4, 0.0, 0.1)), "error: is 0 for individual 4"),
        (lambda: READ(MEANS, error=np.where(np.arange(N) == 4, np.nan, 0.1)), "error: is nan for individual 4"),
        (lambda: READ(MEANS, error=np.full(3, 0.1)), r"error: has shape \(3,\).*each of the 14 rows"),
        (lambda: READ(MEANS, error="se"), "error: got 'se' for data without named columns"),
        (lambda: READ(X, error=np.full(N, 0.1)), "one for each of several repeats"),
        (lambda: READ(MEANS, error_df=5), "error_df: got 5 without error"),
        (lambda: READ(MEANS, error=0.1, error_df=2), "error_df: got 2.*at least 3"),
        (lambda: READ(MEANS, error=0.1, error_df=np.nan), "error_df: got nan"),
        (lambda: READ(MEANS, error=0.1, error_df="5"), "error_df: got '5'"),
        (lambda: READ(MEANS, value="beak"), "value: got 'beak' for data without named columns"),
        (lambda: READ(X, individual="who"), "individual: got 'who' for data without named columns"),
        (lambda: READ(LONG_FRAME), "value: got None for a dataframe"),
        (lambda: READ(LONG_FRAME, value=[]), r"value: got \[\] for a dataframe"),
        (lambda: READ(LONG_FRAME, value="bill", individual="who"), "has no column 'bill'.*'beak' and 'who'"),
        (lambda: READ(LONG_FRAME, value="beak", individual="bird"), "has no column 'bird'"),
        (lambda: READ(ONE_FRAME, value="beak", error="sd"), "has no column 'sd'"),
        (lambda: READ(LONG_FRAME, value="beak"), "measured once"),
        (lambda: READ(NULL, value="beak", individual="who"), "individual: column 'who' has no label in row 1"),
        (
            lambda: READ(pd.concat([ONE_FRAME, ONE_FRAME[2:3]]), value="beak", individual="who", error="se"),
            "individual 'bird 02' has several rows.*one row for each individual",
        ),
        (
            lambda: READ(ONE_FRAME.assign(se=0.0), value="beak", individual="who", error="se"),
            "error: is 0 for individual bird 00",
        ),
    ],
)
def test_errors_say_what_is_missing(build, wanted):
    with pytest.raises(bg.InputError, match=wanted):
        build()
