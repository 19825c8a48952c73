"""Components, filters and rotations that are fitted in closed form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "FAINT",
    "ViewedRows",
    "eigh",
    "equal_variances",
    "fisher_directions",
    "in_blocks",
    "kmeans_filters",
    "principal_components",
]

#: Number of rows that a network evaluates at once.
N_BLOCK = 128

N_PATCHES = 20_000
N_KMEANS_ITERATIONS = 10

#: Added to the variance within views, relative to the mean variance of a feature, since
#: no direction is entirely preserved by views.
RIDGE = 0.3

#: Lower bound of the ratios by which components are scaled.
SMALLEST_RATIO = 1e-2

#: Also added, for features without variance; otherwise their mean variance is about 1.
FAINT = 1e-4

#: Number of principal components among which directions are searched: as many as an
#: image bank has features.
N_SOUGHT = 1280

#: Added to the variance of a patch, and to the variances of the principal
#: components of patches relative to their mean, before dividing by them.
PATCH_VARIANCE = 0.1

#: Keeps whitening finite if patches do not vary at all.
LEAST_VARIANCE = 1e-12


@torch.no_grad()
def principal_components(
    X: Tensor, n_components: int, n_iter: int = 4
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean of rows, and the directions in which they vary most.

    Computed by subspace iteration from fixed random directions, twice as many as
    components, or exactly if there are no more features or rows than these.

    Parameters
    ----------
    X : Tensor of shape (n, n_features)
    n_components : int
        Number of components; there are at most n_features.
    n_iter : int
        Number of iterations.

    Returns
    -------
    mean : Tensor of shape (n_features,)
    variances : Tensor of shape (k,)
        In descending order; ``k = min(n_components, n_features)``, or ``n`` if less
        and ``2 * n_components < n_features``: n rows have no further components.
    directions : Tensor of shape (n_features, k)
        Orthonormal columns, each with its largest entry positive.

    References
    ----------
    Halko, Martinsson and Tropp, "Finding Structure with Randomness", 2011,
    algorithm 4.4.
    """
    mean = X.mean(0)
    X = X - mean
    n, n_features = X.shape
    k, size = min(n_components, n_features), 2 * n_components
    if size >= n_features:
        Q = torch.eye(n_features, device=X.device)
    elif size >= n:
        Q, _ = torch.linalg.qr(X.T)
    else:
        fixed = torch.Generator(X.device).manual_seed(0)
        Q = torch.randn(n_features, size, generator=fixed, device=X.device)
        for _ in range(n_iter):
            Q, _ = torch.linalg.qr(X.T @ (X @ Q))
    reduced = X if size >= n_features else X @ Q
    variances, V = eigh(reduced.T @ reduced / n)
    directions = _signed((Q @ V[:, -k:]).flip(1))
    return mean, variances[-k:].flip(0).clamp(min=0), directions


@torch.no_grad()
def in_blocks(network, X: Tensor) -> Tensor:
    """Return ``network(X)`` of rows ``(n, ...)``, computed in blocks."""
    return torch.cat([network(block) for block in X.split(N_BLOCK)])


