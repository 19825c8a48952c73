r"""Samplers: reverse SDE, predictor-corrector, probability flow.

Dividing by alpha turns every noise process into a variance-exploding one,

    y = x_t / alpha = x0 + nu eps,    nu = sigma / alpha,

with score ``(D(y, nu) - y) / nu^2``, where ``D(y, nu)`` is the estimate of x0. The
samplers depend on D only, and are the same for all processes and preconditionings. They
go through a decreasing list of levels nu that ends with 0. The last step of each
sampler returns D itself.

A step ``step(denoise, y, nu, lower, draw)`` takes `y` of shape ``(n, ...)`` from level
`nu` to level `lower`. ``denoise(y, nu)`` returns D, and ``draw()`` standard normal
noise of the shape of `y`.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

__all__ = [
    "SAMPLERS",
    "descend",
    "noise_levels",
    "predictor_corrector_step",
    "probability_flow_step",
    "reverse_sde_step",
]

#: Exponent of the spacing of noise levels; larger values give more low levels.
RHO = 7

#: Signal-to-noise ratio of a Langevin step, that of Song et al. for VE.
SNR = 0.16


def noise_levels(highest: float, lowest: float, n_steps: int) -> list[float]:
    """Levels nu of `n_steps` steps: from `highest` to `lowest`, and 0.

    References
    ----------
    Karras et al., "Elucidating the Design Space of Diffusion-Based Generative
    Models", 2022, equation 5.
    """
    root = torch.linspace(highest ** (1 / RHO), lowest ** (1 / RHO), n_steps)
    return [*root.pow(RHO).tolist(), 0.0]


def reverse_sde_step(denoise, y, nu, lower, draw):
    """Euler-Maruyama step of the reverse SDE, with corrected noise.

    With ``v = nu^2 - lower^2`` the drift is ``v / nu^2 (D - y)``. Noise of variance v,
    that of the SDE, results in samples with too much variance, and noise of variance
    ``v lower^2 / nu^2``, that of ancestral sampling, in samples with too little. The
    geometric mean of the two is used. For Gaussian data, 20 steps with it give a more
    accurate variance than 300 steps with v.

    References
    ----------
    Song et al., "Score-Based Generative Modeling through Stochastic
    Differential Equations", 2021, equation 6 and appendix F. The geometric mean is
    our choice.
    """
    v = nu**2 - lower**2
    y = y + v / nu**2 * (denoise(y, nu) - y)
    return y if lower == 0 else y + (v * lower / nu) ** 0.5 * draw()


def predictor_corrector_step(denoise, y, nu, lower, draw):
    """Step of the reverse SDE, followed by a Langevin step at the new level.

    The Langevin step is that of Song et al. (2021, algorithm 4), but with the expected
    length of the score, ``1 / nu`` per coordinate, instead of its actual length, so
    that a sample does not depend on the others.
    """
    y = reverse_sde_step(denoise, y, nu, lower, draw)
    if lower == 0:
        return y
    size = 2 * (SNR * lower) ** 2
    return y + size / lower**2 * (denoise(y, lower) - y) + (2 * size) ** 0.5 * draw()


def probability_flow_step(denoise, y, nu, lower, draw):
    """Heun step of ``dy / dnu = (y - D) / nu``, which is deterministic.

    References
    ----------
    Karras et al. (2022), algorithm 1.
    """
    slope = (y - denoise(y, nu)) / nu
    proposal = y + (lower - nu) * slope
    if lower == 0:
        return proposal
    slope = (slope + (proposal - denoise(proposal, lower)) / lower) / 2
    return y + (lower - nu) * slope


def descend(step, denoise, y: Tensor, levels: list[float], draw) -> Tensor:
    """Apply `step` between all successive levels; `y` is at the first."""
    for nu, lower in pairwise(levels):
        y = step(denoise, y, nu, lower, draw)
    return y


#: Names that ``sample`` accepts for its parameter ``method``.
SAMPLERS = {
    "reverse_sde": reverse_sde_step,
    "predictor_corrector": predictor_corrector_step,
    "probability_flow": probability_flow_step,
}
