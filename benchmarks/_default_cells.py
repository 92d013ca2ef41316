"""The 24 cells of the study of the default call: how they are chosen, their mixtures, and rows from them.

The full design has 480 cells. Chosen is a balanced fraction, by a rule that sees no results: each factor is a column in
which its levels occur equally often, as far as 24 can be divided; from ten random orders of the columns (seed
`DESIGN_SEED`) entries are swapped within columns as long as that makes the pairs of levels of two factors occur more
equally, and the best of the ten is taken, sorted by its factors. The eight cells in which engines are also named are
those of 2000 random eights in which single levels occur most equally.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

Array = NDArray[np.float64]

DESIGN_SEED = 17
N_CELLS, N_NAMED = 24, 8
N_NEW = 50
_N_ORDERS, _N_EIGHTS = 10, 2000

SIZES = (50, 100, 500, 2000)
FEATURES = (1, 2, 4)
SEPARATIONS = (1.5, 2.0, 3.0, 4.0)
WEIGHTS = ((0.5, 0.5), (0.8, 0.2), (0.95, 0.05), (1 / 3, 1 / 3, 1 / 3), (0.6, 0.3, 0.1))
RATIOS = (1.0, 3.0)
LEVELS = (SIZES, FEATURES, SEPARATIONS, WEIGHTS, RATIOS)


class Rows(NamedTuple):
    """Rows (N, d) and the components (N,) that they come from."""

    x: Array
    labels: NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A mixture of spherical components, and how many rows are drawn from it.

    With a ratio above 1 one component is so many times as wide as the others, which have sd 1: the first, heaviest one
    in cells with even numbers, the last one in those with odd numbers. The distance of two means is `separation` times
    the root of the mean of the two variances; three means lie on a line for d = 1, where that is the distance of
    neighbours, and at the corners of a triangle otherwise, which has equal sides where the sds are equal.
    """

    number: int
    n_obs: int
    n_features: int
    separation: float
    weights: tuple[float, ...]
    ratio: float

    @property
    def n_components(self) -> int:
        return len(self.weights)

    @property
    def sds(self) -> Array:
        sds = np.ones(self.n_components)
        sds[0 if self.number % 2 == 0 else -1] = self.ratio
        return sds

    @property
    def means(self) -> Array:
        """(K, d)."""
        means = np.zeros((self.n_components, self.n_features))
        first = means[:, 0]
        first[1] = self._distance(0, 1)
        if self.n_components == 3 and self.n_features == 1:
            first[2] = first[1] + self._distance(1, 2)
        elif self.n_components == 3:
            base, side, other = self._distance(0, 1), self._distance(0, 2), self._distance(1, 2)
            first[2] = (base**2 + side**2 - other**2) / (2 * base)
            means[2, 1] = np.sqrt(side**2 - first[2] ** 2)
        return means

    def _distance(self, i: int, j: int) -> float:
        return self.separation * float(np.sqrt(np.square(self.sds[[i, j]]).mean()))

    @property
    def fewest_rows(self) -> float:
        """Expected number of rows of the smallest component."""
        return self.n_obs * min(self.weights)

    @property
    def must_hold(self) -> bool:
        """Whether rows are many and components far enough apart for intervals to be held to their level."""
        return self.separation >= 2 and round(self.fewest_rows, 9) >= 5 * (self.n_features + 1)

    def draw(self, rng: np.random.Generator, n: int) -> Rows:
        labels = rng.choice(self.n_components, size=n, p=self.weights)
        x = self.means[labels] + self.sds[labels, None] * rng.standard_normal((n, self.n_features))
        return Rows(x, labels)

    def probabilities(self, x: Array) -> Array:
        """Of each component (N, K) for rows (N, d), under the true parameters."""
        squares = np.square((x[:, None] - self.means) / self.sds[:, None]).sum(axis=2)
        return softmax(np.log(self.weights) - 0.5 * squares - self.n_features * np.log(self.sds), axis=1)

    def new_rows(self, seed: int) -> Rows:
        """Rows whose responsibilities are looked at, the same for every fit of the cell."""
        sequence = np.random.SeedSequence([seed, self.number], spawn_key=(0,))
        return self.draw(np.random.default_rng(sequence), N_NEW)

    def named(self) -> list[str]:
        """Its factors, for a table."""
        weights = "/".join(f"{w:.2f}".lstrip("0").rstrip("0") for w in self.weights)
        sds = "/".join(f"{sd:g}" for sd in self.sds)
        return [str(self.number), str(self.n_obs), str(self.n_features), f"{self.separation:g}", weights, sds]


