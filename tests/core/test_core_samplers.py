"""Samplers for data with a known denoiser: marginals, order, modes."""

import math
from functools import partial
from itertools import pairwise

import pytest
import torch

from diffrep.core.models import DiffusionModel
from diffrep.core.preconditioning import EDM, Plain
from diffrep.core.samplers import (
    SAMPLERS,
    descend,
    noise_levels,
    predictor_corrector_step,
    probability_flow_step,
    reverse_sde_step,
)
from diffrep.core.sde import VE, VP, SubVP
from diffrep.core.time_sampling import Uniform

VARIANCES = torch.tensor([4.0, 1.0, 0.25, 0.01])
MEAN = torch.tensor([1.0, 0.0, -1.0, 0.0])
N = 20_000


def gaussian(y, nu):
    """Best estimate of Gaussian x0 from ``y = x0 + nu eps``."""
    return (VARIANCES * y + nu**2 * MEAN) / (VARIANCES + nu**2)


def drawing(seed=0, shape=(N, 4)):
    return partial(torch.randn, shape, generator=torch.Generator().manual_seed(seed))


def descended(step, levels, denoise=gaussian, draw=None):
    draw = draw or drawing()
    return descend(step, denoise, levels[0] * draw() + MEAN, levels, draw)


def variance_error(found, variances):
    return (found.var(0) / variances - 1).abs().max()


def test_noise_levels_decrease_to_zero():
    levels = noise_levels(50.0, 0.01, 30)
    assert len(levels) == 31
    assert levels[0] == pytest.approx(50)
    assert levels[-2] == pytest.approx(0.01)
    assert levels[-1] == 0
    assert all(a > b for a, b in pairwise(levels))


@pytest.mark.parametrize("name", SAMPLERS)
def test_samples_have_mean_and_variance_of_the_data(name):
    found = descended(SAMPLERS[name], noise_levels(50.0, 0.01, 60))
    # 1 / (1 - snr^2): increase of the variance by a Langevin step of this size
    bound = 0.06 if name == "predictor_corrector" else 0.035
    assert variance_error(found, VARIANCES) < bound
    assert ((found.mean(0) - MEAN).abs() < 0.04 * VARIANCES.sqrt() + 0.005).all()


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("nu", [3.0, 0.5])
def test_intermediate_marginals_equal_those_of_the_process(name, nu):
    # Fokker-Planck: at every level the density is that of x0 + nu eps.
    levels = noise_levels(50.0, nu, 200)[:-1]
    found = descended(SAMPLERS[name], levels)
    assert variance_error(found, VARIANCES + nu**2) < 0.05


def test_corrected_noise_needs_fewer_steps():
    def euler_maruyama(denoise, y, nu, lower, draw):
        v = nu**2 - lower**2
        y = y + v / nu**2 * (denoise(y, nu) - y)
        return y if lower == 0 else y + math.sqrt(v) * draw()

    few = descended(reverse_sde_step, noise_levels(50.0, 0.01, 20))
    many = descended(euler_maruyama, noise_levels(50.0, 0.01, 300))
    assert variance_error(few, VARIANCES) < variance_error(many, VARIANCES)


@pytest.mark.parametrize("sde", [VP(), SubVP()], ids=str)
def test_reverse_sde_agrees_with_euler_maruyama(sde):
    """The same marginals as ``dx = (f - g^2 score) dt + g dw`` in x and t."""
    draw, x = drawing(1), drawing(0)()
    times = torch.linspace(1, sde.t_min, 1500)
    for t, dt in zip(times[:-1], -times.diff(), strict=True):
        alpha, sigma = sde.alpha(t), sde.sigma(t)
        x0hat = gaussian(x / alpha, sigma / alpha)
        score = (alpha * x0hat - x) / sigma**2
        g = sde.diffusion(t)
        reverse_drift = sde.drift(x, t.expand(N)) - g**2 * score
        x = x - reverse_drift * dt + g * dt.sqrt() * draw()
    ends = sde.noise_to_signal(torch.tensor([1.0, sde.t_min]))
    found = descended(reverse_sde_step, noise_levels(*ends.tolist(), 60))
    assert variance_error(found[:, :3], x.var(0)[:3]) < 0.06
    assert ((found.mean(0) - x.mean(0)).abs() < 0.05 * VARIANCES.sqrt() + 0.01).all()


