"""Semi-supervised classification by LaplaceNet, and a splitter for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.model_selection import BaseCrossValidator, StratifiedKFold
from sklearn.preprocessing import LabelEncoder
from sklearn.utils.validation import column_or_1d

from diffrep._base_classifier import BaseCodeClassifier
from diffrep._graph import (
    PROPAGATIONS,
    aligned,
    class_shares,
    neighbor_graph,
    propagated,
)
from diffrep._model_file import check_numbers, require
from diffrep._parts import view_function
from diffrep._validation import (
    HasMethods,
    Interval,
    StrOptions,
    all_or_nothing,
    check_partial_labels,
    check_rows,
    draw_seed,
    fit_context,
    labels_of_one_type,
    refused_plainly,
)
from diffrep.baselines import RandomEncoderRepresentation
from diffrep.core.classifiers import (
    ClassifierModel,
    CurveReader,
    LearnedTimeReader,
    PseudoLabelledRows,
    SemiSupervisedNet,
)
from diffrep.core.device import choose_device, in_usual_state
from diffrep.core.heads import LinearHead
from diffrep.core.optimizers import AveragedSGD

__all__ = ["LaplaceNetClassifier", "SemiSupervisedKFold"]

#: ``supervised_epochs="auto"`` of a random encoder.
SUPERVISED_EPOCHS = 50

MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4


@dataclass(eq=False, kw_only=True, repr=False, match_args=False)
class LaplaceNetClassifier(BaseCodeClassifier):
    """Classifier for few labelled and many unlabelled rows: LaplaceNet.

    The network starts from a representation, or from random weights and some epochs on
    the labelled rows. In each epoch, labels are propagated over the graph of nearest
    neighbours in its codes, and the network is trained on all rows with the resulting
    pseudo-labels. It predicts the classes of new rows.

    Parameters
    ----------
    representation : estimator of diffrep, default=None
        Representation whose encoder initialises the network. A fitted one is used as it
        is; otherwise a clone is fitted on all rows of X. Since searches clone their
        estimators, wrap a fitted one in ``sklearn.frozen.FrozenEstimator`` there. None
        starts from a random encoder.
    augment : str, callable or None, default="auto"
        Random views in training, as for :class:`diffrep.DiffusionRepresentation`.
    max_epochs : int or "auto", default="auto"
        Epochs on all rows, each with a new graph. "auto" is about 400 steps, at least 4
        and at most 60 epochs.
    batch_size : int, default=256
        Rows in a training step.
    lr : float, default=0.2
        Largest learning rate of SGD with Nesterov momentum; linear warm-up,
        then cosine decay.
    callbacks, device, verbose, random_state
        As for :class:`diffrep.DiffusionRepresentation`.
    image_shape : tuple (channels, height, width), default=None
        Shape of images, if `representation` is None.
    signal_shape : tuple (channels, length), default=None
        Shape of signals, if `representation` is None.
    n_views : int, default=1
        Views of each row in a step.
    mixup : bool, default=True
        Whether rows and their labels are mixed.
    n_neighbors : int or transformer, default=10
        Number of neighbours of each row in the graph. The search is exact, and its time
        grows with the square of the number of rows. For more than 100,000 rows, pass a
        transformer that returns an approximate graph of Euclidean distances, such as
        ``PyNNDescentTransformer(n_neighbors=10)`` of pynndescent.
    propagation : {"laplace", "poisson"}, default="laplace"
        Method of label propagation, see Notes. With "poisson" the influence of a label
        decreases less with distance.
    class_prior : array-like of shape (n_classes,), default=None
        Shares of the classes among all rows, in the order of `classes_`. None estimates
        them from the labelled rows, shrunk towards equal shares.
    supervised_epochs : int or "auto", default="auto"
        Epochs on the labelled rows alone, before the first graph. "auto" is 50 for a
        random encoder and 0 for a representation, whose codes already give a better
        graph than a few labels would.
    labelled_fraction : float, default=0.2
        Share of labelled rows in a step.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    representation_ : estimator
        The fitted representation that the network started from.
    transduction_ : ndarray of shape (n_samples,)
        Class of each row of X: its label, or the class assigned by the last graph.
    label_distributions_ : ndarray of shape (n_samples, n_classes)
        Distribution over classes for each row, from the last graph.
    t_ : float or None
        Time of the codes: the one of the representation's ``t_grid_``, or learned,
        starting from 0.5, if there are several.
    net_ : skorch.NeuralNet
        The trained network.
    history_ : DataFrame of shape (n_iter_, ...)
        Loss, learning rate and seconds of each epoch, supervised ones first.
    n_iter_ : int
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        If `fit` was given a data frame with text names.

    Notes
    -----
    Let W be the cubed cosines of neighbours, D the degrees, and Y the one-hot labels,
    weighted so that each class has its share, and 0 for unlabelled rows. "laplace"
    solves ``(I - 0.99 D^-1/2 W D^-1/2) F = Y``, and "poisson" solves ``(D - W) F = Y -
    mean``. The scores are then rescaled until each class has its share of the rows
    (within a tenth and two standard errors, if the shares were estimated), and each row
    is assigned to the class with the largest score.

    LaplaceNet is by Sellars, Aviles-Rivero and Schönlieb, "LaplaceNet: A Hybrid
    Energy-Neural Model for Deep Semi-Supervised Classification", 2021. Mittal et al.,
    2023, start it from diffusion codes. Cubed cosines: Iscen, Tolias, Avrithis and
    Chum, "Label Propagation for Deep Semi-supervised Learning", 2019. Poisson learning:
    Calder, Cook, Thorpe and Slepcev, 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_wine
    >>> from diffrep.semi_supervised import LaplaceNetClassifier
    >>> X, y = load_wine(return_X_y=True)
    >>> few = np.where(np.arange(178) % 10 == 0, y, -1)
    >>> classifier = LaplaceNetClassifier(max_epochs=5, random_state=0).fit(X, few)
    >>> bool(classifier.score(X, y) > 0.9)
    True
    """

    _n_steps, _epochs = 400, (4, 60)

    image_shape: tuple[int, int, int] | None = None
    signal_shape: tuple[int, int] | None = None
    n_views: int = 1
    mixup: bool = True
    n_neighbors: Any = 10
    propagation: str = "laplace"
    class_prior: ArrayLike | None = None
    supervised_epochs: int | str = "auto"
    labelled_fraction: float = 0.2
    lr: float = 0.2

    _parameter_constraints: ClassVar[dict] = {
        **BaseCodeClassifier._parameter_constraints,
        "image_shape": [None, "array-like"],
        "signal_shape": [None, "array-like"],
        "n_views": [Interval(Integral, 1, None, closed="left")],
        "mixup": ["boolean"],
        "n_neighbors": [
            Interval(Integral, 1, None, closed="left"),
            HasMethods("fit_transform"),
        ],
        "propagation": [StrOptions(set(PROPAGATIONS))],
        "class_prior": [None, "array-like"],
        "supervised_epochs": [
            StrOptions({"auto"}),
            Interval(Integral, 0, None, closed="left"),
        ],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "labelled_fraction": [Interval(Real, 0, 1, closed="neither")],
    }

    @in_usual_state
    @fit_context(prefer_skip_nested_validation=True)
    @all_or_nothing
    def fit(self, X, y):
        """Learn from labelled and unlabelled rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Classes, and -1 for unlabelled rows, also next to text in an array of dtype
            object.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If no row has a label, and in the cases in which representations raise it.
        """
        given = X
        X, y = check_rows(self, given, labels_of_one_type(y), reset=True)
        unlabelled = check_partial_labels(y)
        labels = np.full(len(y), -1)
        labels[~unlabelled] = self._class_numbers(y[~unlabelled])
        self._shares(labels)  # raises errors before the time-consuming part
        seed = draw_seed(self.random_state)
        self.representation_ = self._representation(given, seed)
        self._build(X, labels, seed)
        n_supervised, n_epochs = self._schedule(labels)
        if n_supervised:
            known = np.flatnonzero(labels >= 0)
            self._train(self._rows(X, labels, known), n_supervised)
        standardizer, shape, given_shape = self._scaling
        propagate = partial(self._propagate, X, labels)
        rows = PseudoLabelledRows(
            X, standardizer, shape, given_shape, self.net_.device, propagate
        )
        self._train(rows, n_epochs)
        self.transduction_ = self.classes_[self._propagate(X, labels)]
        return self

    @property
    def t_(self):
        """Time of the codes, learned if `t_grid` has several."""
        times = self.representation_.t_grid_
        if times is None:
            return None
        if len(times) == 1:
            return float(times[0])
        return float(self.net_.module_.reader.t.detach())

    def _shares(self, labels):
        """Return the shares of the classes among all rows, and their tolerance."""
        if self.class_prior is None:
            return class_shares(labels)
        any_error = {"": "Pass an array, one share for each class."}
        with refused_plainly(any_error):
            shares = np.asarray(self.class_prior, dtype=float)
        right = shares.shape == self.classes_.shape and np.isclose(shares.sum(), 1)
        if not (right and (shares >= 0).all()):
            raise ValueError(
                f"class_prior={self.class_prior!r} must be {len(self.classes_)} shares "
                f"that sum to 1, one for each of the classes {self.classes_.tolist()}."
            )
        return shares, np.zeros_like(shares)

    def _representation(self, X, seed):
        if self.representation is not None:
            return self._fitted(X)
        random = RandomEncoderRepresentation(
            image_shape=self.image_shape,
            signal_shape=self.signal_shape,
            device=self.device,
            random_state=seed,
        )
        return random.fit(X)

    def _build(self, X, labels, seed):
        """Set `net_`, before training, with the encoder of the representation."""
        self._built = self.get_params(deep=False)
        self.net_ = self._net(labels >= 0, seed).initialize()
        self._start(X)

    def _net(self, labelled, seed=0):
        """Return the net, not initialized; `representation_` must be set."""
        model = self.representation_.net_.module_
        times = self.representation_.t_grid_
        times = torch.ones(1) if times is None else torch.as_tensor(times).float()
        learns_time = len(times) > 1
        reader = LearnedTimeReader(model) if learns_time else CurveReader(model, times)
        self._scaling = self.representation_._scaling
        return SemiSupervisedNet(
            ClassifierModel,
            labelled=labelled,
            n_labelled=self._n_labelled(),
            optimizer=AveragedSGD,
            optimizer__momentum=MOMENTUM,
            optimizer__nesterov=True,
            optimizer__weight_decay=WEIGHT_DECAY,
            lr=self.lr,
            batch_size=self.batch_size,
            seed=seed,
            fork_rng=callable(self.augment) or self.representation_._holds_own_code(),
            device=str(choose_device(self.device)),
            module__reader=reader,
            module__head=LinearHead,
            module__n_classes=len(self.classes_),
            module__augment=view_function(self.augment, model.data_shape),
            module__n_views=self.n_views,
            module__mixup=self.mixup,
        )

    def _get_state(self):
        numbers = np.searchsorted(self.classes_, self.transduction_)
        distributions = self.label_distributions_
        own = {"transduction": numbers, "label_distributions_": distributions}
        return super()._get_state() | own

    def _set_state(self, state):
        numbers = state.pop("transduction", None)
        distributions = state.pop("label_distributions_", None)
        super()._set_state(state)
        n_rows, n_classes = np.size(numbers), len(self.classes_)
        check_numbers("transduction", numbers, (n_rows,), np.int64)
        right = (numbers >= 0).all() and (numbers < n_classes).all()
        require(right, "transduction must be class indices")
        shape = (n_rows, n_classes)
        check_numbers("label_distributions_", distributions, shape)
        require(self.representation_, "representation_ is missing")
        self._take_net(self._net(labelled=np.zeros(0, bool)), state)
        self.transduction_ = self.classes_[numbers]
        self.label_distributions_ = distributions

    def _n_labelled(self):
        """Return the number of labelled rows in a batch."""
        n = round(self.labelled_fraction * self.batch_size)
        return min(max(1, n), self.batch_size - 1)

    def _schedule(self, labels):
        """Start the learning rate schedule; return both numbers of epochs."""
        n_known = np.count_nonzero(labels >= 0)
        n_supervised = self.supervised_epochs
        if n_supervised == "auto":
            n_supervised = SUPERVISED_EPOCHS if self.representation is None else 0
        n_batches = -(
            -(len(labels) - n_known) // (self.batch_size - self._n_labelled())
        )
        n_batches = n_batches or -(-n_known // self.batch_size)
        n_epochs = self._n_epochs(n_batches)
        n_steps = n_supervised * -(-n_known // self.batch_size)
        self.net_.set_schedule(n_steps + n_epochs * n_batches)
        return n_supervised, n_epochs

    def _propagate(self, X, labels):
        """Set `label_distributions_` by a graph of the codes; return class indices."""
        codes = self.net_.evaluate(self.net_.module_.curve, self._rows(X))
        n_neighbors = self.n_neighbors
        if isinstance(n_neighbors, Integral):
            n_neighbors = min(n_neighbors, len(X) - 1)
        W = neighbor_graph(codes.reshape(len(X), -1), n_neighbors)
        shares, tolerance = self._shares(labels)
        F = propagated(W, labels, shares, self.propagation)
        F = aligned(F, labels, shares - tolerance, shares + tolerance)
        self.label_distributions_ = F
        return F.argmax(axis=1)


class SemiSupervisedKFold(BaseCrossValidator):
    """Stratified folds of labelled rows, with all unlabelled rows in each training set.

    Cross-validation then tests on labelled rows only.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds: at least 2, and at most the number of labelled rows of the
        smallest class.
    shuffle : bool, default=False
        Whether to shuffle the labelled rows of each class first.
    random_state : int, RandomState instance or None, default=None
        Seed of the shuffling.

    Examples
    --------
    >>> from diffrep.semi_supervised import SemiSupervisedKFold
    >>> y = [0, 0, 1, 1, -1, -1]
    >>> for train, test in SemiSupervisedKFold(2).split(y, y):
    ...     print(train, test)
    [1 3 4 5] [0 2]
    [0 2 4 5] [1 3]
    """

    def __init__(self, n_splits=5, *, shuffle=False, random_state=None):
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : object
            Not used.

        Returns
        -------
        n_splits : int
        """
        return self.n_splits

    def split(self, X, y, groups=None):
        """Generate the rows of each training set and test set.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Not used.
        y : array-like of shape (n_samples,)
            Classes, and -1 for unlabelled rows.
        groups : object
            Not used.

        Yields
        ------
        train, test : ndarray of int of shapes (n_train,) and (n_test,)
            Indices of rows.
        """
        y = column_or_1d(labels_of_one_type(y))
        unlabelled = check_partial_labels(y)
        free, known = np.flatnonzero(unlabelled), np.flatnonzero(~unlabelled)
        folds = StratifiedKFold(
            self.n_splits,
            shuffle=self.shuffle,
            random_state=self.random_state if self.shuffle else None,
        )
        for train, test in folds.split(known, LabelEncoder().fit_transform(y[known])):
            yield np.sort(np.concatenate([known[train], free])), known[test]
