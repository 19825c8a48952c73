"""Encoders, score networks and models."""

from functools import partial

import pytest
import torch
from torch import nn

from diffrep.core.closed_form import ViewedRows
from diffrep.core.codes import GaussianCode, PointCode
from diffrep.core.encoders import (
    ConvBackbone,
    Encoder,
    MLPBackbone,
    WideResNetBackbone,
)
from diffrep.core.layers import (
    Conv2d,
    Linear,
    init_weights,
    linear,
)
from diffrep.core.models import DiffusionModel
from diffrep.core.preconditioning import EDM
from diffrep.core.score_networks import MLPScoreNetwork, UNet
from diffrep.core.sde import VE
from diffrep.core.spaces import DataSpace, PrincipalSpace
from diffrep.core.time_sampling import Uniform

BACKBONES = [MLPBackbone, ConvBackbone, partial(WideResNetBackbone, n_blocks=1)]
SPAN = (0.0, 1.0)
MLP_ENCODER = partial(Encoder, MLPBackbone, SPAN)
IMAGE = (3, 8, 8)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def make(
    code=PointCode(0.01),
    encoder=MLP_ENCODER,
    score_network=MLPScoreNetwork,
    time_conditioned=True,
    shape=IMAGE,
    code_dropout=0.3,
):
    sde = VE()
    built = DiffusionModel(
        data_shape=shape,
        n_components=5,
        encoder=encoder,
        space=DataSpace,
        score_network=score_network,
        time_conditioned=time_conditioned,
        preconditioning=EDM,
        times=Uniform(sde),
        augment=None,
        code_dropout=code_dropout,
        code=code,
    )
    init_weights(built, rng())
    return built


