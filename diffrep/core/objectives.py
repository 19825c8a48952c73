"""Losses per row, and the KL weight at which a variational code collapses.

Losses are means over coordinates, so that they do not depend on the size of an image.
The losses of a model are a dict of named parts. Each is a weighted mean over the batch,
and their sum is minimised.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from diffrep.core.time_sampling import TimeSampling

__all__ = [
    "collapse_limit",
    "contrastive_loss",
    "kl_divergence",
    "l1_norm",
    "squared_error",
]


def squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Squared difference, averaged over coordinates; ``(n, ...)`` to ``(n,)``."""
    return (prediction - target).square().flatten(1).mean(1)


def l1_norm(z: Tensor) -> Tensor:
    """Mean of ``|z_j|`` over components; ``(n, c)`` to ``(n,)``."""
    return z.abs().mean(1)


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """``KL(N(mean, exp(log_variance)) || N(0, I))`` in nats; ``(n, c)`` to ``(n,)``."""
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2


def contrastive_loss(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """NT-Xent: cross-entropy of identifying the other view of a row in a batch.

    Parameters
    ----------
    first, second : Tensor of shape (n, k)
        Two views of each row.
    temperature : float
        Divisor of the cosines.

    Returns
    -------
    loss : Tensor of shape (2 n,)
        Loss of each view, in nats; ``ln(2 n - 1)`` if all views are equal.

    References
    ----------
    Chen et al., "A Simple Framework for Contrastive Learning of Visual
    Representations", 2020, equation 1.
    """
    views = F.normalize(torch.cat([first, second]), dim=1)
    cosines = views @ views.T / temperature
    own = torch.eye(len(views), dtype=torch.bool, device=views.device)
    others = torch.arange(len(views), device=views.device).roll(len(first))
    return F.cross_entropy(
        cosines.masked_fill(own, -torch.inf), others, reduction="none"
    )


def collapse_limit(
    preconditioning, times: TimeSampling, time_conditioned: bool
) -> float:
    """Compute the weight of the KL at which every code collapses.

    A code with little information about Gaussian data of unit variance lowers the loss
    at signal-to-noise ratio gamma by ``reward(gamma)`` per nat. For a static code, the
    limit is the mean of this over the training times; for a code that depends on t, it
    is the maximum. Above the limit the prior is the optimal code. Data with strongly
    correlated coordinates tolerate larger weights.

    Parameters
    ----------
    preconditioning : type
        `EDM` or `Plain`, of `diffrep.core.preconditioning`.
    times : TimeSampling
        Density of training times of a noise process.
    time_conditioned : bool
        Whether the code depends on t.

    Returns
    -------
    limit : float
        In units of the loss *summed* over coordinates, per nat.

    References
    ----------
    The gain of a code follows from I-MMSE: Guo, Shamai and Verdu, "Mutual
    Information and Minimum Mean-Square Error in Gaussian Channels", 2005.
    """
    u = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    gamma = times.sde.noise_to_signal(times.ppf(u)) ** -2
    reward = times.mean_weight * preconditioning.reward(gamma)
    return float(reward.max() if time_conditioned else reward.mean())
