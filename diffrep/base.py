"""Base classes of representations: parameters, training, codes, model files."""

from __future__ import annotations

import copy
from abc import ABCMeta, abstractmethod
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from os import PathLike
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from numpy.random import RandomState
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import EarlyStopping
from torch import nn

from diffrep._checkpoints import (
    CHECKPOINT_CONSTRAINTS,
    check_repeatable,
    fit_checkpoints,
)
from diffrep._model_file import (
    SaveMixin,
    check_numbers,
    fields_of,
    get_net_state,
    is_same,
    made_standardizer,
    require,
    set_features,
    set_net_state,
)
from diffrep._parts import (
    encoder_factory,
    evenly_predicted_times,
    read_out_times,
    read_shape,
    shortest_distinct,
    time_sampling_of,
    view_function,
)
from diffrep._validation import (
    Interval,
    StrOptions,
    all_or_nothing,
    check_batches,
    check_callbacks,
    check_data_shape,
    check_feature_names_in,
    check_rows,
    check_times,
    copied,
    draw_seed,
    fit_context,
    fit_standardizer,
    is_empty,
    validate_params,
)
from diffrep.core.augment import AUGMENTATIONS
from diffrep.core.closed_form import ViewedRows
from diffrep.core.device import (
    Stream,
    choose_device,
    generator,
    in_usual_state,
    seed_for,
)
from diffrep.core.encoders import BACKBONES
from diffrep.core.export import CodeGraph, export_onnx
from diffrep.core.layers import SIZES
from diffrep.core.loop import Progress
from diffrep.core.rows import MAX_VALUES, Rows, blocks, hold_out
from diffrep.core.sde import VE
from diffrep.core.spaces import DataSpace
from diffrep.core.time_sampling import Uniform
from diffrep.core.training import RepresentationNet, copied_net
from diffrep.exceptions import DivergenceError

__all__ = ["BaseRepresentation", "TrainedRepresentation", "check_is_trained"]

#: Number of steps of ``max_epochs="auto"``, with limits on the number of epochs.
N_STEPS = 1000
EPOCHS = (2, 500)

#: Weight decay of AdamW.
WEIGHT_DECAY = 0.01

#: Largest number of rows for the closed-form initialisation, and for the read-out.
N_FITTED_ROWS = 5_000
N_READOUT_ROWS = 2_000

#: Number of rows in a block of a stream.
N_BLOCK_ROWS = 10_000

#: Number of rows whose codes are checked after training.
N_CHECKED_ROWS = 256

#: Largest factor of the widths of networks.
LARGEST_SIZE = 16

#: Least number of trained components if a part of them is read out at each time.
LEAST_WIDTH = 128


