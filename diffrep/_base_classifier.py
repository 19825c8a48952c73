"""Base class of classifiers of codes."""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.random import RandomState
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import LabelEncoder
from sklearn.utils.validation import check_is_fitted

from diffrep._model_file import (
    SaveMixin,
    check_classes,
    fields_of,
    get_net_state,
    require,
    set_features,
    set_net_state,
)
from diffrep._validation import (
    Interval,
    StrOptions,
    check_callbacks,
    check_class_labels,
    check_rows,
    copied,
)
from diffrep.base import N_FITTED_ROWS, BaseRepresentation
from diffrep.core.augment import AUGMENTATIONS
from diffrep.core.device import Stream, in_usual_state, seed_for
from diffrep.core.loop import Progress
from diffrep.core.rows import Rows

__all__ = ["BaseCodeClassifier"]


@dataclass(eq=False, repr=False, match_args=False)
class BaseCodeClassifier(SaveMixin, ClassifierMixin, BaseEstimator, metaclass=ABCMeta):
    """Base class of classifiers that train a head on codes."""

    representation: Any = None
    _: KW_ONLY
    augment: str | Callable | None = "auto"
    max_epochs: int | str = "auto"
    batch_size: int = 256
    lr: float = 3e-3
    callbacks: list | None = None
    device: str = "auto"
    verbose: int = 0
    random_state: int | RandomState | None = None

    _parameter_constraints: ClassVar[dict] = {
        "representation": [None, BaseRepresentation, FrozenEstimator],
        "augment": [None, StrOptions({"auto", *AUGMENTATIONS}), callable],
        "max_epochs": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "callbacks": [None, list, tuple],
        "device": [str],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    #: Number of steps of ``max_epochs="auto"``, with limits on the number of epochs.
    _n_steps: ClassVar[int]
    _epochs: ClassVar[tuple[int, int]]

    @in_usual_state
    def predict_proba(self, X):
        """Predict probabilities of classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`. The probabilities of a row do not depend on the
            other rows, beyond rounding.
        """
        check_is_fitted(self)
        X = check_rows(self, X, reset=False)
        rows = self._rows(self._inputs(X))
        logits = self.net_.evaluate(self.net_.module_.logits, rows)
        return softmax(logits.astype(np.float64), axis=1)

    def predict(self, X):
        """Predict classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        y : ndarray of shape (n_samples,)
        """
        numbers = self.predict_proba(X).argmax(axis=1)
        return self.classes_[numbers]

    def _inputs(self, X):
        """Return the inputs of the net for checked rows."""
        return X

    def _rows(self, inputs, y=None, index=None):
        """Return the data set of inputs; `_scaling` is set by `fit`."""
        standardizer, shape, given = self._scaling
        return Rows(inputs, standardizer, shape, given, self.net_.device, y, index)

    def _fitted(self, X):
        """Return the representation, or a fitted clone if it is not fitted.

        Names and number of the columns of X must be those of a fitted representation.
        """
        representation = self.representation
        if isinstance(representation, FrozenEstimator):
            representation = representation.estimator
        try:
            check_is_fitted(representation)
        except NotFittedError:
            return clone(representation).fit(X)
        check_rows(representation, X, reset=False)
        return representation

    def _class_numbers(self, y):
        """Set `classes_`; return class indices."""
        check_class_labels(y)
        y = y.astype(y.dtype.newbyteorder("="))
        encoder = LabelEncoder().fit(y)
        self.classes_ = encoder.classes_
        return encoder.transform(y)

    def _n_epochs(self, n_batches):
        """Return the number of epochs of `n_batches` batches."""
        if self.max_epochs == "auto":
            return int(np.clip(-(-self._n_steps // n_batches), *self._epochs))
        return self.max_epochs

    def _start(self, inputs):
        """Standardise curves, as estimated from some rows; check views of two."""
        rng = np.random.default_rng(seed_for(self.net_.seed, Stream.START, 1))
        x, _ = self._rows(inputs).some(N_FITTED_ROWS, rng)
        self.net_.check_view(x)
        self.net_.module_.initialize(x)

    def _train(self, rows, n_epochs):
        """Train the net for a number of epochs; set `history_` and `n_iter_`."""
        callbacks = check_callbacks(self.callbacks)
        if self.verbose and n_epochs > 1:  # no use in a bar of one epoch
            callbacks.append(("progress", Progress()))
        self.net_.set_params(callbacks=copied(callbacks), max_epochs=n_epochs)
        self.net_.initialize_callbacks().partial_fit((rows, None))
        self.net_.module_.eval()
        self._tell_history()

    def _tell_history(self):
        history = pd.DataFrame(self.net_.history.to_list())
        self.history_ = history.drop(columns="batches")
        self.n_iter_ = len(self.history_)

    def _get_state(self):
        """Return the fitted attributes, for a model file; subclasses add others."""
        return {
            "n_features_in_": self.n_features_in_,
            "feature_names_in_": getattr(self, "feature_names_in_", None),
            "classes_": self.classes_,
            "representation_": self.representation_,
            "net": get_net_state(self.net_),
        }

    def _set_state(self, state):
        """Set the fitted attributes except for the net, which subclasses construct."""
        names = ("n_features_in_", "feature_names_in_", "classes_")
        fields_of(state, "state", *names, "representation_", "net")
        set_features(self, state)
        self.classes_ = check_classes(state["classes_"])
        self.representation_ = representation = state["representation_"]
        if representation is not None:
            right = isinstance(representation, BaseRepresentation)
            require(right, "representation_ must be a representation")
            check_is_fitted(representation)
            alike = representation.n_features_in_ == self.n_features_in_
            require(alike, "representation_ has another number of features")

    def _take_net(self, net, state):
        """Set `net_` and the attributes that depend on it."""
        set_net_state(net, state["net"])
        self.net_ = net
        self._tell_history()
