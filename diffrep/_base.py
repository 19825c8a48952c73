"""What every representation estimator shares: validate, build, train."""

from __future__ import annotations

import copy
from abc import ABCMeta, abstractmethod
from numbers import Integral, Real

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import EarlyStopping

from diffrep._checkpoints import (
    CHECKPOINT_CONSTRAINTS,
    check_repeatable,
    fit_checkpoints,
)
from diffrep._codes import CodesMixin
from diffrep._parts import (
    encoder_factory,
    read_out_times,
    read_shape,
    told_times,
    view_function,
)
from diffrep._states import RepresentationStateMixin
from diffrep._validation import (
    Interval,
    StrOptions,
    check_callbacks,
    check_data_shape,
    check_rows,
    draw_seed,
    fit_context,
    fit_standardizer,
    restored_on_error,
)
from diffrep.core.augment import AUGMENTATIONS
from diffrep.core.closed_form import ViewedRows
from diffrep.core.device import Stream, choose_device, generator, seed_for
from diffrep.core.encoders import BACKBONES
from diffrep.core.loop import Progress
from diffrep.core.rows import MAX_VALUES, Rows, blocks, hold_out
from diffrep.core.spaces import DataSpace
from diffrep.core.training import RepresentationNet
from diffrep.exceptions import DivergenceError

__all__ = ["BaseRepresentation", "check_is_trained"]

#: ``max_epochs="auto"`` trains for about this many steps, within EPOCHS.
N_STEPS = 1000
EPOCHS = (2, 500)

#: Of AdamW.
WEIGHT_DECAY = 0.01

#: Largest number of rows that closed forms are fitted to: the start, and after
#: training how codes are read.
N_FITTED_ROWS = 5_000
N_READOUT_ROWS = 2_000

#: Rows of a stream that are joined to a block.
N_BLOCK_ROWS = 10_000

#: Number of rows whose codes are looked at after training.
N_CHECKED_ROWS = 256

#: Codes are trained at least this wide where a part of them is read at each time.
LEAST_WIDTH = 128


