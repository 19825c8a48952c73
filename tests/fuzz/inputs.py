"""Random inputs of all public methods are rejected with a message or work.

A trial combines values, a shape, a dtype, a memory layout and a container to rows, or
passes an invalid value as an argument or parameter. It must raise a documented error or
return a finite result of the right shape. It also fails if ordinary rows are rejected,
if a warning is not one of diffrep, if the input is modified, if an error changes an
estimator that was fitted before, or if it takes more than `PATIENCE` seconds.
"""

import copy
import os
import signal
import tempfile
import traceback
import warnings
from collections import Counter, defaultdict
from contextlib import chdir, contextmanager
from decimal import Decimal
from fractions import Fraction
from functools import cache

import numpy as np
import pandas as pd
import polars as pl
import scipy.sparse
import torch
from sklearn.base import clone, is_classifier
from sklearn.exceptions import DataConversionWarning, NotFittedError

from diffrep import DiffusionRepresentation, VariationalDiffusionRepresentation
from diffrep.baselines import (
    AutoencoderRepresentation,
    DenoiserFeatures,
    RandomEncoderRepresentation,
    SimCLRRepresentation,
    VariationalAutoencoderRepresentation,
)
from diffrep.exceptions import (
    CodeCollapseWarning,
    DivergenceError,
    DivergenceWarning,
)
from diffrep.semi_supervised import LaplaceNetClassifier
from diffrep.trajectory import TrajectoryClassifier

N_ROWS, N_FEATURES, N_COMPONENTS = 12, 4, 2

#: Upper limit of the seconds of a trial.
PATIENCE = 60

X = np.random.default_rng(0).normal(size=(N_ROWS, N_FEATURES))
LABELS = np.array(["one", "two", "three"])[np.arange(N_ROWS) % 3]

QUICK = {"n_components": N_COMPONENTS, "max_epochs": 1, "random_state": 0}
SMALL = {"max_epochs": 1, "random_state": 0}
ESTIMATORS = {
    "DRL": DiffusionRepresentation(**QUICK),
    "DRL, a code of t": DiffusionRepresentation(**QUICK, t_grid=2, code_dropout=0.1),
    "DRL, noise in the data": DiffusionRepresentation(**QUICK, noise_space="data"),
    "DRL, images": DiffusionRepresentation(**QUICK, image_shape=(1, 2, 2)),
    "VDRL": VariationalDiffusionRepresentation(**QUICK),
    "autoencoder": AutoencoderRepresentation(**QUICK, early_stopping=True),
    "VAE": VariationalAutoencoderRepresentation(**QUICK),
    "simCLR": SimCLRRepresentation(**QUICK),
    "random encoder": RandomEncoderRepresentation(N_COMPONENTS, random_state=0),
    "DDAE": DenoiserFeatures(**QUICK),
    "TrajectoryClassifier": TrajectoryClassifier(**SMALL),
    "TrajectoryClassifier, codes": TrajectoryClassifier(
        RandomEncoderRepresentation(N_COMPONENTS, random_state=0),
        head="concat",
        **SMALL,
    ),
    "LaplaceNetClassifier": LaplaceNetClassifier(supervised_epochs=1, **SMALL),
}

#: Documented errors and warnings: these classes and subclasses of scikit-learn and
#: diffrep, but not errors of linear algebra or of encodings.
ERRORS = (ValueError, TypeError, OSError, NotFittedError, DivergenceError)
WARNINGS = (CodeCollapseWarning, DivergenceWarning, DataConversionWarning)

# --- rows


