"""Limits of blank and detection: what they are, what they promise, and what is said of wells and samples."""

import calibrate_blank as study
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import binomtest, poisson

import bayesgmm as bg
from bayesgmm import ddpcr
from bayesgmm.ddpcr._blank import limit_of_blank, limit_of_detection, with_verdicts
from tests.ddpcr.files import quantasoft, save

N = 20_000


def test_limit_is_that_of_the_conditional_binomial_test():
    """Przyborowski & Wilenski: of K + k positives in N + n droplets, so many or more in the n."""
    for positives, droplets, further in ((0, 20_000, 20_000), (3, 15_000, 40_000), (8, 80_000, 11_000)):
        limit = int(limit_of_blank(positives, droplets, np.array([further]))[0])
        p = further / (droplets + further)
        tests = [binomtest(k, positives + k, p, alternative="greater").pvalue for k in (limit, limit + 1)]
        assert tests[0] > 0.05 >= tests[1]
    assert limit_of_blank(0, N, np.array([N]))[0] == 4
    assert limit_of_blank(0, 4 * N, np.array([N]))[0] == 1


def test_limit_of_detection_is_exceeded_in_95_percent():
    for limit in (0.0, 1.0, 4.0, 30.0):
        assert poisson.sf(limit, limit_of_detection(np.array([limit]))[0]) == pytest.approx(0.95, abs=1e-9)


def test_blanks_are_called_detected_in_at_most_5_percent():
    for n_controls in (1, 2, 4):
        for n_wells in (1, 2, 4):
            assert max(study.exact(n_controls, n_wells, mean) for mean in np.arange(0.0, 12.0, 0.25)) < 0.05
    found = study.shares(2, 4, 2.0, 2000, np.random.default_rng(0))
    assert found["package"] < 0.05 < found["plug-in"]


def judged(
    counts,
    *,
    droplets=N,
    control=None,
    samples=None,
    dilution=1.0,
    flags="",
    channels=("Ch1",),
    counted=1.0,
    positives=None,
):
    """A result as `quantify` puts it together, with counts of wells in their order: A01, B01 ..."""
    counts = np.asarray(counts, dtype=float).reshape(-1, len(channels))
    wells = [f"{row}{i // 8 + 1:02d}" for i, row in enumerate("ABCDEFGH" * 12)][: len(counts)]
    control = ["", *[""] * (len(wells) - 1)] if control is None else control
    samples = samples or wells
    table = pd.DataFrame(
        {"sample": samples, "dilution": dilution, "ntc": [kind == "ntc" for kind in control], "replicate": 1}
        | {f"target {channel}": channel for channel in channels}
        | {"control": control},
        index=pd.Index(wells, name="well", dtype=object),
    )
    empty = np.empty((0, len(channels)))
    plate = ddpcr.Plate(tuple(ddpcr.Well(name=each, channels=channels, amplitudes=empty) for each in wells), table)
    names = list(dict.fromkeys(table["sample"][~table["ntc"]]))
    out = xr.Dataset(
        {
            "counted": (("well", "channel"), np.full(counts.shape, counted)),
            "threshold_positives": (("well", "channel"), counts),
            "positives": (("well", "channel"), counts if positives is None else np.reshape(positives, counts.shape)),
            "flags": (("well", "channel"), np.full(counts.shape, flags)),
            "n_droplets": (("well",), np.broadcast_to(droplets, len(wells))),
        },
        coords={"well": wells, "channel": list(channels), "sample": names}
        | {name: (("well",), table[name].to_numpy()) for name in ("dilution", "ntc")}
        | {"well_sample": (("well",), table["sample"].to_numpy().astype(str))}
        | {"droplet_volume_nl": (("well",), np.full(len(wells), 0.5))},
    )
    return with_verdicts(out, plate)


NTC = ["ntc"] * 4


