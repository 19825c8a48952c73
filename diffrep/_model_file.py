"""Model files: safetensors files of estimators, without code.

The tensors are weights and fitted arrays. The metadata are two texts: the number of the
format, and all other values in JSON. Values that JSON cannot represent are objects with
one key for their type: ``{"tuple": [1, 8, 8]}``, ``{"array": "mean_"}`` for the tensor
of that name, ``{"sde": "VE", "fields": ...}`` for a class in the list here. Objects
defined by the user are not stored; their parameters are listed by name.

An estimator is stored as its class, its parameters, the values at the time of `fit` of
those that were changed since, and its state (`_get_state`, `_set_state`). An estimator
inside of another is stored in the same way.
"""

from __future__ import annotations

import dataclasses
import json
import math
import reprlib

import numpy as np
import safetensors.torch
import sklearn
import torch
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted
from skorch.history import History
from torch import nn

from diffrep._version import __version__
from diffrep.core.checkpoint import write_whole
from diffrep.core.sde import VE, VP, SubVP
from diffrep.core.standardizer import Standardizer

__all__ = [
    "SaveMixin",
    "check_classes",
    "check_numbers",
    "fields_of",
    "get_net_state",
    "is_same",
    "made_standardizer",
    "read",
    "require",
    "set_features",
    "set_net_state",
    "write",
]

#: Number of the format. It changes with every change of the networks, since they cannot
#: hold the weights of others.
FORMAT = 2

#: Upper bound of the seeds of nets.
MAX_SEED = 2**32

SDE_CLASSES = {cls.__name__: cls for cls in (VE, VP, SubVP)}

#: Parameters that are not stored. A file from somebody else must not make `fit` write
#: to a folder, and progress bars are of interest only to the user who fits.
NOT_IN_FILES = {"checkpoint", "verbose"}

#: Limit on the memory of a loaded file: this number of bytes, plus this number per byte
#: of the file. It applies to arrays of text, in which all texts take the space of the
#: longest, and to buffers of nets, which are not stored.
FREE_BYTES = 2**26
BYTES_PER_BYTE = 8


def write(path, estimator):
    """Write a fitted estimator to a file, completely or not at all.

    Raises
    ------
    TypeError
        If it contains a value that a file cannot contain.
    """
    writer = _Writer()
    model = {
        "versions": {
            "diffrep": __version__,
            "torch": str(torch.__version__),
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
        },
        "estimator": writer.estimator(estimator, ""),
    }
    metadata = {"diffrep_format": str(FORMAT), "diffrep_model": _to_json(model)}
    write_whole(path, [safetensors.torch.save(writer.tensors, metadata)])


def read(data, classes, passed, device=None):
    """Return the estimator in the bytes of a model file.

    Parameters
    ----------
    data : bytes
    classes : dict of type by name
        Classes that are allowed in the file.
    passed : dict
        Parameters that are not in the file, by name.
    device : str, optional
        Replaces the device in the file.

    Raises
    ------
    Exception
        Of any class, if the bytes are not those of a model file.
    """
    names, model = _header(data)
    given = fields_of(model, "the model", "versions", "estimator")
    versions = ("diffrep", "torch", "numpy", "scikit-learn")
    for version in fields_of(given["versions"], "versions", *versions).values():
        require(isinstance(version, str), "versions must be texts")
    text_bytes = FREE_BYTES + BYTES_PER_BYTE * len(data)
    tensors = safetensors.torch.load(data)
    reader = _Reader(tensors, classes, passed, device, text_bytes)
    estimator = reader.estimator(given["estimator"], "")
    left = sorted(names - reader.used)
    require(not left, f"its tensors {reprlib.repr(left)} are not used")
    left = sorted(set(passed) - reader.asked)
    require(not left, f"it does not need {', '.join(left)}: do not pass this")
    return estimator


