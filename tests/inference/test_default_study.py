"""The scripts that study the default call, with very few fits: that they run, and that what they count is right."""

import json

import _default_cells as study
import _default_fits as one_fit
import _default_tables as tables
import _records
import default_cost
import default_coverage
import default_labels
import default_prior_calibration as calibration
import numpy as np
import pytest
from _calibration import N_RANKED, Band
from scipy import stats

import bayesgmm as bg


def test_levels_and_pairs_of_levels_occur_about_equally_often():
    found = study.cells()
    assert len(set(found)) == study.N_CELLS
    factors = [[(c.n_obs, c.n_features, c.separation, c.weights, c.ratio)[f] for c in found] for f in range(5)]
    for f, levels in enumerate(study.LEVELS):
        counts = [factors[f].count(level) for level in levels]
        assert max(counts) - min(counts) <= 1
        for g in range(f):
            pairs = list(zip(factors[f], factors[g], strict=True))
            counts = [pairs.count((a, b)) for a in levels for b in study.LEVELS[g]]
            assert min(counts) >= 1
            assert max(counts) - min(counts) <= 1


def test_means_are_as_far_apart_as_is_said():
    for cell in study.cells():
        apart = np.linalg.norm(cell.means[:, None] - cell.means, axis=2)
        wanted = cell.separation * np.sqrt((np.square(cell.sds) + np.square(cell.sds)[:, None]) / 2)
        pairs = [(0, 1), (1, 2), (0, 2)][: 1 if cell.n_components == 2 else 2 if cell.n_features == 1 else 3]
        np.testing.assert_allclose([apart[pair] for pair in pairs], [wanted[pair] for pair in pairs])


def test_true_probabilities_are_those_of_the_labels():
    cell = next(c for c in study.cells() if c.n_components == 3 and c.separation < 2)
    rows = cell.draw(np.random.default_rng(0), 40_000)
    p = cell.probabilities(rows.x)
    for k in range(3):
        own = rows.labels == k
        for low, high in ((0.1, 0.3), (0.4, 0.6), (0.7, 0.9)):
            near = (low < p[:, k]) & (p[:, k] < high)
            error = np.sqrt(np.square(own[near] - p[near, k]).sum()) / near.sum()
            assert abs(own[near].mean() - p[near, k].mean()) < 4 * error


def test_no_two_fits_have_the_same_numbers():
    seeds = [one_fit.seeds_of(1, cell, i) for cell in range(24) for i in range(200)]
    assert len(set(np.ravel(seeds).tolist())) > 2 * 24 * 200 - 5  # among 2^32 there may be a pair


def test_components_are_matched_and_labels_counted_whatever_their_order():
    labels = np.repeat([0, 1, 2], [5, 3, 2])
    renamed = np.array([2, 0, 1])
    responsibilities = np.eye(3)[renamed[labels]]
    np.testing.assert_array_equal(one_fit.matched(responsibilities, labels, 3), renamed)
    assert one_fit.accuracy(labels, renamed[labels], 3) == 1
    assert one_fit.accuracy(labels, np.zeros(10, dtype=int), 3) == 0.5


def test_a_study_that_was_stopped_goes_on_where_it_was(tmp_path, capsys):
    out = tmp_path / "found.jsonl"
    call = ["--out", str(out), "--cells", "3", "--engines", "VB"]
    default_coverage.main([*call, "--fits", "1", "--named-fits", "2"])
    first = out.read_text()
    out.write_text(first + first[:30])  # killed while it wrote
    default_coverage.main([*call, "--fits", "2", "--named-fits", "2"])
    assert out.read_text().startswith(first)
    found = _records.read(out)
    assert [each["i"] for each in found] == [0, 1]
    for each in found:
        assert each["used"] == "VB"
        assert all(0 <= share <= 1 for quantity in each["held"].values() for share in quantity)
        assert each["bayes"] >= 0.8
    capsys.readouterr()
    default_coverage.main([*call, "--report"])
    assert "VB: share of 95 % intervals that hold the truth" in capsys.readouterr().out


def record(cell, i, share, *, warned=False, engine="default", width=1.0):
    told = [{"category": "UserWarning", "user": True, "text": "said"}] if warned else []
    each = dict.fromkeys(one_fit.QUANTITIES)
    found = {"held": {q: [share] for q in each}, "width": {q: [width] for q in each}, "status": "SAMPLED"}
    shares = {"accuracy": 0.9, "sklearn": 0.8, "bayes": 0.9, "cpu": 1.0, "empty": 0, "small": 0}
    return {"engine": engine, "cell": cell, "i": i, "code": "x", "used": "NUTS", "warnings": told} | found | shares