class ViewedRows:
    """Rows and two views of each, from which closed forms are computed.

    Parameters
    ----------
    X : Tensor of shape (n, ...)
        Rows.
    views : callable
        Returns a list of two tensors like `X`, or an empty list. It is called once,
        when views are needed.
    generator : torch.Generator
        Source of other random numbers.
    """

    def __init__(self, X: Tensor, views, generator: torch.Generator):
        self.X = X
        self._views = cache(views)
        self.generator = generator
        self._banks: list = []

    @classmethod
    def drawn(cls, X: Tensor, augment, generator: torch.Generator) -> ViewedRows:
        """Return rows with views ``augment(X, generator)``, or none if it is None."""

        def views():
            return [augment(X, generator) for _ in range(2)] if augment else []

        return cls(X, views, generator)

    @property
    def views(self) -> list[Tensor]:
        """Two views of every row, or an empty list."""
        return self._views()

    @property
    def view_differences(self) -> Tensor:
        """Differences of two views of a row, divided by the square root of 2."""
        if not self.views:
            return self.X.new_zeros(1, *self.X.shape[1:])
        first, second = self.views
        return (first - second) / math.sqrt(2)

    def through(self, network) -> ViewedRows:
        """Return rows and views mapped by `network`, ``(n, ...)`` to ``(n, width)``."""
        given = self._views  # not self, whose banks may refer to the result

        def views():
            return [in_blocks(network, view) for view in given()]

        return ViewedRows(in_blocks(network, self.X), views, self.generator)

    def fit(self, bank) -> ViewedRows:
        """Fit a bank to the rows; return its features.

        Further banks of the same class and size are copies of the first, so that
        encoder and noise space have the same features.
        """
        for fitted, features in self._banks:
            if (type(fitted), fitted.width) == (type(bank), bank.width):
                bank.load_state_dict(fitted.state_dict())
                return features
        features = bank.initialize(self)
        self._banks.append((bank, features))
        return features

    def stable_components(self, n_components: int) -> tuple[Tensor, Tensor]:
        """Linear maps to components in which rows differ most and views of a row least.

        These are the directions v with the largest ratios ``v' T v / v' (W + r I) v``,
        where T is the covariance of rows and W that of differences between views.
        Without views they are principal components. The standard deviation of a
        component is its ratio to the power of 3/4.

        Parameters
        ----------
        n_components : int
            Number of components; there are at most n_features.

        Returns
        -------
        mean : Tensor of shape (n_features,)
        maps : Tensor of shape (n_features, k)
            Components are ``(x - mean) @ maps``, in descending order of their ratios,
            with mean variance 1; ``k <= n_components``.

        References
        ----------
        Fisher's discriminant analysis, with the views of each row as a class.
        """
        mean, directions, ratios = self._fisher
        directions, ratios = directions[:, :n_components], ratios[:n_components]
        size = ratios.pow(1.5).mean().clamp(min=1e-12).sqrt()
        return mean, directions * (ratios**0.25 / size)

    @cached_property
    @torch.no_grad()
    def _fisher(self):
        """Mean, directions with unit variance within views, and their ratios."""
        mean, principal = self.X.mean(0), None
        X = self.X - mean
        if X.shape[1] > N_SOUGHT:  # as many directions as rows are exact
            n_sought = min(N_SOUGHT, len(X))
            _, _, principal = principal_components(X, n_sought, n_iter=2)
            X = X @ principal
        differences = self.view_differences  # computed late, since they may be large
        if principal is not None:
            differences = differences @ principal
        total = X.T @ X / len(X)
        within = differences.T @ differences / len(differences)
        ridge = RIDGE * total.diagonal().mean()
        rounding = 1e-4 * within.diagonal().mean()  # keeps it positive definite
        within.diagonal().add_(ridge + rounding + FAINT)
        directions, ratios = fisher_directions(total, within)
        if principal is not None:
            directions = principal @ directions
        return mean, _signed(directions), ratios


def fisher_directions(between: Tensor, within: Tensor) -> tuple[Tensor, Tensor]:
    """Directions v with the largest ratios ``v' between v / v' within v``.

    Parameters
    ----------
    between, within : Tensor of shape (k, k)
        Covariances; `within` is positive definite.

    Returns
    -------
    directions : Tensor of shape (k, k)
        Columns with ``v' within v = 1``.
    ratios : Tensor of shape (k,)
        In descending order, at least 0.01.
    """
    # With within = L L', v = L'^-1 q for eigenvectors q of L^-1 between L'^-1.
    L = torch.linalg.cholesky(within)
    half = torch.linalg.solve_triangular(L, between, upper=False)
    ratios, Q = eigh(torch.linalg.solve_triangular(L, half.T, upper=False))
    directions = torch.linalg.solve_triangular(L.T, Q.flip(1), upper=True)
    return directions, ratios.flip(0).clamp(min=SMALLEST_RATIO)


