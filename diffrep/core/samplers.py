r"""From noise back to data: reverse SDE, predictor-corrector, probability flow.

Divided by alpha, every noise process is one of exploding variance,

    y = x_t / alpha = x0 + nu eps,    nu = sigma / alpha,

and its reverse knows the data through the estimate ``D(y, nu)`` of x0 alone:
the score of y is ``(D(y, nu) - y) / nu^2``. The samplers below therefore hold
for any process and any preconditioning. They go down a list of levels nu that
ends with 0, where the last step of each is D itself.

Arguments of a step: ``denoise(y, nu)`` gives D; `y` has shape ``(n, ...)``;
`nu` and `lower` are the present and the next level; ``draw()`` gives standard
normal noise of the shape of `y`.
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

#: Curvature of the spacing of noise levels: the larger, the more of them are low.
RHO = 7

#: Signal-to-noise ratio of a Langevin step, that of Song et al. for VE.
SNR = 0.16


def noise_levels(highest: float, lowest: float, n_steps: int) -> list[float]:
    """Levels nu of `n_steps` steps, from `highest` over `lowest` to 0.

    References
    ----------
    Karras et al., "Elucidating the Design Space of Diffusion-Based Generative
    Models", 2022, equation 5.
    """
    root = torch.linspace(highest ** (1 / RHO), lowest ** (1 / RHO), n_steps)
    return [*root.pow(RHO).tolist(), 0.0]


def reverse_sde_step(denoise, y, nu, lower, draw):
    """Euler-Maruyama step of the reverse SDE, its noise corrected.

    With ``v = nu^2 - lower^2`` the drift adds ``v / nu^2 (D - y)``. Noise of
    variance v would be right if D followed y, and ``v lower^2 / nu^2``, that of
    ancestral sampling, if D stood still: the one leaves samples too much
    variance, the other too little. With their geometric mean the variance of
    Gaussian samples is closer after 20 steps than with v after 300.

    References
    ----------
    Song et al., "Score-Based Generative Modeling through Stochastic
    Differential Equations", 2021, equation 6 and appendix F. The mean is ours.
    """
    v = nu**2 - lower**2
    y = y + v / nu**2 * (denoise(y, nu) - y)
    return y if lower == 0 else y + (v * lower / nu) ** 0.5 * draw()


def predictor_corrector_step(denoise, y, nu, lower, draw):
    """Step of the reverse SDE, then a Langevin step at the new level.

    The Langevin step is that of Song et al. (2021, algorithm 4), with ``1 / nu``
    a coordinate in place of the length of the score, so that a sample does not
    depend on its neighbours.
    """
    y = reverse_sde_step(denoise, y, nu, lower, draw)
    if lower == 0:
        return y
    size = 2 * (SNR * lower) ** 2
    return y + size / lower**2 * (denoise(y, lower) - y) + (2 * size) ** 0.5 * draw()


def probability_flow_step(denoise, y, nu, lower, draw):
    """Heun step of ``dy / dnu = (y - D) / nu``; nothing is drawn.

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
    """Go down all levels, from noisy `y` at the first of them."""
    for nu, lower in pairwise(levels):
        y = step(denoise, y, nu, lower, draw)
    return y


#: Names that ``sample`` accepts for its parameter ``method``.
SAMPLERS = {
    "reverse_sde": reverse_sde_step,
    "predictor_corrector": predictor_corrector_step,
    "probability_flow": probability_flow_step,
}