class _Writer:
    """Converts values to JSON, and collects tensors."""

    def __init__(self):
        self.tensors: dict[str, torch.Tensor] = {}
        self.names: dict[int, str] = {}

    def encode(self, value, name):
        """Return `value` in JSON; raise TypeError if that is not possible."""
        match value:
            case None | bool() | int() | str():
                return value
            case np.generic() if not isinstance(value.item(), np.generic):
                return self.encode(value.item(), name)
            case float():
                return value if math.isfinite(value) else {"float": str(value)}
            case list():
                return [self.encode(v, f"{name}.{i}") for i, v in enumerate(value)]
            case tuple():
                return {"tuple": self.encode(list(value), name)}
            case dict():
                return {
                    "dict": {k: self.encode(v, f"{name}.{k}") for k, v in value.items()}
                }
            case torch.Tensor():
                # A copy, since tied weights share memory, which safetensors refuses.
                value = value.detach().to("cpu", copy=True)
                self.tensors[name] = value.contiguous()
                return {"tensor": name}
            case np.ndarray():
                return self._array(value, name)
            case FrozenEstimator():
                return {"frozen": self.encode(value.estimator, name)}
            case BaseEstimator() if type(value).__module__.startswith("diffrep."):
                return {"estimator": self.estimator(value, name)}
            case _ if type(value) in SDE_CLASSES.values():
                fields = self.encode(dataclasses.asdict(value), name)["dict"]
                return {"sde": type(value).__name__, "fields": fields}
        raise TypeError(f"A model file cannot contain {name}={reprlib.repr(value)}.")

    def _array(self, value, name):
        if value.dtype.kind in "biuf":
            self.tensors[name] = torch.tensor(value).contiguous()
            return {"array": name}
        texts = value.tolist()
        if value.ndim != 1 or not all(type(text) is str for text in texts):
            raise TypeError(
                f"A model file cannot contain {name}, an array of {value.dtype}, but "
                "only numbers, and one-dimensional arrays of text. Convert the array "
                "before fit."
            )
        return {"texts": texts, "object": value.dtype == object}

    def estimator(self, estimator, name):
        """Describe an estimator, by its name only if it was described before."""
        if not type(estimator).__module__.startswith("diffrep."):
            raise TypeError(
                f"{type(estimator).__name__} is a class of your own, which load does "
                "not know. Save the estimator by pickle instead."
            )
        if id(estimator) in self.names:
            return self.names[id(estimator)]
        self.names[id(estimator)] = name
        prefix = f"{name}." if name else ""
        parameters, passed = {}, []
        for key, value in _parameters_in_files(estimator).items():
            before = dict(self.tensors)
            try:
                parameters[key] = self.encode(value, f"{prefix}parameters.{key}")
            except TypeError:
                passed.append(key)
                self.tensors = before
        built, state = {}, None
        if hasattr(estimator, "net_"):
            built = self._changed(estimator, f"{prefix}built")
            state = {
                key: self.encode(value, f"{prefix}{key}")
                for key, value in estimator._get_state().items()
            }
        return {
            "class": type(estimator).__name__,
            "parameters": parameters,
            "passed": passed,
            "built": built,
            "state": state,
        }

    def _changed(self, estimator, name):
        """Parameters of the net whose values were changed after `fit`."""
        changed = {}
        for key in _parameters_in_files(estimator):
            value = estimator._built[key]
            now = getattr(estimator, key)
            if is_same(value, now):
                continue
            changed[key] = self.encode(value, f"{name}.{key}")
        return changed


