"""Validation of parameters and data; the only module with private names of sklearn."""

from __future__ import annotations

import copy
import functools
from contextlib import contextmanager
from numbers import Integral

import numpy as np
import pandas as pd
from sklearn import config_context
from sklearn.base import _fit_context as fit_context
from sklearn.preprocessing import StandardScaler
from sklearn.utils import (
    assert_all_finite,
    check_array,
    check_random_state,
    gen_batches,
)
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    StrOptions,
    validate_params,
)
from sklearn.utils.metaestimators import _BaseComposition as BaseComposition
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_feature_names_in as check_feature_names_in,
)
from sklearn.utils.validation import _get_feature_names, validate_data
from skorch.callbacks import BatchScoring, EpochScoring, LRScheduler

from diffrep.core.distributed import peers
from diffrep.core.kinds import kind_of
from diffrep.core.standardizer import Standardizer

__all__ = [
    "BaseComposition",
    "HasMethods",
    "Interval",
    "StrOptions",
    "all_or_nothing",
    "check_batches",
    "check_callbacks",
    "check_codes",
    "check_data_shape",
    "check_feature_names_in",
    "check_partial_labels",
    "check_rows",
    "check_times",
    "check_transformer",
    "copied",
    "draw_seed",
    "fit_context",
    "fit_standardizer",
    "flattened",
    "is_empty",
    "labels_of_one_type",
    "refused_plainly",
    "validate_params",
]

#: Parameters for the shape of a row.
SIDES = {
    "image_shape": "(channels, height, width)",
    "signal_shape": "(channels, length)",
}

#: Number of values (8 MB) for which statistics are computed at once.
CHUNK_SIZE = 2**20

#: Columns with a larger absolute skewness, estimated from this number of rows, are
#: transformed.
LARGEST_SKEWNESS = 2.0
N_SKEWNESS_ROWS = 5000

#: Ratio of the mean absolute deviation of a column to the width of its asinh.
TAIL = 3.0

_ENCODE_TEXT = (
    "Turn text into numbers before this step, for instance by a OneHotEncoder in a "
    "ColumnTransformer."
)
_ENCODE_OBJECT = (
    "X contains objects that are not numbers. Turn them into numbers before this step."
)
_NO_LABEL = (
    "Remove these rows; LaplaceNetClassifier takes -1 as the label of rows without one."
)

#: Advice for data that scikit-learn rejects, by a phrase of its message.
REMEDIES = {
    "Input y contains NaN": _NO_LABEL,
    "Input contains NaN": _NO_LABEL,  # of categories
    "boolean value of NA": _NO_LABEL,
    "contains infinity": "Replace infinite values before this step, or drop the rows.",
    "could not convert string": _ENCODE_TEXT,
    "float() argument must be": _ENCODE_OBJECT,
    "unsupported ScalarType": "Convert the tensor before this step: X.float().",
    "arrays of bytes/strings": _ENCODE_TEXT,
    "0 sample(s)": "Pass at least one row, and at least two rows to fit.",
    "0 feature(s)": "Pass at least one column.",
    "could not be promoted": "Turn dates into numbers before this step, for instance "
    "into days since the first.",
    "unique column names": "Give each column a name of its own.",
    "got scalar array": "Pass an array or a data frame; collect one that is lazy. For "
    "rows in batches use fit_batches and transform_batches.",
    "inhomogeneous shape": "Bring images to one size, for instance by "
    "diffrep.datasets.load_images, and signals to one length by appending zeros. Of "
    "pairs of rows and labels, pass the rows.",
    "element with a sequence": _ENCODE_OBJECT,
    "while dim <= 2": "Pass images or signals as one array, or as a list.",
}


def all_or_nothing(method):
    """Decorate a method that changes an estimator, completely or not at all.

    The method is called on a copy, whose attributes are then assigned to the estimator
    in one step, so that no error or interrupt leaves it half changed.
    """

    @functools.wraps(method)
    def wrapper(self, *args, **kwargs):
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        method(copied, *args, **kwargs)
        self.__dict__ = copied.__dict__
        return self

    return wrapper