def _wild(rows, value):
    rows[len(rows) // 2 :, :1] = value
    return rows


VALUES = {
    "normal": lambda rows: rows,
    "zeros": np.zeros_like,
    "a constant": lambda rows: np.full_like(rows, 3.7),
    "one row again and again": lambda rows: np.broadcast_to(rows[:1], rows.shape),
    "small integers": lambda rows: rows.round(),
    "wild integers": lambda rows: np.round(rows * 1e18),
    "1e30": lambda rows: rows * 1e30,
    "1e38": lambda rows: np.sign(rows) * 3e38,
    "1e160": lambda rows: rows * 1e160,
    "1e-30": lambda rows: rows * 1e-30,
    "1e-300": lambda rows: rows * 1e-300,
    "denormals": lambda rows: rows.round() * 5e-324,
    "a column of 1e30": lambda rows: _wild(rows, 1e30),
    "a column of 1e-300": lambda rows: _wild(rows, 1e-300),
    "inf": lambda rows: _wild(rows, np.inf),
    "-inf": lambda rows: _wild(rows, -np.inf),
    "nan": lambda rows: _wild(rows, np.nan),
    "minus zero": lambda rows: -np.zeros_like(rows),
    "a shift of 1e12": lambda rows: rows + 1e12,
}

#: Shapes by the correct number of columns; most of them are valid.
SHAPES = {
    "as it should be": lambda d: (N_ROWS, d),
    "many rows": lambda d: (300, d),
    "two rows": lambda d: (2, d),
    "one row": lambda d: (1, d),
    "no row": lambda d: (0, d),
    "no column": lambda d: (N_ROWS, 0),
    "one column": lambda d: (N_ROWS, 1),
    "a column more": lambda d: (N_ROWS, d + 1),
    "one dimension": lambda d: (d,),
    "three dimensions": lambda d: (N_ROWS, d, 1),
    "no dimension": lambda d: (),
}

_NUMBERS = [
    *("float64", "float32", "float16", "longdouble", ">f8", ">f4", ">i4", "bool"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
]
DTYPES = {
    **{name: lambda rows, name=name: rows.astype(name) for name in _NUMBERS},
    "complex128": lambda rows: rows.astype(complex),
    "complex with parts": lambda rows: rows + 1j,
    "objects": lambda rows: rows.astype(object),
    "objects of huge integers": lambda rows: np.full(rows.shape, 10**40, object),
    "objects beyond float64": lambda rows: np.full(rows.shape, 10**400, object),
    "objects, fractions": lambda rows: np.full(rows.shape, Fraction(1, 3), object),
    "objects, decimals": lambda rows: np.full(rows.shape, Decimal("0.1"), object),
    "objects, None": lambda rows: np.where(rows > 0, rows.astype(object), None),
    "objects, NA": lambda rows: np.where(rows > 0, rows.astype(object), pd.NA),
    "objects, lists": lambda rows: np.full(rows.shape, {}, object),
    "objects, text": lambda rows: np.where(rows > 0, rows.astype(object), "a"),
    "text": lambda rows: np.full(rows.shape, "text"),
    "text of numbers": lambda rows: rows.astype(str),
    "bytes": lambda rows: np.full(rows.shape, b"a"),
    "datetime": lambda rows: np.full(rows.shape, "2026-11-25", "M8[s]"),
    "timedelta": lambda rows: np.full(rows.shape, 3, "m8[s]"),
    "structured": lambda rows: np.zeros(rows.shape, [("a", float), ("b", int)]),
    "void": lambda rows: np.zeros(rows.shape, "V8"),
}


def _strided(rows):
    if rows.ndim == 0:
        return rows
    return np.repeat(np.repeat(rows, 2, axis=0), 3, axis=-1)[::2, ..., ::3]


def _read_only(rows):
    rows.flags.writeable = False
    return rows


def _unaligned(rows):
    if rows.dtype.hasobject:
        return rows
    raw = np.zeros(rows.nbytes + 1, np.uint8)[1:].view(rows.dtype)
    raw = raw.reshape(rows.shape) if rows.size else rows
    raw[...] = rows
    return raw


ORDERS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "strided": _strided,
    "backwards": lambda rows: np.flip(np.flip(rows).copy()),
    "a window": lambda rows: np.pad(rows, 1)[(slice(1, -1),) * rows.ndim],
    "unaligned": _unaligned,
    "read-only": _read_only,
}


class _Subclass(np.ndarray):
    """Rows in a user-defined class."""


class _Array:
    """Object that has only the conversion to an array."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.rows[i]

    def __array__(self, dtype=None, copy=None):
        return np.array(self.rows, dtype)


def _memmap(rows):
    with tempfile.TemporaryFile() as file:
        mapped = np.memmap(file, rows.dtype, "w+", shape=rows.shape or (1,))
    mapped[...] = rows
    return mapped


def _frame(rows, columns=None):
    frame = pd.DataFrame(rows)
    if columns is not None:
        frame.columns = [columns(j) for j in range(frame.shape[1])]
    return frame


def _mixed(frame):
    for j, dtype in enumerate(["float32", "int64", "bool", "float64"]):
        if j < frame.shape[1]:
            frame[j] = frame[j].fillna(0).clip(-100, 100).astype(dtype)
    return frame


def _gap(frame, value=None):
    if frame.size:
        frame.iloc[0, 0] = value
    return frame


CONTAINERS = {
    "array": lambda rows: rows,
    "lists": lambda rows: rows.tolist(),
    "tuple of arrays": lambda rows: tuple(rows),
    "matrix": np.asmatrix,
    "masked array": lambda rows: np.ma.masked_array(rows, mask=rows != rows),
    "masked array, masked": lambda rows: np.ma.masked_array(rows, mask=rows > 0),
    "subclass": lambda rows: rows.view(_Subclass),
    "__array__": _Array,
    "memmap": _memmap,
    "tensor": torch.tensor,
    "tensor that wants gradients": lambda rows: torch.tensor(rows, requires_grad=True),
    "CSR": scipy.sparse.csr_array,
    "CSC matrix": scipy.sparse.csc_matrix,
    "frame": _frame,
    "frame, names": lambda rows: _frame(rows, "feature {}".format),
    "frame, odd names": lambda rows: _frame(
        rows, lambda j: ("", "\0", "µ", " ")[j % 4]
    ),
    "frame, one name": lambda rows: _frame(rows, lambda j: "x"),
    "frame, mixed names": lambda rows: _frame(rows, lambda j: j if j else "x"),
    "frame, tuples": lambda rows: _frame(rows, lambda j: ("a", j)),
    "frame, mixed dtypes": lambda rows: _mixed(_frame(rows)),
    "frame, Float64": lambda rows: _frame(rows).astype("Float64"),
    "frame, Float64 with NA": lambda rows: _gap(_frame(rows).astype("Float64"), pd.NA),
    "frame, Int64": lambda rows: _frame(rows).round().astype("Int64"),
    "frame, Int64 with NA": lambda rows: _gap(
        _frame(rows).round().astype("Int64"), pd.NA
    ),
    "frame, boolean with NA": lambda rows: _gap(
        (_frame(rows) > 0).astype("boolean"), pd.NA
    ),
    "frame, categories": lambda rows: _frame(rows).astype("category"),
    "frame, text": lambda rows: _frame(rows).astype("string"),
    "frame, sparse": lambda rows: _frame(rows).astype(pd.SparseDtype("float64")),
    "frame, index": lambda rows: _frame(rows).set_axis([7] * len(rows)),
    "series": lambda rows: pd.Series(rows.ravel()),
    "polars": lambda rows: pl.DataFrame(rows),
    "polars, nulls": lambda rows: pl.DataFrame(rows).with_columns(
        pl.lit(None, pl.Float64).alias("column_0")
    ),
    "polars, text": lambda rows: pl.DataFrame(rows).cast(pl.String),
    "lazy polars": lambda rows: pl.DataFrame(rows).lazy(),
}

#: Parts that are combined to rows.
PARTS = {
    "values": VALUES,
    "shape": SHAPES,
    "dtype": DTYPES,
    "order": ORDERS,
    "container": CONTAINERS,
}


#: Parts whose combinations must be accepted.
USUAL = {
    "values": {
        *("normal", "zeros", "a constant", "one row again and again"),
        *("small integers", "minus zero", "denormals", "1e-30", "1e-300"),
    },
    "shape": {"as it should be", "many rows", "two rows"},
    "dtype": {*_NUMBERS, "objects"},
    "order": set(ORDERS),
    "container": {
        *("array", "lists", "tuple of arrays", "masked array", "subclass"),
        *("__array__", "memmap", "tensor", "frame", "frame, names", "frame, index"),
        *("frame, mixed dtypes", "frame, Float64", "polars"),
    },
}


def rows_of(n_columns, values, shape, dtype, order, container, rng):
    """Combine parts to rows; return None if there are no such rows."""
    rows = rng.normal(size=SHAPES[shape](n_columns))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # from the construction of unusual rows
        try:
            rows = np.array(VALUES[values](rows)) if rows.ndim else rows
            return CONTAINERS[container](ORDERS[order](DTYPES[dtype](rows)))
        except Exception:  # numpy, pandas, polars or torch have no such rows
            return None


# --- invalid values


def _nothing(*arguments, **options):
    """Factory, or view, that returns None."""


WRONG = {
    "text": "nonsense",
    "no text": "",
    "bytes": b"auto",
    "None": None,
    "no list": [],
    "list of None": [None],
    "list of text": ["a", "b", "c"],
    "list of lists": [[0.1, 0.2], [0.3]],
    "list of nan": [np.nan] * 3,
    "list of huge integers": [10**400] * 3,
    "list of complex": [1j, 2j, 3j],
    "list of numbers": [1, 2, 2],
    "dict": {},
    "dict of text": {"a": 1},
    "set": {0.5},
    "range": range(3),
    "object": object(),
    "class": int,
    "class of objects": object,
    "function": _nothing,
    "module": np,
    "ellipsis": ...,
    "nan": float("nan"),
    "inf": float("inf"),
    "-inf": float("-inf"),
    "-1": -1,
    "-0.5": -0.5,
    "0": 0,
    "1.5": 1.5,
    "complex": 1j,
    "fraction": Fraction(-1, 2),
    "decimal": Decimal("0.5"),
    "numpy nan": np.float64("nan"),
    "numpy float": np.float64(2.5),
    "numpy text": np.str_("nonsense"),
    "numpy bool": np.True_,
    "numpy datetime": np.datetime64("2026-11-25"),
    "numpy complex": np.complex128(1j),
    "array of no dimension": np.array(2),
    "array of text": np.array(["a", "b"]),
    "array of objects": np.array([object(), None]),
    "array of two dimensions": np.zeros((2, 2)),
    "frame": pd.DataFrame({"a": [0.2]}),
    "tensor": torch.zeros(2),
    "sparse": scipy.sparse.csr_array((2, 2)),
}

_NUMBER = {"0", "1.5", "numpy float"}

#: Those that are valid for a parameter or argument. Integers beyond float64 are left
#: out: Python itself raises an OverflowError for them.
RIGHT = {
    "augment": {"None", "function"},
    "callbacks": {"None", "no list", "list of None"},
    "checkpoint": {"None", "no text", "numpy text", "text"},
    "class_prior": {"None"},
    "code_dropout": {"0"},
    "early_stopping": {"numpy bool"},
    "fine_tune": {"numpy bool"},
    "image_shape": {"None", "list of numbers"},
    "kl_weight": _NUMBER,
    "l1_weight": _NUMBER,
    "layer": {"-1", "0"},
    "lr": _NUMBER - {"0"},
    "max_epochs": {"0"},
    "mixup": {"numpy bool"},
    "n_times": {"None"},
    "network_size": {"1.5"},
    "random_state": {"0", "None"},
    "reconstruction_weight": _NUMBER,
    "representation": {"None"},
    "signal_shape": {"None"},
    "supervised_epochs": {"0"},
    "t_grid": {"None"},
    "temperature": _NUMBER - {"0"},
    "time_sampling": {"0"},
    "verbose": {"0", "numpy bool"},
    "warm_start": {"numpy bool"},
    "t": {"0", "decimal", "tensor", "numpy bool"},
    "times": {"None", "0", "decimal", "tensor", "numpy bool"},
    "start": {"None"},
    "guidance": _NUMBER,
    "batches": {"dict", "no list", "no text"},
    "input_features": {"None"},
    "path": {"numpy text", "text"},
}

# --- trials


class WrongOutcomeError(Exception):
    """Neither a documented error nor a correct result."""


def digest(estimator):
    """Return the results of a fitted estimator for rows, as bytes."""
    if is_classifier(estimator):
        return estimator.predict_proba(X).tobytes()
    return estimator.transform(X).tobytes()


@cache
def fitted(name):
    """Return a fitted estimator of `ESTIMATORS` and its digest."""
    estimator = clone(ESTIMATORS[name]).fit(X, LABELS)
    return estimator, digest(estimator)


@contextmanager
def patience():
    """Raise if a block takes too long; in the main thread of Linux and macOS."""

    def give_up(*arguments):
        raise WrongOutcomeError(f"took more than {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcome(call, expected):
    """Call a function; return "refused" or "works", or raise `WrongOutcomeError`.

    Parameters
    ----------
    call : callable
        Without arguments.
    expected : callable
        Whether a result is correct.
    """
    with patience(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = call()
        except WrongOutcomeError:
            raise
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1].filename
            ours = type(error).__module__.startswith(("sklearn.", "diffrep."))
            known = isinstance(error, ERRORS) if ours else type(error) in ERRORS
            if not (known and str(error)) or f"{os.sep}torch{os.sep}" in place:
                raise WrongOutcomeError(f"{place}: {error!r}") from error
            said = "refused"
        else:
            said = "works"
            if not expected(result):
                raise WrongOutcomeError(f"gave {result!r}"[:300])
    for warning in caught:
        named = "feature names" in str(warning.message)
        if not (named or issubclass(warning.category, WARNINGS)):
            raise WrongOutcomeError(f"warned: {warning.message!r}, {warning.filename}")
    return said


def _length(rows):
    """Return the number of rows."""
    try:
        return rows.shape[0] if hasattr(rows, "shape") else len(rows)
    except (TypeError, IndexError):
        return N_ROWS


def _is_right(estimator):
    """Whether a newly fitted estimator gives finite numbers."""
    some = np.resize(X, (5, estimator.n_features_in_))
    if is_classifier(estimator):
        found = estimator.predict_proba(some)
    else:
        found = estimator.transform(some)
    return bool(np.isfinite(found).all())


def _same(a, b):
    """Whether an input is unchanged, bit for bit."""
    if isinstance(a, np.ndarray) and a.dtype != object:
        return a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if isinstance(a, pd.DataFrame | pd.Series):
        return a.equals(b)
    if isinstance(a, pl.DataFrame | pl.LazyFrame):
        return repr(a.lazy().collect().rows()) == repr(b.lazy().collect().rows())
    if isinstance(a, torch.Tensor):
        return a.detach().numpy().tobytes() == b.detach().numpy().tobytes()
    if scipy.sparse.issparse(a):
        return a.data.tobytes() == b.data.tobytes()
    if isinstance(a, _Array):
        return _same(a.rows, b.rows)
    return repr(a) == repr(b)


def _n_times(e):
    return len(e._read_times())


def _codes(e, n):
    return np.resize(e.transform(X), (n, N_COMPONENTS * _n_times(e)))


#: Methods that read rows, the shapes of their results for n rows, and their classes.
READS = {
    "transform": (
        lambda e, rows: e.transform(rows),
        lambda e, n: (n, N_COMPONENTS * _n_times(e)),
    ),
    "transform_batches": (
        lambda e, rows: np.concatenate(list(e.transform_batches([rows, rows]))),
        lambda e, n: (2 * n, N_COMPONENTS * _n_times(e)),
    ),
    "encode": (
        lambda e, rows: e.encode(rows, [0.2, 0.5, 0.7]),
        lambda e, n: (n, 3, N_COMPONENTS),
    ),
    "score": (lambda e, rows: np.float64(e.score(rows, None)), lambda e, n: ()),
    "loss_over_time": (
        lambda e, rows: e.loss_over_time(rows, times=[0.3, 0.6])["loss_with_code"],
        lambda e, n: (2,),
    ),
    "perturb": (
        lambda e, rows: e.perturb(rows, 0.5, random_state=0),
        lambda e, n: (n, N_FEATURES),
    ),
    "denoise": (
        lambda e, rows: e.denoise(rows, 0.5, _codes(e, _length(rows))),
        lambda e, n: (n, N_FEATURES),
    ),
    "sample, start": (
        lambda e, rows: e.sample(
            _codes(e, _length(rows)), start=rows, t=0.5, n_steps=2, random_state=0
        ),
        lambda e, n: (n, N_FEATURES),
    ),
    "predict_proba": (lambda e, rows: e.predict_proba(rows), lambda e, n: (n, 3)),
    "predict": (
        lambda e, rows: 1.0 * np.isin(e.predict(rows), LABELS),
        lambda e, n: (n,),
    ),
}
READS_CODES = {
    "sample": (
        lambda e, codes: e.sample(codes, n_steps=2, random_state=0),
        lambda e, n: (n, N_FEATURES),
    ),
    "inverse_transform": (
        lambda e, codes: e.inverse_transform(codes, n_steps=2),
        lambda e, n: (n, N_FEATURES),
    ),
    "denoise, codes": (
        lambda e, codes: e.denoise(np.resize(X, (_length(codes), 4)), 0.5, codes),
        lambda e, n: (n, N_FEATURES),
    ),
}
FITS = {
    "fit": lambda e, rows, y: e.fit(rows, y),
    "partial_fit": lambda e, rows, y: e.partial_fit(rows, y),
    "fit_transform": lambda e, rows, y: e.fit_transform(rows, y),
    "fit_batches": lambda e, rows, y: e.fit_batches([rows]),
    "fit_decoder": lambda e, rows, y: e.fit_decoder(rows, y, max_epochs=1),
}
#: Arguments that receive invalid values.
ARGUMENTS = {
    "encode, t": lambda e, value: e.encode(X, value),
    "loss_over_time, times": lambda e, value: e.loss_over_time(X, times=value),
    "score, y": lambda e, value: e.score(X, value),
    "perturb, t": lambda e, value: e.perturb(X, value, random_state=0),
    "denoise, t": lambda e, value: e.denoise(X, value, _codes(e, N_ROWS)),
    **{
        f"sample, {name}": lambda e, value, name=name: e.sample(
            _codes(e, 3), **{"n_steps": 2, "random_state": 0, name: value}
        )
        for name in ("start", "t", "n_steps", "method", "guidance", "random_state")
    },
    "inverse_transform, guidance": lambda e, value: e.inverse_transform(
        _codes(e, 3), n_steps=2, guidance=value
    ),
    "transform_batches, batches": lambda e, value: list(e.transform_batches(value)),
    "fit_batches, batches": lambda e, value: copy.deepcopy(e).fit_batches(value),
    "fit, y": lambda e, value: copy.deepcopy(e).fit(X, value),
    "get_feature_names_out, input_features": lambda e, value: e.get_feature_names_out(
        value
    ),
    "save, path": lambda e, value: e.save(value),
}


def owners(what):
    """Names of the estimators with the method at the beginning of `what`.

    For labels, only of those that use them.
    """
    method, _, argument = what.partition(", ")
    return [
        name
        for name, e in ESTIMATORS.items()
        if hasattr(e, method)
        and (argument != "y" or is_classifier(e))
        and (method != "encode" or e.t_grid is not None)
    ]


def _columns(name, what):
    if what in READS_CODES:
        return N_COMPONENTS * _n_times(fitted(name)[0])
    return N_FEATURES


def _read(name, what, rows):
    """Pass rows or codes to an estimator; raise if the estimator changes."""
    estimator, before = fitted(name)
    read, shape = (READS | READS_CODES)[what]

    def expected(found):
        right = shape(estimator, _length(rows))
        return found.shape == right and bool(np.isfinite(found).all())

    said = outcome(lambda: read(estimator, rows), expected)
    if digest(estimator) != before:
        raise WrongOutcomeError("the estimator has changed")
    return said


def _fit(name, what, rows):
    """Fit to rows, sometimes after another fit; raise if a failure changes it."""
    again = what == "fit_decoder" or _length(rows) % 2 == 0
    estimator = copy.deepcopy(fitted(name)[0]) if again else clone(ESTIMATORS[name])
    labels = np.resize(LABELS, _length(rows))
    call = FITS[what]
    said = outcome(
        lambda: call(estimator, rows, labels), lambda found: _is_right(estimator)
    )
    if said == "refused" and again and digest(estimator) != fitted(name)[1]:
        raise WrongOutcomeError("a fit that failed changed the estimator")
    if said == "refused" and not again and hasattr(estimator, "net_"):
        raise WrongOutcomeError("a fit that failed left an estimator that is fitted")
    return said


@cache
def _usually(name, what):
    """Return the outcome for ordinary rows."""
    return try_rows(name, what, {part: next(iter(PARTS[part])) for part in PARTS}, None)


def try_rows(name, what, parts, seed=0):
    """Pass rows with the given parts to a method.

    Parameters
    ----------
    name : str
        One of `ESTIMATORS`.
    what : str
        One of `READS`, `READS_CODES` or `FITS`.
    parts : dict
        One of each of `PARTS`.
    seed : int or None
        Seed of the numbers; None for those of ordinary rows.

    Returns
    -------
    said : {"refused", "works", "no such rows"}

    Raises
    ------
    WrongOutcomeError
    """
    rng = np.random.default_rng(seed or 0)
    rows = rows_of(_columns(name, what), **parts, rng=rng)
    if rows is None:
        return "no such rows"
    before = copy.deepcopy(rows)
    said = (_fit if what in FITS else _read)(name, what, rows)
    if not _same(rows, before):
        raise WrongOutcomeError("the input has changed")
    usual = all(parts[part] in USUAL[part] for part in PARTS)
    if seed is not None and usual and said != _usually(name, what):
        raise WrongOutcomeError(f"{said}, but usual rows: {_usually(name, what)}")
    return said


def try_argument(name, what, value):
    """Pass the value of a name in `WRONG` as one of `ARGUMENTS`."""
    estimator, before = fitted(name)
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        said = outcome(
            lambda: ARGUMENTS[what](estimator, WRONG[value]), lambda found: True
        )
    if digest(estimator) != before:
        raise WrongOutcomeError("the estimator has changed")
    return _as_it_should_be(said, what.partition(", ")[2], value)


def try_parameter(name, parameter, value):
    """Fit with the value of a name in `WRONG` as a parameter."""
    estimator = clone(ESTIMATORS[name])
    setattr(estimator, parameter, WRONG[value])
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        said = outcome(lambda: estimator.fit(X, LABELS), _is_right)
    return _as_it_should_be(said, parameter, value)


def _as_it_should_be(said, argument, value):
    if said == "works" and value not in RIGHT.get(argument, ()):
        raise WrongOutcomeError(f"{argument}={WRONG[value]!r} was accepted")
    return said


def _cases(n, seed):
    """Generate trials: a description and a function."""
    for i in range(n):
        rng = np.random.default_rng([seed, i])

        def pick(choices, rng=rng):
            return list(choices)[rng.integers(len(choices))]

        def part(choices, rng=rng, pick=pick):
            return next(iter(choices)) if rng.random() < 0.5 else pick(choices)

        match i % 4:
            case 0 | 1:
                what = pick(READS | READS_CODES if i % 4 else READS | FITS)
                parts = {name: part(choices) for name, choices in PARTS.items()}
                yield "rows", try_rows, (pick(owners(what)), what, parts, i)
            case 2:
                what = pick(ARGUMENTS)
                yield "arguments", try_argument, (pick(owners(what)), what, pick(WRONG))
            case 3:
                name = pick(ESTIMATORS)
                parameter = pick(ESTIMATORS[name].get_params(deep=False))
                yield "parameters", try_parameter, (name, parameter, pick(WRONG))


def inputs(n, seed=0):
    """Results of `n` inputs: what, tried, failed."""
    said, failed = defaultdict(Counter), Counter()
    for kind, trial, arguments in _cases(n, seed):
        try:
            said[kind][trial(*arguments)] += 1
        except WrongOutcomeError as error:
            failed[kind] += 1
            print(f"{trial.__name__}{arguments}: {error}"[:500], flush=True)
    return [
        (
            f"hostile {kind}: {counts['refused']:,} refused, {counts['works']:,} work",
            counts["refused"] + counts["works"] + failed[kind],
            failed[kind],
        )
        for kind, counts in said.items()
    ]
