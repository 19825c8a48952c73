"""Sizes of built-in networks, and the encoder "deep_conv"."""

import numpy as np
import pytest
import torch

from diffrep import DiffusionRepresentation
from diffrep.core.closed_form import ViewedRows
from diffrep.core.spaces import FeatureSpace

X = np.random.default_rng(0).normal(size=(48, 64)).cumsum(axis=1)
QUICK = {"max_epochs": 0, "random_state": 0}
NETWORKS = {
    "mlp": {"encoder": "mlp"},
    "conv": {"image_shape": (1, 8, 8)},
    "deep_conv": {"image_shape": (1, 8, 8), "encoder": "deep_conv"},
    "windows": {"signal_shape": (1, 64)},
    "unet": {"image_shape": (1, 8, 8), "score_network": "unet"},
}


def n_weights(module):
    return sum(weight.numel() for weight in module.parameters())


def fitted(**parameters):
    return DiffusionRepresentation(4, **QUICK | parameters).fit(X)


@pytest.mark.parametrize("networks", NETWORKS.values(), ids=NETWORKS)
def test_weights_grow_with_the_size(networks):
    models = [
        fitted(network_size=size, **networks).net_.module_
        for size in ("small", "base", "large")
    ]
    for part in ("encoder", "score_network"):
        small, base, large = (n_weights(getattr(model, part)) for model in models)
        # Doubling all widths multiplies weights by 4, but rows and codes keep theirs.
        assert 1.5 * small < base <= 4 * small
        assert 1.5 * base < large <= 4 * base


def test_smallest_networks_do_not_normalise_single_values():
    # Normalised alone, each value would be 0, and the output the same for all rows.
    X = np.random.default_rng(0).normal(size=(8, 4))
    options = {"score_network": "unet", "network_size": 0.01, "image_shape": (4, 1, 1)}
    rep = DiffusionRepresentation(2, **QUICK | {"batch_size": 1, "max_epochs": 1})
    rep.set_params(**options).fit(X)
    network = rep.net_.module_.score_network
    t, z = torch.full((1,), 0.5), torch.zeros(1, 2)
    x, other = torch.from_numpy(X[:2]).float().view(2, 1, 4, 1, 1)
    assert (network(x, t, z) - network(other, t, z)).abs().max() > 1e-6


def test_names_of_sizes_equal_their_factors():
    shape = {"image_shape": (1, 8, 8)}
    codes = fitted(**shape).transform(X)
    for size in ("base", 1, 1.0):
        same = fitted(network_size=size, **shape).transform(X)
        np.testing.assert_array_equal(same, codes)
    large, twice = (fitted(network_size=size, **shape) for size in ("large", 2))
    np.testing.assert_array_equal(large.transform(X), twice.transform(X))
    assert not np.allclose(large.transform(X), codes)


def test_noise_space_does_not_depend_on_the_size():
    """Losses of networks of different sizes can be compared."""
    shape = {"image_shape": (1, 8, 8)}
    spaces = [
        fitted(network_size=size, **shape).net_.module_.space
        for size in ("small", "base", "large")
    ]
    assert all(isinstance(space, FeatureSpace) for space in spaces)
    assert len({space.bank.width for space in spaces}) == 1
    rows = ViewedRows(
        torch.from_numpy(X).float().view(-1, 1, 8, 8), list, torch.Generator()
    )
    assert {space(rows.X).shape for space in spaces} == {(48, 64)}


@pytest.mark.parametrize(
    ("kind", "shape", "averaged", "whole"),
    [
        ("image_shape", (1, 30, 120), (1, 24, 96), (1, 30, 120)),
        ("signal_shape", (2, 1800), (2, 512), (2, 1024)),
    ],
)
def test_large_networks_use_more_pixels_and_samples(kind, shape, averaged, whole):
    X = np.random.default_rng(0).normal(size=(8, 3600))
    for size, seen in [("small", averaged), ("base", averaged), ("large", whole)]:
        parameters = {"network_size": size, "init": "random", kind: shape}
        rep = DiffusionRepresentation(4, **parameters, **QUICK)
        assert rep.fit(X).net_.module_.data_shape == seen


def test_network_size_is_not_passed_to_own_networks():
    """`network_size` is not passed to user-defined networks."""

    def encoder(data_shape, n_outputs, time_conditioned):
        return torch.nn.Linear(*data_shape, n_outputs)

    rep = fitted(encoder=encoder, network_size="large")
    assert n_weights(rep.net_.module_.encoder) == 65 * 4


@pytest.mark.parametrize("conditioning", ["readout", "full"])
def test_deep_encoder_starts_with_the_codes_of_conv(conditioning):
    parameters = {
        "image_shape": (1, 8, 8),
        "t_grid": 2,
        "time_conditioning": conditioning,
    }
    shallow, deep = (
        fitted(encoder=encoder, **parameters).transform(X)
        for encoder in ("conv", "deep_conv")
    )
    np.testing.assert_array_equal(deep, shallow)


def test_deep_encoder_learns_in_all_layers():
    rep = DiffusionRepresentation(
        4,
        encoder="deep_conv",
        network_size="small",
        image_shape=(1, 8, 8),
        batch_size=24,
        max_epochs=12,
        random_state=0,
    )
    before = rep.set_params(max_epochs=0).fit(X).net_.module_.encoder
    rep.set_params(max_epochs=12).fit(X)
    after = dict(rep.net_.module_.encoder.named_parameters())
    for name, weight in before.named_parameters():
        assert not torch.equal(weight, after[name]), name
    loss = rep.history_["train_loss"].to_numpy()
    assert loss[-3:].mean() < loss[:3].mean()


@pytest.mark.parametrize("size", [0, -1.0, 17, np.inf, np.nan, "huge", None])
def test_invalid_size_is_rejected(size):
    with pytest.raises(ValueError, match="network_size"):
        fitted(network_size=size)
