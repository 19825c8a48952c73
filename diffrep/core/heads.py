"""Heads: from curves of codes over time to the logits of classes.

A head is built by ``head(n_times, n_components, n_classes)`` and called with
curves ``(n, n_times, n_components)``; it returns logits ``(n, n_classes)``.
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
    """Linear in the codes of all times side by side."""

    def __init__(self, n_times, n_components, n_classes):
        super().__init__()
        self.output = Linear(n_times * n_components, n_classes)

    def forward(self, curve: Tensor) -> Tensor:
        return self.output(curve.flatten(1))


class ConcatHead(nn.Module):
    """A hidden layer on the codes of all times side by side."""

    def __init__(self, n_times, n_components, n_classes, width=HIDDEN_WIDTH):
        super().__init__()
        self.hidden = Linear(n_times * n_components, width)
        self.output = Linear(width, n_classes)

    def forward(self, curve: Tensor) -> Tensor:
        return self.output(F.relu(self.hidden(curve.flatten(1))))


class GRUHead(nn.Module):
    """A gated recurrent unit runs along the curve; read at its end."""

    def __init__(self, n_times, n_components, n_classes, width=HIDDEN_WIDTH):
        super().__init__()
        self.gru = nn.GRU(n_components, width, batch_first=True)
        self.output = Linear(width, n_classes)

    def forward(self, curve: Tensor) -> Tensor:
        return self.output(self.gru(curve)[0][:, -1])


class AttentionHead(nn.Module):
    """A learned token attends to the codes of all times; read at that token.

    Codes get sinusoids of their place on the curve; one transformer block of
    four heads, normalised after each part, is applied twice.

    References
    ----------
    Mittal, Abstreiter, Bauer, Schölkopf and Mehrjou, on trajectories of codes,
    arXiv 2210.13774; theirs is twice as wide and drops some of the states.
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

        Those of the token's last look, averaged over heads. `mask`, of shape
        ``(n_times + 1,)``, is True where it may look.
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
    """Sines and cosines of the place, of wavelengths from 2 pi to 10,000 of these."""
    place = torch.arange(n_times)[:, None]
    phase = place / 10_000 ** (torch.arange(0, width, 2) / width)
    return torch.cat([phase.sin(), phase.cos()], dim=1)


#: Names that the trajectory classifier accepts.
HEADS = {
    "attention": AttentionHead,
    "gru": GRUHead,
    "concat": ConcatHead,
}
