"""Damaged results: is every one refused, with an error of ours that says what is wrong?

    python benchmarks/fuzz_results.py [--results 1000] [--files 400] [--seed 1]

Results are damaged in memory (numbers, shapes, dimensions, labels, attributes, groups, versions; also after draws were
selected) and given to a function that reads results; files of `bayesgmm.save` get flipped bits, cut ends and missing
parts and are given to `bayesgmm.load`. "refused" is an `InputError`, "no effect" the very answer that the undamaged
result gives, "silent" another answer without an error, "foreign" any other exception. The last two have to be 0.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import xarray as xr

import bayesgmm as bg

matplotlib.use("agg")
QUIET: dict[str, Any] = {"random_seed": 1, "progressbar": False}
NEW = [[3.0, 60.0], [4.5, 80.0]]
OUTCOMES = ("refused", "no effect", "silent", "foreign")
Damage = Callable[[xr.DataTree, np.random.Generator], xr.DataTree]


def results() -> dict[str, xr.DataTree]:
    """One fit of each kind, with as few draws as will do."""
    x = bg.datasets.load_faithful().iloc[::4]
    rows = len(x)
    holes = x.to_numpy().copy()
    holes[3, 1] = np.nan
    two = bg.GaussianMixture(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "EM": bg.fit(two, x, engine=bg.EM(), **QUIET),
            "VB": bg.fit(two, x, engine=bg.VB(draws=40, chains=2), **QUIET),
            "Laplace, groups and counts": bg.fit(
                two,
                bg.as_data(x, groups=np.resize(["a", "b"], rows), counts=np.resize([1, 2], rows)),
                engine=bg.Laplace(draws=60, chains=2),
                **QUIET,
            ),
            "NUTS, holes": bg.fit(two, holes, engine=bg.NUTS(draws=30, tune=60, chains=2), **QUIET),
            "Gibbs, unknown K": bg.fit(
                bg.GaussianMixture(1 + bg.Poisson(1.0)), x, engine=bg.Gibbs(sweeps=200), **QUIET
            ),
        }


def verbs(whole: xr.DataTree) -> dict[str, Callable[[xr.DataTree], Any]]:
    """Functions that read a fit and are defined for this one."""
    new = bg.as_data(NEW, groups=["a", "b"]) if "group" in whole["point_estimate"].dims else NEW
    found: dict[str, Callable[[xr.DataTree], Any]] = {
        "predict": lambda fit: bg.predict(fit, new),
        "predict, fitted rows": bg.predict,
        "summary": bg.summary,
        "diagnose": bg.diagnose,
        "occupied_components": bg.occupied_components,
        "impute": lambda fit: bg.impute(fit, n_draws=2, random_seed=1),
        "denoise": bg.denoise,
        "merge_components": bg.merge_components,
        "align": lambda fit: bg.align(fit, whole),
        "align to it": lambda fit: bg.align(whole, fit),
        "compare_engines": lambda fit: bg.compare_engines({"a": fit, "b": whole}),
        "plot_density": lambda fit: _drawn(bg.plots.plot_density(fit, feature=_first(whole))),
        "plot_components": lambda fit: _drawn(bg.plots.plot_components(fit)),
        "plot_responsibilities": lambda fit: _drawn(bg.plots.plot_responsibilities(fit)),
        "plot_optimization": lambda fit: _drawn(bg.plots.plot_optimization(fit)),
    }
    if "group" not in whole["point_estimate"].dims:
        found["simulate"] = lambda fit: bg.simulate(fit, 5, random_seed=1)
    if "posterior" not in whole.children:
        return found | {"standard_errors": lambda fit: bg.standard_errors(fit, progressbar=False)}
    found |= {
        "relabel": bg.relabel,
        "add_log_likelihood": bg.add_log_likelihood,
        "add_posterior_predictive": lambda fit: bg.add_posterior_predictive(fit, n_draws=4, random_seed=1),
        "component_posterior": bg.component_posterior,
        "coclustering": bg.coclustering,
        "best_partition": bg.best_partition,
    }
    if "all_draws" not in whole.children:
        found["add_log_prior"] = bg.add_log_prior
    return found


def _first(whole: xr.DataTree) -> str:
    return str(whole["point_estimate"]["feature"].to_numpy()[0])


def _drawn(picture: Any) -> list[Any]:
    """What stands in a picture."""
    from matplotlib import pyplot as plt

    figure = (picture.flat[0] if isinstance(picture, np.ndarray) else picture).figure
    seen: list[Any] = []
    for ax in figure.axes:
        seen.append(ax.get_title(loc="left"))
        seen += [np.asarray(line.get_xydata()).tolist() for line in ax.lines]
        seen += [np.asarray(held.get_offsets()).tolist() for held in ax.collections]
        seen += [text.get_text() for text in ax.texts]
    plt.close("all")
    return seen


def same(first: Any, second: Any) -> bool:
    """Whether two answers are the same, bit by bit."""
    if isinstance(first, xr.DataTree):
        # A copy of a fit keeps what it was given, so that dimensions may stand in another order.
        tables = [{name: group.to_dataset() for name, group in each.children.items()} for each in (first, second)]
        return tables[0].keys() == tables[1].keys() and all(
            value.transpose(*tables[0][name][variable].dims).equals(tables[0][name][variable])
            for name, table in tables[1].items()
            for variable, value in table.data_vars.items()
        )
    if hasattr(first, "identical"):
        return first.identical(second)
    return first.equals(second) if hasattr(first, "equals") else repr(first) == repr(second)


def outcome(verb: Callable[[Any], Any], damaged: Any, expected: Any) -> tuple[str, str]:
    """How a function took a damaged result, and the error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            answer = verb(damaged)
        except bg.InputError as error:
            return "refused", str(error)
        except Exception as error:  # every other one is a finding
            return "foreign", f"{type(error).__name__}: {error}"
    return ("no effect" if same(expected, answer) else "silent"), ""


