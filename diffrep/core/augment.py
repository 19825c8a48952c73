"""Random views of a batch.

A view is a function ``augment(x, generator)`` of a batch ``(n, *data_shape)``
of standardised data; it returns a new batch of the same shape and draws from
`generator` alone. The encoder sees a view of the row that is denoised, so that
the code holds what views of one row share.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["AUGMENTATIONS", "affine", "corrupt_features", "gaussian_noise"]


def affine(
    x: Tensor,
    generator: torch.Generator,
    rotation: float = 15.0,
    scale: float = 0.15,
    shear: float = 0.15,
    shift: float = 0.1,
) -> Tensor:
    """Small random affine maps of images.

    Parameters
    ----------
    x : Tensor of shape (n, C, H, W)
    generator : torch.Generator
    rotation : float
        Largest angle, in degrees.
    scale : float
        Largest change of the logarithm of the size.
    shear : float
        Largest shear.
    shift : float
        Largest shift, as a share of the side.
    """

    def uniform(bound, *shape):
        u = torch.rand(len(x), *shape, generator=generator, device=x.device)
        return bound * (2 * u - 1)

    angle = uniform(math.radians(rotation))
    size = uniform(scale).exp()
    cos, sin = size * angle.cos(), size * angle.sin()
    theta = x.new_empty(len(x), 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = cos, uniform(shear) - sin
    theta[:, 1, 0], theta[:, 1, 1] = sin, cos
    theta[:, :, 2] = uniform(2 * shift, 2)  # a side is 2 long
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def gaussian_noise(x: Tensor, generator: torch.Generator, std: float = 0.5) -> Tensor:
    """Add noise of standard deviation `std`, in units of standardised data."""
    noise = torch.randn(x.shape, generator=generator, device=x.device)
    return x + std * noise


def corrupt_features(
    x: Tensor, generator: torch.Generator, share: float = 0.3
) -> Tensor:
    """Replace a random `share` of the entries by those of other rows.

    Each replaced entry comes from the same feature of a random row of the
    batch, so it follows the feature's own distribution.

    References
    ----------
    Bahri et al., "SCARF: Self-Supervised Contrastive Learning using Random
    Feature Corruption", 2022.
    """
    u = torch.rand(x.shape, generator=generator, device=x.device)
    donor = torch.randint(len(x), x.shape, generator=generator, device=x.device)
    return torch.where(u < share, x.gather(0, donor), x)


#: Names that the estimators accept for their parameter ``augment``.
AUGMENTATIONS = {
    "image": affine,
    "gaussian": gaussian_noise,
    "table": corrupt_features,
}