class BaseRepresentation(
    CodesMixin, RepresentationStateMixin, BaseEstimator, metaclass=ABCMeta
):
    """Base of the representation estimators; composed around a skorch net.

    Subclasses say which model is trained (`_model`) and from which density its
    times are drawn (`_times`).
    """

    _parameter_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "t_grid": [None, Interval(Integral, 1, None, closed="left"), "array-like"],
        "image_shape": [None, "array-like"],
        "encoder": [StrOptions({"auto", "class", *BACKBONES}), callable],
        "init": [StrOptions({"closed_form", "random"})],
        "time_conditioning": [StrOptions({"readout", "full"})],
        "augment": [None, StrOptions({"auto", *AUGMENTATIONS}), callable],
        "max_epochs": [
            StrOptions({"auto"}),
            Interval(Integral, 0, None, closed="left"),
        ],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "callbacks": [None, list, tuple],
        **CHECKPOINT_CONSTRAINTS,
        "device": [str],
        "precision": [StrOptions({"float32", "bf16"})],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components,
        *,
        t_grid,
        image_shape,
        encoder,
        init,
        time_conditioning,
        augment,
        max_epochs,
        batch_size,
        lr,
        early_stopping,
        validation_fraction,
        n_iter_no_change,
        warm_start,
        callbacks,
        checkpoint,
        device,
        precision,
        verbose,
        random_state,
    ):
        self.n_components = n_components
        self.t_grid = t_grid
        self.image_shape = image_shape
        self.encoder = encoder
        self.init = init
        self.time_conditioning = time_conditioning
        self.augment = augment
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.checkpoint = checkpoint
        self.device = device
        self.precision = precision
        self.verbose = verbose
        self.random_state = random_state

    @abstractmethod
    def _model(self, data_shape):
        """Class of the model to train and the arguments particular to it."""

    @abstractmethod
    def _times(self):
        """Density of the training times, a `TimeSampling`."""

    def _warn_of_collapse(self, X, y):
        """Warn if the codes of rows are worth next to nothing, where that is known."""

    @fit_context(prefer_skip_nested_validation=True)
    @restored_on_error
    def fit(self, X, y=None):
        """Learn the representation from rows.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            Rows of any real dtype, a memory map included; images are flattened
            rows, see `image_shape`.
        y : array-like of shape (n,), optional
            Ignored, except with ``encoder="class"``.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError, TypeError
            On parameters or data that cannot be used.
        CheckpointError
            If the checkpoint was made with another version or device.
        DivergenceError
            If the loss or the weights stop being finite numbers, or the loss is a
            thousand times what it was at first, also after the learning rate was
            halved three times, with a DivergenceWarning for each. Whatever was
            raised, an estimator that was fitted before stays as it was.
        """
        check_repeatable(self)
        continued = self.warm_start and hasattr(self, "net_")
        X, y = self._check_fit_data(X, y, reset=not continued)
        if continued:
            self.net_ = copy.deepcopy(self.net_)
        else:
            self._build(X, y)
        self.net_.module_.times = self._times()
        n_epochs = self._schedule(len(X), self.max_epochs)
        checkpoints = fit_checkpoints(self, X, y, continued)
        self._train(X, y, n_epochs, self.early_stopping, checkpoints)
        self._fit_readout(X, y)
        self._warn_of_collapse(X, y)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    @restored_on_error
    def partial_fit(self, X, y=None):
        """Train one epoch on some rows, at a constant learning rate.

        The first call fixes the standardisation of the data and the seed; how
        codes are read is fitted to the rows of each call anew. No rows are
        held out, whatever `early_stopping` says.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,), optional
            Ignored, except with ``encoder="class"``.

        Returns
        -------
        self : object
        """
        X, y = self._check_fit_data(X, y, reset=not hasattr(self, "net_"))
        self._train_one_epoch(X, y)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def fit_batches(self, batches):
        """Train on rows that come in batches, once through, as `partial_fit` does.

        Batches are joined to blocks of 10,000 rows, or as many as have 2^25
        numbers, and one epoch is trained on each. The first block fixes the
        standardisation of the data and the start of the network, the last one
        how codes are read: let rows come in random order. If the stream breaks
        off, the estimator is as it was after the last block.

        Parameters
        ----------
        batches : iterable of array-like of shape (n, n_features)
            A generator, a torch DataLoader, the record batches of pyarrow. The
            batches may be of any length, and of different ones.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If there are no rows, or ``encoder="class"``, which needs labels.
        """
        X = None
        checked = self._checked_batches(batches)
        for X in blocks(checked, N_BLOCK_ROWS, MAX_VALUES):
            y = self._check_trainable(X, None, reset=not hasattr(self, "net_"))
            self._train_one_epoch(X, y)
        if X is None:
            raise ValueError("batches is empty. Pass an iterable of arrays of rows.")
        return self

    def _checked_batches(self, batches):
        for i, X in enumerate(batches):
            yield check_rows(self, X, reset=i == 0 and not hasattr(self, "net_"))

    def _check_fit_data(self, X, y, reset):
        X = check_rows(self, X, reset=reset)
        return X, self._check_trainable(X, y, reset)

    def _check_trainable(self, X, y, reset):
        """Numbers of the classes of checked rows, if any; set the labels."""
        if len(X) < 2:
            raise ValueError(
                "Found array with n_samples=1; a representation needs at least 2 rows "
                "to learn what differs between them."
            )
        if reset:
            self._labels = LabelEncoder() if self.encoder == "class" else None
        return self._class_numbers(X, y, reset)

    def _class_numbers(self, X, y, reset=False):
        """Numbers of the classes for an encoder of classes, else None."""
        if self._labels is None:
            return None
        if y is None:
            raise ValueError("encoder='class' codes the labels: pass y along with X.")
        check_consistent_length(X, y)
        if reset:
            self._labels.fit(y)
        return self._labels.transform(y)

    def _build(self, X, y):
        """Set all that is fixed before the first step; `net_` last."""
        self._built = self.get_params(deep=False)
        self.t_grid_ = self._given_times()
        net = self._net(draw_seed(self.random_state))
        self.standardizer_ = fit_standardizer(X, self._given_shape)
        self.net_ = net.initialize()
        self._start_from_data(X, y)

    def _net(self, seed=0):
        """Net without weights, from parameters, number of columns, labels, times."""
        self._given_shape = check_data_shape(self.image_shape, self.n_features_in_)
        device = choose_device(self.device)
        model, arguments = self._model(self._given_shape)
        data_shape = read_shape(self.encoder, arguments.get("space"), self._given_shape)
        view = view_function(self.augment, data_shape)
        arguments = {
            "data_shape": data_shape,
            "n_components": self._width(view),
            "n_columns": self.n_components,
            "encoder": encoder_factory(
                self.encoder,
                self._times(),
                data_shape,
                len(self.classes_) if self._labels else None,
            ),
            "time_conditioned": self._is_time_conditioned(),
            "times": self._times(),
            "augment": None if self._labels else view,  # classes have no views
            **arguments,
        }
        return RepresentationNet(
            model,
            seed=seed,
            bfloat16=self.precision == "bf16",
            device=str(device),
            fork_rng=self._holds_own_code(),
            optimizer__weight_decay=WEIGHT_DECAY,
            optimizer__fused=device.type in {"cpu", "cuda"},
            **{f"module__{name}": value for name, value in arguments.items()},
        )

    def _is_time_conditioned(self):
        """Whether the encoder takes t."""
        return self.time_conditioning == "full"

    def _width(self, view):
        """Length of the code that is trained."""
        is_read_whole = self.t_grid is None or self._is_time_conditioned()
        if is_read_whole or (view is None and self.init == "random"):
            return self.n_components
        return max(LEAST_WIDTH, self.n_components)

    def _given_times(self):
        """Return the times of `t_grid`; None if it is, or if they follow from codes."""
        is_number = isinstance(self.t_grid, Integral)
        if self.t_grid is None or (is_number and not self._is_time_conditioned()):
            return None
        return read_out_times(self.t_grid, self._times())

    def _own_networks(self):
        """Parameters that are networks of the user's own."""
        names = ("encoder", "score_network")
        return [name for name in names if callable(getattr(self, name, None))]

    def _holds_own_code(self):
        """Whether code of the user's own runs while the net trains."""
        return bool(self._own_networks()) or callable(self.augment)

    def _start_from_data(self, X, y):
        """Fit to the data what is fitted in closed form; check shapes on two rows."""
        model, seed = self.net_.module_, self.net_.seed
        rng = np.random.default_rng(seed_for(seed, Stream.START, 1))
        x0, seen = self._rows(X, y).some(N_FITTED_ROWS, rng)
        draws = generator(seed, Stream.START, 2, self.net_.device)
        rows = coded = ViewedRows.drawn(x0, model.augment, draws)
        if self._labels:
            coded = ViewedRows.drawn(seen, None, draws)
        with self.net_.forked(draws):
            model.initialize(rows)
            if self.init == "closed_form" and hasattr(model.encoder, "initialize"):
                model.encoder.initialize(coded)
            model.eval()
            with torch.no_grad():
                model.check_shapes(x0[:2], seen[:2])

    def _schedule(self, n_rows, max_epochs):
        """Let the learning rate fall over the epochs to come; return their number."""
        n_batches = -(-n_rows // self.batch_size)
        n_epochs = max_epochs
        if n_epochs == "auto":
            n_epochs = int(np.clip(-(-N_STEPS // n_batches), *EPOCHS))
        self.net_.set_schedule(n_epochs * n_batches)
        return n_epochs

    def _train(self, X, y, n_epochs, early_stopping=False, checkpoints=None):
        """Train `net_` on for some epochs; set `history_` and `n_iter_`."""
        train, valid, callbacks = None, None, check_callbacks(self.callbacks)
        space = self.net_.module_.target_space
        points = {
            "space": None if isinstance(space, DataSpace) else space,
            "hold_points": n_epochs > 1,
            "resident": True,
        }
        if early_stopping:
            rng = np.random.default_rng(seed_for(self.net_.seed, Stream.SPLIT))
            train, index = hold_out(len(X), self.validation_fraction, rng)
            valid = self._rows(X, y, index=index, **points)
            stop = EarlyStopping(patience=self.n_iter_no_change, load_best=True)
            callbacks.append(("early_stopping", stop))
        if self.verbose:
            callbacks.append(("progress", Progress()))
        self.net_.set_params(
            callbacks=copy.deepcopy(callbacks),
            max_epochs=n_epochs,
            lr=self.lr,
            batch_size=self.batch_size,
        )
        rows = self._rows(X, y, index=train, **points)
        self.net_.initialize_callbacks()
        if n_epochs > 0:
            self.net_.partial_fit((rows, valid), checkpoints=checkpoints)
        self.net_.module_.eval()
        self._tell_history()
        self._check_codes(X, y)

    def _tell_history(self):
        """Set `history_` and `n_iter_`."""
        epochs = self.net_.history.to_list()
        self.history_ = pd.DataFrame(epochs).drop(columns="batches", errors="ignore")
        self.n_iter_ = len(self.history_)

    @restored_on_error
    def _train_one_epoch(self, X, y):
        """Build what is not built yet; train on, at a constant learning rate."""
        if not hasattr(self, "net_"):
            self._build(X, y)
        self.net_.module_.times = self._times()
        if self.net_.n_steps_ is not None:
            self.net_.set_schedule(None)
        self._train(X, y, n_epochs=1)
        self._fit_readout(X, y)

    def _check_codes(self, X, y):
        """Refuse weights that are finite, but make codes that are not."""
        with torch.inference_mode(), self.net_.autocast():
            _, seen = self._rows(X, y)[:N_CHECKED_ROWS]
            model = self.net_.module_
            codes = model.curve(seen, model.readout.times)
            size = codes.float().square().sum()  # a read-out needs the squares
        if not size.isfinite():
            raise DivergenceError(
                f"Codes became infinite or NaN with lr={self.lr:g}: training "
                "diverged. Use a smaller lr. The epochs are in `history`.",
                self.history_,
            )

    def _fit_readout(self, X, y):
        """Fit how codes are read; set `t_grid_` where it follows from codes."""
        model, seed = self.net_.module_, self.net_.seed
        as_trained = model.augment is None and self.init == "random"
        rng = np.random.default_rng(seed_for(seed, Stream.READOUT))
        _, seen = self._rows(X, y).some(N_READOUT_ROWS, rng)
        draws = generator(seed, Stream.READOUT, 1, self.net_.device)
        with self.net_.forked(draws):
            model.fit_readout(ViewedRows.drawn(seen, model.augment, draws), as_trained)
        if isinstance(self.t_grid, Integral) and not model.time_conditioned:
            self.t_grid_ = told_times(self.t_grid, model)

    def _rows(self, X, y=None, **options):
        standardizer, shape, given = self._scaling
        return Rows(X, standardizer, shape, given, self.net_.device, y, **options)

    @property
    def _scaling(self):
        """Standardizer and shapes of rows, as `Rows` takes them."""
        return self.standardizer_, self.net_.module_.data_shape, self._given_shape


def check_is_trained(estimator):
    """Raise NotFittedError unless there was a training step after the start."""
    check_is_fitted(estimator)
    if estimator.net_.step_ == 0:
        raise NotFittedError(
            f"This {type(estimator).__name__} was fitted with max_epochs=0: it gives "
            "the codes of its start in closed form, but no network was trained to "
            "sample, denoise or score with. Fit it with max_epochs='auto', or any "
            "number above 0."
        )