MUST = next(c.number for c in study.cells() if c.must_hold)
NEED_NOT = next(c.number for c in study.cells() if not c.must_hold)


@pytest.mark.parametrize(
    ("cell", "share", "warned", "well"),
    [
        (MUST, 0.9, 1.0, True),
        (MUST, 0.85, 1.0, False),
        (NEED_NOT, 0.85, 0.7, False),
        (NEED_NOT, 0.85, 0.9, True),
        (NEED_NOT, 0.95, 0.2, False),
        (NEED_NOT, 0.95, 0.1, True),
    ],
)
def test_verdicts_follow_the_rules(cell, share, warned, well, capsys):
    records = [record(cell, i, share, warned=i < round(10 * warned)) for i in range(10)]
    assert tables.report(records) is well
    assert ("SHORT" in capsys.readouterr().out) is not well


def test_intervals_that_are_too_wide_fall_short(capsys):
    for width, well in ((1.2, True), (1.4, False)):
        records = [record(MUST, 0, 0.95, width=width), record(MUST, 0, 0.95, engine="exact")]
        assert tables.report(json.loads(json.dumps(records))) is well
        assert f"{width:.2f} times a long run's" in capsys.readouterr().out


def test_ranks_of_few_effective_draws_are_uniform_too():
    rng = np.random.default_rng(2)
    ranks = np.array([calibration.ranked(u, rng.random(50), ess, rng) for u in rng.random(500) for ess in (3.0, 80.0)])
    assert ranks.min() == 0
    assert ranks.max() == N_RANKED
    for found in (ranks[::2], ranks[1::2]):
        assert Band(found.size).p_value(found) > 0.001


def test_the_prior_written_anew_is_the_one_that_is_drawn_from():
    form = calibration.DefaultForm(n_features=2)
    sims = [bg.simulate(form.model, 1, random_seed=seed, n_features=2) for seed in range(40)]
    drawn = [np.stack([sim[name].to_numpy() for sim in sims]) for name in ("weights", "means", "covariances")]
    own = stats.beta(2, 2).logpdf(drawn[0][:, 0])
    for k in range(2):
        covariances = drawn[2][:, k]
        own += stats.invwishart(4, 4 * np.eye(2)).logpdf(np.moveaxis(covariances, 0, -1))
        own += [
            stats.multivariate_normal(np.zeros(2), c / 0.01).logpdf(m)
            for m, c in zip(drawn[1][:, k], covariances, strict=True)
        ]
    np.testing.assert_allclose(np.ptp(form.log_prior(*drawn) - own), 0, atol=1e-8)


def test_calibration_of_the_default_form_runs(tmp_path, capsys):
    out = tmp_path / "found.jsonl"
    calibration.main(["--out", str(out), "--fits", "1", "--engine", "Laplace"])
    found = _records.read(out)
    assert [each["setting"] for each in found] == [0, 1]
    assert "smaller responsibility at 0" in capsys.readouterr().out


def test_labels_of_data_with_known_classes(capsys):
    default_labels.main(["--only", "iris"])
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("| iris"))
    assert 0 < float(row.split("|")[7]) <= 1
    assert sum(map(int, row.split("|")[10].split("/"))) == 150


def test_the_formula_of_the_cost_is_found_again(capsys):
    records = []
    for n in default_cost.SIZES:
        for d in default_cost.FEATURES:
            for K in default_cost.COMPONENTS:
                steps = 2 * default_cost.n_coordinates(d, K) ** 0.5
                evaluations = 4 * (bg.NUTS().tune + 500) * steps
                cpu = 0.2 + 3e-6 * evaluations + 2e-9 * evaluations * n * K
                records.append({"engine": "NUTS", "n": n, "d": d, "K": K, "cpu": cpu, "steps": steps, "draws": 500})
                records[-1]["status"] = "SAMPLED"
    default_cost.report(records)
    said = capsys.readouterr().out
    assert "steps of a draw: 2.00 p^0.50" in said
    assert "NUTS, seconds: 0.2 1 + 3e-06 E + 2e-09 E N K; formula / measured 1.00 to 1.00" in said


@pytest.mark.parametrize("engine", list(default_cost.ENGINES))
def test_the_cost_of_an_engine_is_measured(engine):
    found = default_cost.measure(engine, 60, 1, 2, 6.0)
    assert found["cpu"] > 0
    assert found.get("draws", 500) == 500
