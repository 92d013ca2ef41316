"""How long sampling takes, from measurements (`benchmarks/default_cost.py --model`)."""

from __future__ import annotations

from bayesgmm.engines.base import Problem

# Gradient evaluations of a draw, where rows settle the shape of the posterior and where they are few for it.
_STEPS, _MORE_STEPS, _ROWS_A_PARAMETER = 7.0, 15.0, 5.0
# Seconds of an evaluation: for each row and component, the same times d^2, and for each pair of parameters.
_ROW, _ROW_BY_SQUARE, _PAIR = 5e-9, 0.28e-9, 2.4e-9
# Rows with errors, holes or bins take more; so does a density in Python, once for each evaluation.
_NOT_EXACT, _IN_PYTHON = 6.0, 4e-4
_FEWEST = 3e-6
# Seconds of a sweep of Gibbs for each row and component, and the same times d^2.
_SWEEP, _SWEEP_BY_SQUARE, _FEWEST_SWEEP = 12e-9, 0.25e-9, 1e-5


def nuts_seconds(problem: Problem, draws: int, *, in_python: bool) -> float:
    """Processor seconds that `NUTS` takes for so many draws in all, those of tuning included; a factor of 2 is nothing.

    The machine had a clock of some 3 GHz. What a machine adds is the same factor for all engines.
    """
    steps = _STEPS if problem.n_obs > _ROWS_A_PARAMETER * problem.n_parameters else _MORE_STEPS
    return draws * steps * evaluation_seconds(problem, in_python=in_python)


def evaluation_seconds(problem: Problem, *, in_python: bool) -> float:
    """Processor seconds of one value and gradient of the density."""
    K, d, p = problem.K, problem.n_features, problem.n_parameters
    a_pass = problem.n_obs * K * (_ROW + _ROW_BY_SQUARE * d * d) * (1.0 if problem.rows.exact else _NOT_EXACT)
    return _FEWEST + a_pass + _PAIR * p * p + (_IN_PYTHON if in_python else 0.0)


def gibbs_seconds(problem: Problem, sweeps: int) -> float:
    """Processor seconds that `Gibbs` takes for so many sweeps in all, of a known number of components."""
    by_row = _SWEEP + _SWEEP_BY_SQUARE * problem.n_features**2
    return sweeps * (_FEWEST_SWEEP + problem.n_obs * problem.K * by_row)