@dataclass(eq=False, repr=False, match_args=False)
class BaseRepresentation(TransformerMixin, SaveMixin, BaseEstimator, metaclass=ABCMeta):
    """Base class of representations, with an encoder that is fitted in closed form.

    It contains a skorch net. Subclasses define the model of the net by `make_model`.
    """

    n_components: int = 128
    _: KW_ONLY
    t_grid: int | ArrayLike | None = None
    image_shape: tuple[int, int, int] | None = None
    signal_shape: tuple[int, int] | None = None
    encoder: str | Callable = "auto"
    network_size: str | float = "base"
    init: str = "closed_form"
    time_conditioning: str = "readout"
    augment: str | Callable | None = "auto"
    device: str = "auto"
    precision: str = "float32"
    verbose: int = 0
    random_state: int | RandomState | None = None

    _parameter_constraints: ClassVar[dict] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "t_grid": [None, Interval(Integral, 1, None, closed="left"), "array-like"],
        "image_shape": [None, "array-like"],
        "signal_shape": [None, "array-like"],
        "encoder": [StrOptions({"auto", *BACKBONES}), callable],
        "network_size": [
            StrOptions(set(SIZES)),
            Interval(Real, 0, LARGEST_SIZE, closed="right"),
        ],
        "init": [StrOptions({"closed_form", "random"})],
        "time_conditioning": [StrOptions({"readout", "full"})],
        "augment": [None, StrOptions({"auto", *AUGMENTATIONS}), callable],
        "device": [str],
        "precision": [StrOptions({"float32", "bf16"})],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    @abstractmethod
    def make_model(self, data_shape):
        """Return the model to train; your own estimators override this method.

        Parameters
        ----------
        data_shape : tuple of int
            Shape of one row.

        Returns
        -------
        model : type
            A subclass of :class:`diffrep.core.models.EncoderModel`.
        arguments : dict
            Arguments of its constructor, in addition to those of all models.
        """

    def _times(self):
        """Return the density of training times; uniform without a noise process."""
        return Uniform(VE())

    @in_usual_state
    @fit_context(prefer_skip_nested_validation=True)
    @all_or_nothing
    def fit(self, X, y=None):
        """Fit the representation in closed form, without training.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows of any real dtype, also a memory map. For images and signals see
            `image_shape` and `signal_shape`.
        y : None
            Ignored.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError, TypeError
            If parameters or data are invalid.
        """
        X = self._check_fit_data(X, reset=True)
        self._build(X)
        self._finish(X)
        self._fit_readout(X)
        return self

    @in_usual_state
    def transform(self, X):
        """Return the codes of rows, at the times of `t_grid` if it was not None.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        codes : ndarray of shape (n_samples, n_columns)
            float32; ``n_columns = n_components``, or ``T * n_components`` with T
            times in `t_grid_`, ordered by time. The code of a row does not depend on
            the other rows, beyond rounding.
        """
        check_is_fitted(self)
        X = check_rows(self, X, reset=False)
        return self._curves(X, self._read_times()).reshape(len(X), -1)

    def transform_batches(self, batches):
        """Yield the codes of rows that come in batches.

        Parameters
        ----------
        batches : iterable of array-like of shape (n_samples, n_features)

        Yields
        ------
        codes : ndarray of shape (n_samples, n_columns)
            Codes of each batch, as returned by `transform`.

        Raises
        ------
        ValueError
            If `batches` is one array.
        """
        check_batches(batches)
        for X in batches:
            if is_empty(X):
                yield np.empty((0, len(self.get_feature_names_out())), np.float32)
            else:
                yield self.transform(X)

    @in_usual_state
    def encode(self, X, t):
        """Return the codes of rows at any times, also with ``t_grid=None``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        t : float or array-like of shape (T,)
            Times in [0, 1]. The codes at t = 1, where noise hides the whole row, are
            those of ``t_grid=None``.

        Returns
        -------
        codes : ndarray of shape (n_samples, T, n_components)
            float32.

        Raises
        ------
        ValueError
            If a time is outside [0, 1].
        """
        check_is_fitted(self)
        X = check_rows(self, X, reset=False)
        return self._curves(X, check_times(t, self.net_.module_.times.t_min, "t"))

    @in_usual_state
    @validate_params(
        {"dtype": [StrOptions({"float32", "uint8"})]},
        prefer_skip_nested_validation=True,
    )
    def to_onnx(self, path, *, dtype="float32"):
        """Export the map from rows to codes as an ONNX graph, to run without torch.

        Its input is "X", of shape (n_samples, n_features) for any n_samples. Its output
        is "codes", the result of `transform`, computed in float32 also with
        ``precision="bf16"``.

        Parameters
        ----------
        path : str or path-like
            Usually ends in ``.onnx``.
        dtype : {"float32", "uint8"}, default="float32"
            Type of the input; "uint8" is for images with values from 0 to 255.

        Raises
        ------
        ValueError
            If `dtype` is another one.
        ImportError
            If the optional packages are missing: ``pip install diffrep[onnx]``.
        torch.onnx.OnnxExporterError
            If torch cannot export one of your own networks.
        OSError
            If the file cannot be written. It is complete or does not exist.
        """
        check_is_fitted(self)
        model = copy.deepcopy(self.net_.module_).cpu()
        times = self._tensor_times().cpu()
        graph = CodeGraph(model, self.standardizer_, self._given_shape, times)
        export_onnx(graph, path, dtype)

    def get_feature_names_out(self, input_features=None):
        """Return the names of the columns of `transform`.

        Parameters
        ----------
        input_features : array-like of str, optional
            Compared with the names seen in `fit`, otherwise not used.

        Returns
        -------
        names : ndarray of str objects
            Class name in lower case, time if there is one, and number of the
            component.
        """
        check_is_fitted(self)
        check_feature_names_in(self, input_features, generate_names=False)
        prefix = type(self).__name__.lower()
        n_columns = self.net_.module_.n_columns
        digits = len(str(n_columns - 1))
        numbers = [f"{j:0{digits}}" for j in range(n_columns)]
        if self.t_grid_ is None:
            return np.array([f"{prefix}{j}" for j in numbers], dtype=object)
        times = [f"{prefix}_t{t}" for t in shortest_distinct(self.t_grid_)]
        return np.array([f"{t}_{j}" for t in times for j in numbers], dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _check_fit_data(self, X, reset):
        X = check_rows(self, X, reset=reset)
        self._check_several(X)
        return X

    def _check_several(self, X):
        if len(X) < 2:
            raise ValueError(
                "Found array with n_samples=1; a representation needs at least 2 rows "
                "to learn what differs between them."
            )

    def __sklearn_is_fitted__(self):
        return hasattr(self, "net_")

    def _build(self, X):
        """Set all attributes that do not depend on training; `net_` is the last."""
        self._built = self.get_params(deep=False)
        self.t_grid_ = self._given_times()
        net = self._net(draw_seed(self.random_state))
        self.standardizer_ = fit_standardizer(X, self._given_shape)
        self.net_ = net.initialize()
        self._start_from_data(X)

    def _net(self, seed=0):
        """Return the net, not initialized, from parameters and number of features."""
        self._given_shape = check_data_shape(self, self.n_features_in_)
        device = choose_device(self.device)
        model, arguments = self.make_model(self._given_shape)
        data_shape = read_shape(
            self.encoder,
            self.network_size,
            arguments.get("space"),
            self._given_shape,
        )
        view = view_function(self.augment, data_shape)
        arguments = {
            "data_shape": data_shape,
            "n_components": self._width(view),
            "n_columns": self.n_components,
            "encoder": encoder_factory(
                self.encoder, self.network_size, self._times(), data_shape
            ),
            "time_conditioned": self._is_time_conditioned(),
            "times": self._times(),
            "augment": view,
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
        """Whether t is an input of the encoder."""
        return self.time_conditioning == "full"

    def _width(self, view):
        """Return the number of trained components."""
        is_read_whole = self.t_grid is None or self._is_time_conditioned()
        if is_read_whole or (view is None and self.init == "random"):
            return self.n_components
        return max(LEAST_WIDTH, self.n_components)

    def _given_times(self):
        """Return the times of `t_grid`, or None if they are chosen after training."""
        is_number = isinstance(self.t_grid, Integral)
        if self.t_grid is None or (is_number and not self._is_time_conditioned()):
            return None
        return read_out_times(self.t_grid, self._times())

    def _own_networks(self):
        """Return the names of parameters that are networks of the user."""
        names = ("encoder", "score_network")
        return [name for name in names if callable(getattr(self, name, None))]

    def _holds_own_code(self):
        """Whether functions of the user are called in training."""
        return bool(self._own_networks()) or callable(self.augment)

    def _start_from_data(self, X):
        """Fit the closed-form initialisation; check output shapes with two rows."""
        model, seed = self.net_.module_, self.net_.seed
        rng = np.random.default_rng(seed_for(seed, Stream.START, 1))
        x, _ = self._rows(X).some(N_FITTED_ROWS, rng)
        self.net_.check_view(x)
        draws = generator(seed, Stream.START, 2, self.net_.device)
        rows = ViewedRows.drawn(x, model.augment, draws)
        with self.net_.forked(draws):
            model.initialize(rows)
            if self.init == "closed_form" and hasattr(model.encoder, "initialize"):
                model.encoder.initialize(rows)
            model.eval()
            with torch.no_grad():
                model.check_shapes(x[:2])

    def _finish(self, X):
        """Set evaluation mode and the history; check codes."""
        self.net_.module_.eval()
        self._tell_history()
        self._check_codes(X)

    def _check_codes(self, X):
        """Raise DivergenceError if codes are not finite, even if weights are."""
        with torch.inference_mode(), self.net_.autocast():
            _, x = self._rows(X)[:N_CHECKED_ROWS]
            model = self.net_.module_
            codes = model.curve(x, model.readout.times)
            size = codes.float().square().sum()  # which the read-out needs
        if not size.isfinite():
            raise DivergenceError(
                "Codes became infinite or NaN: training diverged. Use a smaller lr. "
                "The epochs are in `history`.",
                self.history_,
            )

    def _fit_readout(self, X):
        """Fit the read-out; set `t_grid_` if it depends on the codes."""
        model, seed = self.net_.module_, self.net_.seed
        as_trained = model.augment is None and self.init == "random"
        rng = np.random.default_rng(seed_for(seed, Stream.READOUT))
        _, x = self._rows(X).some(N_READOUT_ROWS, rng)
        draws = generator(seed, Stream.READOUT, 1, self.net_.device)
        with self.net_.forked(draws):
            model.fit_readout(ViewedRows.drawn(x, model.augment, draws), as_trained)
        if isinstance(self.t_grid, Integral) and not model.time_conditioned:
            self.t_grid_ = evenly_predicted_times(self.t_grid, model)

    def _read_times(self):
        """Return the times of the codes of `transform`."""
        return [1.0] if self.t_grid_ is None else list(self.t_grid_)

    def _tensor_times(self):
        """Return the times of the codes of `transform`, as a tensor on the device."""
        times = torch.tensor(self._read_times(), dtype=torch.float32)
        return times.to(self.net_.device)

    def _curves(self, X, times):
        """Return codes ``(n, T, n_components)`` of checked rows at checked times."""
        return self.net_.curves(self._rows(X), times, progress=bool(self.verbose))

    def _rows(self, X, **options):
        standardizer, shape, given = self._scaling
        return Rows(X, standardizer, shape, given, self.net_.device, **options)

    @property
    def _scaling(self):
        """Standardizer and shapes of rows, which are parameters of `Rows`."""
        return self.standardizer_, self.net_.module_.data_shape, self._given_shape

    def _tell_history(self):
        """Set `history_` and `n_iter_`."""
        epochs = self.net_.history.to_list()
        self.history_ = pd.DataFrame(epochs).drop(columns="batches", errors="ignore")
        self.n_iter_ = len(self.history_)

    def _get_state(self):
        times = self.net_.module_.times
        sampling = None if times == self._times() else time_sampling_of(times)
        return {
            "n_features_in_": self.n_features_in_,
            "feature_names_in_": getattr(self, "feature_names_in_", None),
            "standardizer": dict(vars(self.standardizer_)),
            "t_grid_": self.t_grid_,
            "time_sampling": sampling,  # None for that of the parameter
            "net": get_net_state(self.net_),
        }

    def _set_state(self, state):
        names = ("standardizer", "t_grid_", "time_sampling", "net")
        fields_of(state, "state", "n_features_in_", "feature_names_in_", *names)
        set_features(self, state)
        self.standardizer_ = made_standardizer(
            state["standardizer"], self.n_features_in_
        )
        times = state["t_grid_"]
        if times is not None:
            check_numbers("t_grid_", times, np.shape(times))
        static = self._built["t_grid"] is None
        require(static == (times is None), "t_grid_ must be that of a t_grid")
        self.t_grid_ = read_out_times(times, self._times())
        net = self._net()
        set_net_state(net, state["net"], self._own_networks())
        sampling = state["time_sampling"]
        if sampling is not None:
            is_one = isinstance(sampling, str | float)
            require(is_one, "time_sampling must be a name or a time")
            net.module_.times = self._density(sampling)
        self.net_ = net
        self._tell_history()


@dataclass(eq=False, kw_only=True, repr=False, match_args=False)
class TrainedRepresentation(BaseRepresentation):
    """Base class of representations that are trained by gradient descent.

    Your own estimators define `make_model`. Their other parameters are those of
    :class:`diffrep.DiffusionRepresentation`.
    """

    max_epochs: int | str = "auto"
    batch_size: int = 128
    lr: float = 2e-3
    early_stopping: bool = False
    validation_fraction: float = 0.1
    n_iter_no_change: int = 10
    warm_start: bool = False
    callbacks: list | None = None
    checkpoint: str | PathLike | None = None

    _parameter_constraints: ClassVar[dict] = {
        **BaseRepresentation._parameter_constraints,
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
    }

    #: Parameters that may change when training continues.
    _changeable: ClassVar[set[str]] = {
        *("max_epochs", "batch_size", "lr", "early_stopping", "validation_fraction"),
        *("n_iter_no_change", "warm_start", "callbacks", "checkpoint", "precision"),
        *("verbose", "random_state", "augment"),
    }

    def _take_on(self):
        """Prepare the fitted net for further training with the current parameters."""
        parameters = self.get_params(deep=False)
        fixed = [
            name
            for name, value in parameters.items()
            if name not in self._changeable and not is_same(value, self._built[name])
        ]
        if fixed:
            changes = ", ".join(
                f"{name} from {self._built[name]!r} to {parameters[name]!r}"
                for name in fixed
            )
            raise ValueError(
                "Training cannot continue with other parameters than those of the "
                f"fitted net: {changes}. Restore them, or fit a new net with "
                "warm_start=False."
            )
        self._built, self.net_ = parameters, copied_net(self.net_)
        net = self._net()
        self.net_.bfloat16, self.net_.fork_rng = net.bfloat16, net.fork_rng
        model = self.net_.module_
        for name, value in net.get_params_for("module").items():
            if not isinstance(getattr(model, name, None), nn.Module):  # networks stay
                setattr(model, name, value)

    def _warn_of_collapse(self, X):
        """Warn if the codes of rows are worth next to nothing, where that is known."""

    @in_usual_state
    @fit_context(prefer_skip_nested_validation=True)
    @all_or_nothing
    def fit(self, X, y=None):
        """Learn the representation from rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows of any real dtype, also a memory map. For images and signals see
            `image_shape` and `signal_shape`.
        y : None
            Ignored.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError, TypeError
            If parameters or data are invalid.
        CheckpointError
            If the checkpoint was written by another version or on another device.
        DivergenceError
            If loss or weights are not finite, or the loss is a thousand times its
            initial value, even after the learning rate was halved three times, with a
            DivergenceWarning each time. After any error, an estimator that was fitted
            before stays unchanged.
        """
        check_repeatable(self)
        continued = self.warm_start and hasattr(self, "net_")
        X = self._check_fit_data(X, reset=not continued)
        if continued:
            self._take_on()
        else:
            self._build(X)
        n_epochs = self._schedule(len(X), self.max_epochs)
        checkpoints = fit_checkpoints(self, X, continued)
        self._train(X, n_epochs, self.early_stopping, checkpoints)
        self._fit_readout(X)
        self._warn_of_collapse(X)
        return self

    @in_usual_state
    @fit_context(prefer_skip_nested_validation=True)
    @all_or_nothing
    def partial_fit(self, X, y=None):
        """Train for one epoch on some rows, at a constant learning rate.

        The first call fixes the standardisation and the seed. The read-out of codes is
        fitted again to the rows of each call. `early_stopping` has no effect.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : None
            Ignored.

        Returns
        -------
        self : object
        """
        X = self._check_fit_data(X, reset=not hasattr(self, "net_"))
        self._train_one_epoch(X)
        return self

    @in_usual_state
    @fit_context(prefer_skip_nested_validation=True)
    def fit_batches(self, batches):
        """Train on rows that come in batches, in one pass, as `partial_fit` does.

        Batches are collected into blocks of 10,000 rows (or 2^25 numbers, if that is
        less), and each block is used for one epoch. The first block fixes the
        standardisation and the initial network, and the last one the read-out of
        codes, so provide rows in random order. If the iterable raises an error, the
        estimator keeps its state after the last complete block.

        Parameters
        ----------
        batches : iterable of array-like of shape (n_samples, n_features)
            For instance a generator, a torch DataLoader or record batches of pyarrow.
            Batches may differ in length.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If there are no rows, or `batches` is one array, or a batch is not an array
            of rows.
        """
        X = None
        checked = self._checked_batches(batches)
        for X in blocks(checked, N_BLOCK_ROWS, MAX_VALUES):
            self._check_several(X)
            self._train_one_epoch(X)
        if X is None:
            raise ValueError("batches is empty. Pass an iterable of arrays of rows.")
        return self

    def _checked_batches(self, batches):
        check_batches(batches)
        is_first = not hasattr(self, "net_")
        for X in batches:
            if is_empty(X):
                continue
            yield check_rows(self, X, reset=is_first)
            is_first = False

    def _schedule(self, n_rows, max_epochs):
        """Start the learning rate schedule; return the number of epochs."""
        n_batches = -(-n_rows // self.batch_size)
        n_epochs = max_epochs
        if n_epochs == "auto":
            n_epochs = int(np.clip(-(-N_STEPS // n_batches), *EPOCHS))
        self.net_.set_schedule(n_epochs * n_batches)
        return n_epochs

    def _train(self, X, n_epochs, early_stopping=False, checkpoints=None):
        """Train `net_` for a number of epochs; set `history_` and `n_iter_`."""
        callbacks = check_callbacks(self.callbacks, has_validation=early_stopping)
        train, valid = None, None
        space = self.net_.module_.target_space
        points = {
            "space": None if isinstance(space, DataSpace) else space,
            "hold_points": n_epochs > 1,
            "resident": True,
        }
        if early_stopping:
            rng = np.random.default_rng(seed_for(self.net_.seed, Stream.SPLIT))
            train, index = hold_out(len(X), self.validation_fraction, rng)
            valid = self._rows(X, index=index, **points)
            stop = EarlyStopping(patience=self.n_iter_no_change, load_best=True)
            callbacks.append(("early_stopping", stop))
        if self.verbose:
            callbacks.append(("progress", Progress()))
        self.net_.set_params(
            callbacks=copied(callbacks),
            max_epochs=n_epochs,
            lr=self.lr,
            batch_size=self.batch_size,
        )
        rows = self._rows(X, index=train, **points)
        self.net_.initialize_callbacks()
        if n_epochs > 0:
            self.net_.partial_fit((rows, valid), checkpoints=checkpoints)
        self._finish(X)

    @all_or_nothing
    def _train_one_epoch(self, X):
        """Train for an epoch at a constant learning rate; build the net if needed."""
        if hasattr(self, "net_"):
            self._take_on()
        else:
            self._build(X)
        if self.net_.n_steps_ is not None:
            self.net_.set_schedule(None)
        self._train(X, n_epochs=1)
        self._fit_readout(X)


def check_is_trained(estimator):
    """Raise NotFittedError unless there was a training step."""
    check_is_fitted(estimator)
    if estimator.net_.step_ == 0:
        raise NotFittedError(
            f"This {type(estimator).__name__} was fitted with max_epochs=0. It returns "
            "the codes of its closed-form initialisation, but its networks were not "
            "trained, so it cannot sample, denoise or score. Fit it with "
            "max_epochs='auto', or a positive number."
        )
