"""Classifiers of curves of codes: what several times tell together."""

from __future__ import annotations

from numbers import Integral

import numpy as np
import pandas as pd
import torch
from sklearn.utils.validation import check_is_fitted

from diffrep._base_classifier import BaseCodeClassifier
from diffrep._files import expect
from diffrep._parts import view_function
from diffrep._states import check_numbers
from diffrep._validation import (
    Interval,
    StrOptions,
    check_rows,
    draw_seed,
    fit_context,
    restored_on_error,
    row_statistics,
)
from diffrep.core.classifiers import (
    ClassifierModel,
    ClassifierNet,
    CurveReader,
    StackReader,
)
from diffrep.core.device import choose_device
from diffrep.core.heads import HEADS

__all__ = ["TrajectoryClassifier"]

WEIGHT_DECAY = 0.01


class TrajectoryClassifier(BaseCodeClassifier):
    """Classifier that reads a whole curve of codes over time.

    Parameters
    ----------
    representation : estimator of diffrep, default=None
        What gives the curves, at the times of its ``t_grid_``. If it is fitted it
        is used as it is; if not, a clone is fitted on X. In a search wrap a fitted
        one in ``sklearn.frozen.FrozenEstimator``, since clones are not fitted.
        None takes X itself as curves: the columns of a ``transform`` with a
        `t_grid`, as in a Pipeline.
    n_times : int, default=None
        Number of times that lie side by side in X, if `representation` is
        None; None is 1.
    head : {"attention", "gru", "mean", "concat", "learned_t"}, default="attention"
        "attention" is a transformer with a token that reads the curve, "gru" a
        recurrent network along it; the others are linear, in the mean over time,
        in all codes side by side, or in a mean whose weights are learned.
    fine_tune : bool, default=False
        Whether to train the encoder on; needs a representation.
    augment : str, callable or None, default="auto"
        Random views that the encoder is shown when it is trained on.
    max_epochs : int or "auto", default="auto"
        "auto" trains about 400 steps, at least 20 and at most 200 epochs.
    batch_size : int, default=256
        Largest number of rows in a step.
    lr : float, default=3e-3
        Largest learning rate of AdamW; linear warm-up, then cosine decay.
    callbacks, device, verbose, random_state
        As for :class:`diffrep.DiffusionRepresentation`.

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
    >>> classifier = TrajectoryClassifier(rep, random_state=0).fit(X, y)
    >>> classifier.attention_.shape
    (3, 3)
    """

    _n_steps, _epochs = 400, (20, 200)

    _parameter_constraints: dict = {
        **BaseCodeClassifier._parameter_constraints,
        "n_times": [None, Interval(Integral, 1, None, closed="left")],
        "head": [StrOptions(set(HEADS))],
        "fine_tune": ["boolean"],
    }

    def __init__(
        self,
        representation=None,
        *,
        n_times=None,
        head="attention",
        fine_tune=False,
        augment="auto",
        max_epochs="auto",
        batch_size=256,
        lr=3e-3,
        callbacks=None,
        device="auto",
        verbose=0,
        random_state=None,
    ):
        super().__init__(
            representation,
            augment=augment,
            max_epochs=max_epochs,
            batch_size=batch_size,
            lr=lr,
            callbacks=callbacks,
            device=device,
            verbose=verbose,
            random_state=random_state,
        )
        self.n_times = n_times
        self.head = head
        self.fine_tune = fine_tune

    @fit_context(prefer_skip_nested_validation=True)
    @restored_on_error
    def fit(self, X, y):
        """Learn to tell classes from curves.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            Rows, or curves of shape (n, n_times * n_components) if
            `representation` is None.
        y : array-like of shape (n,)
            Classes.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If the columns of X are no multiple of `n_times`, or parameters
            contradict each other, besides what representations raise.
        """
        X, y = check_rows(self, X, y, reset=True)
        labels = self._class_numbers(y)
        self._check_parameters(X.shape[1])
        self.representation_, self.t_grid_ = None, np.arange(self.n_times or 1)
        if self.representation is not None:
            self.representation_ = self._fitted(X)
            self.t_grid_ = np.asarray(self.representation_._read_times())
        inputs = self._inputs(X)
        self._build(inputs, draw_seed(self.random_state))
        n_batches = -(-len(X) // self.batch_size)
        n_epochs = self._n_epochs(n_batches)
        self.net_.set_schedule(n_epochs * n_batches)
        self._train(self._rows(inputs, labels), n_epochs)
        if self.head == "attention":
            weights = pd.DataFrame(self._attention(inputs), columns=self.t_grid_)
            self.attention_ = weights.groupby(self.classes_[labels]).mean()
        return self

    def attention(self, X, *, mask=None):
        """How much the reading token attends to each time.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        mask : array-like of bool of shape (T + 1,), default=None
            Where attention may go, all through the head: to the T times and,
            last, to the token itself. None is everywhere.

        Returns
        -------
        weights : ndarray of shape (n, T)
            The mean over heads in the last layer; what is missing from a sum of
            1 is the weight of the token itself.

        Raises
        ------
        ValueError
            If the head is another one, or the mask has another shape or hides
            everything.
        """
        check_is_fitted(self)
        if self.head != "attention":
            raise ValueError(
                f"The classifier was made with head={self.head!r}, which has no "
                "attention. Fit one with head='attention'."
            )
        if mask is not None:
            mask = np.asarray(mask, dtype=bool)
            if mask.shape != (len(self.t_grid_) + 1,) or not mask.any():
                raise ValueError(
                    f"mask of shape {mask.shape} with {mask.sum()} entries True must "
                    f"have {len(self.t_grid_) + 1} entries, one for each time and the "
                    "last for the token itself, and leave one of them to look at."
                )
        X = check_rows(self, X, reset=False)
        return self._attention(self._inputs(X), mask)

    def _attention(self, inputs, mask=None):
        model = self.net_.module_
        if mask is not None:
            mask = torch.from_numpy(mask).to(self.net_.device)
        weights = self.net_.evaluate(
            lambda x: model.head.attention(model.curve(x), mask),
            self._rows(inputs),
        )
        return weights[:, :-1]

    def _check_parameters(self, n_columns):
        if self.representation is None and self.fine_tune:
            raise ValueError(
                "fine_tune=True trains an encoder on, but representation=None has "
                "none. Pass a representation, or fine_tune=False."
            )
        if self.representation is not None and self.n_times is not None:
            raise ValueError(
                f"n_times={self.n_times} is for curves in X, but a representation is "
                "given, whose t_grid says how many times there are. Leave n_times out."
            )
        if n_columns % (self.n_times or 1):
            raise ValueError(
                f"X has {n_columns} columns, which are no multiple of n_times="
                f"{self.n_times}. Give the number of times in the t_grid that X was "
                "made with."
            )

    def _build(self, inputs, seed):
        """Set the untrained net."""
        self._built = self.get_params(deep=False)
        if self.fine_tune:
            self._scaling = self.representation_._scaling
        else:
            mean, scale = row_statistics(inputs, inputs.shape[1:])
            shape = inputs.shape[1:]
            self._scaling = mean, np.full_like(scale, scale.max()), shape, shape
        self.net_ = self._net(seed).initialize()
        self._start(inputs)

    def _net(self, seed=0):
        """Net without weights, from parameters, representation, times and classes."""
        reader, augment = self._reader()
        return ClassifierNet(
            ClassifierModel,
            optimizer__weight_decay=WEIGHT_DECAY,
            lr=self.lr,
            batch_size=self.batch_size,
            seed=seed,
            fork_rng=True,  # recurrent layers of torch draw when built, own code later
            device=str(choose_device(self.device)),
            module__reader=reader,
            module__head=HEADS[self.head],
            module__n_classes=len(self.classes_),
            module__augment=augment,
        )

    def _reader(self):
        """Return how curves are read off the inputs, and views of these."""
        if self.fine_tune:
            model = self.representation_.net_.module_
            times = torch.tensor(self.t_grid_, dtype=torch.float32)
            views = view_function(self.augment, model.data_shape)
            return CurveReader(model, times), views
        n_times, (n_columns,) = len(self.t_grid_), self._scaling[2]
        return StackReader(n_times, n_columns // n_times), None

    def _get_state(self):
        attention = getattr(self, "attention_", None)
        own = {
            "scaling": None if self.fine_tune else list(self._scaling[:2]),
            "attention_": None if attention is None else attention.to_numpy(),
        }
        return super()._get_state() | own

    def _set_state(self, state):
        scaling, attention = state.pop("scaling", None), state.pop("attention_", None)
        super()._set_state(state)
        representation, n_columns = self.representation_, self.n_features_in_
        given = self.representation is not None
        expect(given == (representation is not None), "representation_ does not fit")
        if given:
            self.t_grid_ = np.asarray(representation._read_times())
            n_columns = len(self.t_grid_) * representation.net_.module_.n_components
        if self.fine_tune:
            expect(given and scaling is None, "scaling is that of representation_")
            self._scaling = representation._scaling
        else:
            expect(isinstance(scaling, list) and len(scaling) == 2, "scaling is of two")
            for array in scaling:
                check_numbers("scaling", array, (n_columns,))
            expect((scaling[1] > 0).all(), "scaling must be positive")
            self._scaling = (*scaling, (n_columns,), (n_columns,))
        self._check_parameters(n_columns)
        if not given:
            self.t_grid_ = np.arange(self.n_times or 1)
        self._take_net(self._net(), state)
        expect((attention is not None) == (self.head == "attention"), "attention_")
        if attention is not None:
            shape = (len(self.classes_), len(self.t_grid_))
            check_numbers("attention_", attention, shape, np.float32)
            index, columns = self.classes_, self.t_grid_
            self.attention_ = pd.DataFrame(attention, index=index, columns=columns)

    def _inputs(self, X):
        """Curves ``(n, T * n_components)``, or rows if the encoder is in the net."""
        if self.representation_ is None or self.fine_tune:
            return X
        curves = self.representation_._curves(X, self.t_grid_)
        return curves.reshape(len(X), -1)
