"""What an estimator gives to a model file and takes from it.

A net is built from parameters as by `fit`, first on torch's device "meta", where shapes
cost nothing, and compared with the weights.
"""

from __future__ import annotations

import math
import reprlib
from typing import Any

import numpy as np
import torch
from sklearn.preprocessing import LabelEncoder
from sklearn.utils.validation import check_is_fitted
from skorch.history import History
from torch import nn

from diffrep._files import expect, fields_of, is_plain, write
from diffrep._parts import read_out_times, time_sampling_of
from diffrep.core.standardizer import Standardizer

__all__ = [
    "RepresentationStateMixin",
    "SaveMixin",
    "check_classes",
    "check_numbers",
    "get_net_state",
    "made_standardizer",
    "set_features",
    "set_net_state",
]

MAX_SEED = 2**32


class SaveMixin:
    """An estimator that can be written to a model file."""

    def save(self, path):
        """Write the fitted estimator to one file, for :func:`diffrep.load`.

        The file is a safetensors file without code in it, and complete or not there: it
        is written under another name and then renamed.

        Parameters
        ----------
        path : str or path-like
            Usually ends in ``.safetensors``.

        Raises
        ------
        TypeError
            If the estimator is of a class of your own, or labels or what
            `fit_decoder` was given are objects that a file cannot hold.
        NotFittedError
            If it is not fitted.

        Notes
        -----
        Parameters that are objects of your own (a network, a noise process, views,
        callbacks, a density of times, a ``RandomState``) are recorded by name, and
        `load` asks for them. Moments of the optimizer, and the choice of
        `set_output`, are not written.
        """
        check_is_fitted(self)
        write(path, self)


class RepresentationStateMixin(SaveMixin):
    """What `fit` of a representation learned."""

    def _get_state(self: Any):
        times = self.net_.module_.times
        sampling = None if times == self._times() else time_sampling_of(times)
        return {
            "n_features_in_": self.n_features_in_,
            "feature_names_in_": getattr(self, "feature_names_in_", None),
            "standardizer": dict(vars(self.standardizer_)),
            "t_grid_": self.t_grid_,
            "classes_": self.classes_ if self._labels else None,
            "time_sampling": sampling,  # None is that of the parameter
            "net": get_net_state(self.net_),
        }

    def _set_state(self: Any, state):
        names = ("standardizer", "t_grid_", "classes_", "time_sampling", "net")
        fields_of(state, "state", "n_features_in_", "feature_names_in_", *names)
        set_features(self, state)
        self.standardizer_ = made_standardizer(
            state["standardizer"], self.n_features_in_
        )
        self._labels, times = None, state["t_grid_"]
        classes = state["classes_"]
        coded = getattr(self, "encoder", None) == "class"
        expect(coded == (classes is not None), "classes_ are those of encoder='class'")
        if coded:
            self._labels = LabelEncoder()
            self._labels.classes_ = check_classes(classes)
        if times is not None:
            check_numbers("t_grid_", times, np.shape(times))
        static = self._built["t_grid"] is None
        expect(static == (times is None), "t_grid_ must be that of a t_grid")
        self.t_grid_ = read_out_times(times, self._times())
        net = self._net()
        set_net_state(net, state["net"], self._own_networks())
        sampling = state["time_sampling"]
        if sampling is not None:
            expect(isinstance(sampling, str | float), "time_sampling is a name or time")
            net.module_.times = self._density(sampling)
        self.net_ = net
        self._tell_history()


def get_net_state(net):
    """Return what goes on with a net: weights, seed, place in the schedule, epochs."""
    epochs = [
        {name: value for name, value in epoch.items() if is_plain(value)}
        for epoch in net.history
    ]
    return {
        "weights": dict(net.module_.state_dict()),
        "seed": net.seed,
        "schedule": [net.step_, net.first_step_, net.n_steps_],
        "epochs": epochs,
    }


