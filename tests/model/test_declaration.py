"""Declarations as values: JSON, equality, printing, counting, units and defaults."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from bayesgmm._errors import InputError
from bayesgmm.engines._objective import log_prior
from bayesgmm.engines.base import Parameters, Units
from bayesgmm.model import (
    LKJ,
    ConjugateMeans,
    Diagonal,
    Dirichlet,
    Exponential,
    FilledMixture,
    FixedCovariances,
    FixedMeans,
    FixedWeights,
    Flat,
    Full,
    Gamma,
    GaussianMixture,
    HalfNormal,
    InverseWishart,
    LogNormal,
    NormalMeans,
    ScaledInverseChi,
    Spherical,
    StickBreaking,
    Tied,
    UniformComponents,
)
from bayesgmm.model._spec import Spec
from tests import contract
from tests.contract import FACTORIES, IDS, TABLE, filled, random_parameters

# ---- values ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factory", FACTORIES, ids=IDS)
def test_json_round_trip(factory):
    for model in (factory(3, 2), filled(factory(3, 2), 2)):
        text = model.to_json()
        again = GaussianMixture.from_json(text)
        assert type(again) is type(model)
        assert again == model
        assert hash(again) == hash(model)
        assert again.to_json() == text
        assert json.loads(text)["type"] == type(model).__name__


@pytest.mark.parametrize("factory", FACTORIES, ids=IDS)
def test_round_trip_keeps_every_bit(factory):
    model, rng = filled(factory(3, 2), 2), np.random.default_rng(1)
    model = model.rescaled(rng.normal(size=2), np.full(2, np.pi))
    assert GaussianMixture.from_json(model.to_json()) == model


def test_table_has_no_two_equal_rows():
    models = [factory(3, 2) for _, factory in TABLE]
    assert len(set(IDS)) == len(IDS)
    # A structure of d = 2 may not tell scalars from arrays, but different rows are different beliefs.
    assert len(set(models)) == len(models)


def test_defaults_and_names_survive_json():
    for model in (
        GaussianMixture(2),
        GaussianMixture(2, component_names=["left", "right"]),
        GaussianMixture(3, weights=Flat(), means=Flat(), covariances=Flat()),
        GaussianMixture(2, covariances=Tied(Diagonal(LKJ()))),
    ):
        assert GaussianMixture.from_json(model.to_json()) == model


def test_arrays_lists_and_numpy_numbers_make_equal_models():
    def build(kind):
        return GaussianMixture(
            kind(2),
            weights=Dirichlet(kind([1.0, 2.0])),
            means=NormalMeans(mu=kind([[0, 1], [2, 3]]), sigma=kind(1.5)),
            covariances=InverseWishart(kind(5), kind([[2.0, 0.5], [0.5, 1.0]])),
        )

    def as_array(value):
        return np.asarray(value) if isinstance(value, list) else np.asarray(value)[()]

    one, two = build(lambda value: value), build(as_array)
    assert one == two
    assert len({one, two}) == 1
    assert isinstance(two.n_components, int)
    json.loads(two.to_json())


def test_later_changes_of_an_array_do_not_reach_the_model():
    values = np.array([0.25, 0.75])
    model = GaussianMixture(2, weights=FixedWeights(values))
    values[0] = 0.9
    assert model.weights.values == (0.25, 0.75)


def test_models_are_frozen_and_differ_by_every_number():
    model = GaussianMixture(2, weights=Dirichlet(2.0))
    with pytest.raises(AttributeError):
        model.n_components = 3
    with pytest.raises(AttributeError):
        model.weights.concentration = 1.0
    different = [
        model,
        GaussianMixture(3, weights=Dirichlet(2.0)),
        GaussianMixture(2, weights=Dirichlet(2.5)),
        GaussianMixture(2, weights=StickBreaking(2.0)),
        GaussianMixture(2, weights=Dirichlet(2.0), covariances=Full(InverseWishart(5))),
        GaussianMixture(2, weights=Dirichlet(2.0), covariances=Diagonal(InverseWishart(5))),
        GaussianMixture(2, weights=Dirichlet(2.0), component_names=["a", "b"]),
    ]
    assert len(set(different)) == len(different)


def test_a_bare_prior_means_full():
    for prior in (InverseWishart(4, 1.0), LKJ(2.0, scale=HalfNormal(1.0)), Flat()):
        assert GaussianMixture(2, covariances=prior) == GaussianMixture(2, covariances=Full(prior))
        assert Tied(prior) == Tied(Full(prior))


def test_unknown_type_in_json():
    with pytest.raises(InputError, match=r"type: no part .* called 'Dirichle'.*Dirichlet.*import the module"):
        Spec.from_dict({"type": "Dirichle", "concentration": 1.0})


@pytest.mark.parametrize("factory", FACTORIES, ids=IDS)
def test_printing_contains_the_numbers(factory):
    model = filled(factory(3, 2), 2)
    text = str(model)
    assert text.startswith("Gaussian mixture of 3 components\n")
    for part in (model.weights, model.means, model.covariances):
        assert part.describe().replace("Sigma_k", "Sigma") in text.replace("Sigma_k", "Sigma")
    assert ("shared" in text) == model.covariances.tied


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        (
            GaussianMixture(1),
            ["1 component\n", "Dirichlet(1 + sqrt((d + 1) / 2))", "data mean", "/ 0.05", "d + 2, 2/3 df W)   (full)"],
        ),
        (GaussianMixture(2, component_names=["low", "high"]), ["2 components (low, high)"]),
        (GaussianMixture(2, weights=Dirichlet([1.25, 4])), ["w ", "Dirichlet((1.25, 4))"]),
        (GaussianMixture(2, weights=StickBreaking(0.37)), ["StickBreaking(0.37)"]),
        (GaussianMixture(2, weights=FixedWeights([0.125, 0.875])), ["fixed at (0.125, 0.875)"]),
        (GaussianMixture(2, means=ConjugateMeans(loc=[3.5, -7], precision_scale=0.2)), ["(3.5, -7)", "/ 0.2"]),
        (GaussianMixture(2, means=NormalMeans(mu=[[0, 1], [2, 3.25]], sigma=11)), ["[(0, 1), (2, 3.25)]", "sd 11"]),
        (GaussianMixture(2, means=FixedMeans([[0, 1], [2, 3.25]])), ["fixed at [(0, 1), (2, 3.25)]"]),
        (GaussianMixture(2, covariances=LKJ(3, scale=Gamma(2.5, 0.125))), ["LKJ(3)", "Gamma(2.5, 0.125)"]),
        (GaussianMixture(2, covariances=LKJ(scale=LogNormal(-1, 0.5))), ["LKJ(2)", "LogNormal(-1, 0.5)"]),
        (GaussianMixture(2, covariances=LKJ(scale=Exponential(0.75))), ["Exponential(0.75)"]),
        (GaussianMixture(2, covariances=LKJ(scale=ScaledInverseChi(7, 0.5))), ["ScaledInverseChi(7, 0.5)"]),
        (GaussianMixture(2, covariances=LKJ()), ["HalfNormal(sd(W))", "10 sd(data)"]),
        (GaussianMixture(2, covariances=Tied(Diagonal())), ["diagonal, shared", "Normal(mu_k, Sigma)", "Sigma / 0.05"]),
        (GaussianMixture(2, covariances=Spherical(Flat())), ["Flat()   (spherical)"]),
        (GaussianMixture(2, covariances=FixedCovariances(0.625)), ["fixed at 0.625   (known)"]),
        (GaussianMixture(2, covariances=InverseWishart(7.5, [[2, 0.5], [0.5, 1]])), ["(7.5, [(2, 0.5), (0.5, 1)])"]),
    ],
)
def test_printed_lines(model, wanted):
    for piece in wanted:
        assert piece in str(model)


def test_long_equal_vectors_are_printed_short():
    assert str(Dirichlet(np.ones(50))) == "Dirichlet((1, ..., 1))"
    assert str(HalfNormal([2.0])) == "HalfNormal(2)"
    assert str(HalfNormal([1.0, 2.0])) == "HalfNormal((1, 2))"


def test_many_numbers_are_printed_in_part():
    assert str(HalfNormal(np.arange(1.0, 17.0))).count(",") == 15
    assert str(HalfNormal(np.arange(1.0, 18.0))) == "HalfNormal((1, 2, ..., 17))"
    model = GaussianMixture(2, covariances=InverseWishart(50, np.eye(30) + 0.5), means=NormalMeans(np.arange(30.0), 1))
    assert "[(1.5, 0.5, ..., 0.5), (0.5, 1.5, ..., 0.5), ..., (0.5, 0.5, ..., 1.5)]" in str(model)
    assert max(map(len, str(model).splitlines())) <= 130


@pytest.mark.parametrize(
    ("model", "left_out", "symbols"),
    [
        (GaussianMixture(3), "weights, means and covariances", ["d", "df", "W"]),
        (GaussianMixture(2, weights=Dirichlet(1.0), covariances=InverseWishart(5, 1.0)), "means", []),
        (GaussianMixture(2, means=Flat(), weights=Flat(), covariances=Flat()), None, []),
        (GaussianMixture(2, weights=StickBreaking(1.0)), "means and covariances", ["d"]),
    ],
)
def test_a_declaration_in_a_cell_prints_what_will_be_used(model, left_out, symbols):
    first, *body, last = repr(model).splitlines()
    assert first == f"Gaussian mixture of {model.n_components} components"
    assert "None" not in repr(model)
    if symbols:
        assert last.startswith(f"where {symbols[0]} = ")
        assert [part.split(" = ")[0] for part in last.removeprefix("where ").split(", ")] == symbols
    said = [line for line in [*body, last] if line.startswith("Left out and filled in by weak priors")]
    assert said == (
        [] if left_out is None else [f"Left out and filled in by weak priors learnt from the data: {left_out}"]
    )
    assert len(repr(model).splitlines()) <= 9


# ---- symmetries and counts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "symmetries"),
    [
        ({}, 24),
        ({"weights": Flat(), "means": Flat(), "covariances": Flat()}, 24),
        ({"weights": Dirichlet([2.0, 1.0, 2.0, 2.0])}, 6),
        ({"weights": Dirichlet([1.0, 2.0, 3.0, 4.0])}, 1),
        ({"weights": StickBreaking(1.0)}, 1),
        ({"weights": FixedWeights([0.2, 0.3, 0.2, 0.3])}, 4),
        ({"weights": FixedWeights([0.2, 0.3, 0.2, 0.3]), "means": NormalMeans(mu=[[0], [0], [1], [0]])}, 2),
        ({"means": NormalMeans(mu=[[0], [0], [1], [1]], sigma=2.0)}, 4),
        ({"means": NormalMeans(mu=0.0, sigma=[[1], [2], [2], [2]])}, 6),
        ({"means": NormalMeans(mu=[0.0], sigma=[2.0])}, 24),
        ({"means": FixedMeans([0, 1, 1, 3])}, 2),
        ({"covariances": FixedCovariances([1.0, 2.0, 2.0, 2.0])}, 6),
        ({"covariances": FixedCovariances(2.0)}, 24),
        ({"covariances": Tied(LKJ())}, 24),
    ],
)
def test_symmetries(parts, symmetries):
    model = GaussianMixture(4, **parts).filled(np.zeros(1), np.eye(1))
    assert len(model.keys()) == 4
    assert model.log_symmetries() == pytest.approx(math.log(symmetries), abs=1e-12)


@pytest.mark.parametrize("factory", FACTORIES, ids=IDS)
def test_equal_keys_mean_that_components_may_swap(factory):
    K, d, rng = 3, 2, np.random.default_rng(2)
    model = filled(factory(K, d), d)
    at, keys = random_parameters(model, d, rng), model.keys()

    def density(at):
        # In coordinates that treat components alike: the fractions of a stick do not.
        return contract.log_prior_by_scipy(model, at) + contract.weights_volume(model.weights, at.log_weights)

    value, changes = density(at), []
    for a in range(K):
        for b in range(a):
            order = np.arange(K)
            order[[a, b]] = b, a
            swapped = at.reordered(order)
            change = abs(density(swapped) - value)
            changes.append(change)
            if keys[a] == keys[b]:
                assert change < 1e-9 * max(abs(value), 1)
    if len(set(keys)) == K and "fixed" not in str(model):
        assert max(changes) > 1e-3


MCLUST = {
    # name of the model in mclust -> structure here, and its number of covariance parameters for G groups in d
    "E": (Tied(Full()), lambda G, d: 1),
    "V": (Full(), lambda G, d: G),
    "EII": (Tied(Spherical()), lambda G, d: 1),
    "VII": (Spherical(), lambda G, d: G),
    "EEI": (Tied(Diagonal()), lambda G, d: d),
    "VVI": (Diagonal(), lambda G, d: G * d),
    "EEE": (Tied(Full()), lambda G, d: d * (d + 1) // 2),
    "VVV": (Full(), lambda G, d: G * d * (d + 1) // 2),
}


@pytest.mark.parametrize("name", MCLUST)
@pytest.mark.parametrize("G", [1, 3])
def test_number_of_parameters_is_that_of_mclust(name, G):
    structure, count = MCLUST[name]
    for d in (1,) if len(name) == 1 else (2, 5):
        model = GaussianMixture(G, covariances=structure).filled(np.zeros(d), np.eye(d))
        assert model.n_parameters(d) == G - 1 + G * d + count(G, d)


def test_known_parts_are_not_counted():
    data = np.zeros(2), np.eye(2)
    fixed = FixedWeights([0.5, 0.5]), FixedMeans([[0, 0], [1, 1]]), FixedCovariances(1.0)
    assert GaussianMixture(2, weights=fixed[0], means=fixed[1], covariances=fixed[2]).filled(*data).n_parameters(2) == 0
    assert GaussianMixture(2, weights=fixed[0]).filled(*data).n_parameters(2) == 4 + 6
    assert GaussianMixture(2, means=fixed[1]).filled(*data).n_parameters(2) == 1 + 6
    assert GaussianMixture(2, covariances=fixed[2]).filled(*data).n_parameters(2) == 1 + 4


def test_improper_parts():
    model = GaussianMixture(2, weights=Flat(), covariances=Tied(Spherical(Flat()))).filled(np.zeros(2), np.eye(2))
    assert not model.proper
    assert model.improper_parts() == ["weights", "covariances"]
    assert GaussianMixture(2, covariances=FixedCovariances(1.0)).filled(np.zeros(2), np.eye(2)).proper


# ---- units -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factory", FACTORIES, ids=IDS)
@pytest.mark.parametrize("d", [1, 3])
def test_rescaled_model_is_the_same_belief(factory, d):
    K, rng = 3, np.random.default_rng(3)
    model = filled(factory(K, d), d)
    scale = np.full(d, 7.5) if model.covariances.common_scale() else rng.uniform(0.2, 9.0, size=d)
    units = Units(center=5.0 * rng.normal(size=d), scale=scale)
    in_units = model.rescaled(units.center, units.scale)
    assert type(in_units) is FilledMixture
    changes = []
    for _ in range(5):
        at = random_parameters(model, d, rng)
        changes.append(log_prior(in_units, units.to_standard(at), False) - log_prior(model, at, False))
    np.testing.assert_allclose(changes, changes[0], rtol=1e-10, atol=1e-10)
    # The constant is the Jacobian of the change of units, and nothing where there is no density.
    own = model.covariances.structure if model.covariances.tied else model.covariances
    n_own = 1 if model.covariances.tied else K
    log_scale = np.log(scale)
    prior, constant = getattr(own, "prior", None), 0.0
    if isinstance(prior, InverseWishart):
        powers = {Full: (d + 1) * log_scale.sum(), Diagonal: 2 * log_scale.sum(), Spherical: 2 * log_scale[0]}
        constant += n_own * powers[type(own)]
    elif isinstance(prior, LKJ):
        constant += n_own * (log_scale[0] if isinstance(own, Spherical) else log_scale.sum())
    if model.means.free and model.means.proper:
        constant += K * log_scale.sum()
    assert changes[0] == pytest.approx(constant, rel=1e-10, abs=1e-10)


def data_moments(d, rng):
    root = rng.normal(size=(d, d + 3))
    return rng.normal(size=d), root @ root.T


def assert_same_belief(model, map_matrix, shift, mean, covariance, rng):
    """Fill from data and from mapped data: the prior density of mapped parameters changes by a constant only."""
    d = mean.size
    B = map_matrix
    one = model.filled(mean, covariance)
    two = model.filled(B @ mean + shift, B @ covariance @ B.T)
    changes = []
    for _ in range(6):
        at = random_parameters(one, d, rng)
        mapped = Parameters(
            log_weights=at.log_weights,
            means=at.means @ B.T + shift,
            choleskys=np.linalg.cholesky(B @ at.covariances @ B.T),
        )
        changes.append(contract.log_prior_by_scipy(two, mapped) - contract.log_prior_by_scipy(one, at))
    np.testing.assert_allclose(changes, changes[0], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("d", [1, 2, 4])
@pytest.mark.parametrize("K", [1, 3])
def test_full_defaults_are_affine_equivariant(d, K):
    rng = np.random.default_rng(4)
    for structure in (None, Full(InverseWishart()), Tied(Full())):
        model = GaussianMixture(K, covariances=structure)
        assert_same_belief(model, rng.normal(size=(d, d)), rng.normal(size=d), *data_moments(d, rng), rng)


@pytest.mark.parametrize("structure", [Diagonal(), Tied(Diagonal()), Diagonal(LKJ()), LKJ(), Tied(LKJ())], ids=repr)
def test_defaults_by_axis_are_equivariant_by_axis(structure):
    d, rng = 3, np.random.default_rng(5)
    model = GaussianMixture(2, covariances=structure)
    B = np.diag(np.array([0.01, 30.0, 2.0]))
    assert_same_belief(model, B, rng.normal(size=d), *data_moments(d, rng), rng)


@pytest.mark.parametrize(
    "structure",
    [Spherical(), Tied(Spherical()), Spherical(LKJ(scale=HalfNormal(1.0)))],
    ids=repr,
)
@pytest.mark.parametrize("d", [2, 4])
def test_spherical_defaults_rotate_and_scale(structure, d):
    rng = np.random.default_rng(6)
    rotation = stats.ortho_group.rvs(d, random_state=7)
    model = GaussianMixture(3, covariances=structure)
    # A scale prior with a number in it rotates, but keeps its unit.
    unit = 1.0 if isinstance(structure.innermost, LKJ) else 12.5
    assert_same_belief(model, unit * rotation, rng.normal(size=d), *data_moments(d, rng), rng)


def test_defaults_are_the_documented_numbers():
    mean, covariance = np.array([1.0, -2.0]), np.array([[4.0, 1.0], [1.0, 9.0]])
    model = GaussianMixture(4).filled(mean, covariance)
    assert model.weights == Dirichlet((1.0 + np.sqrt(1.5),) * 4)
    assert model.means == ConjugateMeans(loc=mean, precision_scale=0.05)
    assert model.covariances.prior.df == 4.0
    np.testing.assert_allclose(model.covariances.prior.scale, covariance / 4)  # K^(-2/d)
    diagonal = GaussianMixture(4, covariances=Diagonal()).filled(mean, covariance).covariances.prior
    assert diagonal.df == 3.0
    assert GaussianMixture(4, covariances=Diagonal()).filled(mean, covariance).weights == Dirichlet((2.0,) * 4)
    np.testing.assert_allclose(diagonal.scale, [1.0, 9 / 4])
    spherical = GaussianMixture(4, covariances=Spherical()).filled(mean, covariance).covariances.prior
    np.testing.assert_allclose(spherical.scale, [6.5 / 4])
    lkj = GaussianMixture(4, covariances=LKJ()).filled(mean, covariance)
    np.testing.assert_allclose(lkj.covariances.prior.scale.sigma, [1.0, 1.5])  # sd K^(-1/d)
    np.testing.assert_allclose(lkj.means.mu, np.tile(mean, (4, 1)))
    np.testing.assert_allclose(lkj.means.sigma, np.tile([10.0, 15.0], (4, 1)))
    one = GaussianMixture(9, covariances=Spherical()).filled(mean[:1], covariance[:1, :1]).covariances.prior
    np.testing.assert_allclose(one.scale, [4 / 81])


def test_defaults_from_the_covariance_that_a_component_is_expected_to_have():
    mean, covariance, within = np.zeros(2), 50.0 * np.eye(2), np.array([[3.0, 1.0], [1.0, 6.0]])

    def prior(structure):
        return GaussianMixture(4, covariances=structure).filled(mean, covariance, within=within).covariances.prior

    assert prior(None).df == 4.0
    np.testing.assert_allclose(prior(None).scale, 2 / 3 * 4 * within)
    np.testing.assert_allclose(prior(Diagonal()).scale, 2 / 3 * 3 * np.array([3.0, 6.0]))
    np.testing.assert_allclose(prior(Spherical()).scale, [2 / 3 * 3 * 4.5])
    np.testing.assert_allclose(prior(LKJ()).scale.sigma, np.sqrt([3.0, 6.0]))


def test_defaults_for_evidence_are_the_same_for_every_number():
    mean, covariance = np.array([1.0, -2.0]), np.array([[4.0, 1.0], [1.0, 9.0]])
    for K in (1, 2, 6):
        model = GaussianMixture(K).filled(mean, covariance, for_evidence=True)
        assert model.weights == Dirichlet((1.0,) * K)
        assert model.means == ConjugateMeans(loc=mean, precision_scale=0.01)
        assert model.covariances.prior.df == 4.0
        np.testing.assert_allclose(model.covariances.prior.scale, covariance / 3)


def test_defaults_under_a_prior_on_the_number():
    mean, covariance = np.array([1.0, -2.0]), np.array([[4.0, 1.0], [1.0, 9.0]])
    declared = GaussianMixture(UniformComponents(7))
    model = declared.filled(mean, covariance, within=np.eye(2))
    assert model.means == ConjugateMeans(loc=mean, precision_scale=0.01)
    assert "cov(data) K^(-2/d)" in str(declared)
    assert "Sigma_k / 0.01" in str(declared)


def test_given_numbers_are_kept():
    mean, covariance = np.zeros(2), 100.0 * np.eye(2)
    model = GaussianMixture(2, means=NormalMeans(sigma=3.0), covariances=InverseWishart(df=9.0))
    filled_in = model.filled(mean, covariance)
    assert np.all(np.array(filled_in.means.sigma) == 3.0)
    assert filled_in.covariances.prior.df == 9.0
    np.testing.assert_allclose(filled_in.covariances.prior.scale, 50.0 * np.eye(2))
    assert model.means.mu is None


def test_scale_of_inverse_wishart_may_be_a_number_a_vector_or_a_matrix():
    def prior(scale, structure=Full):
        return GaussianMixture(1, covariances=structure(InverseWishart(5.0, scale))).filled(np.zeros(2), np.eye(2))

    assert prior(2.0) == prior([2.0, 2.0]) == prior(2.0 * np.eye(2))
    assert prior([2.0, 3.0], Diagonal) == prior(np.diag([2.0, 3.0]), Diagonal)
    assert prior(2.0, Diagonal) == prior([2.0, 2.0], Diagonal)
    assert prior(2.0, Spherical).covariances.prior.scale == (2.0,)


def test_the_first_components_have_the_priors_that_they_have_among_all():
    data = np.zeros(2), np.eye(2)
    means = NormalMeans(mu=np.arange(6.0).reshape(3, 2), sigma=1.0)
    filled = GaussianMixture(3, weights=Dirichlet([1.0, 2.0, 3.0]), means=means).filled(*data)
    first = filled.cut(2)
    assert first is not None
    assert first.n_components == 2
    assert first.means.mu == filled.means.mu[:2]
    assert first.keys() == filled.keys()[:2]
    spaced = GaussianMixture(3, means=FixedMeans(np.zeros((3, 2)))).filled(*data)
    assert spaced.cut(2) is None
