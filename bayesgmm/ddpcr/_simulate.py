"""Simulated plates, for questions of power, such as how many wells a difference takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesgmm._arguments import as_number, as_seed, as_whole, as_written, is_number
from bayesgmm._errors import InputError
from bayesgmm.ddpcr._formats import coded
from bayesgmm.ddpcr._plate import Plate, Well
from bayesgmm.ddpcr._table import plate_table

Array = NDArray[np.float64]

# So many times the sd of the negatives.
_MOST_SPREAD = 1e6
_NTC = "NTC"
_MICROLITRE = 1000.0  # in nanolitres
# Negatives: a main cluster, its shoulder and a tail, as weights, sds and places. From one Gaussian they are moved apart
# until the whole is skewed enough; up to the greatest skewness it has one mode.
_WEIGHTS = np.array([0.60, 0.32, 0.08])
_SDS = np.array([1.0, 1.15, 1.5])
_PLACES = np.array([-0.4, 0.3, 2.2]) - _WEIGHTS @ (-0.4, 0.3, 2.2)
_WIDEST, _MOST_SKEWED = 1.9, 1.2


def simulate_plate(
    *,
    samples: float | Mapping[str, Any],
    n_wells: int = 4,
    n_ntc: int = 4,
    n_droplets: int | tuple[int, int] = 20_000,
    droplet_volume_nl: float | None = None,
    baseline: float = 2000.0,
    gap: float = 5000.0,
    sd: float | None = None,
    separation: float | None = None,
    skewness: float = 0.8,
    positive_sd: float = 1.5,
    rho: float = 0.0,
    rain: float = 0.01,
    rain_height: float = 0.5,
    outliers: float = 0.0,
    baseline_sd: float = 0.0,
    extra_cv: float = 0.0,
    linked: float = 0.0,
    cross_talk: float | tuple[float, float] = 0.0,
    competition: float = 0.0,
    random_seed: int | np.random.Generator | None = None,
) -> Plate:
    r"""Simulate the droplets of a plate.

    A droplet holds K ~ Poisson(lambda) molecules. If K = 0 its amplitude is ``baseline`` plus a skewed cluster, else it
    is Normal about ``baseline + gap (1 - rho^K) / (1 - rho)``. All amplitudes are in the unit of the instrument.

    Parameters
    ----------
    samples : float or mapping
        Copies per droplet of each sample by its name, or copies per microlitre of reaction where ``droplet_volume_nl``
        is given. A pair of numbers is two targets, measured in two channels. A single number is one sample.
    n_wells, n_ntc : int
        Wells of each sample; wells without template, which are called NTC.
    n_droplets : int or (int, int)
        Droplets in each well, or the least and the most of them.
    droplet_volume_nl : float, optional
        Volume of a droplet in nanolitres.
    baseline, gap : float
        Centre of the negatives, and the distance from there to droplets with one molecule.
    sd, separation : float, optional
        Standard deviation of the negatives, or ``gap / sd``; a separation of 10 if both are left out.
    skewness : float
        Of the negatives, a mixture of three Gaussians (one where it is 0): 0.7 to 1 in real wells, at most 1.2 here.
    positive_sd : float
        Standard deviation of droplets with one molecule over that of the negatives.
    rho : float
        0: any number of molecules has the amplitude of one (saturated, as hydrolysis probes have nearly); 1:
        amplitudes and their variances grow with each molecule (linear).
    rain : float
        Share of the positive droplets that lie between the clusters.
    rain_height : float
        Mean place of the rain, from 0 at the negatives to 1 at the positives. 0.5 is uniform; above it the density is
        a power of the distance from the negatives, below it one of the distance from the positives.
    outliers : float
        Share of all droplets that lie anywhere from half a gap below the negatives to two gaps above them.
    baseline_sd : float
        Standard deviation between wells of a shift of all amplitudes, in each channel.
    extra_cv : float
        Standard deviation tau between wells of the logarithm of lambda, beyond Poisson noise; shared by the channels.
    linked : float
        Share of the rarer target's copies that are on one molecule with one of the other target, 0 to 1.
    cross_talk : float or (float, float)
        Share of a channel's signal that is also seen in the other: of the first in the second, of the second in the
        first.
    competition : float
        By how much the signals of both channels are lower where a droplet has both targets, 0 to 1.
    random_seed : int or numpy.random.Generator, optional
        A Generator gives one number as the seed and moves on.

    Returns
    -------
    Plate
        Wells fill the plate column by column, controls last. ``clusters`` of a well are the truth, not calls. Beside
        what any plate has, its table has for each channel ``true_lambda <channel>``, the copies per droplet that the
        well was drawn with, and ``true_sample_lambda <channel>``, those without the variation between wells; with two
        channels ``true_linked`` is the part of the well's lambda that is linked.

    Raises
    ------
    InputError
        For values out of range, and for more wells than a plate of 384 has.

    Examples
    --------
    >>> from bayesgmm import ddpcr
    >>> ddpcr.simulate_plate(samples={"before": 0.20, "after": 0.22}, n_wells=8, extra_cv=0.03, random_seed=1)
    Plate of 20 wells, 20,000 droplets each
      channel Ch1
      2 samples: before (x8), after (x8)
      no-template wells: A03, B03, C03, D03
    """
    seed = as_seed(random_seed)
    _check_all(
        {
            "baseline": (baseline, -np.inf, np.inf),
            "gap": (gap, 0.0, np.inf),
            "skewness": (skewness, -_MOST_SKEWED, _MOST_SKEWED),
            "positive_sd": (positive_sd, 0.0, _MOST_SPREAD),
            "rho": (rho, 0.0, 1.0),
            "rain": (rain, 0.0, 1.0),
            "rain_height": (rain_height, 0.01, 0.99),
            "outliers": (outliers, 0.0, 1.0),
            "baseline_sd": (baseline_sd, 0.0, np.inf),
            "extra_cv": (extra_cv, 0.0, np.inf),
            "linked": (linked, 0.0, 1.0),
            "competition": (competition, 0.0, 1.0),
        }
    )
    if rho > 0 and positive_sd < 1:
        raise InputError(
            "positive_sd", f"got {positive_sd:g} with rho = {rho:g}", "Variances cannot fall with molecules"
        )
    n_wells = as_whole("n_wells", n_wells, least=1)
    n_ntc = as_whole("n_ntc", n_ntc)
    least, most = n_droplets if isinstance(n_droplets, (tuple, list)) and len(n_droplets) == 2 else (n_droplets,) * 2
    least = as_whole("n_droplets", least)
    most = as_whole("n_droplets", most, least=least)
    if droplet_volume_nl is not None:
        droplet_volume_nl = as_number("droplet_volume_nl", droplet_volume_nl, above=0.0, below=1000.0)
    rates = _rates(samples, droplet_volume_nl)
    n_channels = len(next(iter(rates.values())))
    channels = tuple(f"Ch{j + 1}" for j in range(n_channels))
    shape = _Shape(
        baseline=baseline,
        gap=gap,
        sd=_sd(gap, sd, separation),
        negatives=_negatives(skewness),
        positive_sd=positive_sd,
        rho=rho,
        rain=rain,
        rain_height=rain_height,
        outliers=outliers,
        cross_talk=_pair_of("cross_talk", cross_talk),
        competition=competition,
    )
    content = [(name, rate) for name, rate in rates.items() for _ in range(n_wells)]
    content += [(_NTC, np.zeros(n_channels))] * n_ntc
    names = _layout(len(content))
    rng = np.random.default_rng(seed)
    wells, truth = [], []
    for name, (_, rate) in zip(names, content, strict=True):
        well_rate = rate * np.exp(extra_cv * rng.standard_normal())
        pairs = linked * well_rate.min() if n_channels == 2 else 0.0
        n = int(rng.integers(least, most + 1))
        together = rng.poisson(pairs, size=n)
        molecules = np.column_stack([rng.poisson(max(each - pairs, 0.0), size=n) + together for each in well_rate])
        shifts = baseline_sd * rng.standard_normal(n_channels)
        wells.append(
            Well(
                name=name,
                channels=channels,
                amplitudes=shape.draw(molecules, rng) + shifts,
                clusters=coded((molecules > 0).astype(np.int64)),
                volume_nl=droplet_volume_nl,
                source="simulated",
            )
        )
        truth.append((*well_rate, *rate, pairs))
    columns = [f"true_lambda {channel}" for channel in channels]
    columns += [f"true_sample_lambda {channel}" for channel in channels] + ["true_linked"] * (n_channels == 2)
    labels = dict(zip(names, (sample for sample, _ in content), strict=True))
    table = plate_table(names, channels, samples=labels, ntc=names[len(names) - n_ntc :])
    for column, values in zip(columns, zip(*truth, strict=True), strict=False):
        table[column] = values
    order = np.argsort(names)
    return Plate(tuple(wells[i] for i in order), table.iloc[order])


@dataclass(frozen=True, kw_only=True)
class _Shape:
    """How amplitudes follow from molecules."""

    baseline: float
    gap: float
    sd: float
    negatives: tuple[Array, Array, Array]
    positive_sd: float
    rho: float
    rain: float
    rain_height: float
    outliers: float
    cross_talk: tuple[float, float]
    competition: float

    def draw(self, molecules: NDArray[np.int64], rng: np.random.Generator) -> Array:
        """Amplitudes, shape (n_droplets, n_channels) as the molecules have."""
        weights, means, sds = self.negatives
        part = rng.choice(weights.size, size=molecules.shape, p=weights)
        noise = rng.standard_normal(molecules.shape)
        negative = self.sd * (means[part] + sds[part] * noise)
        # The sum of rho^0 ... rho^(K - 1): how many times the first molecule's effect K molecules have.
        steps = molecules if self.rho == 1 else (1.0 - self.rho**molecules) / (1.0 - self.rho)
        spread = self.sd * np.sqrt(np.maximum(1.0 + (self.positive_sd**2 - 1.0) * steps, 0.0))
        raining = (molecules > 0) & (rng.random(molecules.shape) < self.rain)
        height = np.where(raining, self._heights(rng.random(molecules.shape)), 1.0)
        signal = self.gap * steps * height
        if molecules.shape[1] == 2:
            signal = np.where((molecules > 0).all(axis=1, keepdims=True), 1.0 - self.competition, 1.0) * signal
        positive = signal + np.where(raining, self.sd, spread) * noise
        amplitudes = np.where(molecules == 0, negative, positive)
        if molecules.shape[1] == 2:
            amplitudes += signal[:, ::-1] * self.cross_talk[::-1]
        away = rng.random(len(molecules)) < self.outliers
        amplitudes[away] = self.gap * rng.uniform(-0.5, 2.0, size=(int(away.sum()), molecules.shape[1]))
        return self.baseline + amplitudes

    def _heights(self, u: Array) -> Array:
        """Places of rain between the clusters, from uniform numbers: a density that is a power has this mean."""
        m = self.rain_height
        return u ** (1.0 / m - 1.0) if m >= 0.5 else 1.0 - u ** (1.0 / (1.0 - m) - 1.0)


def _negatives(skewness: float) -> tuple[Array, Array, Array]:
    """Weights, means and sds of three Gaussians with mean 0, variance 1 and this skewness, shape (3,) each."""
    from scipy.optimize import brentq

    def parts(spread: float) -> tuple[Array, Array]:
        return spread * _PLACES, 1.0 + spread * (_SDS - 1.0)

    def skewness_of(spread: float) -> float:
        means, sds = parts(spread)
        third = _WEIGHTS @ (means**3 + 3.0 * means * sds**2)
        return float(third / (_WEIGHTS @ (means**2 + sds**2)) ** 1.5)

    spread = 0.0
    if skewness:
        found: Any = brentq(lambda spread: skewness_of(spread) - abs(skewness), 0.0, _WIDEST, xtol=1e-14)
        spread = float(found)
    means, sds = parts(spread)
    scale = np.sqrt(_WEIGHTS @ (means**2 + sds**2))
    return _WEIGHTS, np.sign(skewness) * means / scale, sds / scale


def _rates(samples: Any, droplet_volume_nl: float | None) -> dict[str, Array]:
    """Copies per droplet of each sample, shape (n_channels,)."""
    given = samples if isinstance(samples, Mapping) else {"sample": samples}
    if not given:
        raise InputError("samples", "there are none", "Give {name: copies per droplet}")
    per_copy = 1.0 if droplet_volume_nl is None else droplet_volume_nl / _MICROLITRE
    rates = {}
    for name, value in given.items():
        if str(name) == _NTC:
            raise InputError("samples", f"{_NTC!r} is the name of the controls", "Set their number by n_ntc")
        numbers = list(value) if isinstance(value, (list, tuple)) or np.ndim(value) == 1 else [value]
        fine = all(is_number(each) for each in numbers)
        rate = np.array(numbers, dtype=float) if fine else np.full(1, np.nan)
        if rate.ndim != 1 or rate.size not in (1, 2) or not (np.isfinite(rate) & (rate >= 0)).all():
            remedy = "Give a number of copies from 0, or a pair of them for two channels"
            raise InputError("samples", f"got {as_written(value)} for {name!r}", remedy)
        rates[str(name)] = rate * per_copy
    sizes = {rate.size for rate in rates.values()}
    if len(sizes) > 1:
        raise InputError("samples", "some have one target and some have two", "Give all of them pairs, 0 for none")
    return rates


def _pair_of(name: str, value: Any) -> tuple[float, float]:
    """Two numbers from 0 to 1, from one or two."""
    pair: Any = value if isinstance(value, (tuple, list)) and len(value) == 2 else (value, value)
    first, second = pair
    _check(name, first, 0.0, 1.0)
    _check(name, second, 0.0, 1.0)
    return float(first), float(second)


def _layout(n: int) -> list[str]:
    """Names of n wells, down the columns of the smallest plate that has them."""
    rows, columns = ("ABCDEFGH", 12) if n <= 96 else ("ABCDEFGHIJKLMNOP", 24)
    if n > len(rows) * columns:
        raise InputError("n_wells", f"there would be {n} wells", "A plate has at most 384")
    return [f"{row}{column + 1:02d}" for column in range(columns) for row in rows][:n]


def _sd(gap: float, sd: float | None, separation: float | None) -> float:
    if sd is not None and separation is not None:
        raise InputError("separation", "is given with sd", "Give one of them; the separation is gap / sd")
    if sd is not None:
        _check("sd", sd, np.finfo(float).tiny, np.inf)
        return float(sd)
    separation = 10.0 if separation is None else separation
    _check("separation", separation, np.finfo(float).tiny, np.inf)
    return gap / separation


def _check_all(ranges: dict[str, tuple[Any, float, float]]) -> None:
    for name, (value, least, most) in ranges.items():
        _check(name, value, least, most)


def _check(name: str, value: Any, least: float, most: float) -> None:
    tiny = 0 < least < 1e-300
    as_number(
        name,
        value,
        above=0.0 if tiny else None,
        least=None if tiny or least == -np.inf else least,
        most=None if most == np.inf else most,
    )
