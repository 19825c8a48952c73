"""Displays of curves draw the numbers of the data frames."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from diffrep.display import AttentionProfileDisplay, TimeSimilarityDisplay
from diffrep.display._trajectories import SIMILARITIES
from diffrep.evaluation import attention_profiles, code_information, code_similarity
from diffrep.trajectory import TrajectoryClassifier

pytestmark = pytest.mark.usefixtures("figures")


class Curves:
    """Codes of eighty rows at three times, of which the last differs."""

    t_grid_ = np.array([0.1, 0.5, 0.9])

    def encode(self, X, times):
        rng = np.random.default_rng(0)
        first, last = rng.normal(size=(2, 80, 1, 2)).astype(np.float32)
        return np.concatenate([first, 2 * first, last], axis=1)


@pytest.mark.parametrize(
    ("method", "function", "options"),
    [
        ("cka", code_similarity, {}),
        ("mutual_information", code_information, {"n_steps": 200}),
    ],
)
def test_similarity_display_equals_code_similarity(
    method, function, options, monkeypatch
):
    times = [0.1, 0.5, 0.9]
    assert SIMILARITIES[method] is function
    function = partial(function, **options)  # fewer steps than the default
    monkeypatch.setitem(SIMILARITIES, method, function)
    display = TimeSimilarityDisplay.from_estimator(
        Curves(), None, times=times, method=method
    )
    table = function(Curves(), None, times)
    pd.testing.assert_frame_equal(display.results, table)
    np.testing.assert_allclose(display.image_.get_array(), table)
    assert table.loc[0.1, 0.5] > 0.9 > table.loc[0.1, 0.9]
    labels = [text.get_text() for text in display.ax_.get_xticklabels()]
    assert labels == ["0.1", "0.5", "0.9"]


def test_unknown_similarities_are_rejected():
    with pytest.raises(ValueError, match="'cosine' is none of 'cka', 'mutual"):
        TimeSimilarityDisplay.from_estimator(Curves(), None, method="cosine")


def test_profile_display_equals_attention_profiles():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 6)), np.array(["even", "odd"] * 30)
    classifier = TrajectoryClassifier(n_times=3, max_epochs=2, random_state=0)
    classifier.fit(X, y)
    display = AttentionProfileDisplay.from_estimator(classifier, X, y)
    profiles = attention_profiles(classifier, X, y)
    for name in ("even", "odd"):
        np.testing.assert_array_equal(
            display.lines_[name].get_ydata(), profiles.loc[name]
        )
        np.testing.assert_array_equal(display.lines_[name].get_xdata(), [0, 1, 2])
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts == ["even", "odd"]
