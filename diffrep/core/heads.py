"""Heads, which convert curves of codes over time to logits of classes.

A head is constructed by ``head(n_times, n_components, n_classes)``. It maps curves
``(n, n_times, n_components)`` to logits ``(n, n_classes)``.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffrep.core.layers import Linear

__all__ = [
    "HEADS",
    "AttentionHead",
    "ConcatHead",
    "GRUHead",
    "LinearHead",
]

HIDDEN_WIDTH = 128


class LinearHead(nn.Module):
    """Linear map of the concatenated codes of all times."""

    def __init__(self, n_times, n_components, n_classes):
        super().__init__()
        self.output = Linear(n_times * n_components, n_classes)

    def forward(self, curve: Tensor) -> Tensor:
        return self.output(curve.flatten(1))


class ConcatHead(nn.Module):
    """One hidden layer on the concatenated codes of all times."""

    def __init__(self, n_times, n_components, n_classes, width=HIDDEN_WIDTH):
        super().__init__()
        self.hidden = Linear(n_times * n_components, width)
        self.output = Linear(width, n_classes)

    def forward(self, curve: Tensor) -> Tensor:
        return self.output(F.relu(self.hidden(curve.flatten(1))))


class GRUHead(nn.Module):
    """Gated recurrent unit along the curve; its last state is classified."""

    def __init__(self, n_times, n_components, n_classes, width=HIDDEN_WIDTH):
        super().__init__()
        self.gru = nn.GRU(n_components, width, batch_first=True)
        self.output = Linear(width, n_classes)

    def forward(self, curve: Tensor) -> Tensor:
        return self.output(self.gru(curve)[0][:, -1])


class AttentionHead(nn.Module):
    """A learned token attends to the codes of all times; its state is classified.

    Sinusoids of the position are added to the codes. One transformer block with four
    heads, normalised after each part, is applied twice.

    References
    ----------
    Mittal, Abstreiter, Bauer, Schölkopf and Mehrjou, on trajectories of codes,
    arXiv 2210.13774. Theirs is twice as wide and uses dropout.
    """

    def __init__(self, n_times, n_components, n_classes, width=HIDDEN_WIDTH, n_heads=4):
        super().__init__()
        self.n_heads = n_heads
        self.input = Linear(n_components, width)
        self.register_buffer("places", _sinusoids(n_times, width), persistent=False)
        self.token = nn.Parameter(torch.zeros(width))
        self.projections = Linear(width, 3 * width)
        self.mixed = Linear(width, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.inner, self.outer = Linear(width, 2 * width), Linear(2 * width, width)
        self.output = Linear(width, n_classes)

    def forward(self, curve: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.output(self._read(curve, mask)[0])

    def attention(self, curve: Tensor, mask: Tensor | None = None) -> Tensor:
        """Weights ``(n, n_times + 1)`` of the times and of the token itself.

        They are those of the token in the second application of the block, averaged
        over heads. `mask` of shape ``(n_times + 1,)`` is False for times to leave out.
        """
        return self._read(curve, mask)[1]

    def _read(self, curve, mask):
        h = self.input(curve) + self.places
        h = torch.cat([h, self.token.expand(len(h), 1, -1)], dim=1)
        for _ in range(2):
            looked, weights = self._attend(h, mask)
            h = self.norms[0](h + looked)
            h = self.norms[1](h + self.outer(F.relu(self.inner(h))))
        return h[:, -1], weights[:, :, -1].mean(1)

    def _attend(self, h, mask):
        q, k, v = (
            part.unflatten(2, (self.n_heads, -1)).transpose(1, 2)
            for part in self.projections(h).chunk(3, dim=2)
        )
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(-1)
        return self.mixed((weights @ v).transpose(1, 2).flatten(2)), weights


def _sinusoids(n_times, width):
    """Sines and cosines of the position, with wavelengths from 2 pi to 20,000 pi."""
    place = torch.arange(n_times)[:, None]
    phase = place / 10_000 ** (torch.arange(0, width, 2) / width)
    return torch.cat([phase.sin(), phase.cos()], dim=1)


#: Names that the trajectory classifier accepts.
HEADS = {
    "attention": AttentionHead,
    "gru": GRUHead,
    "concat": ConcatHead,
}
