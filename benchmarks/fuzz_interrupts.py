"""Ctrl-C at random times, and killed workers: what is promised, never a foreign error, a hang or something left behind.

    python benchmarks/fuzz_interrupts.py [--times 300] [--seed 1]

Three kinds, each in processes of its own:

    fit      SIGINT while a fit runs: KeyboardInterrupt, or a result with the status INTERRUPTED, or a FitError that says
             that nothing was kept, or the fit was over. Afterwards the process is as before, and fits again.
    import   SIGINT while the package is imported and used for the first time; the same again then works.
    kill     SIGKILL of a worker process of `bootstrap_lrt`: FitError that names the signal, or the work was done.

Each process has a limit of time, after which it says where all its threads are, and that is a hang.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

NAMES = ("EM", "VB", "Laplace", "NUTS", "Gibbs")
OUTCOMES = ("as promised", "foreign", "hang", "left behind")
# Seconds that a process may take to start, and those for each of its events; fits take one second and less.
START_S, EVENT_S = 60.0, 15.0
# Events of one process; a process that hangs loses those that were to come.
TOGETHER = 20

# A process that fits over and over, and is interrupted from a thread of its own at times that it is given.
FITS = """
import _thread, json, os, random, signal, sys, threading, time, warnings
import bayesgmm as bg
from threadpoolctl import threadpool_info

times = json.loads(sys.argv[1])
warnings.simplefilter("ignore")
x = bg.datasets.load_faithful()
engines = {
    "EM": bg.EM(n_init=8, n_polish=2), "VB": bg.VB(n_init=8, n_polish=2, draws=80),
    "Laplace": bg.Laplace(n_init=8, n_polish=2, draws=80),
    "NUTS": bg.NUTS(draws=100, tune=50, chains=2, n_init=2, max_draws=100),
    "Gibbs": bg.Gibbs(sweeps=4000, burn_in=200, chains=2, n_init=2, max_sweeps=4000),
}

def state():
    blas = [each["num_threads"] for each in threadpool_info()]
    return [blas, str(signal.getsignal(signal.SIGINT)), len(warnings.filters), sys.modules["__main__"].__name__]

def fit(name):
    return bg.fit(bg.GaussianMixture(2), x, engine=engines[name], random_seed=1, progressbar=False)

durations = {}
for name in engines:  # compiled and loaded, so that times are those of fits
    fit(name)
    began = time.monotonic()
    fit(name)
    durations[name] = time.monotonic() - began
before = state()
for name, share in times:
    timer = threading.Timer(share * durations[name], lambda: os.kill(os.getpid(), signal.SIGINT))
    what = ""
    try:
        timer.start()
        try:
            status = fit(name).attrs["status"]
            what = "INTERRUPTED" if status == "INTERRUPTED" else "over"
        except KeyboardInterrupt:
            what = "KeyboardInterrupt"
        except bg.FitError as error:
            what = "FitError" if "nothing was kept" in str(error) else f"foreign {error}"
        except Exception as error:
            what = f"foreign {type(error).__name__}: {error}"
        timer.cancel()
        timer.join()
        time.sleep(0.03)
    except KeyboardInterrupt:  # after the fit
        what = what or "over"
    after = state()
    if after != before:
        what = f"left behind {before} {after}"
    print(name, what, sep="\\t", flush=True)
fit("EM")
"""

# The first use of the package, interrupted once at some time, and then tried again in the same process.
IMPORTS = """
import os, signal, sys, threading, time, traceback, warnings
warnings.simplefilter("ignore")
threading.Timer(float(sys.argv[1]), lambda: os.kill(os.getpid(), signal.SIGINT)).start()
def use():
    import bayesgmm as bg
    x = bg.datasets.load_faithful()
    fit = bg.fit(bg.GaussianMixture(2), x, engine=bg.NUTS(draws=20, tune=20, chains=1, n_init=2, max_draws=20), random_seed=1, progressbar=False)
    bg.summary(fit)
    return fit.attrs["status"]
what = "over"
try:
    what = "INTERRUPTED" if use() == "INTERRUPTED" else "over"
except KeyboardInterrupt:
    what = "KeyboardInterrupt"
except Exception as error:
    what = "FitError" if "nothing was kept" in str(error) else f"foreign {type(error).__name__}: {error}"
try:
    use()
except KeyboardInterrupt:  # it came later than the first use took
    use()
