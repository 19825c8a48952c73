r"""Inputs, targets and weights of errors of the score network F.

With ``x_t = alpha x0 + sigma eps``, each scheme defines the input of F, its target, and
the estimate of x0 from its output. The training loss is the squared error of F per
coordinate, with the `loss_weighting` of the scheme or another one.

Arguments `alpha` and `sigma` broadcast against `x0`, `eps`, `x_t` and `F` of shape
``(n, ...)``. All are in units of standardised data.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["EDM", "LOSS_WEIGHTINGS", "PRECONDITIONINGS", "Plain"]


class EDM:
    """Input and target of unit variance at every noise level.

    The preconditioning of Karras et al. (2022, table 1) for data of unit variance, for
    any alpha and sigma. F predicts ``(sigma x0 - alpha eps) / sqrt(alpha^2 +
    sigma^2)``, which is -v. The loss weighs the squared error of x0 by ``(sigma^2 +
    alpha^2) / sigma^2``.
    """

    loss_weighting = "edm"

    @staticmethod
    def network_input(x_t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return x_t / (alpha**2 + sigma**2).sqrt()

    @staticmethod
    def target(x0: Tensor, eps: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return (sigma * x0 - alpha * eps) / (alpha**2 + sigma**2).sqrt()

    @staticmethod
    def denoised(x_t: Tensor, F: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        power = alpha**2 + sigma**2
        return alpha / power * x_t + sigma / power.sqrt() * F

    @staticmethod
    def reward(gamma: Tensor) -> Tensor:
        """Decrease of the loss per nat of a small Gaussian code, at each gamma."""
        return 2 / (1 + gamma)


class Plain:
    """The loss of Mittal et al. (2023) with ``lambda = sigma^2``: F predicts eps.

    The input is x_t itself, so its scale grows with the noise, and the reward of a code
    vanishes at high noise.
    """

    loss_weighting = "eps"

    @staticmethod
    def network_input(x_t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return x_t

    @staticmethod
    def target(x0: Tensor, eps: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return eps

    @staticmethod
    def denoised(x_t: Tensor, F: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return (x_t - sigma * F) / alpha

    @staticmethod
    def reward(gamma: Tensor) -> Tensor:
        """Decrease of the loss per nat of a small Gaussian code, at each gamma."""
        return 2 * gamma / (1 + gamma) ** 2


def _share_of_signal(gamma: Tensor) -> Tensor:
    return gamma / (1 + gamma)


#: Names that the estimators accept for their parameter ``preconditioning``.
PRECONDITIONINGS: dict[str, type[EDM] | type[Plain]] = {"edm": EDM, "none": Plain}

#: Names that the estimators accept for their parameter ``loss_weighting``: the
#: weight at gamma = alpha^2 / sigma^2, in units of the loss of `EDM`.
LOSS_WEIGHTINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "edm": torch.ones_like,
    "eps": _share_of_signal,
}
