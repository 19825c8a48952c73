"""Heads, compared with their definitions and with torch."""

import numpy as np
import pytest
import torch
from torch import nn

from diffrep.core.device import Stream, forked_rng, generator
from diffrep.core.heads import HEADS, AttentionHead
from diffrep.core.layers import init_weights

N, T, C, K = 7, 5, 6, 3


def head(name, **options):
    with forked_rng(0):
        built = HEADS[name](T, C, K, **options)
    init_weights(built, generator(0, Stream.START))
    return built


@pytest.fixture
def curve():
    return torch.randn(N, T, C, generator=generator(1, Stream.START))


def test_concat_has_one_hidden_layer(curve):
    concat = head("concat")
    hidden = concat.hidden(curve.reshape(N, T * C)).clamp(min=0)
    torch.testing.assert_close(concat(curve), concat.output(hidden))


def test_gru_depends_on_the_order(curve):
    gru = head("gru")
    expected, _ = gru.gru(curve)
    torch.testing.assert_close(gru(curve), gru.output(expected[:, -1]))
    assert not torch.allclose(gru(curve), gru(curve.flip(1)))


def torch_attention(built, h):
    """The same attention by torch's module."""
    with forked_rng(0):
        peer = nn.MultiheadAttention(h.shape[2], built.n_heads, batch_first=True)
    with torch.no_grad():
        peer.in_proj_weight.copy_(built.projections.weight)
        peer.in_proj_bias.copy_(built.projections.bias)
        peer.out_proj.weight.copy_(built.mixed.weight)
        peer.out_proj.bias.copy_(built.mixed.bias)
    return peer


@pytest.mark.parametrize("hidden", [[], [2], [T], [0, 1, 2, 3]])
def test_attention_equals_torch(curve, hidden):
    built = head("attention", width=16)
    h = torch.cat([built.input(curve), built.token.expand(N, 1, -1)], dim=1)
    mask = torch.ones(T + 1, dtype=torch.bool)
    mask[hidden] = False
    out, weights = built._attend(h, mask)
    peer = torch_attention(built, h)
    expected, expected_weights = peer(h, h, h, key_padding_mask=(~mask).expand(N, -1))
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(weights.mean(1), expected_weights, rtol=1e-4, atol=1e-5)


def test_attention_weights_sum_to_one_and_respect_the_mask(curve):
    built = head("attention")
    weights = built.attention(curve)
    torch.testing.assert_close(weights.sum(1), torch.ones(N))
    mask = torch.tensor([True, False, True, True, True, False])
    masked = built.attention(curve, mask)
    assert (masked[:, ~mask] == 0).all()
    changed = curve.clone()
    changed[:, 1] += 5  # no attention there
    torch.testing.assert_close(built(changed, mask), built(curve, mask))
    assert not torch.allclose(built(changed), built(curve))


def test_attention_depends_on_the_order():
    built = head("attention")
    curve = torch.randn(2, T, C, generator=generator(3, Stream.START))
    assert not torch.allclose(built(curve), built(curve.flip(1)), atol=1e-4)
    built.places.zero_()
    torch.testing.assert_close(built(curve), built(curve.flip(1)))


def test_sinusoids_equal_those_of_transformers():
    places = AttentionHead(4, 2, 2, width=6).places
    expected = [
        [f(p / 10_000 ** (k / 6)) for f in (np.sin, np.cos) for k in (0, 2, 4)]
        for p in range(4)
    ]
    np.testing.assert_allclose(places, expected, atol=1e-6)
