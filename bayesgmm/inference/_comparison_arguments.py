"""What `compare_components` is asked for, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm._arguments import as_floats, as_texts, as_whole, as_written, is_number, is_several
from bayesgmm._errors import InputError, UnsupportedError
from bayesgmm.data import Data, RowsBeside, read_numbers
from bayesgmm.engines._problem import build_problem
from bayesgmm.inference._readings import CRITERIA
from bayesgmm.model import Diagonal, FilledMixture, Full, GaussianMixture, InverseWishart, Spherical, Tied
from bayesgmm.model._interfaces import Covariances

if TYPE_CHECKING:
    from bayesgmm.numerics.passes import Array

STRUCTURES: dict[str, Any] = {
    "full": Full,
    "tied": lambda prior: Tied(Full(prior)),
    "diagonal": Diagonal,
    "spherical": Spherical,
    "tied diagonal": lambda prior: Tied(Diagonal(prior)),
    "tied spherical": lambda prior: Tied(Spherical(prior)),
}
NEEDS_PRIORS = ("elbo", "evidence", "loo")


def checked_numbers(n_components: Any) -> list[int]:
    """Numbers of components, in rising order and each once."""
    given = list(n_components) if is_several(n_components) else [n_components]
    if not given:
        raise InputError("n_components", "got an empty sequence", "Give whole numbers, such as range(1, 9)")
    return sorted({as_whole("n_components", K, least=1, hint="s, such as range(1, 9)") for K in given})


def checked_structures(model: Any, structures: Any) -> tuple[list[GaussianMixture], list[str] | None]:
    """One declaration for each structure, and their names where some were given."""
    if not isinstance(model, GaussianMixture):
        raise InputError("model", f"got {type(model).__name__}", "Give a GaussianMixture")
    model.refuse("compare_components")
    if structures is None:
        return [model], None
    if isinstance(structures, Mapping) and structures:
        named = dict(structures)
    else:
        hint = f"Give some of {', '.join(map(repr, STRUCTURES))}, or a dict"
        given = as_texts("structures", [structures] if isinstance(structures, str) else structures, hint)
        unknown = [each for each in given if not isinstance(each, str) or each not in STRUCTURES]
        if unknown or not given:
            got = repr(unknown[0]) if unknown else "an empty sequence"
            raise InputError("structures", f"got {got}", f"Give some of {', '.join(map(repr, STRUCTURES))}, or a dict")
        covariances = model.covariances
        prior = covariances.innermost if isinstance(covariances, Covariances) else InverseWishart()
        if prior is None:
            raise InputError("structures", f"covariances={covariances}", "Give covariances with a prior, or a dict")
        named = {name: STRUCTURES[name](prior) for name in given}
    return [model._replace(covariances=each) for each in named.values()], [str(name) for name in named]


def checked_criteria(criteria: Any) -> set[str]:
    """Those of the criteria that need priors."""
    if criteria is None:
        return set(NEEDS_PRIORS)
    hint = f"Give some of {', '.join(map(repr, CRITERIA))}"
    given = as_texts("criteria", [criteria] if isinstance(criteria, str) else criteria, hint)
    for each in given:
        if each not in CRITERIA:
            raise InputError("criteria", f"got {as_written(each)}", f"Give some of {', '.join(map(repr, CRITERIA))}")
    return set(given) & set(NEEDS_PRIORS)


def checked_scales(mean_scales: Any) -> tuple[float, ...]:
    """Widths of the prior of the means, each once."""
    hint = "Give positive numbers, such as (1/3, 1, 3)"
    given = as_floats("mean_scales", [mean_scales] if is_number(mean_scales) else mean_scales, n_axes=1, hint=hint)
    if not given.size or not (given > 0).all():
        raise InputError("mean_scales", f"got {as_written(mean_scales)}", hint)
    if 1.0 not in given:
        raise InputError("mean_scales", f"got {as_written(mean_scales)}", "1, the declared width, must be among them")
    return tuple(dict.fromkeys(float(each) for each in given))


def checked_prior(prior: Any, numbers: Sequence[int]) -> Array:
    """Prior probabilities of the numbers of components; a Series may have these as its index."""
    n = len(numbers)
    if prior is None:
        return np.full(n, 1.0 / n)
    hint = f"Give one probability of at least 0 for each of the {n} numbers of components, in rising order"
    if is_several(prior) and hasattr(prior, "__len__") and len(prior) != n:
        raise InputError("prior", f"has {len(prior)} entries", hint)
    given = read_numbers("prior", prior, RowsBeside(n=n, obs_names=np.array(numbers), known=False))
    if not (np.isfinite(given) & (given >= 0)).all() or not given.sum() > 0:
        raise InputError("prior", f"got {as_written(prior)}", hint)
    return given / given.sum()


def refuse_known_labels(verb: str, data: Data) -> None:
    """Raise where components of some rows are known: with fewer components there is none for some of them."""
    if data.known_labels is not None:
        hint = "Fit one number of components, or compare without known labels."
        raise UnsupportedError(verb, "as_data(known_labels=...)", hint)


def check_models(models: list[GaussianMixture], numbers: list[int], data: Data) -> list[FilledMixture]:
    """Raise for declarations that cannot have every number of components; the filled ones."""
    filled = []
    for model in models:
        for K in (numbers[0], numbers[-1]):
            try:
                declared = model._replace(n_components=K, component_names=None)
                filled.append(build_problem(declared, data, for_evidence=True).declared)
            except InputError as error:
                if error.argument in ("data", "n_components"):
                    raise
                hint = "Its priors are for each component by itself; give priors that all share"
                raise InputError("model", f"cannot have {K} components: {error}", hint) from error
    return filled
