"""A summary is a DataFrame that prints so that it can be read, whatever the number of features."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pandas as pd
import pytest

import bayesgmm as bg
from bayesgmm.inference._summary_table import SummaryTable, turned


def fitted(d, engine, **model):
    rng = np.random.default_rng(d)
    x = rng.normal(size=(120, d)) + 6.0 * (np.arange(120) % 3)[:, None]
    table = pd.DataFrame(x * 10.0 ** (np.arange(d) % 7 - 3), columns=[f"measurement number {j}" for j in range(d)])
    return bg.fit(bg.GaussianMixture(3, covariances=bg.Diagonal(), **model), table, engine=engine, random_seed=1)


@pytest.mark.parametrize("d", [1, 2, 13, 30])
@pytest.mark.parametrize("engine", [bg.EM(n_init=4, n_polish=1), bg.VB(n_init=4, n_polish=1)], ids=["EM", "VB"])
def test_any_number_of_features_can_be_read(d, engine):
    table = bg.summary(fitted(d, engine))
    assert len(table) == 3  # still one row a component
    lines = str(table).splitlines()
    assert max(map(len, lines)) <= 120
    assert len(lines) <= 2 * d + 12
    assert lines[0].split() == ["component", "0", "1", "2"]
    assert [line.split()[0] for line in lines[1:4]] == ["members", "uncertain", "weight"]
    for j in range(d):
        assert sum(f"[measurement number {j}]" in line for line in lines) == 2
    assert "..." not in str(table)
    assert f"[a DataFrame of 3 rows, one a component, and {table.shape[1]} columns]" in lines[-1]


def test_numbers_are_those_of_the_table_to_the_digits_that_matter():
    table = bg.summary(fitted(7, bg.VB(n_init=4, n_polish=1)))
    for name, row in turned(table).iterrows():
        for k, cell in enumerate(row):
            if f"{name}_lower" not in table:
                assert cell == f"{table[name].iloc[k]:,.10g}"
                continue
            numbers = [float(each) for each in re.split(r" \(|, |\)", cell)[:3]]
            wanted = [table[column].iloc[k] for column in (name, f"{name}_lower", f"{name}_upper")]
            tolerance = 0.05 * (wanted[2] - wanted[1])
            np.testing.assert_allclose(numbers, wanted, rtol=0, atol=tolerance)
            assert len(cell) < 40


def test_what_has_to_be_known_is_said(tmp_path):
    fit = fitted(2, bg.VB(n_init=4, n_polish=1), component_names=["a", "b", "c"])
    table = bg.summary(fit)
    said = " ".join(str(table).split())
    assert "component b: intervals may be too narrow" in said
    assert " ".join(fit.attrs["caveat"].split()) in said
    assert f"In brackets: {table.attrs['interval']} intervals" in said
    page = table._repr_html_()
    assert page.count("<th>") == 4 + 3 + 4
    assert "component b: intervals may be too narrow" in page


def test_it_is_a_dataframe_for_everyone_else():
    table = bg.summary(fitted(2, bg.EM(n_init=4, n_polish=1)))
    assert isinstance(table, pd.DataFrame)
    assert type(table.round(2)) is SummaryTable
    assert str(table.round(1)).splitlines()[0].split() == ["component", "0", "1", "2"]
    plain = pd.DataFrame(table)
    for made in (
        lambda t: t.T,
        lambda t: t[["weight", "note"]],
        lambda t: t.drop(columns="note"),
    ):
        assert str(made(table)) == str(made(plain))
        assert made(table)._repr_html_() == made(plain)._repr_html_()
    back = pickle.loads(pickle.dumps(table))
    assert type(back) is SummaryTable
    pd.testing.assert_frame_equal(back, table)
    assert back.attrs == table.attrs
    assert str(back) == str(table)


@pytest.mark.filterwarnings("ignore::bayesgmm.FewerGroupsWarning")
def test_many_components_stand_below_each_other():
    rng = np.random.default_rng(0)
    x = np.repeat(10.0 * np.arange(12), 15) + rng.normal(size=180)
    table = bg.summary(bg.fit(bg.GaussianMixture(12), x, engine=bg.VB(n_init=4, n_polish=1), random_seed=1))
    assert max(map(len, str(table).splitlines())) <= 120
    assert str(table).count("mean[x]") > 1
