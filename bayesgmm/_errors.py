"""Exceptions. Every message names the argument, the value that was given and what to do instead."""

from __future__ import annotations


class BayesGMMError(Exception):
    """Base class of every error that bayesgmm raises on purpose."""


class InputError(BayesGMMError, ValueError):
    """An argument has a value that cannot be used.

    Parameters
    ----------
    argument : str
        Name of the argument as the user wrote it, for example ``"values"`` or ``"Dirichlet.concentration"``.
    problem : str
        What is wrong, with the offending value in it.
    remedy : str
        What to do instead.
    """

    def __init__(self, argument: str, problem: str, remedy: str) -> None:
        self.argument = argument
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{argument}: {problem}. {remedy}")

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        # The default would call __init__ with the joined message, and the error could not leave a worker process.
        return type(self), (self.argument, self.problem, self.remedy)


class UnsupportedError(BayesGMMError, TypeError):
    """Two parts that are each valid do not work together.

    Parameters
    ----------
    first, second : str
        The two parts, as a user writes them.
    instead : str
        What would work.
    """

    def __init__(self, first: str, second: str, instead: str) -> None:
        self.first = first
        self.second = second
        self.instead = instead
        super().__init__(f"{first} does not work with {second}. {instead}")

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        return type(self), (self.first, self.second, self.instead)


class FitError(BayesGMMError, RuntimeError):
    """A fit could not give an honest answer; the message says why and what would help."""
