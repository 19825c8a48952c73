"""Densities of the training times, compared with closed forms."""

import numpy as np
import pytest
import scipy.stats
import torch

from diffrep._parts import weighted
from diffrep.core.preconditioning import LOSS_WEIGHTINGS
from diffrep.core.sde import VE, VP, SubVP
from diffrep.core.time_sampling import (
    HighNoise,
    LogNormal,
    Quantiles,
    SingleTime,
    Uniform,
    stratified,
)

U = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000


def test_high_noise_draws_sigma_uniformly():
    # P(t > .5), ... for sigma ~ U[0.01, 50]
    t = HighNoise(VE()).ppf(U)
    shares = [float((t > bound).double().mean()) for bound in (0.5, 0.6, 0.7, 0.8, 0.9)]
    assert shares == pytest.approx([0.986, 0.967, 0.923, 0.818, 0.573], abs=6e-4)


@pytest.mark.parametrize("sde", [VE(), VP(), SubVP()], ids=str)
def test_log_normal_is_a_truncated_normal(sde):
    t = LogNormal(sde, mean=0.3, std=1.5).ppf(U)
    ends = torch.tensor([sde.t_min, 1.0], dtype=torch.float64)
    low, high = (sde.noise_to_signal(ends).log().numpy() - 0.3) / 1.5
    expected = scipy.stats.truncnorm(low, high, 0.3, 1.5).ppf(U.numpy())
    found = sde.noise_to_signal(t).log().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_other_densities_have_their_quantiles():
    beta = scipy.stats.beta(3, 1)
    np.testing.assert_allclose(Quantiles(VE(), beta).ppf(U), beta.ppf(U))
    torch.testing.assert_close(Uniform(VP()).ppf(U), 1e-3 + U * (1 - 1e-3))
    assert set(SingleTime(VE(), 0.3).ppf(U).tolist()) == {0.3}
    assert set(SingleTime(VP(), 0.0).ppf(U).tolist()) == {1e-3}
    early = Quantiles(VP(), scipy.stats.beta(1, 50)).ppf(U)
    assert (early.min(), (early.diff() >= 0).all()) == (1e-3, True)


@pytest.mark.parametrize("low", [-0.1, 0.1, np.nan])
def test_quantiles_outside_the_range_of_t_are_rejected(low):
    with pytest.raises(ValueError, match=r"gave times from .* into \[0, 1\]"):
        Quantiles(VE(), scipy.stats.uniform(low, 1)).ppf(U)


@pytest.mark.parametrize("sde", [VE(), VP(), SubVP()], ids=str)
@pytest.mark.parametrize("density", [Uniform, HighNoise, LogNormal])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_times_increase_within_the_range(sde, density, dtype):
    u = torch.linspace(0, 1, 1001, dtype=dtype)
    t = density(sde).ppf(u)
    assert t.dtype == dtype
    assert (t.diff() >= 0).all()
    assert t.min() >= np.float32(sde.t_min) * (1 - 1e-6)
    assert t.max() <= 1


def test_one_draw_in_each_stratum():
    u = stratified(1000, torch.Generator().manual_seed(0))
    assert (u * 1000).floor().tolist() == list(range(1000))
    within = (u.double() * 1000 % 1).numpy()
    assert scipy.stats.kstest(within, "uniform").pvalue > 0.01


@pytest.mark.parametrize("sde", [VE(), VP(), SubVP(), VE(sigma_max=5.0)], ids=str)
@pytest.mark.parametrize("density", [Uniform, HighNoise, LogNormal])
@pytest.mark.parametrize(("of", "over"), [("eps", "edm"), ("edm", "eps")])
def test_importance_sampling_equals_weighting(sde, density, of, over):
    times = density(sde)
    drawn = weighted(times, of, over)
    gamma = sde.noise_to_signal(times.ppf(U)) ** -2
    weight = LOSS_WEIGHTINGS[of](gamma) / LOSS_WEIGHTINGS[over](gamma)
    assert drawn.mean_weight == pytest.approx(float(weight.mean()), rel=0.02)
    for loss in (lambda t: t, lambda t: (7 * t).sin() ** 2, lambda t: (t < 0.4) * 1.0):
        expected = float((weight * loss(times.ppf(U))).mean())
        found = drawn.mean_weight * float(loss(drawn.ppf(U)).double().mean())
        assert found == pytest.approx(expected, rel=0.02, abs=2e-3 * drawn.mean_weight)


def test_weight_of_a_single_time_is_constant():
    drawn = weighted(SingleTime(VE(), 0.5), "eps", "edm")
    assert set(drawn.ppf(U).tolist()) == {0.5}
    sigma = float(VE().sigma(torch.tensor(0.5)))
    assert drawn.mean_weight == pytest.approx(1 / (1 + sigma**2))


def test_equal_weights_have_no_effect():
    times = LogNormal(VP())
    assert weighted(times, "edm", "edm") is times