class _Reader:
    """Converts JSON and tensors to values.

    Parameters
    ----------
    tensors : dict of Tensor by name
    classes : dict of type by name
    passed : dict
        Values of parameters that are not in the file.
    device : str or None
        Replaces the device in the file.
    text_bytes : int
        Limit on the size of all arrays of text together.
    """

    def __init__(self, tensors, classes, passed, device, text_bytes):
        self.tensors, self.classes = tensors, classes
        self.passed, self.device = passed, device
        self.text_bytes = text_bytes
        self.used: set[str] = set()
        self.asked: set[str] = set()
        self.estimators: dict = {}

    def decode(self, value, name):
        """Return the value that JSON represents."""
        match value:
            case None | bool() | int() | str():
                return value
            case float() if math.isfinite(value):
                return value
            case list():
                return [self.decode(v, f"{name}.{i}") for i, v in enumerate(value)]
            case {"float": "nan" | "inf" | "-inf" as text, **rest} if not rest:
                return float(text)
            case {"tuple": list(items), **rest} if not rest:
                return tuple(self.decode(items, name))
            case {"dict": dict(items), **rest} if not rest:
                return {k: self.decode(v, f"{name}.{k}") for k, v in items.items()}
            case {"tensor": str(key), **rest} if not rest:
                return self._tensor(key)
            case {"array": str(key), **rest} if not rest:
                return self._tensor(key).numpy()
            case {"texts": list(texts), "object": bool(free), **rest} if not rest:
                return self._text_array(texts, free)
            case {"frozen": inner, **rest} if not rest:
                return FrozenEstimator(self.decode(inner, name))
            case {"estimator": described, **rest} if not rest:
                return self.estimator(described, name)
            case {"sde": str(cls), "fields": dict(fields), **rest} if not rest:
                require(cls in SDE_CLASSES, f"{cls!r} is not an SDE of diffrep")
                numbers = all(map(_is_number, fields.values()))
                require(numbers, "parameters of an SDE must be numbers")
                return SDE_CLASSES[cls](**fields)
        raise ValueError(f"{name} has an unknown form: {reprlib.repr(value)}")

    def _text_array(self, texts, free):
        require(all(isinstance(text, str) for text in texts), "texts must be texts")
        if free:
            return np.array(texts, dtype=object)
        self.text_bytes -= 4 * len(texts) * max(map(len, texts), default=0)
        require(self.text_bytes >= 0, "texts are too long")
        return np.array(texts, dtype=str)

    def _tensor(self, name):
        require(name in self.tensors, f"there is no tensor {name!r}")
        self.used.add(name)
        return self.tensors[name]

    def estimator(self, described, name):
        """Construct an estimator from its description, or return one by its name."""
        if isinstance(described, str):
            require(described in self.estimators, f"there is no estimator {described}")
            return self.estimators[described]
        parts = ("class", "parameters", "passed", "built", "state")
        described = fields_of(described, "an estimator", *parts)
        cls = self.classes.get(described["class"])
        require(cls, f"{described['class']!r} is not an estimator of diffrep")
        prefix = f"{name}." if name else ""
        parameters = self._parameters(cls, described, name, prefix)
        changed = self._decoded(described["built"], f"{prefix}built.")
        require(set(changed) <= set(parameters), "built must be of the parameters")
        built = parameters | changed
        if self.device is not None:
            parameters["device"] = built["device"] = self.device
        self.estimators[name] = estimator = cls(**built)
        estimator._validate_params()
        if described["state"] is not None:
            estimator._built = estimator.get_params(deep=False)
            estimator._set_state(self._decoded(described["state"], prefix))
            estimator.set_params(**parameters)._validate_params()
        return estimator

    def _parameters(self, cls, described, name, prefix):
        """Return the parameters in the file, and those that were passed.

        Parameters that did not exist when the file was written have their defaults.
        """
        found = self._decoded(described["parameters"], f"{prefix}parameters.")
        known, absent = _parameters_in_files(cls()), described["passed"]
        require(isinstance(absent, list), "passed must be a list")
        named = [*found, *absent]
        require(
            len(set(named)) == len(named) and set(named) <= set(known),
            f"parameters of {cls.__name__} are {', '.join(known)}",
        )
        path = [part.rstrip("_") for part in name.split(".") if part != "parameters"]
        for key in absent:
            word = "__".join([*filter(None, path), key])
            if word not in self.passed:
                raise ValueError(
                    f"{key} of {cls.__name__} was an object that is not in the file. "
                    f"Pass it: load(path, {word}=...)."
                )
            found[key] = self.passed[word]
            self.asked.add(word)
        return found

    def _decoded(self, values, prefix):
        require(isinstance(values, dict), f"{prefix or 'all'} must be an object")
        return {
            key: self.decode(value, f"{prefix}{key}") for key, value in values.items()
        }


def _parameters_in_files(estimator):
    return {
        key: value
        for key, value in estimator.get_params(deep=False).items()
        if key not in NOT_IN_FILES
    }


