"""Losses of the baselines, compared with formulas."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from diffrep.core.baseline_models import (
    AutoencoderModel,
    ContrastiveModel,
)
from diffrep.core.closed_form import ViewedRows
from diffrep.core.codes import GaussianCode
from diffrep.core.encoders import Encoder, MLPBackbone
from diffrep.core.layers import init_weights
from diffrep.core.objectives import contrastive_loss
from diffrep.core.sde import VE
from diffrep.core.time_sampling import Uniform


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=rng(seed))


def make(model, shape=(6,), time_conditioned=False, augment=None, **own):
    built = model(
        data_shape=shape,
        n_components=3,
        encoder=partial(Encoder, MLPBackbone, (0.0, 1.0)),
        time_conditioned=time_conditioned,
        times=Uniform(VE()),
        augment=augment,
        **own,
    )
    init_weights(built, rng())
    return built


def nt_xent(first, second, temperature):
    views = [*first.double().numpy(), *second.double().numpy()]
    n = len(first)

    def cosine(i, j):
        norms = np.linalg.norm(views[i]) * np.linalg.norm(views[j])
        return views[i] @ views[j] / norms

    losses = []
    for i in range(2 * n):
        other = i + n if i < n else i - n
        weights = {
            j: math.exp(cosine(i, j) / temperature) for j in range(2 * n) if j != i
        }
        losses.append(-math.log(weights[other] / sum(weights.values())))
    return losses


@pytest.mark.parametrize("temperature", [0.1, 0.5, 3.0])
def test_contrastive_loss_equals_its_formula(temperature):
    first = randn(7, 4)
    second = first + randn(7, 4, seed=1)
    found = contrastive_loss(first, second, temperature)
    expected = nt_xent(first, second, temperature)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    swapped = contrastive_loss(second, first, temperature)
    torch.testing.assert_close(swapped, found.roll(7))
    longer = contrastive_loss(5 * first, second, temperature)
    torch.testing.assert_close(longer, found)  # only directions matter


def test_extremes_of_the_contrastive_loss():
    alike = torch.ones(9, 3)
    expected = torch.full((18,), math.log(17))
    torch.testing.assert_close(contrastive_loss(alike, alike, 0.2), expected)
    apart = torch.eye(9)
    expected = torch.full((18,), math.log1p(16 * math.exp(-1 / 0.2)))
    torch.testing.assert_close(contrastive_loss(apart, apart, 0.2), expected)
    assert contrastive_loss(apart, apart, 0.05).max() < 1e-6


def test_simclr_projects_two_views():
    drawn = []

    def view(x, generator):
        drawn.append(torch.randn(x.shape, generator=generator))
        return x + drawn[-1]

    model = make(ContrastiveModel, augment=view, temperature=0.3)
    x = randn(8, 6)
    loss = model(x, x, rng(5))["contrastive"]
    first, second = (model.projection(model.encoder(x + noise)) for noise in drawn)
    assert not torch.equal(first, second)
    expected = np.mean(nt_xent(first.detach(), second.detach(), 0.3))
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_simclr_uses_one_time_for_both_views():
    model = make(
        ContrastiveModel, temperature=0.3, time_conditioned=True, augment=lambda x, _: x
    )
    seen = []
    model.encoder.register_forward_hook(lambda _, given, out: seen.append(given[1]))
    x = randn(8, 6)
    model(x, x, rng())
    first, second = seen
    assert torch.equal(first, second)
    assert len(first.unique()) == 8


def test_autoencoder_reconstructs_the_row_from_a_view():
    model = make(AutoencoderModel, cross_entropy=False)
    x = randn(8, 6)
    reconstruction = model.decoder(model.encoder(x))
    expected = (reconstruction - x).square().mean()
    torch.testing.assert_close(model(x, x, rng())["reconstruction"], expected)
    model.augment = lambda x, generator: 0 * x
    reconstruction = model.decoder(model.encoder(0 * x))
    expected = (reconstruction - x).square().mean()
    torch.testing.assert_close(model(x, x, rng())["reconstruction"], expected)


@pytest.mark.parametrize("shape", [(6,), (2, 3, 4)])
def test_cross_entropy_of_a_constant_decoder_is_the_entropy(shape):
    model = make(AutoencoderModel, shape, cross_entropy=True)
    share = 0.1 + 0.8 * torch.rand(shape, generator=rng(1))
    bits = (torch.rand(500, *shape, generator=rng(2)) < share).float()
    x = 3 * bits - 1  # any two values
    model.initialize(ViewedRows.drawn(x, None, rng()))
    share = bits.mean(0)
    with torch.no_grad():
        model.decoder.output.weight.zero_()
        model.decoder.output.bias.copy_(share.logit().flatten())
        loss = model(x, x, rng())["reconstruction"]
    entropy = -(share * share.log() + (1 - share) * (1 - share).log()).mean()
    torch.testing.assert_close(loss, entropy)


def test_targets_of_cross_entropy_are_scaled_to_their_range():
    for shape, axes in [((6,), 0), ((2, 3, 4), (0, 2, 3))]:
        x = randn(30, *shape)
        x[:, 0] *= 7
        model = make(AutoencoderModel, shape, cross_entropy=True)
        model.initialize(ViewedRows.drawn(x, None, rng()))
        low = x.numpy().min(axes, keepdims=True)[0]
        high = x.numpy().max(axes, keepdims=True)[0]
        z = randn(30, 3)
        # targets beyond the initial range are clipped
        for scale in (1, 3):
            target = ((scale * x.numpy() - low) / (high - low)).clip(0, 1)
            p = model.decoder(z).sigmoid().detach().numpy().astype(float)
            by_hand = -(target * np.log(p) + (1 - target) * np.log(1 - p))
            found = model.reconstruction_error(scale * x, z)
            expected = by_hand.reshape(30, -1).mean(1)
            np.testing.assert_allclose(found.detach(), expected, rtol=1e-4)


def test_constant_features_have_a_target():
    x = randn(30, 6)
    x[:, 2] = 4.0
    model = make(AutoencoderModel, cross_entropy=True)
    model.initialize(ViewedRows.drawn(x, None, rng()))
    assert model.reconstruction_error(x, randn(30, 3)).isfinite().all()


@pytest.mark.parametrize("time_conditioned", [False, True])
@pytest.mark.parametrize("cross_entropy", [False, True])
def test_vae_loss_is_the_negative_elbo(cross_entropy, time_conditioned):
    n_features = 6
    model = make(
        AutoencoderModel,
        time_conditioned=time_conditioned,
        cross_entropy=cross_entropy,
        code=GaussianCode(1 if cross_entropy else 2),  # that of kl_weight=1
    )
    x = randn(40, n_features)
    model.initialize(ViewedRows.drawn(x, None, rng()))
    calls = {}

    def record(name, network):
        network.register_forward_hook(
            lambda _, given, out: calls.update({name: (given, out)})
        )

    record("encoder", model.encoder)
    record("decoder", model.decoder)
    loss = sum(model(x, x, rng(3)).values())
    mean, log_variance = calls["encoder"][1].chunk(2, dim=1)
    (z,), output = calls["decoder"]
    if cross_entropy:
        x = (x - x.amin(0)) / (x.amax(0) - x.amin(0))
        # torch's Bernoulli accepts shares as outcomes if its checks are off
        likelihood = Bernoulli(logits=output, validate_args=False)
    else:
        likelihood = Normal(output, 1.0)
    code, prior = Normal(mean, (log_variance / 2).exp()), Normal(0 * mean, 1.0)
    divergence = kl_divergence(Independent(code, 1), Independent(prior, 1))
    elbo = (likelihood.log_prob(x).sum(1) - divergence).mean()
    constant = 0 if cross_entropy else n_features / 2 * math.log(2 * math.pi)
    scale = n_features if cross_entropy else n_features / 2
    torch.testing.assert_close(scale * loss + constant, -elbo)
    assert not torch.equal(z, mean)


def test_decoded_code_is_drawn_around_the_mean():
    model = make(AutoencoderModel, cross_entropy=False, code=GaussianCode())
    x = randn(20_000, 6)
    mean, log_variance = model.outputs(x, None).chunk(2, dim=1)
    z, _ = model.code.draw(model.outputs(x, None), rng(4), 1)
    draws = (z - mean) / (log_variance / 2).exp()
    torch.testing.assert_close(draws.mean(0), torch.zeros(3), atol=0.03, rtol=0)
    torch.testing.assert_close(draws.std(0), torch.ones(3), atol=0.03, rtol=0)
    assert torch.equal(
        model.curve(x[:5], torch.zeros(1))[:, 0], model.outputs(x[:5], None)[:, :3]
    )