def equal_variances(covariance: Tensor, start: Tensor | None = None) -> Tensor:
    """Rotation after which all components have the same variance.

    For each column, one plane rotation changes its variance to the mean.

    Parameters
    ----------
    covariance : Tensor of shape (k, k)
        Covariance of the components.
    start : Tensor of shape (k, k), optional
        Orthogonal matrix to start from; by default a cosine transform, which spreads
        every component over all columns.

    Returns
    -------
    rotation : Tensor of shape (k, k)
        Orthogonal, so that ``components @ rotation`` have the same distances as the
        components.

    References
    ----------
    Bendel and Mickey, "Population Correlation Matrices for Sampling
    Experiments", 1978.
    """
    C = covariance.cpu().double().numpy()
    n, mean = len(C), C.trace() / len(C)
    if start is None:
        Q = np.cos(math.pi * np.outer(2 * np.arange(n) + 1, np.arange(n)) / (2 * n))
        Q /= np.linalg.norm(Q, axis=0)
    else:
        Q = start.cpu().double().numpy().copy()
    C = Q.T @ C @ Q
    for i in range(n - 1):
        excess = C.diagonal()[i:] - mean
        j = i + int(np.argmax(-np.sign(excess[0]) * excess))
        a, b, c = excess[j - i], C[i, j], excess[0]
        if a * c >= 0:  # only rounding is left
            continue
        # Column i becomes (q_i + t q_j) / sqrt(1 + t^2), of variance `mean`.
        t = (math.copysign(math.sqrt(b * b - a * c), b) - b) / a
        cos, sin = 1 / math.hypot(1, t), t / math.hypot(1, t)
        plane = np.array([[cos, -sin], [sin, cos]])
        Q[:, [i, j]] = Q[:, [i, j]] @ plane
        C[:, [i, j]] = C[:, [i, j]] @ plane
        C[[i, j]] = plane.T @ C[[i, j]]
    return torch.from_numpy(Q).to(covariance)


@torch.no_grad()
def kmeans_filters(
    X: Tensor, n_filters: int, size: Sequence[int], generator: torch.Generator
) -> Tensor:
    """Fit filters: spherical k-means of whitened patches of images.

    Parameters
    ----------
    X : Tensor of shape (n, C, H, W)
        Images, at least as large as `size`.
    n_filters : int
        Number of filters.
    size : sequence (height, width) of int
        Size of a filter, in pixels.
    generator : torch.Generator
        Source of the positions of patches.

    Returns
    -------
    filters : Tensor of shape (n_filters, C, height, width)
        With zero mean. They include the whitening, and respond most to patches near
        one of the centres.

    References
    ----------
    Coates and Ng, "Learning Feature Representations with K-means", 2012.
    """

    def draw(high, n=N_PATCHES):
        return torch.randint(high, (n,), generator=generator, device=X.device)

    height, width = size
    patches = X.unfold(2, height, 1).unfold(3, width, 1)
    _, channels, n_rows, n_columns = patches.shape[:4]
    patches = patches[draw(len(X)), :, draw(n_rows), draw(n_columns)].flatten(1)
    patches = patches - patches.mean(1, keepdim=True)
    correction = min(1, patches.shape[1] - 1)  # a patch may be a single value
    contrast = patches.var(1, keepdim=True, correction=correction)
    patches = patches / (contrast + PATCH_VARIANCE).sqrt()
    patches = patches - patches.mean(0)
    variances, V = eigh(patches.T @ patches / N_PATCHES)
    variances = variances.clamp(min=LEAST_VARIANCE)
    whiten = V / (variances + variances.mean()).sqrt() @ V.T
    white = patches @ whiten
    centres = F.normalize(white[:n_filters])
    for _ in range(N_KMEANS_ITERATIONS):
        nearest = F.one_hot((white @ centres.T).argmax(1), n_filters).to(white)
        sums, others = nearest.T @ white, white[draw(N_PATCHES, n_filters)]
        empty = nearest.sum(0)[:, None] == 0
        centres = F.normalize(torch.where(empty, others, sums))
    filters = centres @ whiten
    filters = filters - filters.mean(1, keepdim=True)
    return filters.view(n_filters, channels, height, width)


def eigh(A: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, in ascending order, and eigenvectors of a covariance matrix.

    In float32, LAPACK may not converge on a matrix of low rank, so eigenvalues are
    shifted away from 0.
    """
    shift = A.diagonal().mean()
    values, vectors = torch.linalg.eigh(A + shift * torch.eye(len(A)).to(A))
    return values - shift, vectors


def _signed(columns):
    """Flip the signs of columns so that the largest entry of each is positive."""
    largest = columns.gather(0, columns.abs().argmax(0, keepdim=True))
    return columns * torch.where(largest < 0, -1, 1)