def _header(data):
    """Return the names of the tensors and the model; reject other formats."""
    n = int.from_bytes(data[:8], "little")
    require(len(data) - n >= 8, "it ends within its header")
    header = _from_json(data[8 : 8 + n].decode())
    require(isinstance(header, dict), "its header is not an object")
    metadata = header.pop("__metadata__", None)
    require(isinstance(metadata, dict), "it is not a model file of diffrep")
    given = str(metadata.get("diffrep_format"))
    right = given.isascii() and given.isdecimal() and int(given) > 0
    require(right, f"it is not a model file of diffrep: diffrep_format is {given!r}")
    if int(given) > FORMAT:
        raise ValueError(
            f"it has format {given}, which is newer than {FORMAT}, the newest that "
            f"diffrep {__version__} reads. Update diffrep."
        )
    fields_of(metadata, "metadata", "diffrep_format", "diffrep_model")
    require(isinstance(metadata["diffrep_model"], str), "the model must be a text")
    model = _from_json(metadata["diffrep_model"])
    if int(given) < FORMAT:
        versions = model.get("versions") if isinstance(model, dict) else None
        writer = versions.get("diffrep") if isinstance(versions, dict) else None
        raise ValueError(
            f"it has format {given}, written by diffrep {str(writer)[:20]}; diffrep "
            f"{__version__} has other networks and reads format {FORMAT} only. Load "
            "it with the version that wrote it, or fit the estimator again."
        )
    return set(header), model


def fields_of(value, name, *keys):
    require(
        isinstance(value, dict) and set(value) == set(keys),
        f"{name} must be an object of {', '.join(keys)}",
    )
    return value


def require(condition, message):
    if not condition:
        raise ValueError(message)


def is_same(a, b):
    """Whether two values of a parameter, such as arrays or lists, are equal."""
    return a is b or bool(np.array_equal(a, b))


def is_plain(value):
    return value is None or isinstance(value, bool | int | float | str | np.number)


def _is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)


def _to_json(value):
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _from_json(text):
    """Parse JSON; reject NaN and repeated keys."""

    def unique(pairs):
        found = dict(pairs)
        require(len(found) == len(pairs), "its JSON has a key twice")
        return found

    def refuse(constant):
        raise ValueError(f"its JSON has a {constant}")

    return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)


class SaveMixin:
    """An estimator that can be written to a model file."""

    def save(self, path):
        """Write the fitted estimator to one file, for :func:`diffrep.load`.

        The file is a safetensors file and contains no code. It is written under a
        temporary name and then renamed, so it is complete or does not exist.

        Parameters
        ----------
        path : str or path-like
            Usually ends in ``.safetensors``.

        Raises
        ------
        TypeError
            If the class of the estimator is your own, or labels or arguments of
            `fit_decoder` are objects that a file cannot contain.
        NotFittedError
            If it is not fitted.

        Notes
        -----
        Parameters that are objects of your own (a network, a noise process, views,
        callbacks, a density of times, a ``RandomState``) are recorded by name, and
        `load` asks for them. The state of the optimizer and the setting of
        `set_output` are not written.
        """
        check_is_fitted(self)
        write(path, self)


def get_net_state(net):
    """Return weights, seed, position in the schedule, and epochs of a net."""
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
    """Initialize a net and set the state that `get_net_state` returned.

    Parameters
    ----------
    net : SeededNet
        Not initialized.
    state : dict
    own : iterable of str
        Parts of the model that are defined by the user, and not built for checks.

    Raises
    ------
    ValueError
        If the state does not fit the net.
    """
    state = fields_of(state, "net", "weights", "seed", "schedule", "epochs")
    weights, epochs, schedule = state["weights"], state["epochs"], state["schedule"]
    require(is_int(state["seed"], 0, MAX_SEED), "seed must be a 32-bit integer")
    triple = isinstance(schedule, list) and len(schedule) == 3
    require(triple, "schedule must be a list of three")
    for number in schedule[:2] if schedule[2] is None else schedule:
        require(is_int(number, 0), "schedule must be numbers of steps")
    require(isinstance(epochs, list), "epochs must be a list")
    for epoch in epochs:
        plain = isinstance(epoch, dict) and all(map(is_plain, epoch.values()))
        require(plain and "batches" not in epoch, "epochs must be simple values")
    _check_weights(net, weights, own)
    net.seed = state["seed"]
    net.initialize()
    net.history = History({"batches": [], **epoch} for epoch in epochs)
    net.step_, net.first_step_, net.n_steps_ = schedule
    net.module_.load_state_dict(weights)
    net.module_.eval()