def set_net_state(net, state, own=()):
    """Initialize a net and give it weights and all else of `get_net_state`.

    Parameters
    ----------
    net : SeededNet
        Not initialized.
    state : dict
    own : iterable of str
        Parts of the model that are networks of the user's, built for real only.

    Raises
    ------
    ValueError
        If the state is not that of such a net.
    """
    state = fields_of(state, "net", "weights", "seed", "schedule", "epochs")
    weights, epochs, schedule = state["weights"], state["epochs"], state["schedule"]
    expect(is_int(state["seed"], 0, MAX_SEED), "seed must be a 32-bit integer")
    expect(isinstance(schedule, list) and len(schedule) == 3, "schedule is of three")
    for number in schedule[:2] if schedule[2] is None else schedule:
        expect(is_int(number, 0), "schedule must be numbers of steps")
    expect(isinstance(epochs, list), "epochs must be a list")
    for epoch in epochs:
        plain = isinstance(epoch, dict) and all(map(is_plain, epoch.values()))
        expect(plain and "batches" not in epoch, "epochs must be of plain values")
    _check_weights(net, weights, own)
    net.seed = state["seed"]
    net.initialize()
    net.history = History({"batches": [], **epoch} for epoch in epochs)
    net.step_, net.first_step_, net.n_steps_ = schedule
    net.module_.load_state_dict(weights)
    net.module_.eval()


def set_features(estimator, state):
    """Set number and names of the features that an estimator was fitted to."""
    n_features, names = state["n_features_in_"], state["feature_names_in_"]
    expect(is_int(n_features, 1), "n_features_in_ must be a positive integer")
    estimator.n_features_in_ = n_features
    if names is not None:
        texts = isinstance(names, np.ndarray) and names.dtype == object
        expect(texts and len(names) == n_features, "feature_names_in_ must name all")
        estimator.feature_names_in_ = names


def check_numbers(name, value, shape, dtype=np.float64):
    """Return an array that is finite and of this shape and type."""
    right = isinstance(value, np.ndarray) and value.shape == shape
    expect(right and value.dtype == dtype, f"{name} must be {dtype} of shape {shape}")
    within = np.abs(value) <= np.finfo(np.float32).max  # which NaN is not, either
    expect(within.all(), f"{name} must be finite, within float32")
    return value


def made_standardizer(state, n_features):
    """Return the standardizer of arrays by name, for so many columns."""
    names = ("mean", "scale", "skewed", "center", "width")
    fields_of(state, "standardizer", *names)
    skewed, n_skewed = state["skewed"], np.size(state["skewed"])
    for name in ("mean", "scale"):
        check_numbers(name, state[name], (n_features,))
    for name in ("center", "width"):
        check_numbers(name, state[name], (n_skewed,))
    check_numbers("skewed", skewed, (n_skewed,), np.int64)
    ends = [-1, *skewed, n_features]
    expect((np.diff(ends) > 0).all(), "skewed must be numbers of columns, in order")
    positive = (state["scale"] > 0).all() and (state["width"] > 0).all()
    expect(positive, "scale and width must be positive")
    return Standardizer(**state)


def check_classes(value):
    """Return labels of classes, in order and none of them twice."""
    right = isinstance(value, np.ndarray) and value.ndim == 1 and value.size > 0
    expect(
        right and np.array_equal(np.unique(value), value), "classes_ are out of order"
    )
    return value


def _check_weights(net, weights, own):
    """Compare weights with the module that a net would build, but for parts `own`."""
    arguments = net.get_params_for("module")
    arguments |= {part: lambda *shape: nn.Identity() for part in own}
    try:
        with torch.device("meta"):
            expected = net.module(**arguments).state_dict()
    except Exception as error:  # of torch, about numbers that no tensor can have
        raise ValueError(f"no net has such parameters: {error}") from error
    expect(isinstance(weights, dict), "weights must be an object")
    theirs = tuple(f"{part}." for part in own)
    names = {name for name in weights if not name.startswith(theirs)}
    odd = sorted(names ^ set(expected))
    expect(not odd, f"weights are missing or too many: {reprlib.repr(odd)}")
    for name, tensor in weights.items():
        expect(isinstance(tensor, torch.Tensor), f"weights {name} are no tensor")
        expect(bool(tensor.isfinite().all()), f"weights {name} are not finite")
        if name in names:
            found, there = _kind(tensor), _kind(expected[name])
            expect(found == there, f"weights {name} are {found}, not {there}")


def _kind(tensor):
    return f"{tensor.dtype} of shape {tuple(tensor.shape)}"


def is_int(value, low, high=math.inf):
    return type(value) is int and low <= value < high