def draw_seed(random_state) -> int:
    """Return an integer seed, the same for all processes that train together.

    With None it is drawn from fresh entropy, not from numpy's global state.
    """
    if random_state is None:
        seed = np.random.SeedSequence().generate_state(1)[0]
    else:
        seed = check_random_state(random_state).randint(np.iinfo(np.int32).max)
    return int(peers().agree(seed))


@contextmanager
def refused_plainly(remedies=None):
    """Convert errors of checks to ValueError or TypeError, with a remedy.

    For invalid data, numpy, torch and libraries of data frames raise errors of other
    classes, and give warnings.

    Parameters
    ----------
    remedies : dict of str, optional
        Remedies, by a phrase of the message.
    """
    try:
        # an error is raised instead of warnings; tensors are converted to arrays
        with np.errstate(all="ignore"), config_context(array_api_dispatch=False):
            yield
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        message = str(error)
        for phrase, remedy in (remedies or {}).items():
            if phrase in message:
                message = f"{message.rstrip('.')}. {remedy}"
                break
        if message == str(error) and type(error) is kind:
            raise
        raise kind(message) from error


@refused_plainly(REMEDIES)
def check_rows(estimator, X, y="no_validation", *, reset, **options):
    """Return X as a 2-d array of its own dtype, or raise an error with a remedy.

    Parameters
    ----------
    estimator : object
        Its ``n_features_in_`` is set if `reset`, otherwise compared.
    X : array-like of shape (n_samples, n_features), or as for `flattened`
    y : array-like of shape (n_samples,), optional
        If it is given, it is checked and returned too.
    reset : bool
    **options
        Further options of scikit-learn's `validate_data`.

    Raises
    ------
    ValueError
        On sparse, missing, infinite, complex, text, empty or ill-shaped data.
    """
    # Lists and columns of rows or images, which may be objects with a conversion.
    is_numbers = isinstance(X, np.ndarray) and X.dtype != object
    is_column = len(getattr(X, "shape", ())) == 1 and not is_numbers
    if is_column or isinstance(X, list | tuple):
        X = np.asarray(list(X))
    if len(getattr(X, "shape", ())) > 2:
        X = flattened(X, estimator)
    if hasattr(X, "toarray"):
        raise TypeError(
            f"X is a sparse {type(X).__name__}; dense rows are needed. Use "
            "X.toarray() if it fits in memory, or put a "
            "sklearn.decomposition.TruncatedSVD before this step."
        )
    if np.ma.is_masked(X):
        raise ValueError(
            "X is a masked array with masked entries, which would be used as data. "
            "Use X.filled(value), or an imputer on X.filled(np.nan)."
        )
    options = {"ensure_all_finite": False, **options}
    checked = validate_data(estimator, X, y, reset=reset, **options)
    rows, *labels = checked if isinstance(checked, tuple) else (checked,)
    if rows.dtype.kind == "O":  # of categories or decimals; the error names a text
        rows = rows.astype(float)
    name = type(estimator).__name__
    for block in gen_batches(len(rows), max(1, CHUNK_SIZE // rows.shape[1])):
        assert_all_finite(rows[block], input_name="X", estimator_name=name)
    if rows.dtype.kind not in "biuf":
        raise ValueError(
            f"X has dtype {rows.dtype}; expected real numbers. Convert it, for "
            "instance by X.astype(float)."
        )
    return (rows, *labels) if labels else rows


def flattened(X, estimator):
    """Return images or signals as rows ``(n, channels * height * width)``.

    Parameters
    ----------
    X : array of shape (n_samples, channels, height, width)
        Or (n_samples, height, width, channels) or, with one channel, (n_samples,
        height, width). Signals have shape (n_samples, channels, length) or (n_samples,
        length, channels).
    estimator : object
        Its `image_shape` or `signal_shape`, or that of its representation, determines
        the order of the axes.

    Raises
    ------
    ValueError
        If the order is not clear, or the shape does not fit.
    """
    found = tuple(X.shape[1:])
    name, shape = _given_shape(estimator)
    if shape is None:
        raise ValueError(
            f"Found X of shape {tuple(X.shape)}; expected rows (n, n_features). "
            "Give image_shape=(channels, height, width) if these are images, "
            "signal_shape=(channels, length) if they are signals, or flatten them by "
            "X.reshape(len(X), -1)."
        )
    channels, *sides = shape
    first = found == (channels, *sides) or (channels == 1 and found == (*sides,))
    last = found == (*sides, channels)
    if first and last and channels > 1:
        raise ValueError(
            f"X of shape {tuple(X.shape)} fits {name}={tuple(shape)!r} with channels "
            "first and with channels last. Pass X.reshape(len(X), -1) if they are "
            "first, or np.moveaxis(X, -1, 1).reshape(len(X), -1) if they are last."
        )
    if not (first or last):
        raise ValueError(
            f"X of shape {tuple(X.shape)} does not fit {name}={tuple(shape)!r}, with "
            "channels first or last."
        )
    X = X if first else np.moveaxis(np.asarray(X), -1, 1)
    return X.reshape(len(X), -1)


def _given_shape(estimator):
    """Name and value of the shape parameter of an estimator or its representation."""
    inner = getattr(estimator, "representation", None)
    for owner in (estimator, getattr(inner, "estimator", inner)):
        for name in SIDES:
            shape = getattr(owner, name, None)
            if shape is not None:
                return name, shape
    return None, None


def labels_of_one_type(y):
    """Return a list of text and numbers as an array of objects, other labels unchanged.

    numpy would convert the marker -1 to text.
    """
    if isinstance(y, list | tuple) and len({isinstance(v, str) for v in y}) == 2:
        return np.array(y, dtype=object)
    return y


def check_partial_labels(y):
    """Return a mask of the rows without a label, which are marked by -1.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)

    Returns
    -------
    unlabelled : ndarray of bool of shape (n_samples,)

    Raises
    ------
    ValueError
        If there are no labels, missing labels, the text "-1", or labels that are not
        classes.
    """
    if pd.isna(y).any():
        raise ValueError(
            "y has missing labels (NaN or None). Mark rows without a label by -1."
        )
    is_text = np.array([isinstance(label, str) for label in y.tolist()], dtype=bool)
    if (y[is_text] == "-1").any():
        raise ValueError(
            "y contains the text '-1', which would be a class. Mark rows without a "
            "label by the number -1, in an array of dtype object."
        )
    unlabelled = np.zeros(len(y), bool)
    unlabelled[~is_text] = y[~is_text] == -1
    if unlabelled.all():
        raise ValueError(
            "All entries of y are -1, which marks unlabelled rows. Label at least one "
            "row of each class."
        )
    classes = y[~unlabelled]
    if y.dtype == object and len(set(is_text[~unlabelled])) == 1:
        classes = np.array(classes.tolist())  # those beside -1 are objects
    check_class_labels(classes)
    return unlabelled


def check_class_labels(y):
    """Raise an error unless the labels are classes of one type.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)

    Raises
    ------
    ValueError
        If there are missing labels, texts and other labels, or labels that are not
        classes.
    """
    if pd.isna(y).any():
        raise ValueError("y has missing labels (NaN or None). Remove their rows.")
    if y.dtype == object and len({isinstance(label, str) for label in y}) == 2:
        raise ValueError(
            "y contains texts and labels that are not texts. Convert all to one type, "
            "for instance by [str(label) for label in y]."
        )
    check_classification_targets(y)


def check_codes(estimator, codes):
    """Return codes as a 2-d array of float32, or raise an error with a remedy.

    The columns of a data frame may have any names, but not those of `transform` in
    another order.
    """
    given = _get_feature_names(codes)
    if given is not None:
        own = list(estimator.get_feature_names_out())
        if list(given) != own and {*given} == {*own}:
            raise ValueError(
                "codes has the columns of transform in another order. Use "
                "codes[estimator.get_feature_names_out()]."
            )
    with refused_plainly():
        return check_array(codes, dtype=np.float32, order="C", input_name="codes")


def check_callbacks(callbacks, has_validation=False):
    """Return a list of skorch callbacks; raise an error for other objects."""
    for entry in callbacks or []:
        callback = entry[-1] if isinstance(entry, tuple) and entry else entry
        if callback is not None and not hasattr(callback, "on_train_begin"):
            raise TypeError(
                f"callbacks contains {entry!r}; expected skorch callbacks, or pairs "
                "(name, callback)."
            )
        kind = callback if isinstance(callback, type) else type(callback)
        if issubclass(kind, LRScheduler):
            raise ValueError(
                "callbacks contains an LRScheduler, which would have no effect: the "
                "learning rate always follows a warm-up to lr and a cosine decay. "
                "Remove it, and set lr and max_epochs."
            )
        watched = getattr(callback, "monitor", None)
        if watched in ("valid_loss", "valid_loss_best") and not has_validation:
            own = watched.replace("valid", "train")
            raise ValueError(
                f"callbacks contains {kind.__name__} with monitor={watched!r}, but no "
                f"rows are held out. Use monitor={own!r}, or fit with "
                "early_stopping=True if the estimator has this parameter."
            )
        scores = isinstance(callback, EpochScoring | BatchScoring)
        if scores and not callable(callback.scoring):
            raise ValueError(
                f"callbacks contains {kind.__name__} with scoring={callback.scoring!r}"
                ", which needs predictions, but the net returns losses. Use a function "
                "(net, X, y), or the losses in `history_`."
            )
    return list(callbacks or [])


def copied(callbacks):
    """Copy callbacks, except for those that cannot be copied."""
    copies = []
    for callback in callbacks:
        try:
            copies.append(copy.deepcopy(callback))
        except TypeError:  # a lock, an open file, a connection
            copies.append(callback)
    return copies


def check_transformer(name, transformer):
    """Raise an error unless this is an instance with a method `transform`."""
    if isinstance(transformer, type) or not hasattr(transformer, "transform"):
        raise TypeError(
            f"{name!r} is {transformer!r}; expected a transformer. For the columns "
            "themselves use sklearn.preprocessing.StandardScaler()."
        )


def check_batches(batches):
    """Raise an error if batches are one array or data frame of rows."""
    shape = getattr(batches, "shape", ())
    if 0 < len(shape) < 3:
        raise ValueError(
            f"batches has shape {tuple(shape)}; expected an iterable of arrays of "
            "rows. For one array use fit, partial_fit or transform, or pass [X]."
        )


def is_empty(X):
    """Whether a batch in any container has no rows."""
    shape = getattr(X, "shape", None)
    if shape is None:
        return hasattr(X, "__len__") and len(X) == 0
    return len(shape) > 0 and shape[0] == 0


def check_data_shape(estimator, n_features):
    """Return the shape of one row: that of the parameter, or ``(n_features,)``.

    Raises
    ------
    ValueError
        If `image_shape` or `signal_shape` of the estimator does not fit the number of
        features, or both are given.
    """
    name, shape = _given_shape(estimator)
    if shape is None:
        return (n_features,)
    if estimator.image_shape is not None and estimator.signal_shape is not None:
        raise ValueError(
            f"image_shape={estimator.image_shape!r} and signal_shape="
            f"{estimator.signal_shape!r} are both given; rows are images or signals. "
            "Set one of them to None."
        )
    given, shape = f"{name}={shape!r}", tuple(shape)
    sides = [int(s) for s in shape if isinstance(s, Integral) and int(s) > 0]
    if len(sides) == len(shape) == 3 and sides[2] in {1, 3} and min(sides[:2]) > 4:
        raise ValueError(
            f"{given} has the channels last; it is (channels, height, width), "
            "whichever order the images of X have. Pass images as an array (n, height, "
            "width, channels), which is brought into this order."
        )
    n_sides = SIDES[name].count(",") + 1
    if len(shape) != n_sides or len(sides) != n_sides:
        numbers = {2: "two", 3: "three"}[n_sides]
        raise ValueError(f"{given} must be {numbers} positive integers {SIDES[name]}.")
    if np.prod(shape) != n_features:
        raise ValueError(
            f"{given} has {np.prod(shape)} values, but X has {n_features} features. "
            f"Set {name}={SIDES[name]} of the data before it was flattened."
        )
    return tuple(sides)


def check_times(t, t_min, name):
    """Return times as a float64 array, clipped at `t_min`.

    Raises
    ------
    ValueError
        If `t` is empty, not one-dimensional, not finite or outside [0, 1].
    """
    with refused_plainly():
        options = {"ensure_all_finite": False, "ensure_min_samples": 0}
        times = check_array(t, dtype=float, ensure_2d=False, input_name=name, **options)
    times = np.atleast_1d(times)
    if times.ndim != 1 or times.size == 0:
        raise ValueError(
            f"{name}={t!r} must be one time or a one-dimensional, non-empty sequence."
        )
    outside = times[~((times >= 0) & (times <= 1))]
    if outside.size:
        raise ValueError(
            f"{name} contains {outside[0]:g}; times must be in [0, 1], where 0 is "
            "clean data and 1 the most noise."
        )
    return np.maximum(times, t_min)


def fit_standardizer(X, data_shape, bends=True):
    """Return the `Standardizer` of rows, computed in chunks.

    Images have one mean and scale per channel. A constant feature has scale 1, or that
    of the rounding of its mean. If `bends`, columns of a table are transformed by asinh
    if their absolute skewness is above 2.

    Raises
    ------
    ValueError
        If values are beyond the range of float32.
    """
    shares_scale = kind_of(data_shape).shares_scale
    bent = {} if shares_scale or not bends else _skewed_columns(X)
    standardizer = Standardizer(np.zeros(1), np.ones(1), **bent)
    scaler = StandardScaler()
    for chunk in gen_batches(len(X), max(1, CHUNK_SIZE // X.shape[1])):
        scaler.partial_fit(standardizer.bend(_numbers(X[chunk])))
    if not shares_scale:
        # A constant of 1e30 differs from its mean by rounding, which is huge.
        rounding = 10 * np.finfo(float).eps * np.abs(scaler.mean_)
        scale = np.maximum(scaler.scale_, rounding)
        return Standardizer(scaler.mean_, scale, **bent)
    n_channels, n_pixels = data_shape[0], np.prod(data_shape[1:])
    means = scaler.mean_.reshape(n_channels, n_pixels)
    variances = scaler.var_.reshape(n_channels, n_pixels)
    mean = means.mean(1)
    scale = np.sqrt((variances + (means - mean[:, None]) ** 2).mean(1))
    scale[scale < 10 * np.finfo(float).eps * np.abs(mean)] = 1.0
    scale[scale == 0] = 1.0
    return Standardizer(np.repeat(mean, n_pixels), np.repeat(scale, n_pixels))


def _numbers(rows):
    """Return rows as float64 numbers within the range of float32."""
    rows = rows.astype(np.float64)
    largest = np.abs(rows).max()
    if largest > np.finfo(np.float32).max:
        raise ValueError(
            f"X contains a value of magnitude {largest:.3g}, too large for float32. "
            "Rescale that feature or take its logarithm."
        )
    return rows


def _skewed_columns(X):
    """Return indices, medians and widths of the skewed columns."""
    n_rows = min(len(X), N_SKEWNESS_ROWS, max(2, CHUNK_SIZE // X.shape[1]))
    rows = _numbers(X[np.linspace(0, len(X) - 1, n_rows).astype(int)])
    center = np.median(rows, axis=0)
    rows -= center
    width = np.abs(rows).mean(axis=0) / TAIL
    rows /= np.maximum(np.abs(rows).max(axis=0), np.finfo(float).tiny)
    deviations = rows - rows.mean(axis=0)
    spread = np.maximum(np.square(deviations).mean(axis=0), np.finfo(float).eps)
    skewness = (deviations**3).mean(axis=0) / spread**1.5
    is_skewed = (np.abs(skewness) > LARGEST_SKEWNESS) & (width > 0)
    (skewed,) = np.nonzero(is_skewed)
    return {"skewed": skewed, "center": center[skewed], "width": width[skewed]}
