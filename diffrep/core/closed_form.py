"""Starts that are fitted to the data in closed form: no gradient, no epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = [
    "in_blocks",
    "principal_components",
    "rows_and_changes",
    "stable_components",
    "whitened_patches",
]

#: Rows that a network is shown at a time.
N_BLOCK = 500

N_PATCHES = 20_000

#: Added to the variance within views, relative to the mean variance of a
#: feature: no direction counts as quite free of what views change.
RIDGE = 0.3

#: No component is made smaller than one of this ratio.
SMALLEST_RATIO = 1e-4

#: Directions are sought among this many principal components.
N_SOUGHT = 1024

#: Added to the variance of a patch, and to the variances of the principal
#: components of patches relative to their mean, before dividing by them.
PATCH_VARIANCE = 0.1

#: Keeps whitening finite where patches do not vary at all.
LEAST_VARIANCE = 1e-12


@torch.no_grad()
def principal_components(
    X: Tensor, n_components: int, generator: torch.Generator, n_iter: int = 4
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean of rows, and the directions in which they vary most.

    By subspace iteration from a random start of twice the size, exactly if that
    is no less than the number of features, or of rows.

    Parameters
    ----------
    X : Tensor of shape (n, n_features)
    n_components : int
        Number of components, at most n_features of which exist.
    generator : torch.Generator
        Source of the start.
    n_iter : int
        Number of iterations.

    Returns
    -------
    mean : Tensor of shape (n_features,)
    variances : Tensor of shape (k,)
        In falling order; ``k = min(n_components, n_features)``.
    directions : Tensor of shape (n_features, k)
        Orthonormal columns, each with its largest entry positive.

    References
    ----------
    Halko, Martinsson and Tropp, "Finding Structure with Randomness", 2011,
    algorithm 4.4.
    """
    mean = X.mean(0)
    X = X - mean
    n_features = X.shape[1]
    size = min(n_features, 2 * n_components)
    Q, reduced = torch.eye(n_features, device=X.device), X
    if size < n_features:
        Q = torch.randn(n_features, size, generator=generator, device=X.device)
        for _ in range(n_iter):
            Q, _ = torch.linalg.qr(X.T @ (X @ Q))
        reduced = X @ Q
    variances, V = torch.linalg.eigh(reduced.T @ reduced / len(X))
    k = min(n_components, n_features)
    directions = _signed((Q @ V[:, -k:]).flip(1))
    return mean, variances[-k:].flip(0).clamp(min=0), directions


@torch.no_grad()
def in_blocks(network, X: Tensor) -> Tensor:
    """Give rows ``(n, ...)`` to `network`, a block of them at a time."""
    return torch.cat([network(block) for block in X.split(N_BLOCK)])


@torch.no_grad()
def rows_and_changes(network, X: Tensor, view) -> tuple[Tensor, Tensor]:
    """Return what a network makes of rows, and how two views of a row differ in it.

    Parameters
    ----------
    network : callable
        From rows ``(n, ...)`` to features ``(m, width)``.
    X : Tensor of shape (n, ...)
    view : callable
        ``view(X)`` draws a view of every row.

    Returns
    -------
    rows, changes : Tensor of shape (m, width)
        As :func:`stable_components` takes them.
    """
    rows, first, second = (in_blocks(network, seen) for seen in (X, view(X), view(X)))
    return rows, (first - second) / math.sqrt(2)


