"""The space in which noise is added: data, principal components, or features.

A space maps rows ``(n, *data_shape)`` of standardised data to points ``(n, *shape)``
and back. The score network works on points.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffrep.core.closed_form import ViewedRows, principal_components
from diffrep.core.kinds import kind_of
from diffrep.core.layers import Linear, set_components

__all__ = ["SPACES", "DataSpace", "FeatureSpace", "PrincipalSpace"]

#: Largest number of components of a space: principal ones of the data, and stable ones
#: of features. There are at most as many as a row has values.
N_DIRECTIONS = 128
N_FEATURE_DIRECTIONS = 256

#: Smallest variance of a component, relative to the mean of those that are kept.
SMALLEST_VARIANCE = 1e-3


class DataSpace(nn.Module):
    """The standardised data themselves."""

    def __init__(self, data_shape):
        super().__init__()
        self.shape = tuple(data_shape)

    def forward(self, x: Tensor) -> Tensor:
        return x

    def inverse(self, points: Tensor) -> Tensor:
        return points

    def initialize(self, rows: ViewedRows) -> None:
        """Do nothing, since the space does not depend on the data."""


class PrincipalSpace(nn.Module):
    """Principal components, half whitened.

    A component of variance v is scaled to variance ``sqrt(v)``, up to a factor that
    makes the mean variance 1. Noise then removes the components one after the other.
    Weak components, which are most of an image, have less weight than in white data and
    more than in the image.

    References
    ----------
    Chen, Liu, Xie and He, "Deconstructing Denoising Diffusion Models for
    Self-Supervised Learning", 2024, who add noise to principal components. Half
    whitening is our choice.
    """

    mean: Tensor
    directions: Tensor
    scale: Tensor

    def __init__(self, data_shape, n_directions=N_DIRECTIONS):
        super().__init__()
        self.data_shape = tuple(data_shape)
        n_features = math.prod(data_shape)
        n_directions = min(n_features, n_directions)
        self.shape = (n_directions,)
        self.register_buffer("mean", torch.zeros(n_features))
        directions = torch.zeros(n_features, n_directions).fill_diagonal_(1)
        self.register_buffer("directions", directions)
        self.register_buffer("scale", torch.ones(n_directions))

    def forward(self, x: Tensor) -> Tensor:
        return (x.flatten(1) - self.mean) @ self.directions / self.scale

    def inverse(self, points: Tensor) -> Tensor:
        x = self.mean + points * self.scale @ self.directions.T
        return x.view(-1, *self.data_shape)

    @torch.no_grad()
    def initialize(self, rows: ViewedRows) -> None:
        """Fit mean, directions and scale to rows."""
        mean, variances, directions = principal_components(
            rows.X.flatten(1), *self.shape
        )
        self.mean.copy_(mean)
        self.directions.zero_()[:, : len(variances)] = directions
        variances = F.pad(variances, (0, len(self.scale) - len(variances)))
        smallest = SMALLEST_VARIANCE * variances.mean() + 1e-12
        scale = (variances + smallest) ** 0.25
        power = (variances / scale.square()).mean().clamp(min=1e-6)  # 0 if constant
        self.scale.copy_(scale * power.sqrt())


class FeatureSpace(nn.Module):
    """Components of the features that an encoder starts from.

    The features are those of a bank that is not trained, and the components are those
    in which rows differ most and views of a row least. A code that helps to denoise
    them describes what similar rows have in common.

    ``inverse`` returns the least-squares estimate of a row, which is smooth for images,
    since features do not determine an image.

    Parameters
    ----------
    data_shape : tuple of int
    """

    mean: Tensor
    rows: Tensor

    def __init__(self, data_shape):
        super().__init__()
        self.data_shape = tuple(data_shape)
        n_features = math.prod(data_shape)
        self.bank = kind_of(data_shape).bank(data_shape)
        n_directions = min(n_features, self.bank.width, N_FEATURE_DIRECTIONS)
        self.components = Linear(self.bank.width, n_directions)
        self.shape = (n_directions,)
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("rows", torch.zeros(n_directions, n_features))
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.components(self.bank(x))

    def inverse(self, points: Tensor) -> Tensor:
        return (self.mean + points @ self.rows).view(-1, *self.data_shape)

    @torch.no_grad()
    def initialize(self, rows: ViewedRows) -> None:
        """Fit bank, components and the inverse to rows."""
        features, x = rows.fit(self.bank), rows.X.flatten(1)
        set_components(self.components, *features.stable_components(*self.shape))
        points = self.components(features.X)
        self.mean.copy_(x.mean(0))
        # Components are uncorrelated, so each has a regression of its own.
        variances = points.square().mean(0)[:, None].clamp(min=1e-6)
        self.rows.copy_(points.T @ (x - self.mean) / len(x) / variances)


#: Names that the estimators accept for their parameter ``noise_space``.
SPACES = {"pca": PrincipalSpace, "features": FeatureSpace, "data": DataSpace}
