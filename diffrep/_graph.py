"""Label propagation over the graph of nearest neighbours."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import cg
from sklearn.base import clone
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize
from sklearn.utils import check_array

__all__ = [
    "PROPAGATIONS",
    "aligned",
    "class_shares",
    "neighbor_graph",
    "propagated",
]

#: Share of its score that a row passes to its neighbours, by kind of propagation.
#: Poisson learning uses 1, for which the equation has no solution in components of the
#: graph without labels.
PROPAGATIONS = {"laplace": 0.99, "poisson": 1 - 1e-4}

#: Power of the cosine of two codes in the weight of their edge.
POWER = 3

#: Relative residual and largest number of iterations of conjugate gradients.
TOLERANCE = 1e-5
MAX_ITER = 200

#: Least tolerance of estimated class shares, relative to them.
LEAST_TOLERANCE = 0.1

#: Number and largest size of corrections in distribution alignment.
N_CORRECTIONS = 100
LARGEST_CORRECTION = 0.01


def neighbor_graph(codes, n_neighbors):
    """Weights of the undirected edges between rows and their nearest neighbours.

    Parameters
    ----------
    codes : ndarray of shape (n, n_components)
    n_neighbors : int or transformer
        Less than n. A transformer returns a graph of Euclidean distances to neighbours,
        such as KNeighborsTransformer.

    Returns
    -------
    W : sparse array of shape (n, n)
        Third powers of the cosines between codes, as in Iscen et al. (2019), or 0 for
        negative cosines. Symmetric, with a zero diagonal.
    """
    codes = normalize(codes)
    if isinstance(n_neighbors, Integral):
        index = NearestNeighbors(n_neighbors=n_neighbors, algorithm="brute")
        distances = index.fit(codes).kneighbors_graph(mode="distance")
    else:
        distances = clone(n_neighbors).fit_transform(codes)
        distances = check_array(
            distances, accept_sparse="csr", ensure_non_negative=True, input_name="graph"
        )
        if distances.shape != (len(codes), len(codes)):
            raise ValueError(
                f"n_neighbors={n_neighbors!r} returned a graph of shape "
                f"{distances.shape} for {len(codes)} rows. Use a transformer that "
                "returns distances between all rows, such as KNeighborsTransformer."
            )
    W = csr_array(distances, dtype=np.float64)
    W.data = np.clip(1 - W.data**2 / 2, 0, None) ** POWER
    W = W - diags_array(W.diagonal())
    return W.maximum(W.T)


def class_shares(labels):
    """Shares of the classes, estimated from few labels, and their tolerance.

    The shares among labelled rows are shrunk towards equal shares by the estimator of
    James and Stein for counts (Hausser and Strimmer, JMLR 10, 2009, equation 8).

    Parameters
    ----------
    labels : ndarray of shape (n,)
        Class indices, -1 for rows without a label.

    Returns
    -------
    shares : ndarray of shape (n_classes,)
    tolerance : ndarray of shape (n_classes,)
        Two standard errors plus a tenth of the share, since the standard error is 0 if
        the same number of rows of each class was labelled on purpose.
    """
    counts = np.bincount(labels[labels >= 0])
    n, equal = counts.sum(), 1 / len(counts)
    found = counts / n
    chance, difference = 1 - (found**2).sum(), (n - 1) * ((equal - found) ** 2).sum()
    a = min(1.0, chance / difference) if difference > 0 else 1.0
    shares = a * equal + (1 - a) * found
    error = (1 - a) * np.sqrt(shares * (1 - shares) / n)
    return shares, 2 * error + LEAST_TOLERANCE * shares


def propagated(W, labels, shares, kind="laplace"):
    """Scores of the classes for all rows, propagated from labelled rows.

    The source Y of a labelled row is 1 for its class, multiplied by the share of the
    class and divided by its number of labels, so that scores do not depend on how many
    rows of a class are labelled. It is 0 for rows without a label. "laplace" solves
    ``(I - a Wn) F = Y`` with ``Wn = D^-1/2 W D^-1/2`` and the degrees D (Zhou et al.,
    2004). "poisson" solves ``(D - W) F = Y - Ym`` (Calder et al., 2020), where Ym is on
    labelled rows and makes the sum 0. Its scores do not decay with the distance to
    labelled rows.

    Parameters
    ----------
    W : sparse array of shape (n, n)
        Symmetric, non-negative weights.
    labels : ndarray of shape (n,)
        Class indices, -1 for rows without a label.
    shares : ndarray of shape (n_classes,)
        Shares of the classes among all rows.
    kind : {"laplace", "poisson"}

    Returns
    -------
    F : ndarray of shape (n, n_classes)
        Non-negative, with rows that sum to 1. Labelled rows are one-hot; rows that are
        not connected to a labelled row are uniform.
    """
    labelled = labels >= 0
    one_hot = np.eye(len(shares))[labels] * labelled[:, None]
    Y = one_hot * (shares / one_hot.sum(axis=0))
    degrees = W.sum(axis=1)
    root = diags_array(1 / np.sqrt(np.where(degrees > 0, degrees, 1)))
    B = Y
    if kind == "poisson":
        B = root @ (Y - Y.sum(axis=1, keepdims=True) * shares)
    system = diags_array(np.ones(len(Y))) - PROPAGATIONS[kind] * (root @ W @ root)
    F = np.column_stack(
        [cg(system, b, rtol=TOLERANCE, maxiter=MAX_ITER)[0] for b in B.T]
    )
    if kind == "poisson":
        F = root @ F
    return _normalised(F, one_hot, labelled)


def aligned(F, labels, low, high):
    """Correct scores until the share of each class is within bounds.

    This is the distribution alignment of LaplaceNet: many small corrections of the
    scores of each class, each followed by normalisation of the rows.

    Parameters
    ----------
    F : ndarray of shape (n, n_classes)
        Scores as returned by `propagated`.
    labels : ndarray of shape (n,)
        Class indices, -1 for rows without a label.
    low, high : ndarray of shape (n_classes,)
        Bounds of the shares among rows without a label.

    Returns
    -------
    F : ndarray of shape (n, n_classes)
    """
    free = labels < 0
    if not free.any():
        return F
    F = F.copy()
    for _ in range(N_CORRECTIONS):
        found = np.bincount(F[free].argmax(axis=1), minlength=len(low)) / free.sum()
        ratio = np.clip(found, low, high) / (found + 1e-7)
        F[free] *= np.clip(ratio, 1 - LARGEST_CORRECTION, 1 + LARGEST_CORRECTION)
        F /= F.sum(axis=1, keepdims=True)
    return F


def _normalised(F, one_hot, labelled):
    """Clip scores at 0 and normalise rows; set those of labelled rows."""
    F = np.clip(F, 0, None)
    total = F.sum(axis=1, keepdims=True)
    F = np.where(total > 0, F / np.where(total > 0, total, 1), 1 / F.shape[1])
    F[labelled] = one_hot[labelled]
    return F
