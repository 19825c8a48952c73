"""Errors for invalid input: messages name what was received and what to do."""

from decimal import Decimal
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
import scipy.stats
import torch
from torch import nn
from torch.utils.data import TensorDataset

from diffrep import DiffusionRepresentation, VariationalDiffusionRepresentation
from diffrep.core.augment import flip, rescale
from diffrep.semi_supervised import LaplaceNetClassifier
from diffrep.trajectory import TrajectoryClassifier

QUICK = {"n_components": 2, "max_epochs": 1, "random_state": 0}
X = np.random.default_rng(0).normal(size=(40, 6))


def with_entry(value):
    return np.where(np.arange(240).reshape(40, 6) == 7, value, X)


BAD_ROWS = {
    "NaN": (with_entry(np.nan), "contains NaN(.|\n)*imputer"),
    "inf": (with_entry(np.inf), "contains infinity.*Replace infinite values"),
    "huge": (with_entry(1e300), "magnitude 1e.300.*Rescale"),
    "text": (X.astype(str) + "a", "strings(.|\n)*OneHotEncoder"),
    "no rows": (X[:0], r"0 sample\(s\).*at least two rows"),
    "one row": (X[:1], "n_samples=1.*at least 2 rows"),
    "no columns": (X[:, :0], r"0 feature\(s\).*at least one column"),
    "one dimension": (X[0], "Expected 2D array(.|\n)*Reshape"),
    "categories": (
        pd.DataFrame({"a": pd.Categorical(["x", "y"] * 20)}),
        "could not convert string.*OneHotEncoder",
    ),
    "rows of several lengths": ([X[0], X[0, :5]], "inhomogeneous.*appending zeros"),
    "batches": (iter([X]), "scalar array(.|\n)*fit_batches"),
    "a data set of torch": (TensorDataset(torch.from_numpy(X)), "dim 3.*as a list"),
    "images": (X.reshape(40, 1, 2, 3), r"shape \(40, 1, 2, 3\).*image_shape.*reshape"),
    "complex": (X + 1j, "Complex data not supported"),
    "a column of lists": (
        pd.DataFrame({"a": [[1, 2], [3]] * 20}),
        "with a sequence.*objects that are not numbers",
    ),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_invalid_rows_are_rejected(name):
    rows, message = BAD_ROWS[name]
    with pytest.raises(ValueError, match=message):
        DiffusionRepresentation(**QUICK).fit(rows)


#: Rows for which the error is a TypeError, as in scikit-learn.
BAD_TYPES = {
    "dicts": ([{"a": 1.0}] * 40, r"float\(\).*dict.*objects that are not numbers"),
    "times with a zone": (
        pd.DataFrame({"a": pd.date_range("2020", periods=40, tz="UTC"), "b": 1.0}),
        r"float\(\).*Timestamp.*objects that are not numbers",
    ),
    "bfloat16": (torch.from_numpy(X).bfloat16(), r"BFloat16.*X\.float\(\)"),
}


@pytest.mark.parametrize("name", BAD_TYPES)
def test_rows_of_other_types_are_rejected(name):
    rows, message = BAD_TYPES[name]
    with pytest.raises(TypeError, match=message):
        DiffusionRepresentation(**QUICK).fit(rows)


def test_sparse_rows_are_rejected():
    with pytest.raises(TypeError, match=r"sparse csr_array.*TruncatedSVD"):
        DiffusionRepresentation(**QUICK).fit(scipy.sparse.csr_array(X))


class WrongWidth(nn.Module):
    def __init__(self, *arguments):
        super().__init__()

    def forward(self, x, *arguments):
        return x[:, :1]


class Converted(nn.Module):
    """Encoder whose output is converted."""

    def __init__(self, convert, data_shape, n_outputs, time_conditioned):
        super().__init__()
        self.linear, self.convert = nn.Linear(*data_shape, n_outputs), convert

    def forward(self, x):
        return self.convert(self.linear(x))


BAD_PARAMETERS = {
    "no components": ({"n_components": 0}, "'n_components'.*Got 0"),
    "half a component": ({"n_components": 1.5}, r"'n_components'.*Got 1\.5"),
    "unknown sde": ({"sde": "vx"}, "'sde'.*'subvp'.*Got 'vx'"),
    "time beyond one": (
        {"t_grid": [0.5, 1.5]},
        r"t_grid contains 1\.5; times must be in",
    ),
    "no time": ({"t_grid": []}, r"t_grid=\[\] must be"),
    "time that is none": ({"t_grid": [0.5, np.nan]}, "t_grid contains nan"),
    "a time twice": ({"t_grid": [0.5, 0.5]}, r"0\.5.*more than once.*distinct times"),
    "one training time": (
        {"t_grid": 3, "time_sampling": 0.2, "time_conditioning": "full"},
        "more than once.*t_grid=1",
    ),
    "training beyond one": ({"time_sampling": 1.5}, r"'time_sampling'.*Got 1\.5"),
    "density beyond one": (
        {"time_sampling": scipy.stats.norm(0.5, 3)},
        "ppf must map",
    ),
    "wrong image_shape": (
        {"image_shape": (1, 2, 2)},
        r"image_shape=\(1, 2, 2\) has 4 values.*6 features",
    ),
    "image_shape of two": (
        {"image_shape": (2, 3)},
        r"image_shape=\(2, 3\) must be three",
    ),
    "image_shape of text": ({"image_shape": (1, "2", 3)}, "must be three positive int"),
    "images without shape": ({"encoder": "conv"}, "encoder='conv'.*image_shape"),
    "unet without shape": ({"score_network": "unet"}, "score_network='unet'.*'mlp'"),
    "views without shape": ({"augment": "image"}, "augment='image'.*'table'"),
    "views of images": ({"augment": flip}, "flip.*raises IndexError.*shape .2, 6."),
    "views of signals": ({"augment": rescale}, "rescale.*raises RuntimeError"),
    "views of one column": (
        {"augment": lambda x, generator: x[:, :1]},
        r"returns a tensor of shape \(2, 1\)",
    ),
    "views in float64": (
        {"augment": lambda x, generator: x.double()},
        "type torch.float64",
    ),
    "views that are NaN": ({"augment": lambda x, generator: x / 0}, "NaN"),
    "views that are arrays": (
        {"augment": lambda x, generator: x.numpy()},
        "an object of type ndarray",
    ),
    "views without generator": (
        {"augment": lambda x: x},
        r"raises TypeError.*It must accept \(x, generator\)",
    ),
    "unknown device": ({"device": "abacus"}, "device='abacus' cannot.*'cpu'"),
    "encoder of one": (
        {"encoder": WrongWidth},
        r"encoder WrongWidth.*\(2, 1\).*\(2, 2",
    ),
    "encoder in float64": (
        {"encoder": partial(Converted, torch.Tensor.double)},
        r"encoder Converted returned torch\.float64; expected a tensor of float32",
    ),
    "encoder of tuples": (
        {"encoder": partial(Converted, tuple)},
        "encoder Converted returned tuple; expected a tensor",
    ),
    "score of one": (
        {"score_network": WrongWidth},
        r"score_network WrongWidth.*\(2, 1\).*\(2, 6\)",
    ),
}


@pytest.mark.parametrize("name", BAD_PARAMETERS)
def test_invalid_parameters_are_rejected(name):
    parameters, message = BAD_PARAMETERS[name]
    rep = DiffusionRepresentation(**QUICK).fit(X)
    codes = rep.transform(X)
    rep.set_params(**parameters)
    with pytest.raises(ValueError, match=message):
        rep.fit(X + 1)
    # A failed fit does not change a fitted estimator.
    np.testing.assert_array_equal(rep.transform(X), codes)


@pytest.mark.parametrize(
    "classifier",
    [
        LaplaceNetClassifier(augment=flip),
        TrajectoryClassifier(
            DiffusionRepresentation(**QUICK), augment=flip, fine_tune=True
        ),
    ],
    ids=["LaplaceNet", "trajectories"],
)
def test_classifiers_check_views(classifier):
    with pytest.raises(ValueError, match=r"flip.*raises IndexError"):
        classifier.fit(X, X[:, 0] > 0)


@pytest.mark.parametrize("name", ["encoder", "score_network"])
def test_instances_of_networks_are_rejected(name):
    with torch.random.fork_rng():
        built = nn.Linear(6, 2)
    rep = DiffusionRepresentation(**QUICK, **{name: built})
    with pytest.raises(TypeError, match=f"{name} is an instance of Linear.*class"):
        rep.fit(X)


@pytest.mark.parametrize("name", ["encoder", "score_network"])
def test_factories_must_return_modules(name):
    def nothing(*shape):
        return None

    rep = DiffusionRepresentation(**QUICK, **{name: nothing})
    with pytest.raises(TypeError, match=f"{name} returned None.*nn.Module"):
        rep.fit(X)


def test_variational_encoder_has_two_outputs_per_component():
    rep = VariationalDiffusionRepresentation(**QUICK, encoder=WrongWidth)
    with pytest.raises(ValueError, match=r"expected \(2, 4\)"):
        rep.fit(X)


def test_encode_rejects_times_beyond_one():
    rep = DiffusionRepresentation(**QUICK, t_grid=1).fit(X)
    with pytest.raises(
        ValueError, match=r"t contains -0\.1; times must be in \[0, 1\]"
    ):
        rep.encode(X, [-0.1, 0.5])


def test_nearly_constant_columns():
    rows = np.column_stack([X, np.full(40, 3.0), np.full(40, 1e30), 1e30 * X[:, 0]])
    rep = DiffusionRepresentation(**QUICK | {"max_epochs": 20}).fit(rows)
    assert np.isfinite(rep.transform(rows)).all()
    assert np.isfinite(rep.score(rows))
    # Values are clipped at 10 standard deviations.
    wild, wilder = (rows * np.where(np.arange(9) == 1, s, 1) for s in (1e9, 1e30))
    assert np.isfinite(rep.transform(wild)).all()
    np.testing.assert_array_equal(rep.transform(wild), rep.transform(wilder))


def _decimals(rows):
    """A frame of decimals of Arrow."""
    decimals = pd.ArrowDtype(pa.decimal128(30, 16))
    return pd.DataFrame(
        [[Decimal(str(v)) for v in row] for row in rows.round(16)]
    ).astype(decimals)


#: Rows in containers of objects.
OBJECTS = {
    "list of object arrays": lambda rows: [row.astype(object) for row in rows],
    "array of arrays": lambda rows: pd.Series(list(rows)).to_numpy(),
    "series of arrays": lambda rows: pd.Series(list(rows)),
    "polars series of arrays": lambda rows: pl.Series(rows),
    "polars series of lists": lambda rows: pl.Series(rows.tolist()),
    "frame of decimals": _decimals,
    "frame of categories": lambda rows: pd.DataFrame(rows).astype("category"),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_numbers_in_objects_are_accepted(name):
    rep = DiffusionRepresentation(**QUICK).fit(X)
    rows = OBJECTS[name](X)
    np.testing.assert_allclose(rep.transform(rows), rep.transform(X), atol=1e-6)
    again = DiffusionRepresentation(**QUICK).fit(rows)
    np.testing.assert_allclose(again.transform(X), rep.transform(X), atol=1e-4)
