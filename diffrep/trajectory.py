"""Codes at several times: selection of a time, voting, and classifiers of curves."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.feature_selection import SelectorMixin
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_is_fitted

from diffrep._base_classifier import BaseCodeClassifier
from diffrep._model_file import check_numbers, made_standardizer, require
from diffrep._parts import view_function
from diffrep._validation import (
    HasMethods,
    Interval,
    StrOptions,
    all_or_nothing,
    check_rows,
    draw_seed,
    fit_context,
    fit_standardizer,
)
from diffrep.core.classifiers import (
    ClassifierModel,
    ClassifierNet,
    CurveReader,
    StackReader,
)
from diffrep.core.device import choose_device, in_usual_state
from diffrep.core.heads import HEADS
from diffrep.core.standardizer import Standardizer
from diffrep.selection import (
    TARGET_TYPES,
    leave_one_out_errors,
    selected,
    target_columns,
)

__all__ = ["TimeSelector", "TimeVotingClassifier", "TrajectoryClassifier"]

WEIGHT_DECAY = 0.01

#: A time whose error is larger than the least by this share has 1/e of its vote.
TOLERANCE = 0.05


@dataclass(eq=False, kw_only=True, repr=False, match_args=False)
class TrajectoryClassifier(BaseCodeClassifier):
    """Classifier of curves of codes over time.

    Parameters
    ----------
    representation : estimator of diffrep, default=None
        Representation that computes the curves, at the times of its ``t_grid_``. A
        fitted one is used as it is; otherwise a clone is fitted on X. Since searches
        clone their estimators, wrap a fitted one in ``sklearn.frozen.FrozenEstimator``
        there. With None, X contains the curves: the columns of a ``transform`` with a
        `t_grid`, as in a Pipeline.
    augment : str, callable or None, default="auto"
        Random views that the encoder sees if it is fine-tuned.
    max_epochs : int or "auto", default="auto"
        "auto" is about 400 steps, at least 20 and at most 200 epochs.
    batch_size : int, default=256
        Largest number of rows in a step.
    lr : float, default=3e-3
        Largest learning rate of AdamW; linear warm-up, then cosine decay.
    callbacks, device, verbose, random_state
        As for :class:`diffrep.DiffusionRepresentation`.
    n_times : int, default=None
        Number of times in X, if `representation` is None; None is 1.
    head : {"attention", "gru", "concat"}, default="attention"
        "attention" is a transformer with a class token, "gru" a recurrent network along
        the curve, and "concat" a hidden layer on the concatenated codes. In our
        measurements LogisticRegression on the same columns, or after `TimeSelector`,
        was as good or better.
    fine_tune : bool, default=False
        Whether to train the encoder, too; requires a representation.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    attention_ : DataFrame of shape (n_classes, T)
        With ``head="attention"``: the mean over the rows of each class of the
        weight of every time, see `attention`.
    representation_ : estimator or None
    t_grid_ : ndarray of shape (T,)
        Times of the curve; 0, 1, ... if `representation` is None.
    net_ : skorch.NeuralNet
    history_ : DataFrame of shape (n_iter_, ...)
    n_iter_ : int
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        If `fit` was given a data frame with text names.

    References
    ----------
    Mittal, Abstreiter, Bauer, Schölkopf and Mehrjou, on trajectories of codes,
    arXiv 2210.13774.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from diffrep import DiffusionRepresentation
    >>> from diffrep.trajectory import TrajectoryClassifier
    >>> X, y = load_wine(return_X_y=True)
    >>> rep = DiffusionRepresentation(8, t_grid=3, max_epochs=5, random_state=0)
    >>> classifier = TrajectoryClassifier(rep, max_epochs=20, random_state=0)
    >>> classifier.fit(X, y).attention_.shape
    (3, 3)
    """

    _n_steps, _epochs = 400, (20, 200)

    n_times: int | None = None
    head: str = "attention"
    fine_tune: bool = False

    _parameter_constraints: ClassVar[dict] = {
        **BaseCodeClassifier._parameter_constraints,
        "n_times": [None, Interval(Integral, 1, None, closed="left")],
        "head": [StrOptions(set(HEADS))],
        "fine_tune": ["boolean"],
    }

    @in_usual_state
    @fit_context(prefer_skip_nested_validation=True)
    @all_or_nothing
    def fit(self, X, y):
        """Learn to classify curves.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, or curves of shape (n_samples, n_times * n_components) if
            `representation` is None.
        y : array-like of shape (n_samples,)
            Classes.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If the number of columns is not a multiple of `n_times`, or parameters
            contradict each other, and in the cases in which representations raise it.
        """
        given = X
        X, y = check_rows(self, given, y, reset=True)
        labels = self._class_numbers(y)
        self._check_parameters(X.shape[1])
        self.representation_, self.t_grid_ = None, np.arange(self.n_times or 1)
        if self.representation is not None:
            self.representation_ = self._fitted(given)
            self.t_grid_ = np.asarray(self.representation_._read_times())
        inputs = self._inputs(X)
        self._build(inputs, draw_seed(self.random_state))
        n_batches = -(-len(X) // self.batch_size)
        n_epochs = self._n_epochs(n_batches)
        self.net_.set_schedule(n_epochs * n_batches)
        self._train(self._rows(inputs, labels), n_epochs)
        if self.head == "attention":
            weights = pd.DataFrame(self._attention(inputs), columns=self.t_grid_)
            means = weights.groupby(self.classes_[labels]).mean()
            self.attention_ = means.astype(np.float32)  # pandas gives float64 at times
        return self

    @in_usual_state
    def attention(self, X, *, mask=None):
        """Return the attention of the class token to each time.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        mask : array-like of bool of shape (T + 1,), default=None
            Which times, and last the token itself, may be attended to in all layers of
            the head. None allows all.

        Returns
        -------
        weights : ndarray of shape (n_samples, T)
            Mean over heads in the last layer. The weights and that of the token itself
            sum to 1.

        Raises
        ------
        ValueError
            If `head` is not "attention", or the mask has the wrong shape or allows
            nothing.
        """
        check_is_fitted(self)
        if self.head != "attention":
            raise ValueError(
                f"The classifier has head={self.head!r}, which has no attention. Fit "
                "one with head='attention'."
            )
        if mask is not None:
            mask = np.asarray(mask, dtype=bool)
            if mask.shape != (len(self.t_grid_) + 1,) or not mask.any():
                raise ValueError(
                    f"mask of shape {mask.shape} with {mask.sum()} entries True must "
                    f"have {len(self.t_grid_) + 1} entries, one for each time and the "
                    "last for the token itself, and at least one entry must be True."
                )
        X = check_rows(self, X, reset=False)
        return self._attention(self._inputs(X), mask)

    def _attention(self, inputs, mask=None):
        model = self.net_.module_
        if mask is not None:
            mask = torch.tensor(mask.copy(), device=self.net_.device)
        weights = self.net_.evaluate(
            lambda x: model.head.attention(model.curve(x), mask),
            self._rows(inputs),
        )
        return weights[:, :-1]

    def _check_parameters(self, n_columns):
        if self.representation is None and self.fine_tune:
            raise ValueError(
                "fine_tune=True trains the encoder, but representation=None has "
                "none. Pass a representation, or fine_tune=False."
            )
        if self.representation is not None and self.n_times is not None:
            raise ValueError(
                f"n_times={self.n_times} is for curves in X, but the number of times "
                "is determined by the t_grid of the representation. Use n_times=None."
            )
        if n_columns % (self.n_times or 1):
            raise ValueError(
                f"X has {n_columns} columns, which is not a multiple of n_times="
                f"{self.n_times}. Use the number of times in the t_grid of the codes."
            )

    def _build(self, inputs, seed):
        """Set `net_`, before training."""
        self._built = self.get_params(deep=False)
        if self.fine_tune:
            self._scaling = self.representation_._scaling
        else:
            shape = inputs.shape[1:]
            each = fit_standardizer(inputs, shape, bends=False)
            one = Standardizer(each.mean, np.full_like(each.scale, each.scale.max()))
            self._scaling = one, shape, shape
        self.net_ = self._net(seed).initialize()
        self._start(inputs)

    def _net(self, seed=0):
        """Return the net, not initialized; `t_grid_` and `classes_` must be set."""
        reader, augment = self._reader()
        return ClassifierNet(
            ClassifierModel,
            optimizer__weight_decay=WEIGHT_DECAY,
            lr=self.lr,
            batch_size=self.batch_size,
            seed=seed,
            fork_rng=True,  # for the initialisation of nn.GRU, and user-defined parts
            device=str(choose_device(self.device)),
            module__reader=reader,
            module__head=HEADS[self.head],
            module__n_classes=len(self.classes_),
            module__augment=augment,
        )

    def _reader(self):
        """Return a module that maps inputs to curves, and the view of inputs."""
        if self.fine_tune:
            model = self.representation_.net_.module_
            times = torch.tensor(self.t_grid_, dtype=torch.float32)
            views = view_function(self.augment, model.data_shape)
            return CurveReader(model, times), views
        n_times, (n_columns,) = len(self.t_grid_), self._scaling[1]
        return StackReader(n_times, n_columns // n_times), None

    def _get_state(self):
        attention = getattr(self, "attention_", None)
        own = {
            "standardizer": None if self.fine_tune else dict(vars(self._scaling[0])),
            "attention_": None if attention is None else attention.to_numpy(),
        }
        return super()._get_state() | own

    def _set_state(self, state):
        standardizer = state.pop("standardizer", None)
        attention = state.pop("attention_", None)
        super()._set_state(state)
        representation, n_columns = self.representation_, self.n_features_in_
        given = self.representation is not None
        require(given == (representation is not None), "representation_ does not fit")
        if given:
            self.t_grid_ = np.asarray(representation._read_times())
            n_columns = len(self.t_grid_) * representation.net_.module_.n_columns
        if self.fine_tune:
            own = given and standardizer is None
            require(own, "standardizer is that of representation_")
            self._scaling = representation._scaling
        else:
            standardizer = made_standardizer(standardizer, n_columns)
            self._scaling = standardizer, (n_columns,), (n_columns,)
        self._check_parameters(n_columns)
        if not given:
            self.t_grid_ = np.arange(self.n_times or 1)
        self._take_net(self._net(), state)
        require((attention is not None) == (self.head == "attention"), "attention_")
        if attention is not None:
            shape = (len(self.classes_), len(self.t_grid_))
            check_numbers("attention_", attention, shape, np.float32)
            index, columns = self.classes_, self.t_grid_
            self.attention_ = pd.DataFrame(attention, index=index, columns=columns)

    def _inputs(self, X):
        """Return curves ``(n, T * n_components)``, or rows if the encoder is tuned."""
        if self.representation_ is None or self.fine_tune:
            return X
        curves = self.representation_._curves(X, self.t_grid_)
        return curves.reshape(len(X), -1)


class TimeSelector(SelectorMixin, BaseEstimator):
    """Select the time whose codes predict the target best.

    Each time is scored by the leave-one-out error of a ridge regression, which has a
    closed form. The columns of the best time are selected if its error is lower than
    that of the last time by more than a standard error, and otherwise those of the last
    time, which with an integer `t_grid` is the static code. Use it between a
    representation and a classifier or regressor.

    Parameters
    ----------
    n_times : int, default=1
        Number of times in X, whose codes are side by side.
    target_type : {"auto", "continuous", "multiclass"}, default="auto"
        Whether the target consists of numbers or of classes. With "auto", floats are
        numbers, and integers, booleans and texts are classes. Use "continuous" for
        integers that are numbers, such as prices.

    Attributes
    ----------
    scores_ : ndarray of shape (n_times,)
        Negative mean squared leave-one-out error of each time. Classes are encoded as
        columns of zeros and ones.
    index_ : int
        Index of the selected time, ``representation.t_grid_[selector.index_]``.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        If `fit` was given a data frame with text names.

    See Also
    --------
    TimeVotingClassifier : Combines the predictions of all times.
    diffrep.selection.RepresentationSelector : Selects one of several transformers.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from diffrep import DiffusionRepresentation
    >>> from diffrep.trajectory import TimeSelector
    >>> X, y = load_wine(return_X_y=True)
    >>> rep = DiffusionRepresentation(8, t_grid=3, max_epochs=5, random_state=0)
    >>> pipeline = make_pipeline(rep, TimeSelector(3), LogisticRegression()).fit(X, y)
    >>> pipeline[:-1].transform(X).shape
    (178, 8)
    """

    _parameter_constraints: dict = {
        "n_times": [Interval(Integral, 1, None, closed="left")],
        "target_type": [StrOptions(TARGET_TYPES)],
    }

    def __init__(self, n_times=1, *, target_type="auto"):
        self.n_times = n_times
        self.target_type = target_type

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Score each time and select the best.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_times * n_components)
            Codes, ordered by time, as returned by `transform` of a representation.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Classes or numbers.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If the number of columns is not a multiple of `n_times`, or y is not of the
            `target_type`.
        """
        options = {"multi_output": True, "ensure_min_samples": 2}
        X, _ = check_rows(self, X, y, reset=True, **options)
        targets, _ = target_columns(y, self.target_type)
        errors = leave_one_out_errors(_by_time(X, self.n_times), targets)
        self.scores_ = -errors.mean(axis=1)
        self.index_ = selected(errors)
        return self

    def _get_support_mask(self):
        check_is_fitted(self)
        times = np.arange(self.n_times)
        return np.repeat(times == self.index_, self.n_features_in_ // self.n_times)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


class TimeVotingClassifier(ClassifierMixin, BaseEstimator):
    """Classify the codes of each time and average the predictions with weights.

    The weight of a time is ``exp(-(e - e_least) / (0.05 e_least))``, where e is its
    leave-one-out error as in :class:`TimeSelector`. With few labels `TimeSelector` is
    safer if the last time is the best, since it selects another time only if that is
    clearly better.

    Parameters
    ----------
    estimator : classifier with predict_proba, default=None
        Cloned for each time. None is ``LogisticRegression(max_iter=1000)``.
    n_times : int, default=1
        Number of times in X, whose codes are side by side.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    estimators_ : list of n_times classifiers
    scores_, weights_ : ndarray of shape (n_times,)
        Negative mean squared leave-one-out errors, and weights that sum to 1.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        If `fit` was given a data frame with text names.

    See Also
    --------
    TimeSelector : Selects a single time.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from diffrep import DiffusionRepresentation
    >>> from diffrep.trajectory import TimeVotingClassifier
    >>> X, y = load_wine(return_X_y=True)
    >>> rep = DiffusionRepresentation(8, t_grid=3, max_epochs=5, random_state=0)
    >>> classifier = TimeVotingClassifier(n_times=3)
    >>> make_pipeline(rep, classifier).fit(X, y)[-1].weights_.shape
    (3,)
    """

    _parameter_constraints: dict = {
        "estimator": [None, HasMethods(["fit", "predict_proba"])],
        "n_times": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, estimator=None, *, n_times=1):
        self.estimator = estimator
        self.n_times = n_times

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y):
        """Fit a classifier to the codes of each time.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_times * n_components)
            Codes, ordered by time, as returned by `transform` of a representation.
        y : array-like of shape (n_samples,)
            At least two classes.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If there is only one class, or the number of columns is not a multiple of
            `n_times`.
        """
        X, y = check_rows(self, X, y, reset=True, ensure_min_samples=2)
        targets, _ = target_columns(y, "multiclass")
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y has one class, {self.classes_.item()!r}; a classifier needs at "
                "least 2 classes."
            )
        curves = _by_time(X, self.n_times)
        estimator = self.estimator
        if estimator is None:
            estimator = LogisticRegression(max_iter=1000)
        self.estimators_ = [clone(estimator).fit(codes, y) for codes in curves]
        errors = leave_one_out_errors(curves, targets).mean(axis=1)
        self.scores_ = -errors
        excess = (errors - errors.min()) / (TOLERANCE * errors.min() or 1.0)
        self.weights_ = np.exp(-excess) / np.exp(-excess).sum()
        return self

    def predict_proba(self, X):
        """Predict probabilities of classes, as weighted means over times.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_times * n_components)

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
        """
        check_is_fitted(self)
        curves = _by_time(check_rows(self, X, reset=False), self.n_times)
        votes = [
            classifier.predict_proba(codes)
            for classifier, codes in zip(self.estimators_, curves, strict=True)
        ]
        return np.average(votes, axis=0, weights=self.weights_)

    def predict(self, X):
        """Predict classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_times * n_components)

        Returns
        -------
        y : ndarray of shape (n_samples,)
        """
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]


def _by_time(X, n_times):
    """Return concatenated codes as an array ``(n_times, n, n_components)``."""
    if X.shape[1] % n_times:
        raise ValueError(
            f"X has {X.shape[1]} columns, which is not a multiple of n_times="
            f"{n_times}. Pass codes of n_times times side by side, as returned by "
            "transform with a t_grid."
        )
    return np.asarray(X.reshape(len(X), n_times, -1).swapaxes(0, 1), dtype=float)
