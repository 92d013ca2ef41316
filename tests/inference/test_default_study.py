"""The scripts that study the default call, with very few fits: that they run, and that what they count is right."""

import json

import _default_cells as study
import _default_fits as one_fit
import _default_tables as tables
import default_coverage
import numpy as np
import pytest


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
    found = default_coverage.read(out)
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