def test_probability_flow_is_a_linear_map_of_second_order():
    def error(n_steps):
        y = drawing(3, (50, 4))()
        high, low = 20.0, 0.1
        levels = noise_levels(high, low, n_steps)[:-1]
        found = descend(probability_flow_step, gaussian, MEAN + high * y, levels, None)
        ratio = ((VARIANCES + low**2) / (VARIANCES + high**2)).sqrt()
        return (found - MEAN - ratio * high * y).abs().max()

    errors = [error(n) for n in (40, 80, 160)]
    assert errors[-1] < 2e-3
    for coarse, fine in pairwise(errors):
        assert 3 < coarse / fine < 5.5


@pytest.mark.parametrize("name", SAMPLERS)
def test_modes_are_sampled_in_proportion(name):
    # x0 is 1 with probability 0.7, else -1.
    def denoise(y, nu):
        return torch.tanh(y / nu**2 + math.log(0.7 / 0.3) / 2)

    found = descended(SAMPLERS[name], noise_levels(50.0, 0.01, 60), denoise)
    torch.testing.assert_close(found.abs(), torch.ones_like(found), atol=1e-3, rtol=0)
    assert (found > 0).float().mean() == pytest.approx(0.7, abs=0.02)


def test_last_predictor_step_has_no_corrector():
    y = drawing(4)()
    for step in (reverse_sde_step, predictor_corrector_step, probability_flow_step):
        found = step(gaussian, y, 0.3, 0.0, None)
        torch.testing.assert_close(found, gaussian(y, 0.3))


class Oracle(torch.nn.Module):
    """Optimal score network for data from N(0, variance)."""

    def __init__(self, sde, preconditioning, variance):
        super().__init__()
        self.sde, self.preconditioning, self.variance = sde, preconditioning, variance

    def forward(self, shown, t, z):
        alpha, sigma = self.sde.alpha(t)[:, None], self.sde.sigma(t)[:, None]
        power = alpha**2 + sigma**2
        x_t = shown if self.preconditioning is Plain else shown * power.sqrt()
        # A code above 0 shifts x0 by 3.
        mean = torch.where(z > 0, 3.0, 0.0)
        x0hat = mean + alpha * self.variance * (x_t - alpha * mean) / (
            alpha**2 * self.variance + sigma**2
        )
        eps = (x_t - alpha * x0hat) / sigma
        return self.preconditioning.target(x0hat, eps, alpha, sigma)


class NoSpace(torch.nn.Module):
    shape = (2,)


def model_of(sde, preconditioning, variance=2.0):
    return DiffusionModel(
        space=lambda data_shape: NoSpace(),
        score_network=lambda *shapes: Oracle(sde, preconditioning, variance),
        preconditioning=preconditioning,
        code_dropout=0.5,
        data_shape=(2,),
        n_components=1,
        encoder=lambda *arguments: torch.nn.Identity(),
        time_conditioned=False,
        times=Uniform(sde),
        augment=None,
    )


@pytest.mark.parametrize("preconditioning", [EDM, Plain])
@pytest.mark.parametrize("sde", [VE(), VP(), SubVP()], ids=str)
@pytest.mark.parametrize("guidance", [0.0, 1.0, 2.0])
def test_samples_do_not_depend_on_process_and_preconditioning(
    sde, preconditioning, guidance
):
    model = model_of(sde, preconditioning)
    z = torch.ones(N, 1)
    ends = sde.noise_to_signal(torch.tensor([1.0, sde.t_min])).tolist()

    def denoise(y, nu):
        return model.estimate(y, model.time_of(nu), z, guidance)

    draw, levels = drawing(5, (N, 2)), noise_levels(*ends, 60)
    with torch.no_grad():
        found = descend(
            reverse_sde_step, denoise, levels[0] * draw() + 3 * guidance, levels, draw
        )
    # The estimate is linear in the mean, and so is the effect of guidance.
    assert (found.mean(0) - 3 * guidance).abs().max() < 0.06
    assert variance_error(found, torch.tensor([2.0, 2.0])) < 0.04
