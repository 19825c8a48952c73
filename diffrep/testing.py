"""What every representation keeps to, as a check for estimators of your own."""

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
    """Check that a representation keeps what those of diffrep promise.

    scikit-learn's own checks (:func:`sklearn.utils.estimator_checks.check_estimator`)
    are about any estimator; these are about codes. The estimator is cloned, and fitted
    four times.

    Parameters
    ----------
    estimator : transformer
        With a parameter `random_state`, and few steps of training if it can be.
    X : array-like of shape (n_samples, n_features), default=None
        At least 40 rows to fit it to; None is 90 rows of 8 normal numbers.

    Raises
    ------
    AssertionError
        If codes are not float32 numbers with a name for each column, differ between
        fits of one seed, depend on the rows beside them beyond rounding, or change by
        pickling; if the fit changes its rows, its parameters or the global generators
        of numpy and torch; or if a fit that fails changes an estimator that was fitted
        before.

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
