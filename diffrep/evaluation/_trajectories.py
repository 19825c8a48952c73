"""Curves of codes: similarity of times and attention of classifiers."""

from __future__ import annotations

from numbers import Integral

import numpy as np
import pandas as pd
import torch
from scipy.spatial.distance import jensenshannon
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from diffrep._validation import Interval, validate_params
from diffrep.core.device import Stream, generator, in_usual_state
from diffrep.core.mutual_information import mutual_information
from diffrep.evaluation._probing import (
    check_has,
    check_labels,
    integer_seed,
    times_or_default,
)

__all__ = [
    "attention_masks",
    "attention_profiles",
    "code_information",
    "code_similarity",
    "jensen_shannon",
]

#: Estimates below are taken for 0, in nats.
LEAST = 1e-3


def code_similarity(representation, X, times=None):
    """Compute the similarity of codes at two times by linear CKA.

    Kornblith, Norouzi, Lee and Hinton, "Similarity of Neural Network
    Representations Revisited", ICML 2019, equation 3 with a linear kernel.

    Parameters
    ----------
    representation : transformer
        Fitted, with codes that depend on t: ``encode(X, times)``.
    X : array-like of shape (n_samples, n_features)
    times : array-like of shape (T,), default=None
        Times in [0, 1]; None is ``np.linspace(0, 1, 11)``.

    Returns
    -------
    similarity : DataFrame of shape (T, T)
        Indexed by time. 1 for codes that are equal up to rotation, scale and shift, 0
        for uncorrelated codes, nan if all rows have the same code.

    Raises
    ------
    TypeError
        If it has no method `encode`.
    ValueError
        If the representation is static, or a time is outside [0, 1].
    NotFittedError
        If the representation is not fitted.
    """
    times, codes = _curves(representation, X, times)
    codes = codes.astype(np.float64)
    codes = np.swapaxes(codes - codes.mean(axis=0), 0, 1)
    cross = np.array([[((a.T @ b) ** 2).sum() for b in codes] for a in codes])
    return pd.DataFrame(_normalized(cross), index=times, columns=times)