@torch.no_grad()
def stable_components(
    X: Tensor, changes: Tensor, n_components: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Linear maps in which rows differ most, and the views of a row least.

    The directions v of largest ratio ``v' T v / v' (W + r I) v`` of the
    covariance T of rows to the covariance W of what views change; a PCA if
    they change nothing. The larger its ratio, the larger a component: its
    standard deviation is the ratio to the power 3/4.

    Parameters
    ----------
    X : Tensor of shape (n, n_features)
    changes : Tensor of shape (m, n_features)
        Differences of two views of a row, divided by the square root of 2.
    n_components : int
        Number of components, at most n_features of which exist.
    generator : torch.Generator

    Returns
    -------
    mean : Tensor of shape (n_features,)
    maps : Tensor of shape (n_features, k)
        Components are ``(x - mean) @ maps``, the first of largest ratio, their
        mean variance 1; ``k <= n_components``.

    References
    ----------
    Fisher's discriminant analysis with every row as a class of its views.
    """
    n_sought = max(N_SOUGHT, n_components)
    mean, directions = X.mean(0), torch.eye(X.shape[1], device=X.device)
    if X.shape[1] > n_sought:
        _, _, directions = principal_components(X, n_sought, generator, n_iter=2)
    reduced, changes = (X - mean) @ directions, changes @ directions
    total = reduced.T @ reduced / len(reduced)
    within = changes.T @ changes / len(changes)
    ridge = RIDGE * total.diagonal().mean()
    rounding = 1e-4 * within.diagonal().mean() + 1e-12  # keeps it positive definite
    within.diagonal().add_(ridge + rounding)
    # With within = L L', the directions are those of L^-1 total L'^-1, through L'^-1.
    L = torch.linalg.cholesky(within)
    half = torch.linalg.solve_triangular(L, total, upper=False)
    ratios, Q = torch.linalg.eigh(torch.linalg.solve_triangular(L, half.T, upper=False))
    ratios, Q = ratios.flip(0)[:n_components], Q.flip(1)[:, :n_components]
    maps = directions @ torch.linalg.solve_triangular(L.T, Q, upper=True)
    ratios = ratios.clamp(min=SMALLEST_RATIO)
    size = ratios.pow(1.5).mean().clamp(min=1e-12).sqrt()
    return mean, _signed(maps * (ratios**0.25 / size))


@torch.no_grad()
def whitened_patches(
    X: Tensor, n_filters: int, size: Sequence[int], generator: torch.Generator
) -> Tensor:
    """Draw filters: random patches of the images, whitened.

    Parameters
    ----------
    X : Tensor of shape (n, C, H, W)
        Images, no smaller than `size`.
    n_filters : int
        Number of filters.
    size : sequence (height, width) of int
        Of a filter, in pixels.
    generator : torch.Generator
        Chooses the patches.

    Returns
    -------
    filters : Tensor of shape (n_filters, C, height, width)
        With zero mean. A filter answers to what its patch is like after
        patches are centred, brought to one contrast and made white.

    References
    ----------
    Coates and Ng, "The Importance of Encoding Versus Training with Sparse
    Coding and Vector Quantization", 2011.
    """

    def draw(high):
        return torch.randint(high, (N_PATCHES,), generator=generator, device=X.device)

    height, width = size
    patches = X.unfold(2, height, 1).unfold(3, width, 1)
    _, channels, n_rows, n_columns = patches.shape[:4]
    patches = patches[draw(len(X)), :, draw(n_rows), draw(n_columns)].flatten(1)
    patches = patches - patches.mean(1, keepdim=True)
    correction = min(1, patches.shape[1] - 1)  # a patch may be a single value
    contrast = patches.var(1, keepdim=True, correction=correction)
    patches = patches / (contrast + PATCH_VARIANCE).sqrt()
    centred = patches - patches.mean(0)
    variances, V = torch.linalg.eigh(centred.T @ centred / N_PATCHES)
    variances = variances.clamp(min=LEAST_VARIANCE)
    whiten = V / (variances + variances.mean()).sqrt() @ V.T
    filters = centred[:n_filters] @ whiten
    filters = filters / filters.norm(dim=1, keepdim=True).clamp(min=1e-6) @ whiten
    filters = filters - filters.mean(1, keepdim=True)
    return filters.view(n_filters, channels, height, width)


def _signed(columns):
    """Turn columns so that the largest entry of each is positive."""
    largest = columns.gather(0, columns.abs().argmax(0, keepdim=True))
    return torch.where(largest < 0, -columns, columns)