HEADS = ["cell", "N", "d", "sep", "weights", "sds"]


@lru_cache
def cells() -> tuple[Cell, ...]:
    """The 24 cells."""
    rng = np.random.default_rng(DESIGN_SEED)
    found = [_evened(_random_columns(rng)) for _ in range(_N_ORDERS)]
    columns = min(found, key=_imbalance)
    rows = sorted(map(tuple, columns.tolist()))
    values = [[levels[at] for levels, at in zip(LEVELS, row, strict=True)] for row in rows]
    names = ("n_obs", "n_features", "separation", "weights", "ratio")
    return tuple(Cell(number=i, **dict(zip(names, row, strict=True))) for i, row in enumerate(values))


@lru_cache
def named_cells() -> tuple[int, ...]:
    """Numbers of the cells in which engines are fitted by name as well."""
    rng = np.random.default_rng(DESIGN_SEED)
    shares = np.array([1 / len(levels) for levels in LEVELS for _ in levels])
    indicators = _indicators(_columns_of(cells()))
    eights = [np.sort(rng.choice(N_CELLS, N_NAMED, replace=False)) for _ in range(_N_EIGHTS)]
    best = min(eights, key=lambda eight: np.square(indicators[eight].sum(axis=0) - N_NAMED * shares).sum())
    return tuple(best.tolist())


def _columns_of(found: tuple[Cell, ...]) -> NDArray[np.intp]:
    factors = [(cell.n_obs, cell.n_features, cell.separation, cell.weights, cell.ratio) for cell in found]
    return np.array([[levels.index(value) for levels, value in zip(LEVELS, row, strict=True)] for row in factors])


def _random_columns(rng: np.random.Generator) -> NDArray[np.intp]:
    return np.stack([rng.permutation(np.resize(np.arange(len(levels)), N_CELLS)) for levels in LEVELS], axis=1)


def _indicators(columns: NDArray[np.intp]) -> Array:
    """Whether a cell has a level, (cells, levels of all factors)."""
    return np.concatenate([np.eye(len(levels))[columns[:, f]] for f, levels in enumerate(LEVELS)], axis=1)


@lru_cache
def _wanted() -> tuple[Array, Array]:
    """How often pairs of levels should occur, and which pairs are of different factors."""
    counts = np.array([len(levels) for levels in LEVELS for _ in levels])
    factor = np.repeat(np.arange(len(LEVELS)), [len(levels) for levels in LEVELS])
    return N_CELLS / counts / counts[:, None], (factor != factor[:, None]).astype(float)


def _imbalance(columns: NDArray[np.intp]) -> float:
    wanted, different = _wanted()
    indicators = _indicators(columns)
    return float((different * np.square(indicators.T @ indicators - wanted)).sum())


def _evened(columns: NDArray[np.intp]) -> NDArray[np.intp]:
    """Columns after all swaps within one that make pairs of levels occur more equally."""
    best, before = _imbalance(columns), np.inf
    while best < before:
        before = best
        for f in range(len(LEVELS)):
            for i, j in combinations(range(N_CELLS), 2):
                if columns[i, f] == columns[j, f]:
                    continue
                columns[[i, j], f] = columns[[j, i], f]
                now = _imbalance(columns)
                if now < best - 1e-9:
                    best = now
                else:
                    columns[[i, j], f] = columns[[j, i], f]
    return columns