except Exception as error:
    frames = [f"{each.filename}:{each.lineno}" for each in traceback.extract_tb(error.__traceback__)]
    what = f"left behind {type(error).__name__}: {error} at {' '.join(frames[-8:])}, first {sys.argv[1]} s: {what}"
print("import", what, sep="\\t", flush=True)
"""

KILLS = """
import multiprocessing, os, signal, sys, threading, time, warnings
import bayesgmm as bg
warnings.simplefilter("ignore")
def kill():
    time.sleep(float(sys.argv[1]))
    workers = multiprocessing.active_children()
    if workers:
        os.kill(workers[0].pid, signal.SIGKILL)
threading.Thread(target=kill, daemon=True).start()
x = bg.datasets.load_faithful()["waiting"].to_numpy()
try:
    bg.bootstrap_lrt(bg.GaussianMixture(1), x, n_bootstrap=60, n_init=4, n_polish=1, cores=2, random_seed=1, progressbar=False)
    what = "over"
except bg.FitError as error:
    what = "FitError" if "SIGKILL" in str(error) else f"foreign {error}"
except Exception as error:
    what = f"foreign {type(error).__name__}: {error}"
if multiprocessing.active_children():
    time.sleep(2.0)
    if multiprocessing.active_children():
        what = "left behind processes"
print("kill", what, sep="\\t", flush=True)
"""


def child(code: str, argument: str, expected: int) -> list[tuple[str, str]]:
    """What a process reports, (kind, what) for each of so many events; "hang" for those that it does not come to."""
    limit = START_S + EVENT_S * expected
    watched = f"import faulthandler; faulthandler.dump_traceback_later({limit}, exit=True)\n{code}"
    command = [sys.executable, "-W", "ignore", "-c", watched, argument]
    # A session of its own, so that workers go with it.
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        out, err = process.communicate(timeout=limit + START_S)
        late = "Timeout (" in err
    except subprocess.TimeoutExpired:  # even faulthandler has not come to its turn, or a worker holds the pipes
        os.killpg(process.pid, signal.SIGKILL)
        (out, err), late = process.communicate(), True
    lines = [line.partition("\t") for line in out.splitlines()]
    found = [(kind, what) for kind, tab, what in lines if tab]
    last = err.strip().splitlines()[-1] if err.strip() else f"exit code {process.returncode}"
    return found + [("?", f"hang: {err}" if late else f"foreign {last}")] * (expected - len(found))


def events(n: int, seed: int) -> Iterator[list[tuple[str, str]]]:
    """What becomes of so many events, process by process: two thirds in fits, the others in imports and kills."""
    rng = np.random.default_rng(seed)
    n_imports = n // 6
    n_kills = n // 3 - n_imports
    n_fits = n - n_imports - n_kills
    times = [(str(rng.choice(NAMES)), float(rng.uniform(0.0, 1.1))) for _ in range(n_fits)]
    for first in range(0, n_fits, TOGETHER):
        some = times[first : first + TOGETHER]
        yield child(FITS, json.dumps(some), len(some))
    for _ in range(n_imports):
        yield child(IMPORTS, f"{rng.uniform(0.0, 4.0):.3f}", 1)
    for _ in range(n_kills):
        yield child(KILLS, f"{rng.uniform(0.3, 5.0):.3f}", 1)


def run(n: int, seed: int, report: Callable[[str], None] = print) -> Counter[str]:
    """Count what became of the events; defects, and each tenth of the way, are reported as they come."""
    began = time.monotonic()
    counts: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for found in events(n, seed):
        before = counts.total()
        for kind, what in found:
            bad = next((each for each in OUTCOMES[1:] if what.startswith(each)), OUTCOMES[0])
            counts[bad] += 1
            kinds[f"{kind}: {what if bad == OUTCOMES[0] else bad}"] += 1
            if bad != OUTCOMES[0]:
                report(f"{kind}: {what}")
        if 10 * counts.total() // n > 10 * before // n:
            report(f"{counts.total()} of {n} after {time.monotonic() - began:.0f} s")
    report(f"\n{counts.total()} interrupts and kills in {time.monotonic() - began:.0f} s, seed {seed}")
    report("\n".join(f"{number:5d}  {kind}" for kind, number in sorted(kinds.items())))
    return counts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    counts = run(options.times, options.seed)
    raise SystemExit(counts.total() != counts[OUTCOMES[0]])
