"""Heads of curves, against what each of them is."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from diffrep.core.device import Stream, forked_rng, generator
from diffrep.core.heads import HEADS, AttentionHead, LearnedTimeHead
from diffrep.core.layers import draw_weights

N, T, C, K = 7, 5, 6, 3


def head(name, **options):
    with forked_rng(0):
        built = HEADS[name](T, C, K, **options)
    draw_weights(built, generator(0, Stream.START))
    return built


@pytest.fixture
def curve():
    return torch.randn(N, T, C, generator=generator(1, Stream.START))


def test_mean_and_concat_are_linear(curve):
    mean, concat = head("mean"), head("concat")
    torch.testing.assert_close(mean(curve), mean.output(curve.mean(1)))
    with torch.no_grad():  # the same weights at all times make them one
        concat.output.weight.copy_(mean.output.weight.repeat(1, T) / T)
        concat.output.bias.copy_(mean.output.bias)
    torch.testing.assert_close(mean(curve), concat(curve))


def test_learned_time_starts_as_the_mean(curve):
    learned, mean = head("learned_t"), head("mean")
    torch.testing.assert_close(learned(curve), mean(curve))


def test_learned_time_finds_the_informative_one():
    draws = generator(2, Stream.START)
    curve = torch.randn(400, T, 2, generator=draws)
    y = (curve[:, 3, 0] > 0).long()
    learned = LearnedTimeHead(T, 2, 2)
    draw_weights(learned, draws)
    optimizer = torch.optim.Adam(learned.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        F.cross_entropy(learned(curve), y).backward()
        optimizer.step()
    assert learned.logits.detach().softmax(0)[3] > 0.95


def test_gru_reads_in_order(curve):
    gru = head("gru")
    expected, _ = gru.gru(curve)
    torch.testing.assert_close(gru(curve), gru.output(expected[:, -1]))
    assert not torch.allclose(gru(curve), gru(curve.flip(1)))


def torch_attention(built, h):
    """The same attention by torch's own module."""
    with forked_rng(0):
        peer = nn.MultiheadAttention(h.shape[2], built.n_heads, batch_first=True)
    with torch.no_grad():
        peer.in_proj_weight.copy_(built.projections.weight)
        peer.in_proj_bias.copy_(built.projections.bias)
        peer.out_proj.weight.copy_(built.mixed.weight)
        peer.out_proj.bias.copy_(built.mixed.bias)
    return peer


@pytest.mark.parametrize("hidden", [[], [2], [T], [0, 1, 2, 3]])
def test_attention_is_that_of_torch(curve, hidden):
    built = head("attention", width=16)
    h = torch.cat([built.input(curve), built.token.expand(N, 1, -1)], dim=1)
    mask = torch.ones(T + 1, dtype=torch.bool)
    mask[hidden] = False
    out, weights = built._attend(h, mask)
    peer = torch_attention(built, h)
    expected, expected_weights = peer(h, h, h, key_padding_mask=(~mask).expand(N, -1))
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(weights.mean(1), expected_weights, rtol=1e-4, atol=1e-5)


def test_attention_weights_are_shares_and_obey_the_mask(curve):
    built = head("attention")
    weights = built.attention(curve)
    torch.testing.assert_close(weights.sum(1), torch.ones(N))
    mask = torch.tensor([True, False, True, True, True, False])
    masked = built.attention(curve, mask)
    assert (masked[:, ~mask] == 0).all()
    changed = curve.clone()
    changed[:, 1] += 5  # nobody looks there
    torch.testing.assert_close(built(changed, mask), built(curve, mask))
    assert not torch.allclose(built(changed), built(curve))


def test_attention_knows_the_order():
    built = head("attention")
    curve = torch.randn(2, T, C, generator=generator(3, Stream.START))
    assert not torch.allclose(built(curve), built(curve.flip(1)), atol=1e-4)
    built.places.zero_()
    torch.testing.assert_close(built(curve), built(curve.flip(1)))


def test_sinusoids_are_those_of_transformers():
    places = AttentionHead(4, 2, 2, width=6).places
    expected = [
        [f(p / 10_000 ** (k / 6)) for f in (np.sin, np.cos) for k in (0, 2, 4)]
        for p in range(4)
    ]
    np.testing.assert_allclose(places, expected, atol=1e-6)
