"""Which R-hat speaks against chains."""

import numpy as np
import pytest

from bayesgmm.engines._modes import most_r_hat, worst_r_hat


def autocorrelated(rng, n_draws, phi=0.4, n_quantities=11):
    """Stationary chains (4, draws, quantities) whose draws are worth .43 independent ones."""
    noise = rng.normal(size=(4, n_draws, n_quantities))
    out = noise.copy()
    for s in range(1, n_draws):
        out[:, s] = phi * out[:, s - 1] + np.sqrt(1 - phi**2) * noise[:, s]
    return out


@pytest.mark.fit
@pytest.mark.parametrize("n_draws", [100, 500, 1000])
def test_good_chains_hardly_ever_exceed_it_and_others_do(n_draws):
    rng = np.random.default_rng(n_draws)
    good = [autocorrelated(rng, n_draws) for _ in range(60)]
    assert sum(worst_r_hat(each) > most_r_hat(n_draws) for each in good) <= 2
    # One chain of four that is off by six standard errors of its mean.
    off = 6.0 / np.sqrt(0.43 * n_draws) * (np.arange(4) == 0)[:, None, None]
    assert sum(worst_r_hat(each + off) > most_r_hat(n_draws) for each in good) >= 50


def test_many_draws_are_held_to_the_usual_limit():
    assert most_r_hat(1000) == most_r_hat(100_000) == 1.01
    assert most_r_hat(400) == pytest.approx(1.02)
