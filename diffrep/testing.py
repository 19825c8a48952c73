"""A check of the guarantees of representations, for your own estimators."""

from __future__ import annotations

import pickle

import numpy as np
import torch
from sklearn.base import clone

__all__ = ["check_representation"]

#: Codes of a row beside other rows are no farther apart, as a share of their spread:
#: on many processors a matrix product rounds by the number of its rows.
ROUNDING = 1e-5


def check_representation(estimator, X=None):
    """Check that a representation gives the guarantees of those of diffrep.

    This complements :func:`sklearn.utils.estimator_checks.check_estimator`. The
    estimator is cloned and fitted four times.

    Parameters
    ----------
    estimator : transformer
        Estimator with a parameter `random_state`. Set few training steps.
    X : array-like of shape (n_samples, n_features), default=None
        At least 40 rows to fit; None is 90 rows of 8 normal numbers.

    Raises
    ------
    AssertionError
        If codes are not finite float32 numbers with a name for each column, differ
        between fits with the same seed, depend on other rows beyond rounding, or change
        by pickling; if `fit` changes the rows, parameters or global generators of numpy
        and torch; or if a failed fit changes a fitted estimator.

    Examples
    --------
    >>> from diffrep import DiffusionRepresentation
    >>> from diffrep.testing import check_representation
    >>> check_representation(DiffusionRepresentation(4, max_epochs=1))
    """
    if X is None:
        X = np.random.default_rng(0).normal(size=(90, 8))
    X = np.asarray(X)
    given = X.copy()
    rep = clone(estimator).set_params(random_state=0)
    parameters, states = rep.get_params(), _global_states()
    codes = rep.fit(X).transform(X)
    assert _global_states() == states, "fit or transform uses a global generator"
    assert rep.get_params() == parameters, "fit changes parameters"
    assert np.array_equal(X, given), "fit changes the rows it is given"

    assert codes.dtype == np.float32, f"codes are {codes.dtype}, not float32"
    assert np.isfinite(codes).all(), "codes are not finite"
    n_names = len(rep.get_feature_names_out())
    assert codes.shape == (len(X), n_names), f"{n_names} names for {codes.shape[1]}"

    again = clone(rep).fit(X).transform(X)
    assert np.array_equal(again, codes), "fits of one seed differ"
    other = clone(rep).set_params(random_state=1).fit(X).transform(X)
    assert not np.array_equal(other, codes), "codes do not depend on random_state"

    order = np.random.default_rng(0).permutation(len(X))
    alone = np.concatenate([rep.transform(X[i : i + 1]) for i in (0, len(X) - 1)])
    atol = ROUNDING * codes.std()
    assert np.allclose(rep.transform(X[order]), codes[order], 0, atol), (
        "rows are mixed up"
    )
    assert np.allclose(alone, codes[[0, -1]], 0, atol), "codes depend on the other rows"
    pickled = pickle.loads(pickle.dumps(rep))
    assert np.array_equal(pickled.transform(X), codes), "pickling changes codes"

    broken = X.astype(float)
    broken[0, 0] = np.nan
    try:
        rep.fit(broken)
    except ValueError:
        after = rep.transform(X)
        assert np.array_equal(after, codes), "a fit that failed changes the estimator"
    else:
        raise AssertionError("NaN is accepted in X")


def _global_states():
    """States of the global generators of numpy and torch, as bytes."""
    numpy_state = np.random.get_state()  # noqa: NPY002 - it is the global one
    return pickle.dumps(numpy_state), bytes(torch.get_rng_state().numpy())