# Damages in memory. Each takes a copy of its own.


def _pick(fit: xr.DataTree, rng: np.random.Generator, *, numbers: bool = False) -> tuple[str, str]:
    """A group and a variable in it, labels among them."""
    names = [
        (group, str(name))
        for group, table in fit.children.items()
        for name, value in table.variables.items()
        if value.size and (not numbers or (value.dtype.kind == "f" and np.isfinite(value.values).any()))
    ]
    return names[rng.integers(len(names))]


def _put(fit: xr.DataTree, group: str, name: str, change: Callable[[np.ndarray], np.ndarray]) -> xr.DataTree:
    """The fit with an array replaced, dimensions as they were."""
    table = fit[group].to_dataset()
    value = table.variables[name]
    fresh = xr.Variable(value.dims, change(value.to_numpy().copy()), value.attrs)
    fit[group] = table.assign_coords({name: fresh}) if name in table.coords else table.assign({name: fresh})
    return fit


def a_number(fit: xr.DataTree, rng: np.random.Generator) -> xr.DataTree:
    """One number, or all of an array, becomes NaN, infinite, negative, 0, larger or another's."""
    group, name = _pick(fit, rng, numbers=True)
    kind = rng.integers(8)

    def change(values: np.ndarray) -> np.ndarray:
        flat = values.reshape(-1)
        known = np.flatnonzero(np.isfinite(flat))
        at = known if rng.random() < 0.3 else rng.choice(known, 1)
        changed = [
            lambda v: np.full_like(v, np.nan),
            lambda v: np.full_like(v, np.inf),
            lambda v: -np.abs(v) - (v == 0),
            lambda v: -v - (v == 0),
            lambda v: np.zeros_like(v) + (v == 0),
            lambda v: v * (1 + 1e-6) + (v == 0),
            lambda v: v * 10 + (v == 0),
            lambda v: v + 1.0,
        ][kind](flat[at])
        flat[at] = changed
        return flat.reshape(values.shape)

    return _put(fit, group, name, change)