def test_wells_are_compared_with_the_controls():
    found = judged([2, 1, 3, 2, 3, 2, 5, 6, 40], control=[*NTC, *[""] * 5])
    assert found["limit_of_blank_positives"][:, 0].to_numpy()[4:].tolist() == [5.0] * 5
    assert found["detected"][:, 0].to_numpy().tolist() == [""] * 4 + ["not detected"] * 3 + ["detected"] * 2
    flags = found["flags"][:, 0].to_numpy().tolist()
    assert flags[0] == "2 positives in a well without template"
    assert flags[1] == "1 positive in a well without template"
    assert flags[4] == "not above the limit of blank: 3 positives at the threshold, a blank may have 5"
    assert flags[7].startswith("above the limit of blank, below that of detection: 6 positives at the threshold, ")
    assert flags[8] == ""
    limit, detection = (float(found[f"limit_of_{name}_copies_per_ul"][8, 0]) for name in ("blank", "detection"))
    assert limit == pytest.approx(-np.log1p(-5 / N) / 0.0005)
    needed = limit_of_detection(np.array([5.0]))[0]
    assert detection == pytest.approx(-np.log1p(-needed / N) / 0.0005)
    assert float(found["limit_of_blank"][0]) == pytest.approx(limit)
    assert float(found["limit_of_detection"][0]) == pytest.approx(detection)
    assert found.attrs["blanks Ch1"] == "no template: A01, B01, C01, D01"


