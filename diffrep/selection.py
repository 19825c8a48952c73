"""Selection of a representation by leave-one-out errors of the labelled rows."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pandas as pd
from pandas.api.types import is_float_dtype
from sklearn.base import TransformerMixin, clone
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import FeatureUnion
from sklearn.utils import check_array, check_consistent_length, column_or_1d, get_tags
from sklearn.utils.validation import check_is_fitted

from diffrep._validation import (
    BaseComposition,
    StrOptions,
    check_class_labels,
    check_transformer,
    fit_context,
)

__all__ = [
    "TARGET_TYPES",
    "RepresentationSelector",
    "leave_one_out_errors",
    "selected",
    "target_columns",
]

#: Kinds of targets; "auto" tells numbers from classes by their type.
TARGET_TYPES = {"auto", "continuous", "multiclass"}

#: Penalties of the ridge regressions, in mean squared lengths of the centred codes.
ALPHAS = np.geomspace(1e-4, 10, 8)


class RepresentationSelector(TransformerMixin, BaseComposition):
    """Select the transformer whose output predicts the target best.

    Each transformer is scored by leave-one-out predictions of a ridge regression on its
    output, which have a closed form. The last one is selected, unless another is better
    by more than a standard error. Use it in front of a classifier or regressor if you
    do not know whether codes are better than the columns themselves.

    Parameters
    ----------
    transformers : list of (name, transformer)
        Each is cloned and fitted. The last is the one to keep in doubt, for instance
        the columns of a table. Since `fit` only gets the labelled rows, wrap
        transformers that were fitted on all rows in ``sklearn.frozen.FrozenEstimator``.
    target_type : {"auto", "continuous", "multiclass"}, default="auto"
        Whether the target consists of numbers or of classes. With "auto", floats are
        numbers, and integers, booleans and texts are classes. Use "continuous" for
        integers that are numbers, such as prices.

    Attributes
    ----------
    transformers_ : list of (name, transformer)
        Fitted transformers.
    scores_ : ndarray of shape (n_transformers,)
        Negative leave-one-out error of each transformer: the share of rows whose class
        is not predicted, or the mean squared error of numbers.
    index_ : int
        Index of the selected transformer.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        If `fit` was given a data frame with text names.

    See Also
    --------
    diffrep.trajectory.TimeSelector : Selects the time of a representation.
    diffrep.evaluation.compare : Compares the accuracies of representations.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.frozen import FrozenEstimator
    >>> from sklearn.preprocessing import StandardScaler
    >>> from diffrep import DiffusionRepresentation
    >>> from diffrep.selection import RepresentationSelector
    >>> X, y = load_wine(return_X_y=True)
    >>> rep = DiffusionRepresentation(8, max_epochs=0, random_state=0).fit(X)
    >>> selector = RepresentationSelector(
    ...     [("codes", FrozenEstimator(rep)), ("columns", StandardScaler())]
    ... )
    >>> selector.fit(X[::10], y[::10]).scores_.shape
    (2,)
    """

    _parameter_constraints: ClassVar[dict] = {
        "transformers": [list],
        "target_type": [StrOptions(TARGET_TYPES)],
    }

    def __init__(self, transformers, *, target_type="auto"):
        self.transformers = transformers
        self.target_type = target_type

    def get_params(self, deep=True):
        """Return the parameters, with those of the transformers if `deep`.

        Parameters
        ----------
        deep : bool, default=True

        Returns
        -------
        params : dict
        """
        return self._get_params("transformers", deep=deep)

    def set_params(self, **params):
        """Set parameters, also transformers and their parameters, by name.

        Parameters
        ----------
        **params : dict

        Returns
        -------
        self : object
        """
        self._set_params("transformers", **params)
        return self

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y):
        """Fit and score each transformer and select one.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Classes or numbers.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If there is no transformer, names are not unique, or y is missing, has
            missing values, is not as long as X, or is not of the `target_type`.
        TypeError
            If one is not a transformer.
        """
        if not self.transformers:
            raise ValueError(
                "transformers is an empty list. Pass at least one (name, transformer)."
            )
        for pair in self.transformers:
            if not (isinstance(pair, tuple) and len(pair) == 2):
                raise TypeError(
                    f"transformers contains {pair!r}; expected pairs "
                    "(name, transformer)."
                )
        self._validate_names([name for name, _ in self.transformers])
        for name, transformer in self.transformers:
            check_transformer(name, transformer)
        if y is None:
            raise ValueError(
                "RepresentationSelector requires y to be passed, but the target y is "
                "None. It selects by how well y is predicted."
            )
        # Before the transformers are fitted, which may take minutes.
        targets, is_class = target_columns(y, self.target_type)
        check_consistent_length(X, targets)
        fitted = [
            (name, clone(transformer).fit(X, y))
            for name, transformer in self.transformers
        ]
        outputs = [transformer.transform(X) for _, transformer in fitted]
        errors = leave_one_out_errors(outputs, targets, of_classes=is_class)
        self.transformers_, self.scores_ = fitted, -errors.mean(axis=1)
        self.index_ = selected(errors)
        return self

    def transform(self, X):
        """Return the output of the selected transformer.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        codes : ndarray of shape (n_samples, n_columns)
        """
        check_is_fitted(self)
        return self.transformers_[self.index_][1].transform(X)

    def get_feature_names_out(self, input_features=None):
        """Return the names of the columns of `transform`.

        Parameters
        ----------
        input_features : array-like of str, optional
            Names of the features of X.

        Returns
        -------
        names : ndarray of str objects
            Those of the selected transformer.
        """
        check_is_fitted(self)
        transformer = self.transformers_[self.index_][1]
        return transformer.get_feature_names_out(input_features)

    @property
    def n_features_in_(self):
        """Number of features seen in `fit`."""
        return self.transformers_[0][1].n_features_in_

    @property
    def feature_names_in_(self):
        """Names of the features seen in `fit`."""
        return self.transformers_[0][1].feature_names_in_

    def _sk_visual_block_(self):
        # The diagram in notebooks: transformers side by side.
        return FeatureUnion(self.transformers)._sk_visual_block_()

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        inputs = [get_tags(each).input_tags for _, each in self.transformers]
        tags.input_tags.sparse = all(each.sparse for each in inputs)
        return tags


def target_columns(y, target_type):
    """Return the target as columns, and whether it consists of classes.

    Parameters
    ----------
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
    target_type : {"auto", "continuous", "multiclass"}

    Returns
    -------
    targets : ndarray of shape (n_samples, n_columns)
        Numbers, or a column of zeros and ones for each class.
    is_class : bool

    Raises
    ------
    ValueError
        If values are missing, classes are neither integers, booleans nor texts, or
        numbers are texts.
    """
    # check_array converts the nullable integers of pandas to floats.
    given = y.dtype if isinstance(y, pd.Series) else np.asarray(y).dtype
    y = check_array(y, ensure_2d=False, dtype=None, input_name="y")
    is_class = target_type == "multiclass"
    if target_type == "auto":
        is_class = y.ndim == 1 and not is_float_dtype(given)
    if is_class:
        y = column_or_1d(y)
        check_class_labels(y)
        y = y[:, None] == np.unique(y)
    return y.reshape(len(y), -1).astype(float), is_class


def leave_one_out_errors(outputs, targets, *, of_classes=False):
    """Compute the leave-one-out errors of ridge regressions on several codes.

    Parameters
    ----------
    outputs : iterable of array-like of shape (n_samples, n_columns)
    targets : ndarray of shape (n_samples, n_targets)
    of_classes : bool
        Whether an error is 1 if the largest prediction is not at the largest target,
        and 0 otherwise, and not squared.

    Returns
    -------
    errors : ndarray of shape (n_outputs, n_samples)
        Squared errors, averaged over targets, or errors of classes.
    """
    errors = []
    for codes in outputs:
        codes = check_array(codes, dtype=float, ensure_min_samples=2)
        found = _leave_one_out_predictions(codes, targets)
        if of_classes:
            errors.append(found.argmax(axis=1) != targets.argmax(axis=1))
        else:
            errors.append(np.square(found - targets).mean(axis=1))
    return np.array(errors, dtype=float)


def _leave_one_out_predictions(codes, targets):
    """Predict each row's target by a ridge regression on the others."""
    codes = codes - codes.mean(axis=0)
    length = np.sqrt(np.square(codes).sum(axis=1).mean()) or 1.0
    # With a scoring, the results are predictions, and without one, squared errors.
    ridge = RidgeCV(
        ALPHAS, scoring="neg_mean_squared_error", store_cv_results=True
    ).fit(codes / length, targets)
    best = np.flatnonzero(ridge.alpha_ == ALPHAS)[0]
    return ridge.cv_results_[..., best].reshape(targets.shape)


def selected(errors):
    """Return the index of the codes to select.

    These are the codes with the least mean error, if it is lower than that of the last
    ones by more than a standard error, and otherwise the last ones.

    Parameters
    ----------
    errors : ndarray of shape (n_outputs, n_samples)

    Returns
    -------
    index : int
    """
    best = int(errors.mean(axis=1).argmin())
    gain = errors[-1] - errors[best]
    is_clear = gain.mean() > gain.std() / np.sqrt(len(gain))
    return best if is_clear else len(errors) - 1
