"""Proposition 2.1 of Mittal et al. (2023), for the parts that hold exactly.

At the last time x_T is independent of x0, so denoising with a code is an autoencoder.
With a useless code the loss is that of the best denoiser without it.
"""

from functools import partial

import pytest
import torch
from torch import nn

from diffrep.core.baseline_models import AutoencoderModel, MLPDecoder
from diffrep.core.encoders import Encoder, MLPBackbone
from diffrep.core.layers import init_weights
from diffrep.core.models import DiffusionModel
from diffrep.core.preconditioning import EDM, Plain
from diffrep.core.sde import VE, VP
from diffrep.core.spaces import DataSpace
from diffrep.core.time_sampling import SingleTime

SHAPE, N_COMPONENTS = (6,), 3


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=rng(seed), dtype=torch.float64)


def output_for(x0hat, shown, preconditioning, alpha, sigma):
    """Output of a score network whose estimate is `x0hat`."""
    if preconditioning is Plain:
        return (shown - alpha * x0hat) / sigma
    power = alpha**2 + sigma**2
    return (x0hat - alpha / power.sqrt() * shown) * power.sqrt() / sigma


class Ignorant(nn.Module):
    """Score network whose estimate of x0 is decoded from the code alone."""

    def __init__(self, shape, n_components, sde, preconditioning):
        super().__init__()
        self.decoder = MLPDecoder(n_components, shape)
        self.sde, self.preconditioning = sde, preconditioning

    def forward(self, shown, t, z):
        alpha, sigma = self.sde.alpha(t)[:, None], self.sde.sigma(t)[:, None]
        x0hat = self.decoder(z)
        return output_for(x0hat, shown, self.preconditioning, alpha, sigma)


def diffusion_model(sde, preconditioning, score_network, t=1.0):
    model = DiffusionModel(
        data_shape=SHAPE,
        n_components=N_COMPONENTS,
        encoder=partial(Encoder, MLPBackbone, (0.0, 1.0)),
        time_conditioned=True,
        times=SingleTime(sde, t),
        augment=None,
        space=DataSpace,
        score_network=score_network,
        preconditioning=preconditioning,
    ).double()
    init_weights(model, rng())
    return model


@pytest.mark.parametrize("sde", [VE(), VP()], ids=str)
@pytest.mark.parametrize("preconditioning", [EDM, Plain])
def test_model_at_the_last_time_is_an_autoencoder(sde, preconditioning):
    own = partial(Ignorant, sde=sde, preconditioning=preconditioning)
    model = diffusion_model(sde, preconditioning, own)
    autoencoder = AutoencoderModel(
        cross_entropy=False,
        data_shape=SHAPE,
        n_components=N_COMPONENTS,
        encoder=partial(Encoder, MLPBackbone, (0.0, 1.0)),
        time_conditioned=True,
        times=SingleTime(sde, 1.0),
        augment=None,
    ).double()
    autoencoder.encoder.load_state_dict(model.encoder.state_dict())
    autoencoder.decoder.load_state_dict(model.score_network.decoder.state_dict())
    x0 = randn(20, *SHAPE)
    loss = model(x0, x0, rng(1))["denoising"]
    expected = autoencoder(x0, x0, rng(1))["reconstruction"]
    # For VE and the paper's loss the factor is 1 / sigma_T^2.
    signal_to_noise = sde.noise_to_signal(torch.ones(1, dtype=torch.float64)) ** -2
    factor = float(signal_to_noise if preconditioning is Plain else 1 + signal_to_noise)
    ratio = float((loss / expected).detach())
    assert ratio == pytest.approx(factor, rel=1e-5)  # times are float32
    loss.backward()
    expected.backward()
    for parameter, other in zip(
        model.encoder.parameters(), autoencoder.encoder.parameters(), strict=True
    ):
        torch.testing.assert_close(
            parameter.grad, factor * other.grad, rtol=1e-5, atol=1e-9
        )


@pytest.mark.parametrize("t", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("preconditioning", [EDM, Plain])
@pytest.mark.parametrize("precision", [0.0, 2.0, float("inf")])
def test_loss_of_the_best_denoiser_decreases_with_information(
    precision, preconditioning, t
):
    # White Gaussian x0, a code z = x0 + noise of this precision (0: no code; inf:
    # x0 itself): the posterior of x0 has precision 1 + gamma + that of the code.
    sde = VE()
    model = diffusion_model(sde, preconditioning, Told)
    n = 100_000
    x0, eps, noise = (randn(n, *SHAPE, seed=seed) for seed in (1, 2, 3))
    t = torch.full((n,), t, dtype=torch.float64)
    sigma = sde.sigma(t)[:, None]
    gamma = sigma**-2
    x_t = x0 + sigma * eps
    z = x0 if precision == float("inf") else x0 + noise / max(precision, 1e-9) ** 0.5
    weight = min(precision, 1e12)
    posterior = (gamma * x_t + weight * z) / (1 + gamma + weight)
    shown = preconditioning.network_input(x_t, torch.ones_like(sigma), sigma)
    model.score_network.answer = output_for(
        posterior, shown, preconditioning, torch.ones_like(sigma), sigma
    )
    error = model.denoising_error(x0, eps, t, z[:, :N_COMPONENTS]).mean()
    mmse = 1 / (1 + gamma[0] + weight)
    loss_weight = gamma[0] if preconditioning is Plain else 1 + gamma[0]
    assert float(error) == pytest.approx(float(loss_weight * mmse), rel=0.01, abs=1e-6)


class Told(nn.Module):
    """Score network that returns a given output."""

    def __init__(self, shape, n_components):
        super().__init__()

    def forward(self, shown, t, z):
        return self.answer