def a_type(fit: xr.DataTree, rng: np.random.Generator) -> xr.DataTree:
    """An array of text, whole numbers, single precision, objects or complex numbers in place of one of numbers."""
    group, name = _pick(fit, rng, numbers=True)
    kinds: list[Any] = [np.str_, np.int64, np.float32, object, np.complex128, bool]
    kind = kinds[rng.integers(len(kinds))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _put(fit, group, name, lambda values: np.nan_to_num(values).astype(kind))


def a_shape(fit: xr.DataTree, rng: np.random.Generator) -> xr.DataTree:
    """A group loses an entry of a dimension, repeats one, loses a dimension or calls it by another name."""
    group = list(fit.children)[rng.integers(len(fit.children))]
    table = fit[group].to_dataset()
    dims = list(table.dims)
    dim = dims[rng.integers(len(dims))]
    kind = rng.integers(5)
    if kind == 0:
        table = table.isel({dim: slice(0, table.sizes[dim] - 1)})
    elif kind == 1:
        table = table.isel({dim: np.append(np.arange(table.sizes[dim]), 0)})
    elif kind == 2:
        table = table.isel({dim: 0})
    elif kind == 3:
        table = table.rename({dim: "elsewhere"})
    else:
        table = table.isel({dim: np.roll(np.arange(table.sizes[dim]), 1)})
    fit[group] = table
    return fit


def an_order(fit: xr.DataTree, rng: np.random.Generator) -> xr.DataTree:
    """Dimensions stand in another order, which says the same."""
    group = list(fit.children)[rng.integers(len(fit.children))]
    table = fit[group].to_dataset()
    fit[group] = table.transpose(*rng.permutation(list(table.dims)).tolist())
    return fit


def a_hole(fit: xr.DataTree, rng: np.random.Generator) -> xr.DataTree:
    """A group, an array or a label is missing, or a group stands under the name of another."""
    groups = list(fit.children)
    group = groups[rng.integers(len(groups))]
    if rng.random() < 0.3:
        del fit[group]
        return fit
    if rng.random() < 0.2:
        other = groups[rng.integers(len(groups))]
        fit[group] = fit[other].to_dataset()
        return fit
    group, name = _pick(fit, rng)
    fit[group] = fit[group].to_dataset().drop_vars(name)
    return fit


def a_label(fit: xr.DataTree, rng: np.random.Generator) -> xr.DataTree:
    """Labels of rows, components, features, chains or starts are swapped, doubled or others."""
    names = [(group, str(name)) for group, table in fit.children.items() for name in table.coords]
    group, name = names[rng.integers(len(names))]
    kind = rng.integers(3)

    def change(labels: np.ndarray) -> np.ndarray:
        if kind == 0:
            return labels[::-1].copy()
        if kind == 1:
            return np.full_like(labels, labels.flat[0])
        return labels + 7 if labels.dtype.kind in "iuf" else np.array([f"{each}'" for each in labels])

    return _put(fit, group, name, change)


def an_attribute(fit: xr.DataTree, rng: np.random.Generator) -> xr.DataTree:
    """An attribute is missing, or another number, text or type."""
    owners: list[Any] = [fit.attrs, *(table.attrs for table in fit.children.values())]
    owners += [value.attrs for table in fit.children.values() for value in table.data_vars.values()]
    owners = [fit.attrs] * len(owners) + [each for each in owners if each]
    attrs = owners[rng.integers(len(owners))]
    name = list(attrs)[rng.integers(len(attrs))]
    value, kind = attrs[name], rng.integers(6)
    if kind == 0:
        del attrs[name]
    elif kind == 1 and isinstance(value, str) and value:
        at = rng.integers(len(value))
        attrs[name] = value[:at] + chr(33 + rng.integers(90)) * 2 + value[at + 1 :]
    elif kind == 2 and isinstance(value, str):
        attrs[name] = value[: rng.integers(len(value) + 1)] + "?"
    elif not isinstance(value, str):
        attrs[name] = value + 1
    else:
        others: list[Any] = [None, 1.5, np.array([1.0, 2.0]), ["a", "b"], {"a": 1}, "", b"x", xr]
        attrs[name] = others[rng.integers(len(others))]
    return fit


def a_version(fit: xr.DataTree, rng: np.random.Generator) -> xr.DataTree:
    """The result is of an older or newer schema, of another function, or says neither."""
    versions: list[Any] = [0, 2, 99, -1, 1.5, "1", None, np.array([1, 1]), True, np.nan]
    kind = rng.integers(3)
    if kind == 0:
        fit.attrs["schema_version"] = versions[rng.integers(len(versions))]
    elif kind == 1:
        fit.attrs["result_of"] = ["compare_components", "", None, 3][rng.integers(4)]
    else:
        del fit.attrs[["schema_version", "result_of", "contents", "contents_checksum"][rng.integers(4)]]
    return fit


def a_model(fit: xr.DataTree, rng: np.random.Generator) -> xr.DataTree:
    """The declaration of another fit, or one of another number of components."""
    other = bg.GaussianMixture(int(rng.integers(1, 6))).to_json()
    fit.attrs[["model", "declared_model"][rng.integers(2)]] = other
    return fit


def of_selected_draws(fit: xr.DataTree, rng: np.random.Generator) -> xr.DataTree:
    """Of a selection of draws one holds a number that no draw has."""
    fit = selected(fit)
    group = ["posterior", "unrelabelled", "all_draws"][rng.integers(3)]
    group = group if group in fit.children else "posterior"
    name = ["weights", "covariances", "means", "sds"][rng.integers(4)]
    name = name if name in fit[group] else "weights"
    kind = rng.integers(3)

    def change(values: np.ndarray) -> np.ndarray:
        s = (rng.integers(values.shape[0]), rng.integers(values.shape[1]))
        # The weight of a place without a component is 0, and its mean is not known.
        if name == "weights":
            values[s] = [np.nan, -values[s] - 0.1, values[s] + 1.01][kind]
        elif name == "covariances":
            first = (*s, 0, 0, 0)
            values[first] = [np.nan, -values[first], np.inf][kind]
        elif name == "sds":
            values[s] = [np.nan, -values[s], 1.01 * values[s]][kind]
        else:
            values[(*s, 0, 0)] = [np.nan, np.inf, -np.inf][kind]
        return values

    return _put(fit, group, name, change)


def selected(fit: xr.DataTree) -> xr.DataTree:
    """Every other draw."""
    return fit.isel(draw=slice(0, None, 2))


DAMAGES: dict[str, Damage] = {
    "a number": a_number,
    "a type": a_type,
    "a shape": a_shape,
    "order of dimensions": an_order,
    "something missing": a_hole,
    "a label": a_label,
    "an attribute": an_attribute,
    "a version": a_version,
    "the model": a_model,
    "a selected draw": of_selected_draws,
}


def fuzz_results(n: int, seed: int) -> tuple[Counter[tuple[str, str]], list[str]]:
    """Outcomes of n damaged results by kind of damage, and what was silent or foreign."""
    rng = np.random.default_rng(seed)
    fits = results()
    counts: Counter[tuple[str, str]] = Counter()
    findings: list[str] = []
    known: dict[Any, Any] = {}
    for i in range(n):
        kind = list(DAMAGES)[i % len(DAMAGES)]
        which = list(fits)[rng.integers(len(fits))]
        while kind == "a selected draw" and "posterior" not in fits[which].children:
            which = list(fits)[rng.integers(len(fits))]
        whole = fits[which]
        name, verb = list(verbs(whole).items())[rng.integers(len(verbs(whole)))]
        draws = kind == "a selected draw"
        if (which, name, draws) not in known:
            known[which, name, draws] = verb(selected(whole) if draws else whole)
        damaged = DAMAGES[kind](whole.copy(deep=True), rng)
        how, said = outcome(verb, damaged, known[which, name, draws])
        counts[kind, how] += 1
        if how in OUTCOMES[2:]:
            findings.append(f"{i}: {kind}, {which}, {name}: {how} {said}")
    return counts, findings


# Damages of files.


def fuzz_files(n: int, seed: int) -> tuple[Counter[tuple[str, str]], list[str]]:
    """The same for files: n damaged copies of each form."""
    rng = np.random.default_rng(seed)
    fit = results()["VB"]
    counts: Counter[tuple[str, str]] = Counter()
    findings: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for form in (".nc", ".zarr"):
            saved, copy = Path(folder, f"saved{form}"), Path(folder, f"copy{form}")
            bg.save(fit, saved)
            for i in range(n):
                if form == ".nc":
                    shutil.copy(saved, copy)
                    file = copy
                else:
                    shutil.rmtree(copy, ignore_errors=True)
                    shutil.copytree(saved, copy)
                    files = sorted(each for each in copy.rglob("*") if each.is_file())
                    file = files[rng.integers(len(files))]
                kind = _damage_file(file, rng)
                how, said = outcome(bg.load, copy, fit)
                counts[f"{form[1:]}, {kind}", how] += 1
                if how in OUTCOMES[2:]:
                    findings.append(f"{i}: {form}, {kind}, {file.name}: {how} {said}")
    return counts, findings


def _damage_file(file: Path, rng: np.random.Generator) -> str:
    content = bytearray(file.read_bytes())
    kind = rng.integers(6)
    if kind == 0:
        file.unlink()
        return "missing"
    if kind == 1:
        file.write_bytes(content[: rng.integers(len(content))])
        return "cut"
    if kind == 2:
        file.write_bytes(bytes(content) + rng.bytes(1 + int(rng.integers(200))))
        return "longer"
    if kind == 3:
        begin = int(rng.integers(len(content)))
        length = min(1 + int(rng.integers(4096)), len(content) - begin)
        content[begin : begin + length] = bytes(b ^ 0x55 for b in content[begin : begin + length])
        file.write_bytes(content)
        return "a block"
    for _ in range(1 if kind == 4 else 20):
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    file.write_bytes(content)
    return "flipped bits"


def print_counts(title: str, counts: Counter[tuple[str, str]]) -> None:
    """A Markdown table, with a row for each kind of damage."""
    print(f"\n| {title} | tried | {' | '.join(OUTCOMES)} |\n|---|{'---:|' * (1 + len(OUTCOMES))}")
    for kind in sorted({kind for kind, _ in counts}):
        row = [counts[kind, each] for each in OUTCOMES]
        print(f"| {kind} | {sum(row)} | {' | '.join(map(str, row))} |")
    row = [sum(count for (_, how), count in counts.items() if how == each) for each in OUTCOMES]
    print(f"| all | {sum(row)} | {' | '.join(map(str, row))} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=int, default=1000)
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for title, study, n in (
        ("damaged results", fuzz_results, options.results),
        ("damaged files", fuzz_files, options.files),
    ):
        counts, findings = study(n, options.seed)
        print_counts(title, counts)
        print("\n".join(findings))


if __name__ == "__main__":
    main()