def test_limits_follow_the_droplets_of_a_well():
    found = judged([1, 0, 0, 1, 4, 4], control=[*NTC, "", ""], droplets=np.array([*[N] * 4, N, N // 10]))
    assert found["limit_of_blank_positives"][4:, 0].to_numpy().tolist() == [3.0, 1.0]
    assert (found["detected"][4:, 0] == "detected").all()
    # Of fewer droplets the same count is a higher concentration.
    assert float(found["limit_of_blank_copies_per_ul"][5, 0]) > float(found["limit_of_blank_copies_per_ul"][4, 0])


def test_wells_of_a_sample_are_judged_together():
    counts = [0, 1, 0, 0, 1, 1, 2, 1, 0]
    found = judged(counts, control=[*NTC, *[""] * 5], samples=[*["w"] * 4, *["a"] * 4, "b"], dilution=10.0)
    assert (found["detected"][4:, 0] == "not detected").all()
    sample = found.sel(sample="a", channel="Ch1")
    limit = limit_of_blank(1, 4 * N, np.array([4 * N]))[0]
    assert float(sample["sample_limit_of_blank_positives"]) == limit == 6.0
    assert str(sample["sample_detected"].item()) == "not detected"
    # Ten times as much in the undiluted sample.
    known = -np.log1p(-limit / (4 * N)) / 0.0005 * 10.0
    assert float(sample["sample_limit_of_blank_copies_per_ul"]) == pytest.approx(known)
    found = judged([0, 0, 0, 0, 1, 1, 2, 2], control=[*NTC, *[""] * 4], samples=[*["w"] * 4, *["a"] * 4])
    assert str(found["sample_detected"].sel(sample="a", channel="Ch1").item()) == "detected"


def test_one_positive_in_a_control_is_not_no_positives():
    found = judged([1, 0], control=["ntc", "ntc"], flags="only 9 droplets; no positives: the upper bound is known")
    assert found["flags"][0, 0].item() == "only 9 droplets; 1 positive in a well without template"
    assert found["flags"][1, 0].item() == "only 9 droplets; no positives: the upper bound is known"


def test_where_clusters_overlap_blanks_are_compared_at_the_threshold():
    """Expected numbers of controls have a prior of their own; what lies above a threshold is the same for all wells."""
    controls = {"counted": 0.0, "positives": [0.4, 0.3, 4.0, 2.0]}
    found = judged([264, 283, 300, 290], control=["ntc", "ntc", "", ""], **controls)
    assert (found["detected"][2:, 0] == "not detected").all()
    assert found["flags"][:2, 0].to_numpy().tolist() == ["", ""]  # no positives in these by the answer of the mixture
    assert (
        found["flags"][2, 0].item().startswith("not above the limit of blank: 300 positives at the threshold, a blank")
    )


def test_wells_of_the_wild_type_are_the_blanks_of_the_mutant():
    counts = [[0, 0], [0, 1], [6, 4000], [8, 4100], [9, 3900], [60, 4000], [2, 1]]
    control = ["ntc", "ntc", "wild_type", "wild_type", "", "", "positive"]
    found = judged(counts, control=control, channels=("MUT", "WT"))
    assert found.attrs["blanks MUT"] == "wild type: C01, D01"
    assert found.attrs["blanks WT"] == "no template: A01, B01"
    assert found["detected"].sel(channel="MUT").to_numpy().tolist() == [
        *["", "", "", "", "not detected", "detected", "not detected"]
    ]
    assert found["detected"].sel(channel="WT").to_numpy().tolist()[2:] == ["detected"] * 4 + ["not detected"]
    assert found["flags"].sel(channel="MUT", well="C01").item() == "6 positives in a wild-type control"
    assert found["flags"].sel(channel="MUT", well="G01").item().startswith("positive control not above the limit of")
    assert found["flags"].sel(channel="WT", well="C01").item() == ""
    # A plate of one channel is one of the mutant.
    alone = judged([0, 6, 8, 9], control=["ntc", "wild_type", "wild_type", ""])
    assert alone.attrs["blanks Ch1"] == "wild type: B01, C01"


def test_without_blanks_nothing_is_said():
    found = judged([0, 3], control=["", ""])
    assert (found["detected"] == "").all()
    assert (found["sample_detected"] == "").all()
    for name in ("limit_of_blank", "limit_of_blank_positives", "sample_limit_of_detection_copies_per_ul"):
        assert found[name].isnull().all()
    assert found.attrs["blanks Ch1"] == "none"


def test_wells_without_a_count_are_left_out():
    found = judged([np.nan, 0, np.nan, 9], control=["ntc", "ntc", "", ""], droplets=np.array([0, N, 0, N]))
    assert found.attrs["blanks Ch1"] == "no template: B01"
    assert found["detected"][:, 0].to_numpy().tolist() == ["", "", "", "detected"]


def test_every_control_that_is_no_blank_stays_a_sample():
    found = judged([0, 4000, 0], control=["ntc", "positive", "ntc"])
    assert found["sample"].to_numpy().tolist() == ["B01"]
    assert found["control"].to_numpy().tolist() == ["ntc", "positive", "ntc"]
    assert found["detected"][1, 0].item() == "detected"


@pytest.fixture
def folder(tmp_path):
    for well in ("A01", "A02", "A03", "A04"):
        save(tmp_path / f"p_{well}_Amplitude.csv", quantasoft(np.ones((3, 2))))
    return tmp_path


def test_controls_in_a_plate_table(folder):
    kinds = ["NTC", "Wild type", "positive control", ""]
    wells = ["A01", "A02", "A03", "A04"]
    plate = ddpcr.read_plate(folder, table=pd.DataFrame({"well": wells, "control": kinds}))
    assert plate.controls == ["ntc", "wild_type", "positive", ""]
    assert plate.table["ntc"].tolist() == [True, False, False, False]
    assert "wild-type controls: A02" in repr(plate)
    # What is said later of wells without template goes before.
    assert plate.with_table(ntc="A02").controls == ["", "ntc", "positive", ""]
    assert plate.select(wells="A02-A03").controls == ["wild_type", "positive"]
    assert ddpcr.read_plate(folder, ntc="A04").controls == ["", "", "", "ntc"]
    named = ddpcr.read_plate(folder, table=pd.DataFrame({"well": wells, "sample": ["NTC", *"abc"], "control": kinds}))
    assert named.controls[0] == "ntc"
    for kind, ntc, says in (
        (["maybe", "", "", ""], None, r"row 1, control: got 'maybe'. Give ntc, wild_type, positive"),
        (["positive", "", "", ""], [1, 0, 0, 0], r"row 1: A01 is 'positive' and ntc True. Leave out one of"),
        (["ntc", "", "", ""], [0, 0, 0, 0], r"row 1: A01 is 'ntc' and ntc False"),
    ):
        table = pd.DataFrame({"well": wells, "control": kind} | ({} if ntc is None else {"ntc": ntc}))
        with pytest.raises(bg.InputError, match=says):
            ddpcr.read_plate(folder, table=table)
