"""Ctrl-C at any time: an exception before there is anything to keep, the draws and their status afterwards."""

import os
import signal
import threading

import numpy as np
import pytest

import bayesgmm as bg
import bayesgmm.results
from bayesgmm._interrupts import Interrupts
from bayesgmm.engines._progress import Progress
from bayesgmm.numerics.rows import Rows

QUIET = {"progressbar": False}
X = bg.datasets.load_faithful()
ENGINES = {
    "Gibbs": (2, bg.Gibbs(sweeps=400, burn_in=20, chains=2, n_init=2, thin=2)),
    "Gibbs, K unknown": (1 + bg.Poisson(1.0), bg.Gibbs(sweeps=400, burn_in=20, chains=2, n_init=2, thin=2)),
    "NUTS": (2, bg.NUTS(draws=100, tune=50, chains=2, n_init=2)),
}
LONG = {
    "Gibbs": bg.Gibbs(sweeps=4_000_000, burn_in=20, chains=2, n_init=2, thin=40),
    "Gibbs, K unknown": bg.Gibbs(sweeps=4_000_000, burn_in=20, chains=2, n_init=2, thin=40),
    "NUTS": bg.NUTS(draws=100_000, tune=50, chains=2, n_init=2),
}
ENDLESS = {
    "Gibbs": bg.Gibbs(sweeps=40, burn_in=4_000_000, chains=2, n_init=2),
    "Gibbs, K unknown": bg.Gibbs(sweeps=40, burn_in=4_000_000, chains=2, n_init=2),
    "NUTS": bg.NUTS(draws=100, tune=100_000, chains=2, n_init=2),
}


def press(times=1):
    for _ in range(times):
        os.kill(os.getpid(), signal.SIGINT)


def pressing(monkeypatch, what, after=0.0, times=1):
    """Ctrl-C while a piece of work is done, once it has come that far."""

    class Pressing(Progress):
        pressed = False

        def step(self, now, done, total):
            if now == what and done >= after * total and not self.pressed:
                Pressing.pressed = True
                press(times)

    monkeypatch.setattr("bayesgmm.inference.fitting.Progress", Pressing)


def fitted(case, engine):
    return bg.fit(bg.GaussianMixture(ENGINES[case][0]), X, engine=engine, random_seed=1, **QUIET)


def check_kept(fit):
    assert fit.attrs["status"] == "INTERRUPTED"
    assert np.isfinite(fit["posterior"]["means"]).all()
    assert "label" in fit["assignments"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("case", ENGINES)
def test_while_sampling_the_draws_so_far_are_kept(monkeypatch, case):
    pressing(monkeypatch, "sampling", after=0.002)
    with pytest.warns(bg.NotConvergedWarning, match="fewer than asked"):
        fit = fitted(case, LONG[case])
    check_kept(fit)


@pytest.mark.parametrize("case", ENGINES)
def test_while_tuning_nothing_is_kept_and_that_is_said(monkeypatch, case):
    pressing(monkeypatch, "sampling")
    with pytest.raises(bg.FitError, match="nothing was kept"):
        fitted(case, ENDLESS[case])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("case", ENGINES)
def test_while_searching_it_is_an_exception_as_ever(monkeypatch, case):
    pressing(monkeypatch, "short runs")
    with pytest.raises(KeyboardInterrupt):
        fitted(case, ENGINES[case][1])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("case", ENGINES)
@pytest.mark.parametrize("phase", ["build_result", "relabelled"])
def test_while_draws_are_put_in_order_that_is_finished(monkeypatch, case, phase):
    original = getattr(bayesgmm.results, phase)

    def interrupted(*given, **named):
        press()
        return original(*given, **named)

    monkeypatch.setattr(bayesgmm.results, phase, interrupted)
    with pytest.warns(bg.NotConvergedWarning, match="all draws are there"):
        fit = fitted(case, ENGINES[case][1])
    check_kept(fit)
    assert "all draws are there" in fit.attrs["status_message"]


def test_a_second_one_gives_up(monkeypatch):
    original = bayesgmm.results.relabelled

    def interrupted(*given, **named):
        press(2)
        return original(*given, **named)

    monkeypatch.setattr(bayesgmm.results, "relabelled", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fitted("Gibbs", ENGINES["Gibbs"][1])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_chains_that_have_not_mixed_are_interrupted_first_of_all(monkeypatch):
    x = np.random.default_rng(3).gamma(2.0, 1.0, 120)
    engine = bg.Gibbs(sweeps=400, burn_in=20, chains=2, n_init=2, thin=4, max_sweeps=10_000_000)
    rounds = []
    original = bg.engines._gibbs_chains.Chains.go_on

    def third(self, most):
        rounds.append(self.sweeps)
        if len(rounds) == 2:
            press()
        return original(self, most)

    monkeypatch.setattr("bayesgmm.engines._gibbs_chains.Chains.go_on", third)
    monkeypatch.setattr("bayesgmm.engines._mixing.most_r_hat", lambda n_draws: 1.0001)
    with pytest.warns(bg.NotConvergedWarning, match="Interrupted after 800 sweeps"):
        fit = bg.fit(bg.GaussianMixture(1 + bg.Poisson(1.0)), x, engine=engine, random_seed=1, **QUIET)
    assert rounds == [400, 800]
    check_kept(fit)
    assert "By these the chains have not mixed: R-hat of " in fit.attrs["status_message"]


def test_threads_without_signals_fit_as_ever():
    found = []
    thread = threading.Thread(target=lambda: found.append(fitted("Gibbs", ENGINES["Gibbs"][1])))
    thread.start()
    thread.join()
    assert found[0].attrs["status"] in ("SAMPLED", "NOT_MIXED")


def test_whoever_ignores_it_goes_on_ignoring_it():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            interrupts.hold()
            press()
            assert not interrupts.noted
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


class Planted:
    """A fault in the pass over the rows after so many calls: an exception that nothing of ours expects."""

    def __init__(self, kind, after):
        self.kind, self.left, self.real = kind, after, Rows.statistics

    def __call__(self, rows, *args, **kwargs):
        self.left -= 1
        if self.left < 0:
            raise self.kind("planted")
        return self.real(rows, *args, **kwargs)


@pytest.mark.filterwarnings("ignore::bayesgmm.FewerGroupsWarning")
@pytest.mark.parametrize("kind", [ZeroDivisionError, FloatingPointError, KeyError])
@pytest.mark.parametrize(
    "engine",
    [bg.EM(), bg.VB(draws=40), bg.Laplace(draws=40), bg.NUTS(draws=20, tune=20, chains=2, max_draws=20)],
    ids=lambda engine: engine.name,
)
def test_a_fault_in_a_pass_surfaces_as_itself(engine, kind, monkeypatch):
    """No handler of ours takes it for anything else, and no library between turns it into something else."""
    rows = bg.datasets.load_faithful().to_numpy()[:60].copy()
    rows[::7, 1] = np.nan  # what has holes is passed over in Python, also by NUTS
    for after in (0, 3, 40, 250):
        planted = Planted(kind, after)
        monkeypatch.setattr(Rows, "statistics", lambda *args, planted=planted, **kwargs: planted(*args, **kwargs))
        try:
            with pytest.raises(kind, match="planted"):
                bg.fit(bg.GaussianMixture(2), rows, engine=engine, random_seed=1, progressbar=False)
        except pytest.fail.Exception:
            assert planted.left >= 0, "the fault was met, and nothing was said"
        finally:
            monkeypatch.undo()
