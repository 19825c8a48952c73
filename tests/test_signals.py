"""Signals."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from diffrep import DiffusionRepresentation, VariationalDiffusionRepresentation
from diffrep.baselines import (
    AutoencoderRepresentation,
    DenoiserFeatures,
    RandomEncoderRepresentation,
    SimCLRRepresentation,
    VariationalAutoencoderRepresentation,
)
from diffrep.evaluation import compare, information_profile
from diffrep.semi_supervised import LaplaceNetClassifier
from diffrep.testing import check_representation
from diffrep.trajectory import TrajectoryClassifier

SHAPE = {"signal_shape": (2, 40)}
QUICK = {"n_components": 8, "max_epochs": 1, "random_state": 0}


@pytest.fixture(scope="module")
def waves():
    """Signals (90, 2, 40) of three frequencies and random phases; frequencies."""
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    time = 2 * np.pi * np.arange(40) / 40
    angle = (2 + 2 * y)[:, None] * time + rng.uniform(0, 2 * np.pi, (90, 1))
    X = np.stack([np.sin(angle), np.cos(angle + 1)], axis=1)
    return X + 0.3 * rng.normal(size=X.shape), y


@pytest.fixture(scope="module")
def fitted(waves):
    return DiffusionRepresentation(**SHAPE, **QUICK, code_dropout=0.1).fit(waves[0])


@pytest.mark.parametrize(
    "estimator",
    [
        DiffusionRepresentation(**SHAPE, **QUICK),
        VariationalDiffusionRepresentation(**SHAPE, **QUICK, t_grid=2),
        AutoencoderRepresentation(**SHAPE, **QUICK),
        VariationalAutoencoderRepresentation(**SHAPE, **QUICK),
        SimCLRRepresentation(**SHAPE, **QUICK),
        RandomEncoderRepresentation(8, **SHAPE),
        DenoiserFeatures(**SHAPE, **QUICK),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_all_representations_pass_the_checks(estimator, waves):
    check_representation(estimator, waves[0].reshape(90, -1))


def test_three_layouts_of_signals_are_equal(waves, fitted):
    X, y = waves
    rows, last = X.reshape(90, -1), np.moveaxis(X, 1, 2)
    codes = fitted.transform(rows)
    for signals in (X, last):
        np.testing.assert_array_equal(fitted.transform(signals), codes)
    np.testing.assert_array_equal(clone(fitted).fit(last).transform(X), codes)
    np.testing.assert_array_equal(fitted.encode(last, 1.0)[:, 0], codes)
    pd.testing.assert_frame_equal(
        information_profile(fitted, X), information_profile(fitted, rows)
    )
    found, expected = (
        compare({"DRL": fitted}, signals, y, cv=2, n_labels=["all"])["accuracy"]
        for signals in (X, rows)
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("shape", "X", "match"),
    [
        ({}, np.zeros((9, 2, 5)), r"signal_shape=\(channels, length\)"),
        ({"signal_shape": (2, 5)}, np.zeros((9, 2, 6)), "does not fit signal_shape"),
        ({"signal_shape": (5, 5)}, np.zeros((9, 5, 5)), "first and with channels last"),
        ({"signal_shape": (2, 5)}, np.zeros((9, 11)), "has 10 values.*11 features"),
        ({"signal_shape": (2, 5, 1)}, np.zeros((9, 10)), "two positive integers"),
        ({"signal_shape": (2.0, 5)}, np.zeros((9, 10)), "two positive integers"),
        (
            {"signal_shape": (2, 5), "image_shape": (1, 2, 5)},
            np.zeros((9, 10)),
            "both given",
        ),
        (
            {"signal_shape": (2, 5), "encoder": "wide_resnet"},
            np.zeros((9, 10)),
            "'wide_resnet' needs images",
        ),
        (
            {"encoder": "windows"},
            np.zeros((9, 10)),
            r"'windows' needs signals.*signal_shape=\(channels, length\)",
        ),
        (
            {"signal_shape": (2, 5), "augment": "photo"},
            np.zeros((9, 10)),
            "'photo' needs images",
        ),
    ],
)
def test_invalid_shapes_and_parameters_are_rejected(shape, X, match):
    with pytest.raises(ValueError, match=match):
        DiffusionRepresentation(**QUICK, **shape).fit(X)


def test_codes_contain_the_frequency_at_any_phase(waves):
    X, y = waves
    rep = DiffusionRepresentation(max_epochs=0, random_state=0, **SHAPE).fit(X)
    codes = rep.transform(X)
    on_codes = LogisticRegression().fit(codes[:15], y[:15]).score(codes[15:], y[15:])
    rows = X.reshape(90, -1)
    on_rows = LogisticRegression().fit(rows[:15], y[:15]).score(rows[15:], y[15:])
    assert on_codes > 0.95
    assert on_rows < 0.6


def test_training_lowers_the_loss(waves):
    rep = DiffusionRepresentation(**SHAPE, **QUICK | {"max_epochs": 60}).fit(waves[0])
    losses = rep.history_["train_loss"].to_numpy()
    assert losses[-5:].mean() < 0.8 * losses[:5].mean()


def test_inverse_transform_restores_low_frequencies(waves, fitted):
    X, _ = waves
    rows = X.reshape(90, -1)
    rep = DiffusionRepresentation(
        64, noise_space="data", max_epochs=60, random_state=0, **SHAPE
    ).fit(X)
    back = rep.inverse_transform(rep.transform(X))
    correlation = np.corrcoef(back.ravel(), rows.ravel())[0, 1]
    assert correlation > 0.5
    assert fitted.sample(fitted.transform(X[:3]), random_state=0).shape == (3, 80)


def test_unet_treats_a_signal_as_an_image_of_height_one(waves):
    X, _ = waves
    parts = {"score_network": "unet", "noise_space": "data", "encoder": "mlp"}
    parts["augment"] = None  # with views, each kind of data has its own read-out
    signal = DiffusionRepresentation(**SHAPE, **parts, **QUICK)
    image = DiffusionRepresentation(image_shape=(2, 1, 40), **parts, **QUICK)
    rows = X.reshape(90, -1)
    x_t = np.random.default_rng(1).normal(size=(5, 80))
    codes = signal.fit(rows).transform(rows)[:5]
    images = image.fit(rows).transform(rows)[:5]
    np.testing.assert_allclose(codes, images, atol=1e-5)
    np.testing.assert_allclose(
        signal.denoise(x_t, 0.5, codes), image.denoise(x_t, 0.5, codes), atol=1e-4
    )


def test_long_signals_are_averaged_over_time():
    X = np.random.default_rng(0).normal(size=(30, 3, 1536))
    options = {**QUICK, "max_epochs": 0}
    rep = DiffusionRepresentation(signal_shape=(3, 1536), **options).fit(X)
    assert rep.net_.module_.data_shape == (3, 512)
    x, _ = rep._rows(X.reshape(30, -1))[:]
    standardised = rep.standardizer_.transform(X.reshape(30, -1)).reshape(30, 3, 512, 3)
    expected = torch.from_numpy(standardised.mean(3)).float()
    torch.testing.assert_close(x, expected, atol=1e-5, rtol=1e-5)


def test_channels_share_one_scale():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 2, 30)) * [[[1.0], [1000.0]]] + [[[0.0], [5.0]]]
    rep = DiffusionRepresentation(signal_shape=(2, 30), **QUICK).fit(X)
    scale = rep.standardizer_.scale.reshape(2, 30)
    np.testing.assert_allclose(scale, X.std(axis=(0, 2))[:, None] * np.ones(30))


def test_classifiers_accept_signals(waves):
    X, y = waves
    labels = np.where(np.arange(90) < 12, y, -1)
    scratch = LaplaceNetClassifier(max_epochs=4, random_state=0, **SHAPE)
    start = LaplaceNetClassifier(
        DiffusionRepresentation(**SHAPE, **QUICK), max_epochs=4, random_state=0
    )
    for classifier in (scratch, start):
        found = classifier.fit(X, labels).transduction_
        assert (found == y)[12:].mean() > 0.8
    over_t = TrajectoryClassifier(
        DiffusionRepresentation(**SHAPE, **QUICK, t_grid=2), max_epochs=5
    )
    assert over_t.fit(X, y).score(X, y) > 0.8
    pipeline = make_pipeline(
        DiffusionRepresentation(**SHAPE, **QUICK), LogisticRegression()
    )
    assert pipeline.fit(X[:60], y[:60]).score(X[60:], y[60:]) > 0.9
