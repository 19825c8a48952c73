"""Starts that are fitted to the data in closed form: no gradient, no epoch."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["principal_components", "whitened_patches"]

N_PATCHES = 20_000

#: Added to the variance of a patch, and to the variances of the principal
#: components of patches relative to their mean, before dividing by them.
PATCH_VARIANCE = 0.1


@torch.no_grad()
def principal_components(
    X: Tensor, n_components: int, generator: torch.Generator, n_iter: int = 4
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean of rows, and the directions in which they vary most.

    By subspace iteration from a random start of twice the size, which is exact
    if that is the number of features, or of rows.

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
    Q = torch.randn(n_features, size, generator=generator, device=X.device)
    Q, _ = torch.linalg.qr(Q)
    for _ in range(n_iter if size < n_features else 0):
        Q, _ = torch.linalg.qr(X.T @ (X @ Q))
    reduced = X @ Q
    variances, V = torch.linalg.eigh(reduced.T @ reduced / len(X))
    k = min(n_components, n_features)
    directions = (Q @ V[:, -k:]).flip(1)
    largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))
    return mean, variances[-k:].flip(0).clamp(min=0), directions * largest.sign()


@torch.no_grad()
def whitened_patches(
    X: Tensor, n_filters: int, size: int, generator: torch.Generator
) -> Tensor:
    """Draw filters: random patches of the images, whitened.

    Parameters
    ----------
    X : Tensor of shape (n, C, H, W)
        Images, neither side smaller than `size`.
    n_filters, size : int
        Number of filters, and their side in pixels.
    generator : torch.Generator
        Chooses the patches.

    Returns
    -------
    filters : Tensor of shape (n_filters, C, size, size)
        With zero mean. A filter answers to what its patch is like after
        patches are centred, brought to one contrast and made white.

    References
    ----------
    Coates and Ng, "The Importance of Encoding Versus Training with Sparse
    Coding and Vector Quantization", 2011.
    """

    def draw(high):
        return torch.randint(high, (N_PATCHES,), generator=generator, device=X.device)

    patches = X.unfold(2, size, 1).unfold(3, size, 1)
    _, channels, n_rows, n_columns = patches.shape[:4]
    patches = patches[draw(len(X)), :, draw(n_rows), draw(n_columns)].flatten(1)
    patches = patches - patches.mean(1, keepdim=True)
    patches = patches / (patches.var(1, keepdim=True) + PATCH_VARIANCE).sqrt()
    centred = patches - patches.mean(0)
    variances, V = torch.linalg.eigh(centred.T @ centred / N_PATCHES)
    variances = variances.clamp(min=0)
    whiten = V / (variances + variances.mean()).sqrt() @ V.T
    filters = centred[:n_filters] @ whiten
    filters = filters / filters.norm(dim=1, keepdim=True).clamp(min=1e-6) @ whiten
    filters = filters - filters.mean(1, keepdim=True)
    return filters.view(n_filters, channels, size, size)