@in_usual_state
@validate_params(
    {
        "normalize": ["boolean"],
        "n_steps": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def code_information(
    representation,
    X,
    times=None,
    *,
    normalize=True,
    n_steps=1000,
    batch_size=256,
    random_state=0,
):
    """Estimate the mutual information of codes at two times.

    The estimator is neural (MINE), see
    :func:`diffrep.core.mutual_information.mutual_information`.

    Parameters
    ----------
    representation : transformer
        Fitted, with codes that depend on t: ``encode(X, times)``.
    X : array-like of shape (n_samples, n_features)
    times : array-like of shape (T,), default=None
        Times in [0, 1]; None is ``np.linspace(0, 1, 11)``.
    normalize : bool, default=True
        Whether to divide by the geometric mean of the information of each code with
        itself, for which the estimate is finite. If that is below 0.001 nats, as for
        a constant code, the ratio is nan.
    n_steps : int, default=1000
        Number of training steps of the estimator.
    batch_size : int, default=256
        Rows per step. The logarithm of it is about the largest possible estimate.
    random_state : int, RandomState instance or None, default=0

    Returns
    -------
    information : DataFrame of shape (T, T)
        Indexed by time; in nats, or a ratio if normalised.

    Raises
    ------
    TypeError
        If it has no method `encode`.
    ValueError
        If the representation is static, or a time is outside [0, 1].
    NotFittedError
        If the representation is not fitted.

    References
    ----------
    Mittal, Abstreiter, Bauer, Schölkopf and Mehrjou, on trajectories of codes,
    arXiv 2210.13774.
    """
    times, codes = _curves(representation, X, times)
    first, second = np.triu_indices(len(times))
    pairs = torch.from_numpy(np.column_stack([first, second]))
    draws = generator(integer_seed(random_state), Stream.SCORE)
    found = mutual_information(
        torch.from_numpy(codes), pairs, n_steps, batch_size, draws
    )
    information = np.zeros((len(times), len(times)))
    information[first, second] = information[second, first] = found.numpy()
    if normalize:
        information = _normalized(information, LEAST)
    return pd.DataFrame(information, index=times, columns=times)


@validate_params(
    {
        "n_times": [Interval(Integral, 1, None, closed="left")],
        "index": [Interval(Integral, 0, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def attention_masks(n_times, index):
    """Return masks of one time, the class token, both, or all but that time.

    They are numbered 0 to 4 in the companion paper, arXiv 2210.13774.

    Parameters
    ----------
    n_times : int
    index : int
        Index of the time, from 0.

    Returns
    -------
    masks : dict of str to ndarray of bool of shape (n_times + 1,)
        For :meth:`diffrep.trajectory.TrajectoryClassifier.attention`.

    Raises
    ------
    ValueError
        If `index` is not below `n_times`.
    """
    if index >= n_times:
        raise ValueError(
            f"index={index} must be below n_times={n_times}; the first time has 0."
        )
    hidden = {
        "none": [],
        "time hidden": [index],
        "token hidden": [n_times],
        "both hidden": [index, n_times],
        "time only": [i for i in range(n_times + 1) if i != index],
    }
    return {
        name: ~np.isin(np.arange(n_times + 1), where) for name, where in hidden.items()
    }


def attention_profiles(classifier, X, y, *, mask=None):
    """Compute the mean attention of a classifier to each time, by class.

    Parameters
    ----------
    classifier : TrajectoryClassifier
        Fitted, with ``head="attention"``.
    X : array-like of shape (n_samples, n_features)
    y : array-like of shape (n_samples,)
        Classes over which attention is averaged; they may differ from those of the
        classifier.
    mask : array-like of bool of shape (T + 1,), default=None
        Allowed times, see `attention_masks`.

    Returns
    -------
    profiles : DataFrame of shape (n_classes, T)
        Shares of the attention to each time, without that of the class token to itself;
        rows sum to 1.

    Raises
    ------
    TypeError
        If the classifier has no method `attention`.
    ValueError
        If it was not fitted with ``head="attention"``, or the mask has a wrong shape.
    """
    check_has(classifier, "attention")
    y = check_labels(X, y)
    weights = classifier.attention(X, mask=mask)
    frame = pd.DataFrame(weights, columns=classifier.t_grid_).groupby(y).mean()
    return frame.div(frame.sum(axis=1), axis=0)


def jensen_shannon(profiles):
    """Compute Jensen-Shannon divergences of profiles, in bits.

    Parameters
    ----------
    profiles : DataFrame or array-like of shape (n_profiles, T)
        Rows that sum to 1.

    Returns
    -------
    divergences : DataFrame of shape (n_profiles, n_profiles)
        0 for equal profiles, 1 for profiles without a common time.

    Raises
    ------
    ValueError
        If a profile has negative entries or does not sum to 1.
    """
    profiles = pd.DataFrame(profiles)
    rows = check_array(profiles, ensure_non_negative=True, input_name="profiles")
    if not np.allclose(rows.sum(axis=1), 1, atol=1e-4):
        raise ValueError(
            f"profiles sum to {rows.sum(axis=1)}; each must sum to 1. Divide them by "
            "their sums."
        )
    distance = [[jensenshannon(p, q, base=2) for q in rows] for p in rows]
    return pd.DataFrame(
        np.square(distance), index=profiles.index, columns=profiles.index
    )


def _normalized(matrix, least=0.0):
    """Divide by the geometric mean of diagonal entries; nan if one is not larger."""
    own = np.diag(matrix)
    own = np.where(own > least, own, np.nan)
    return matrix / np.sqrt(np.outer(own, own))


def _curves(representation, X, times):
    """Return times, and the codes ``(n, T, n_components)`` at them."""
    if getattr(representation, "t_grid_", None) is None:
        check_is_fitted(representation)
        raise ValueError(
            f"{type(representation).__name__} has the same code at all times (it has "
            "no t_grid_, or None). Pass a representation that was fitted with t_grid."
        )
    check_has(representation, "encode")
    times = times_or_default(times)
    return times, representation.encode(X, times)