def set_features(estimator, state):
    """Set `n_features_in_` and `feature_names_in_` of an estimator."""
    n_features, names = state["n_features_in_"], state["feature_names_in_"]
    require(is_int(n_features, 1), "n_features_in_ must be a positive integer")
    estimator.n_features_in_ = n_features
    if names is not None:
        texts = isinstance(names, np.ndarray) and names.dtype == object
        require(texts and len(names) == n_features, "feature_names_in_ must name all")
        estimator.feature_names_in_ = names


def check_numbers(name, value, shape, dtype=np.float64):
    """Return an array; raise ValueError unless it is finite, of this shape and type."""
    right = isinstance(value, np.ndarray) and value.shape == shape
    require(right and value.dtype == dtype, f"{name} must be {dtype} of shape {shape}")
    within = np.abs(value) <= np.finfo(np.float32).max  # False for NaN
    require(within.all(), f"{name} must be finite, within float32")
    return value


def made_standardizer(state, n_features):
    """Return the standardizer of `n_features` columns with these arrays."""
    names = ("mean", "scale", "skewed", "center", "width")
    fields_of(state, "standardizer", *names)
    skewed, n_skewed = state["skewed"], np.size(state["skewed"])
    for name in ("mean", "scale"):
        check_numbers(name, state[name], (n_features,))
    for name in ("center", "width"):
        check_numbers(name, state[name], (n_skewed,))
    check_numbers("skewed", skewed, (n_skewed,), np.int64)
    ends = [-1, *skewed, n_features]
    require((np.diff(ends) > 0).all(), "skewed must be ascending column indices")
    positive = (state["scale"] > 0).all() and (state["width"] > 0).all()
    require(positive, "scale and width must be positive")
    return Standardizer(**state)


def check_classes(value):
    """Return class labels; raise ValueError unless they are sorted and unique."""
    right = isinstance(value, np.ndarray) and value.ndim == 1 and value.size > 0
    require(
        right and np.array_equal(np.unique(value), value), "classes_ are not sorted"
    )
    return value


def _check_weights(net, weights, own):
    """Raise ValueError unless weights fit the module of a net, except for `own`."""
    arguments = net.get_params_for("module")
    arguments |= {part: lambda *shape: nn.Identity() for part in own}
    try:
        with torch.device("meta"):
            module = net.module(**arguments)
        expected = module.state_dict()
    except Exception as error:  # of torch, about impossible shapes
        raise ValueError(f"its parameters do not define a net: {error}") from error
    require(isinstance(weights, dict), "weights must be an object")
    theirs = tuple(f"{part}." for part in own)
    names = {name for name in weights if not name.startswith(theirs)}
    odd = sorted(names ^ set(expected))
    require(not odd, f"weights are missing or unexpected: {reprlib.repr(odd)}")
    for name, tensor in weights.items():
        require(isinstance(tensor, torch.Tensor), f"weights {name} are not a tensor")
        require(bool(tensor.isfinite().all()), f"weights {name} are not finite")
        if name in names:
            found, there = _kind(tensor), _kind(expected[name])
            require(found == there, f"weights {name} are {found}, not {there}")
    computed = sum(b.nbytes for b in module.buffers())
    stored = sum(tensor.nbytes for tensor in weights.values())
    require(
        computed <= FREE_BYTES + BYTES_PER_BYTE * stored,
        f"the net would have {computed} bytes of buffers for {stored} of weights",
    )


def _kind(tensor):
    return f"{tensor.dtype} of shape {tuple(tensor.shape)}"


def is_int(value, low, high=math.inf):
    return type(value) is int and low <= value < high
