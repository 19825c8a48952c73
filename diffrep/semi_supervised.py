"""Few labels and many rows without: LaplaceNet, and a splitter for its like."""

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
    """Classifier from few labels and many rows without: LaplaceNet.

    A network is trained on the labelled rows, starting from a representation
    if one is given. At every epoch the labels are then propagated over the
    graph of nearest neighbours in its codes, and the network is trained on all
    rows with these pseudo-labels. It predicts the classes of new rows.

    Parameters
    ----------
    representation : estimator of diffrep, default=None
        Its encoder is where the network starts. If it is fitted it is used as
        it is; if not, a clone is fitted on all rows of X. In a search wrap a
        fitted one in ``sklearn.frozen.FrozenEstimator``, since clones are not
        fitted. None starts from a random encoder.
    augment : str, callable or None, default="auto"
        Random views that the network is shown in training, as for
        :class:`diffrep.DiffusionRepresentation`.
    max_epochs : int or "auto", default="auto"
        Epochs on all rows, each with a graph of its own. "auto" trains about
        400 steps, at least 4 and at most 60 epochs.
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
        Neighbours of a row in the graph, found exactly in time that grows as the
        square of the number of rows. Beyond 100,000 pass a transformer that
        approximates a graph of Euclidean distances, such as pynndescent's
        ``PyNNDescentTransformer(n_neighbors=10)``.
    propagation : {"laplace", "poisson"}, default="laplace"
        How labels spread: see Notes. "poisson" remembers labels over longer ways.
    class_prior : array-like of shape (n_classes,), default=None
        Shares of the classes among all rows, in the order of `classes_`. None
        estimates them from the labelled rows, drawn towards equal shares as far
        as chance explains that they differ.
    supervised_epochs : int or "auto", default="auto"
        Epochs on the labelled rows alone, before the first graph. "auto" is 50
        from a random encoder and 0 from a representation, whose codes already
        are a better graph than a few labels make.
    labelled_fraction : float, default=0.2
        Share of the rows in a step that have a label of their own.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    representation_ : estimator
        The fitted representation that the network started from.
    transduction_ : ndarray of shape (n_samples,)
        Class of each row of X: its label, or what it was called in the end.
    label_distributions_ : ndarray of shape (n_samples, n_classes)
        How sure the graph is of it.
    t_ : float or None
        Time at which codes are read: the one of the representation's ``t_grid_``,
        or learned, from 0.5, if there are several.
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
    With W the cubed cosines of neighbours, D the degrees, Y the one-hot labels, each
    class with a weight of its share in all rows, and 0 for rows without:
    "laplace" solves ``(I - 0.99 D^-1/2 W D^-1/2) F = Y``, "poisson" solves
    ``(D - W) F = Y - mean``. Then scores are corrected until each class has its
    share of the rows, to within a tenth and two standard errors if the shares
    were estimated, and the largest counts.

    LaplaceNet is Sellars, Aviles-Rivero and Schönlieb, "LaplaceNet: A Hybrid
    Energy-Neural Model for Deep Semi-Supervised Classification", 2021; it is
    started from diffusion codes in Mittal et al., 2023. Cubed cosines: Iscen, Tolias,
    Avrithis and Chum, "Label Propagation for Deep Semi-supervised Learning", 2019.
    Poisson learning: Calder, Cook, Thorpe and Slepcev, 2020.

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
        """Learn from labelled rows and rows without a label.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Classes; -1 for rows without a label, also among text in an array
            of objects.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If no row has a label, besides what representations raise.
        """
        given = X
        X, y = check_rows(self, given, labels_of_one_type(y), reset=True)
        unlabelled = check_partial_labels(y)
        if unlabelled.all():
            raise ValueError(
                "No row of y has a class: all are -1, which means without a label. "
                "Give a class to one row of each at least."
            )
        labels = np.full(len(y), -1)
        labels[~unlabelled] = self._class_numbers(y[~unlabelled])
        self._shares(labels)  # to refuse them before the long part
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
        """Time at which codes are read, learned if `t_grid` has several."""
        times = self.representation_.t_grid_
        if times is None:
            return None
        if len(times) == 1:
            return float(times[0])
        return float(self.net_.module_.reader.t.detach())

    def _shares(self, labels):
        """Shares of the classes among all rows, and how far these may be off."""
        if self.class_prior is None:
            return class_shares(labels)
        with refused_plainly():
            shares = np.asarray(self.class_prior, dtype=float)
        if shares.shape != self.classes_.shape or not np.isclose(shares.sum(), 1):
            raise ValueError(
                f"class_prior={self.class_prior!r} must be {len(self.classes_)} shares "
                f"that sum to 1, of the classes {self.classes_.tolist()}."
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
        """Set the untrained net; its codes are those of the representation."""
        self._built = self.get_params(deep=False)
        self.net_ = self._net(labels >= 0, seed).initialize()
        self._start(X)

    def _net(self, labelled, seed=0):
        """Net without weights, from parameters, representation and classes."""
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
        require(right, "transduction must be numbers of classes")
        shape = (n_rows, n_classes)
        check_numbers("label_distributions_", distributions, shape)
        require(self.representation_, "representation_ must be there")
        self._take_net(self._net(labelled=np.zeros(0, bool)), state)
        self.transduction_ = self.classes_[numbers]
        self.label_distributions_ = distributions

    def _n_labelled(self):
        """Labelled rows in a batch: one at least, and one without a label."""
        n = round(self.labelled_fraction * self.batch_size)
        return min(max(1, n), self.batch_size - 1)

    def _schedule(self, labels):
        """Let the learning rate fall over all epochs; return their two numbers."""
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
        """Set `label_distributions_`; return what each row is called, by its graph."""
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
    """Stratified folds of the labelled rows; all others are in every training set.

    Cross-validation then scores labelled rows only, and rows without a label
    always help to train.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2, and at most the labelled rows of a class.
    shuffle : bool, default=False
        Whether to shuffle the labelled rows of each class first.
    random_state : int, RandomState instance or None, default=None
        Of the shuffling.

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
            Classes, -1 for rows without a label.
        groups : object
            Not used.

        Yields
        ------
        train, test : ndarray of int of shapes (n_train,) and (n_test,)
            Numbers of rows.
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
