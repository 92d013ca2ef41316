"""The full posterior of wells by NUTS, in place of weighted draws round the mode."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm._arguments import as_written
from bayesgmm._errors import InputError
from bayesgmm._status import Status
from bayesgmm.ddpcr._droplet_model import Beliefs
from bayesgmm.ddpcr._fit_plate import PlateFit
from bayesgmm.ddpcr._fit_well import Chains, WellFit, binned, clipped, density_of, misfit_alone
from bayesgmm.ddpcr._plate import Plate
from bayesgmm.ddpcr._well_model import droplets
from bayesgmm.ddpcr._wells import listed, wells_in
from bayesgmm.engines._modes import most_r_hat
from bayesgmm.engines.nuts import NUTS
from bayesgmm.inference._parallel import check_cores, run_parallel
from bayesgmm.inference.fitting import NotConvergedWarning, fit_with_concerns

Array = NDArray[np.float64]

# Seconds of one processor: a minute a well with NUTS as it comes. Who would wait for longer than this is told.
_SECONDS_A_DRAW, _LONG_S = 0.012, 600.0
# The default's quantiles of lambda are others if they are off by so many sds of the posterior, and by so many
# Monte-Carlo errors of the chains.
_OTHER, _ERRORS = 0.5, 4.0
_LOOKED_AT = (0.025, 0.5, 0.975)


@dataclass(frozen=True, kw_only=True)
class _Job:
    x: Array
    beliefs: Beliefs
    fast: WellFit
    engine: NUTS
    seed: int


def check_engine(engine: object, wells: object, plate: Plate) -> list[str]:
    """Names of the wells that are to be sampled.

    Raises
    ------
    InputError
        For an engine that does not sample wells, or wells that the plate does not have.
    """
    names = [well.name for well in plate]
    if engine is None:
        if wells is not None:
            raise InputError(
                "wells", f"got {as_written(wells)} without an engine", "Name the engine that samples them too, NUTS"
            )
        return []
    if not isinstance(engine, NUTS):
        remedy = "Give NUTS(...) for the full posterior, or leave it out for the fast answer; `well_model` and `fit` "
        raise InputError("engine", f"got {as_written(engine)}", remedy + "take other engines")
    if engine.sampler != "native":
        raise InputError("engine", f"got NUTS(sampler={engine.sampler!r})", "Use NUTS(sampler='native')")
    if wells is None:
        return names
    wanted = wells_in(wells, "wells")
    absent = [name for name in wanted if name not in names]
    if absent or not wanted:
        raise InputError("wells", f"the plate has no {listed(absent)}", f"Its wells are {listed(names, 12)}")
    return wanted


def warn_of_time(engine: NUTS, n_fits: int, cores: int | None) -> None:
    """Where it will be long."""
    seconds = n_fits * engine.chains * (engine.draws + engine.tune) * _SECONDS_A_DRAW / min(check_cores(cores), n_fits)
    if seconds > _LONG_S:
        told = f"sampling {n_fits} wells will take some {seconds / 60:.0f} minutes; name wells to sample only those"
        warnings.warn(told, stacklevel=3)


def sampled(
    fitted: PlateFit,
    amplitudes: Sequence[Array],
    chosen: Sequence[int],
    engine: NUTS,
    *,
    seed: np.random.SeedSequence,
    cores: int | None,
    progress: Any,
) -> PlateFit:
    """The same fits, but for those of the chosen wells, which are sampled.

    Wells are believed to be what the plate says of them, as in the fast fits. Processes share wells out, so that the
    chains of a well run one after the other in one of them.
    """
    fits = {i: found for i in chosen if (found := fitted.wells[i]) is not None}
    if not fits:
        return fitted
    at_once = engine.cores if min(check_cores(cores), len(fits)) == 1 else 1
    seeds = seed.generate_state(len(fitted.wells))
    jobs = [
        _Job(
            x=amplitudes[i],
            beliefs=fitted.own[i],
            fast=fast,
            engine=replace(engine, cores=at_once),
            seed=int(seeds[i]),
        )
        for i, fast in fits.items()
    ]
    ended = run_parallel(_sampled, jobs, total=len(jobs), cores=cores, progress=progress, what="wells, by NUTS")
    by_place: dict[int, WellFit] = dict(zip(fits, ended, strict=True))
    return replace(fitted, wells=[by_place.get(i, each) for i, each in enumerate(fitted.wells)])


def _sampled(job: _Job) -> WellFit:
    model, beliefs = job.beliefs.model(), job.beliefs
    data = droplets(job.x, model, "amplitude")
    found, concerns = fit_with_concerns(model, data, engine=job.engine, random_seed=job.seed, progressbar=False)
    for message, kind in concerns:
        if kind is not NotConvergedWarning:  # which flags say
            warnings.warn(message, kind, stacklevel=2)
    x = clipped(job.x, beliefs)[0]
    density = density_of(*binned(x[:1], 1.0), beliefs)

    def own(group: str) -> Array:
        at = found[group].to_dataset()
        names = [name for name in ("chain", "draw", "component") if name in at.dims]
        log_weights = np.log(at["weights"].transpose(*names).to_numpy())
        means = at["means"].transpose(*names, "feature").to_numpy()
        covariances = at["covariances"].transpose(*names, "feature", "feature_bis").to_numpy()
        return density.own(log_weights, means, np.sqrt(covariances))

    draws, mode = own("posterior"), own("point_estimate")
    chains = _chains(found, draws[..., 0], job.fast)
    draws = draws.reshape(-1, draws.shape[-1])
    return replace(
        job.fast,
        mode=mode,
        draws=draws,
        shares=np.full(len(draws), 1.0 / len(draws)),
        pareto_k=np.nan,
        converged=chains.status is Status.SAMPLED,
        misfit=misfit_alone(x, density, mode, beliefs.n_positive),
        chains=chains,
        count=None,
    )


def _chains(found: Any, log_rate: Array, fast: WellFit) -> Chains:
    from arviz_stats.base import array_stats  # type: ignore[attr-defined]

    status = Status[found.attrs["status"]]
    r_hat = float(array_stats.rhat(log_rate[None])[0])
    # The least for means and for the ends of an interval.
    bulk = array_stats.ess(log_rate[None], method="bulk")
    tail = array_stats.ess(log_rate[None], method="tail", prob=(_LOOKED_AT[0], _LOOKED_AT[-1]))
    effective = float(min(bulk[0], tail[0]))
    n_draws, divergences = log_rate.size, int(found["sample_stats"]["diverging"].sum())
    flags = []
    if status is Status.MULTIMODAL:
        flags.append("NUTS found several modes of similar density and cannot say how much each of them holds")
    elif status is Status.INTERRUPTED:
        flags.append("NUTS was interrupted, with fewer draws than asked for")
    elif status is not Status.SAMPLED or not r_hat <= most_r_hat(log_rate.shape[-1]):
        flags.append(f"NUTS has not converged (R-hat of lambda {r_hat:.3f}), draw longer")
    if divergences:
        flags.append(f"{divergences:,} of {n_draws:,} draws of NUTS diverged")
    rate = np.exp(np.ravel(log_rate))
    here, before = np.quantile(rate, _LOOKED_AT), fast.quantiles(np.exp(fast.of("log_rate")), _LOOKED_AT)
    # A quantile in the tail has 2.7 times the Monte-Carlo error of a mean.
    error = 2.7 / np.sqrt(max(effective, 1.0))
    if np.abs(here - before).max() > max(_OTHER, _ERRORS * error) * rate.std():
        low, middle, high = (f"{each:.3g}" for each in before)
        flags.append(f"without NUTS lambda would be {middle} ({low} to {high})")
    return Chains(status=status, r_hat=r_hat, effective_draws=effective, divergences=divergences, flags=tuple(flags))