def gradients(model, n=16):
    x = torch.randn(n, *model.data_shape, generator=rng(1))
    sum(model(x, x, rng(2)).values()).backward()
    return {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.parametrize("code", [PointCode(0.01), GaussianCode(0.01)], ids=repr)
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("time_conditioned", [False, True])
@pytest.mark.parametrize("score_network", [MLPScoreNetwork, UNet])
def test_all_parameters_receive_a_gradient(
    code, backbone, time_conditioned, score_network
):
    built = make(
        code, partial(Encoder, backbone, SPAN), score_network, time_conditioned
    )
    for name, gradient in gradients(built).items():
        assert gradient is not None, name
        assert gradient.isfinite().all(), name
        assert gradient.abs().max() > 0, name


def test_dropped_codes_do_not_train_the_encoder():
    model = make(PointCode(), code_dropout=1.0)  # the penalty applies to every code
    dropped = gradients(model)
    for name, gradient in dropped.items():
        if name.startswith("encoder"):
            assert gradient.abs().max() == 0, name
    assert dropped["null_code"].abs().max() > 0
    assert gradients(make(code_dropout=0.0))["null_code"].abs().max() == 0


@pytest.mark.parametrize("backbone", BACKBONES)
def test_times_beyond_the_training_times_are_clipped(backbone):
    encoder = make(encoder=partial(Encoder, backbone, (0.2, 0.7))).encoder
    x = torch.randn(6, *IMAGE, generator=rng(1))
    codes = [encoder(x, torch.full((6,), t)) for t in (0.0, 0.2, 0.5, 0.7, 1.0)]
    assert torch.equal(codes[0], codes[1])
    assert torch.equal(codes[3], codes[4])
    assert not torch.allclose(codes[1], codes[2], atol=1e-4)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_time_is_an_input_of_every_stage(backbone):
    encoder = make(encoder=partial(Encoder, backbone, SPAN)).encoder
    x = torch.randn(6, *IMAGE, generator=rng(1))
    early, late = (torch.randn(6, 64, generator=rng(seed)) for seed in (2, 3))
    for one, other in zip(
        encoder.backbone(x, early), encoder.backbone(x, late), strict=True
    ):
        assert not torch.allclose(one, other, atol=1e-4)


def test_curve_stacks_single_codes():
    model = make(encoder=partial(Encoder, ConvBackbone, SPAN))
    x, times = torch.randn(4, *IMAGE, generator=rng(1)), torch.tensor([0.1, 0.5, 0.9])
    curve = model.curve(x, times)
    assert curve.shape == (4, 3, 5)
    for i, t in enumerate(times):
        torch.testing.assert_close(curve[:, i], model.encoder(x, t.expand(4)))
    assert (curve[:, 0] - curve[:, 2]).abs().max() > 1e-3


def test_variational_code_is_the_mean():
    model = make(GaussianCode(0.01), time_conditioned=False)
    x = torch.randn(20_000, *IMAGE, generator=rng(1))[:1].expand(20_000, *IMAGE)
    t = torch.full((20_000,), 0.5)
    z, _ = model.code.draw(model.outputs(x, t), rng(3), 1)
    mean = model.curve(x[:1], t[:1])[0, 0]
    log_variance = model.outputs(x[:1], t[:1])[0, 5:]
    torch.testing.assert_close(z.mean(0), mean, atol=0.03, rtol=0)
    torch.testing.assert_close(z.var(0), log_variance.exp(), rtol=0.05, atol=0)


@pytest.mark.parametrize("shape", [(1, 5, 7), (3, 11, 9), (1, 8, 8), (1, 3, 3)])
@pytest.mark.parametrize("score_network", [MLPScoreNetwork, UNet])
def test_images_with_odd_sides(shape, score_network):
    encoder = partial(Encoder, ConvBackbone, SPAN)
    model = make(encoder=encoder, score_network=score_network, shape=shape)
    x = torch.randn(2, *shape, generator=rng(1))
    model.check_shapes(x)
    assert torch.isfinite(model(x, x, rng())["denoising"])


def test_initial_weights_depend_on_the_generator_only():
    state = torch.get_rng_state()
    one, same = make(), make()
    other = make()
    init_weights(other, rng(1))
    assert torch.equal(torch.get_rng_state(), state)
    pairs = zip(one.parameters(), same.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    weight = one.score_network.input.weight
    assert not torch.equal(weight, other.score_network.input.weight)
    bound = weight.shape[1] ** -0.5
    assert 0.95 * bound < weight.abs().max() <= bound


@pytest.mark.parametrize(
    ("layer", "fan_in"), [(Linear(50, 400), 50), (Conv2d(6, 400, 3), 54)]
)
def test_initial_weights_are_uniform_within_the_fan_in(layer, fan_in):
    init_weights(layer, rng())
    for drawn in (layer.weight, layer.bias):
        scaled = drawn.detach() * fan_in**0.5
        assert 0.97 < scaled.abs().max() <= 1
        assert scaled.std() == pytest.approx(3**-0.5, rel=0.08)


def test_only_the_encoder_receives_the_view():
    model = make()
    x = torch.randn(16, *IMAGE, generator=rng(1))
    plain, blind = model(x, x, rng(2)), model(x, 0 * x, rng(2))
    model.augment = lambda x, generator: 0 * x
    assert model(x, x, rng(2)) == blind != plain


class Narrow(nn.Module):
    def __init__(self, *arguments):
        super().__init__()

    def forward(self, x, *arguments):
        return x.flatten(1)[:, :2]


@pytest.mark.parametrize("name", ["encoder", "score_network"])
def test_error_names_the_network_with_a_wrong_output(name):
    model = make(**{name: Narrow})
    x = torch.zeros(2, *IMAGE)
    with pytest.raises(ValueError, match=rf"{name} Narrow.*\(2, 2\).*expected \(2, "):
        model.check_shapes(x)


def test_kl_is_a_mean_over_coordinates():
    model = make(GaussianCode(0.01), shape=(300,), time_conditioned=False)
    model.space = PrincipalSpace((300,))
    model.score_network = MLPScoreNetwork(model.space.shape, 5)
    init_weights(model, rng())
    x = torch.randn(8, 300, generator=rng(1))
    mean, log_variance = model.encoder(x).chunk(2, dim=1)
    posterior = torch.distributions.Normal(mean, (log_variance / 2).exp())
    prior = torch.distributions.Normal(0.0, 1.0)
    kl = torch.distributions.kl_divergence(posterior, prior).sum(1).mean()
    loss = model(model.space(x), x, rng(2))["kl"]
    assert loss.item() == pytest.approx(0.01 * kl.item() / 128)


@pytest.mark.parametrize("n_features", [3, 40])
def test_all_components_learn_from_the_first_step(n_features):
    # also those that start at zero
    X = torch.randn(50, n_features, generator=rng())
    encoder = Encoder(MLPBackbone, SPAN, (n_features,), 5, time_conditioned=False)
    init_weights(encoder, rng())
    encoder.initialize(ViewedRows.drawn(X, None, rng()))
    target = torch.randn(50, 5, generator=rng(1))
    (encoder(X) - target).square().sum().backward()
    assert (encoder.outputs[0].weight.grad.abs().amax(1) > 0).all()


@pytest.mark.parametrize("n_outputs", range(1, 34))
def test_rounding_does_not_depend_on_the_position_of_a_row(n_outputs, rounding):
    draws = torch.Generator().manual_seed(0)
    for n_inputs in (1, 4, 5, 7, 8, 9, 13, 21, 30, 64, 101):
        x = torch.randn(256, n_inputs, generator=draws)
        W = torch.randn(n_outputs, n_inputs, generator=draws)
        b = torch.randn(n_outputs, generator=draws)
        order = torch.randperm(256, generator=draws)
        y, moved = linear(x, W, b), linear(x[order], W, b)
        torch.testing.assert_close(y, torch.nn.functional.linear(x, W, b))
        torch.testing.assert_close(moved, y[order], rtol=0, atol=10 * rounding)
