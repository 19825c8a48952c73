"""Label propagation over the graph of nearest neighbours."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import cg
from sklearn.base import clone
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

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
    """Weights of the edges from each row to its nearest neighbours, both ways.

    Parameters
    ----------
    codes : ndarray of shape (n, n_components)
    n_neighbors : int or transformer
        Below n; or what gives a graph of Euclidean distances to neighbours, a
        row's own left out or not.

    Returns
    -------
    W : sparse array of shape (n, n)
        Cosines of the angles between codes to the third power, as in Iscen et al.
        (2019), those below 0 set to 0; symmetric, with a zero diagonal.
    """
    codes = normalize(codes)
    if isinstance(n_neighbors, Integral):
        index = NearestNeighbors(n_neighbors=n_neighbors, algorithm="brute")
        distances = index.fit(codes).kneighbors_graph(mode="distance")
    else:
        distances = clone(n_neighbors).fit_transform(codes)
    W = csr_array(distances, dtype=np.float64)
    W.data = np.clip(1 - W.data**2 / 2, 0, None) ** POWER
    W = W - diags_array(W.diagonal())
    return W.maximum(W.T)


def class_shares(labels):
    """Shares of the classes, estimated from few labels, and how far to trust them.

    The shares among labelled rows, drawn towards equal ones as far as chance
    explains how they differ from these: the estimator of James and Stein for
    counts, Hausser and Strimmer, JMLR 10, 2009, equation 8.

    Parameters
    ----------
    labels : ndarray of shape (n,)
        Numbers of classes from 0 on, -1 for rows without a label.

    Returns
    -------
    shares : ndarray of shape (n_classes,)
    tolerance : ndarray of shape (n_classes,)
        Two standard errors, and a tenth of the share: labels that were dealt
        out evenly say little about the shares, though they do not scatter.
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
    """Scores of the classes for each row, from those that have a label.

    Y is 0 on rows without a label; on the others it is 1 for their class, times
    its share, divided by the number of its labels, so that a class does not win
    because more of it happens to be labelled. "laplace" solves ``(I - a Wn) F =
    Y``, ``Wn = D^-1/2 W D^-1/2`` with the degrees D (Zhou et al., 2004).
    "poisson" solves ``(D - W) F = Y - Ym`` (Calder et al., 2020), Ym on labelled
    rows such that the sum is 0; it does not forget labels over long ways.

    Parameters
    ----------
    W : sparse array of shape (n, n)
        Symmetric weights, none negative.
    labels : ndarray of shape (n,)
        Numbers of classes from 0 on, -1 for rows without a label.
    shares : ndarray of shape (n_classes,)
        Of the classes among all rows.
    kind : {"laplace", "poisson"}

    Returns
    -------
    F : ndarray of shape (n, n_classes)
        Not negative, with rows that sum to 1; those of labelled rows one-hot,
        those of rows that no label reaches uniform.
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
    """Scores corrected until each class has a share of the rows within bounds.

    Distribution alignment as in LaplaceNet: many small corrections of the
    scores of a class, which are then brought to a sum of 1 again.

    Parameters
    ----------
    F : ndarray of shape (n, n_classes)
        As of `propagated`.
    labels : ndarray of shape (n,)
        As there.
    low, high : ndarray of shape (n_classes,)
        Bounds of the shares, of the rows without a label.

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
    """Scores without what is negative, in shares of each row."""
    F = np.clip(F, 0, None)
    total = F.sum(axis=1, keepdims=True)
    F = np.where(total > 0, F / np.where(total > 0, total, 1), 1 / F.shape[1])
    F[labelled] = one_hot[labelled]
    return F
