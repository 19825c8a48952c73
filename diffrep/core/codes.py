"""Interpretation of the outputs of an encoder, as a code or a Gaussian of codes.

``draw(outputs, generator, n_coordinates)`` converts outputs of shape ``(n,
outputs_per_component * n_components)`` to codes ``(n, n_components)`` and a dict of
penalties. Penalties are weighted means over rows, on the scale of an error that is a
mean over `n_coordinates`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from diffrep.core.objectives import kl_divergence, l1_norm

__all__ = ["FixedCode", "GaussianCode", "PointCode"]


@dataclass(frozen=True)
class PointCode:
    """The outputs are the code; the penalty is the mean of ``|z_j|`` (DRL).

    Parameters
    ----------
    penalty_weight : float
        0 has no penalty.
    """

    penalty_weight: float = 0.0

    outputs_per_component: ClassVar[int] = 1

    def draw(self, outputs: Tensor, generator: torch.Generator, n_coordinates: int):
        if not self.penalty_weight:
            return outputs, {}
        return outputs, {"l1": self.penalty_weight * l1_norm(outputs).mean()}


@dataclass(frozen=True)
class GaussianCode:
    """Mean and log-variance of ``z ~ N(mean, exp(log_variance))`` (VDRL, VAE).

    The penalty is ``KL(E(z | x0) || N(0, I))``, in nats per coordinate of the error.
    Drawn by the reparametrisation trick (Kingma and Welling, 2014).

    Parameters
    ----------
    penalty_weight : float
    """

    penalty_weight: float = 0.0

    outputs_per_component: ClassVar[int] = 2

    def draw(self, outputs: Tensor, generator: torch.Generator, n_coordinates: int):
        mean, log_variance = outputs.chunk(2, dim=1)
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        z = mean + (log_variance / 2).exp() * noise
        kl = kl_divergence(mean, log_variance) / n_coordinates
        return z, {"kl": self.penalty_weight * kl.mean()}


@dataclass(frozen=True)
class FixedCode:
    """Fixed codes, without sampling or penalty.

    Parameters
    ----------
    n_components : int
    """

    n_components: int

    def draw(self, outputs: Tensor, generator: torch.Generator, n_coordinates: int):
        return outputs[:, : self.n_components], {}
