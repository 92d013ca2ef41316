"""What is said of chains that have not mixed."""

import numpy as np
import pytest

from bayesgmm.engines._mixing import unmixed


def chains(seed, n_draws=1000, phi=0.4, n_chains=4, n_quantities=11):
    """lp (chains, draws) and invariants (chains, draws, M) of stationary chains, neighbours correlated by phi."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(n_chains, n_draws, n_quantities))
    out = noise.copy()
    for s in range(1, n_draws):
        out[:, s] = phi * out[:, s - 1] + np.sqrt(1 - phi**2) * noise[:, s]
    return out[..., 0], out[..., 1:]


@pytest.mark.parametrize(("n_draws", "n_chains"), [(1000, 4), (500, 4), (100, 4), (1000, 1)])
def test_nothing_is_said_of_good_chains(n_draws, n_chains):
    said = [unmixed(*chains(seed, n_draws, n_chains=n_chains)) for seed in range(20)]
    assert sum(map(bool, said)) <= 1


def test_each_criterion_is_named_with_its_value_and_limit():
    lp, invariants = chains(1)
    invariants[0, :, 3] += 0.5
    (said,) = unmixed(lp, invariants)
    assert said.startswith("R-hat of the log density at some rows is 1.0")
    assert said.endswith(", above 1.01")

    lp, invariants = chains(2)
    slow = chains(3, phi=0.995)[0]
    said = unmixed(lp, invariants, {"the number of components": slow})
    assert len(said) == 2
    assert all("the number of components" in each for each in said)
    assert said[1].endswith("fewer than 400")


def test_draws_that_hang_together_are_too_few_though_r_hat_is_good():
    lp, invariants = chains(4)
    wave = 2.0 * np.sin(np.arange(1000) * 2 * np.pi / 100)  # the same in all chains and in their halves
    (said,) = unmixed(lp + wave, invariants)
    assert said.startswith("the draws of the log density (lp) are worth ")
    assert said.endswith(" independent ones, fewer than 400")


def test_few_draws_are_held_to_a_share_of_them():
    lp, invariants = chains(5, n_draws=60, phi=0.9, n_chains=2)
    assert any("fewer than 12" in each for each in unmixed(lp, invariants))
    (said,) = unmixed(*chains(6, n_draws=3))
    assert "3 draws of each chain" in said
    (said,) = unmixed(*chains(6, n_draws=7, n_chains=1))
    assert "fewer than the 8" in said


def test_what_stands_still_is_known_if_it_is_the_same_in_all_chains():
    lp, invariants = chains(7)
    assert unmixed(lp, invariants, {"the number of components": np.full(lp.shape, 3)}) == []
    stuck = np.array([3, 3, 3, 4])[:, None] * np.ones_like(lp)
    said = unmixed(lp, invariants, {"the number of components": stuck})
    assert said[0] == "R-hat of the number of components is above 100 (at most 1.01 is wanted)"
