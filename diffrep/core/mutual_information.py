"""Mutual information between codes, by a neural estimator."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["mutual_information"]

WIDTH = 64
LR = 1e-3

#: Weight of the new mean in the moving average by which the gradient is divided.
RATE = 0.01

#: The estimate is the mean over this last share of the steps.
LAST = 0.25


def mutual_information(
    codes: Tensor,
    pairs: Tensor,
    n_steps: int,
    batch_size: int,
    generator: torch.Generator,
) -> Tensor:
    """Mutual information between codes at two times, estimated by MINE.

    The estimate is the maximum over networks T of ``E T(z, z') - ln E exp T(z, z'')``,
    where z' is the code of the same row and z'' that of another. It is a lower bound,
    and finite even if codes determine each other. The networks of all pairs, each with
    two hidden layers, are trained together.

    Parameters
    ----------
    codes : Tensor of shape (n, T, n_components)
    pairs : Tensor of int of shape (P, 2)
        Indices of the two times.
    n_steps, batch_size : int
    generator : torch.Generator

    Returns
    -------
    information : Tensor of shape (P,)
        In nats.

    References
    ----------
    Belghazi et al., "Mutual Information Neural Estimation", ICML 2018, including the
    correction of the gradient by a moving average.
    """
    codes = codes - codes.mean(0)
    codes = codes / codes.square().mean((0, 2), keepdim=True).sqrt().clamp(min=1e-12)
    n, _, width = codes.shape
    layers = _drawn([2 * width, WIDTH, WIDTH, 1], len(pairs), generator)
    optimizer = torch.optim.Adam([w for layer in layers for w in layer], lr=LR)
    average, last = torch.ones(len(pairs)), torch.zeros(len(pairs))
    n_last = max(1, int(LAST * n_steps))
    for step in range(n_steps):
        rows = torch.randint(n, (min(batch_size, n),), generator=generator)
        others = rows.roll(1)
        first, second = (codes[:, times].transpose(0, 1) for times in pairs.T)
        joint = _networks(layers, first[:, rows], second[:, rows])
        apart = _networks(layers, first[:, rows], second[:, others])
        log_mean = apart.logsumexp(1) - math.log(len(rows))
        mean = log_mean.exp()
        average = (1 - RATE) * average + RATE * mean.detach() if step else mean.detach()
        optimizer.zero_grad()
        (mean / average - joint.mean(1)).sum().backward()
        optimizer.step()
        if step >= n_steps - n_last:
            last += (joint.mean(1) - log_mean).detach() / n_last
    return last


def _drawn(widths, n_networks, generator):
    """Draw weights and biases of networks, distributed as in torch."""
    layers = []
    for n_in, n_out in pairwise(widths):
        shapes = [(n_networks, n_in, n_out), (n_networks, 1, n_out)]
        bound = 1 / math.sqrt(n_in)
        draws = [torch.rand(shape, generator=generator) for shape in shapes]
        layers.append([(bound * (2 * u - 1)).requires_grad_() for u in draws])
    return layers


def _networks(layers, first, second):
    """Values ``(P, n)`` of all networks on pairs of codes ``(P, n, n_components)``."""
    h = torch.cat([first, second], dim=2)
    for weight, bias in layers[:-1]:
        h = F.elu(torch.baddbmm(bias, h, weight))
    weight, bias = layers[-1]
    return torch.baddbmm(bias, h, weight)[:, :, 0]
