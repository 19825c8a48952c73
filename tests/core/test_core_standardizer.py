"""Standardisation of rows, with the asinh transform of skewed columns."""

import numpy as np
import pytest
import torch
from scipy.stats import skew

from diffrep import DiffusionRepresentation
from diffrep._validation import fit_standardizer
from diffrep.core.export import CodeGraph
from diffrep.core.standardizer import Standardizer

DRAWS = np.random.default_rng(0)
#: Normal, log-normal either way, counts, binary and constant columns.
X = np.column_stack(
    [
        DRAWS.normal(3, 2, 2000),
        np.exp(1.5 * DRAWS.normal(size=2000)),
        -np.exp(1.5 * DRAWS.normal(size=2000)),
        DRAWS.negative_binomial(0.3, 0.05, 2000),
        DRAWS.random(2000) < 0.02,
        np.full(2000, 7.0),
    ]
)


def test_skewed_columns_are_transformed_to_unit_variance():
    standardizer = fit_standardizer(X, (6,))
    assert standardizer.skewed.tolist() == [1, 2, 3, 4]
    Z = standardizer.transform(X)
    np.testing.assert_allclose(Z.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(Z[:, :5].std(axis=0), 1, atol=1e-9)
    assert np.abs(skew(X[:, 1:4])).min() > 3
    assert np.abs(skew(Z[:, 1:4])).max() < 1.5
    # a binary column still has two values, with unit variance
    share = X[:, 4].mean()
    ends = np.sqrt([share / (1 - share), (1 - share) / share])
    np.testing.assert_allclose(np.unique(Z[:, 4]), ends * [-1, 1])


def test_transform_of_columns_is_monotonic_and_inverted():
    standardizer = fit_standardizer(X, (6,))
    Z = standardizer.transform(X)
    for j in range(4):
        assert (np.diff(Z[np.argsort(X[:, j], kind="stable"), j]) >= 0).all()
    np.testing.assert_allclose(standardizer.inverse(Z), X, rtol=1e-9, atol=1e-9)


def test_images_and_signals_are_not_transformed():
    for shape, options in [((1, 2, 3), {}), ((6,), {"bends": False})]:
        standardizer = fit_standardizer(X, shape, **options)
        assert standardizer.skewed.size == 0
        scaled = (X - standardizer.mean) / standardizer.scale
        np.testing.assert_allclose(standardizer.transform(X), scaled)


@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_standardised_columns_do_not_depend_on_units(factor):
    scaled = fit_standardizer(factor * X[:, :4], (4,)).transform(factor * X[:, :4])
    expected = fit_standardizer(X[:, :4], (4,)).transform(X[:, :4])
    np.testing.assert_allclose(scaled, expected, rtol=1e-6)


def test_skewness_of_sorted_rows():
    in_order = X[np.argsort(X[:, 1])]
    assert 1 in fit_standardizer(in_order, (6,)).skewed


def test_exported_graph_standardises_equally():
    class Model(torch.nn.Module):
        data_shape = (6,)

        def codes(self, x, times):
            return x[:, None]

    standardizer = fit_standardizer(X, (6,))
    graph = CodeGraph(Model(), standardizer, (6,), torch.ones(1))
    given = graph(torch.from_numpy(X).float())
    expected = standardizer.transform(X).clip(-10, 10)
    np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-5)


def test_standardizers_of_different_precision_differ():
    one = Standardizer(np.zeros(2), np.ones(2), [1], [0.5], [2.0])
    other = one.astype(np.float32)
    assert other.mean.dtype == other.width.dtype == np.float32
    assert other.skewed.dtype == np.int64
    assert one.mean.dtype == np.float64


def test_samples_of_skewed_columns_are_in_their_range():
    # Noise is added after the transform, so samples have the log-normal tail.
    draws = np.random.default_rng(1)
    rows = np.exp(1.5 * draws.normal(size=(1000, 1))) * [[1.0, 1.0]]
    rows[:, 1] *= np.exp(0.1 * draws.normal(size=1000))
    rep = DiffusionRepresentation(
        2, network_size="small", max_epochs=60, random_state=0
    ).fit(rows)
    samples = rep.sample(rep.transform(rows), n_steps=20, random_state=0)
    logs = np.log(rows).mean(axis=1)
    assert (samples > 0).mean() > 0.95
    assert np.corrcoef(np.log(samples.clip(1e-3)).mean(axis=1), logs)[0, 1] > 0.9
