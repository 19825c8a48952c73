"""Similarity of times and attention, compared with closed forms."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError

from diffrep import DiffusionRepresentation
from diffrep.core.device import Stream, generator
from diffrep.core.mutual_information import mutual_information
from diffrep.evaluation import (
    attention_masks,
    attention_profiles,
    code_information,
    code_similarity,
    jensen_shannon,
)
from diffrep.trajectory import TrajectoryClassifier


def gaussian_pairs(correlations, n=4000, n_components=2):
    """A code, and one for each correlation with it."""
    rng = np.random.default_rng(0)
    first, *noise = rng.normal(size=(1 + len(correlations), n, n_components))
    others = [
        r * first + np.sqrt(1 - r**2) * e
        for r, e in zip(correlations, noise, strict=True)
    ]
    return np.stack([first, *others], axis=1).astype(np.float32)


def test_information_of_gaussian_codes():
    correlations = np.array([0.0, 0.5, 0.8, 0.95])
    codes = torch.from_numpy(gaussian_pairs(correlations))
    pairs = torch.tensor([[0, i] for i in range(1, 5)])
    found = mutual_information(codes, pairs, 1000, 256, generator(0, Stream.SCORE))
    expected = -np.log(1 - correlations**2)  # two independent components
    np.testing.assert_allclose(found, expected, rtol=0.1, atol=0.03)


class Curves(BaseEstimator):
    """Representation with given codes."""

    t_grid_ = np.arange(3)

    def __init__(self, codes):
        self.codes = codes

    def fit(self, X, y=None):
        return self

    def encode(self, X, times):
        return self.codes


def test_information_by_times():
    curves = Curves(gaussian_pairs([0.9, 0.3]))
    table = code_information(curves, None, [0.1, 0.5, 0.9], n_steps=300)
    assert list(table.index) == list(table.columns) == [0.1, 0.5, 0.9]
    np.testing.assert_allclose(table, table.T)
    np.testing.assert_allclose(np.diag(table), 1)
    assert table.loc[0.1, 0.5] > table.loc[0.1, 0.9] + 0.1
    nats = code_information(curves, None, [0.1, 0.5, 0.9], n_steps=300, normalize=False)
    own = np.sqrt(np.diag(nats))
    np.testing.assert_allclose(table, nats / np.outer(own, own), rtol=1e-5)


def test_information_of_a_constant_code_has_no_ratio():
    constant, other = np.zeros((400, 1, 2)), gaussian_pairs([], n=400)
    curves = Curves(np.hstack([constant, other]).astype(np.float32))
    table = code_information(curves, None, [0, 1], n_steps=100)
    np.testing.assert_array_equal(table.isna(), [[True, True], [True, False]])
    assert table.loc[1, 1] == pytest.approx(1)


def test_unfitted_estimators_are_rejected():
    for function in (code_information, code_similarity):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            function(DiffusionRepresentation(2, t_grid=3), np.eye(4))


def test_estimators_without_curves_or_attention_are_rejected():
    X, y = np.eye(4), np.array([0, 0, 1, 1])
    classifier = TrajectoryClassifier(n_times=2, max_epochs=1).fit(X, y)
    for function in (code_information, code_similarity):
        with pytest.raises(TypeError, match="has no encode"):
            function(classifier, X)
    with pytest.raises(TypeError, match="has no attention"):
        attention_profiles(PCA(2).fit(X), X, y)


def test_information_of_a_static_representation_is_rejected():
    curves = Curves(None)
    curves.t_grid_ = None
    with pytest.raises(ValueError, match="same code at all times"):
        code_information(curves, None)


def test_divergences_of_profiles_by_hand():
    profiles = pd.DataFrame(
        [[1, 0, 0], [0, 0.5, 0.5], [0.5, 0.25, 0.25]], index=["a", "b", "c"]
    )
    found = jensen_shannon(profiles)
    np.testing.assert_array_equal(jensen_shannon(profiles.to_numpy()), found)
    np.testing.assert_allclose(np.diag(found), 0, atol=1e-12)
    assert found.loc["a", "b"] == pytest.approx(1)
    # By hand, from the mean of the two profiles: .75, .125, .125.
    left = np.log2(1 / 0.75)
    right = 0.5 * np.log2(0.5 / 0.75) + 0.5 * np.log2(0.25 / 0.125)
    assert found.loc["a", "c"] == pytest.approx((left + right) / 2)


def test_masks_are_those_of_the_companion_paper():
    masks = attention_masks(3, 1)
    assert {name: mask.astype(int).tolist() for name, mask in masks.items()} == {
        "none": [1, 1, 1, 1],
        "time hidden": [1, 0, 1, 1],
        "token hidden": [1, 1, 1, 0],
        "both hidden": [1, 0, 1, 0],
        "time only": [0, 1, 0, 0],
    }


def test_profiles_are_mean_attention_without_the_token():
    rng = np.random.default_rng(0)
    y = np.arange(120) % 2
    X = rng.normal(size=(120, 6)) + 3 * np.outer(y, [0, 0, 0, 1, 0, 0])
    classifier = TrajectoryClassifier(n_times=3, max_epochs=30, random_state=0)
    classifier.fit(X, y)
    kind = np.where(np.arange(120) < 50, "early", "late")
    profiles = attention_profiles(classifier, X, kind)
    assert list(profiles.index) == ["early", "late"]
    weights = classifier.attention(X)[:50].mean(axis=0)
    np.testing.assert_allclose(
        profiles.loc["early"], weights / weights.sum(), rtol=1e-5
    )
    masks = attention_masks(3, 0)
    hidden = attention_profiles(classifier, X, y, mask=masks["time hidden"])
    assert (hidden[0] == 0).all()
    only = attention_profiles(classifier, X, y, mask=masks["time only"])
    np.testing.assert_allclose(only, [[1, 0, 0], [1, 0, 0]])


@pytest.mark.parametrize(
    ("profiles", "message"),
    [
        ([[1.5, -0.5], [0.5, 0.5]], "Negative values"),
        ([[1.0, 1.0], [0.5, 0.5]], "must sum to 1"),
        ([[np.nan, 1.0]], "contains NaN"),
        ([0.5, 0.5], "must sum to 1"),
    ],
)
def test_invalid_profiles_are_rejected(profiles, message):
    with pytest.raises(ValueError, match=message):
        jensen_shannon(profiles)


@pytest.mark.parametrize(("n_times", "index"), [(3, 3), (3, -1), (0, 0)])
def test_times_of_masks_must_exist(n_times, index):
    with pytest.raises(ValueError, match=r"index|n_times"):
        attention_masks(n_times, index)
