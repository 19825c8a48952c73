"""Displays draw the numbers of the data frames."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer

from diffrep.display import LabelEfficiencyDisplay, TimeProbeDisplay
from diffrep.evaluation import compare, probe_over_time

pytestmark = pytest.mark.usefixtures("figures")

TIMES = [0.0, 0.5, 1.0]


class Curve:
    """Codes that become smaller with t."""

    t_grid_ = np.array(TIMES)

    def encode(self, X, times):
        return np.stack([(1 - t) * X for t in times], axis=1)


def over_time(probe, accuracies, stack=None):
    """Results of `probe_over_time`; two draws, 0.1 above and below."""
    rows = [
        (probe, t, False, draw, accuracy + sign * 0.1)
        for t, accuracy in zip(TIMES, accuracies, strict=True)
        for draw, sign in enumerate((-1, 1))
    ]
    rows += [(probe, np.nan, True, 0, stack)] if stack else []
    return pd.DataFrame(rows, columns=["probe", "t", "stacked", "draw", "accuracy"])


def by_labels(accuracies, **columns):
    """Results of `compare` by representation, n_labels and split."""
    rows = [
        (name, split, n, 0, accuracy)
        for name, by_n in accuracies.items()
        for n, by_split in by_n.items()
        for split, accuracy in enumerate(by_split)
    ]
    names = ["representation", "split", "n_labels", "draw", "accuracy"]
    return pd.DataFrame(rows, columns=names).assign(**columns)


def legend(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def ticks(display):
    texts = [text.get_text() for text in display.ax_.get_xticklabels()]
    return dict(zip(texts, display.ax_.get_xticks(), strict=True))


# --- accuracy over time -----------------------------------------------------


def test_lines_over_time_are_the_means_over_draws():
    results = {
        "DRL": over_time("linear", [0.2, 0.6, 0.4], stack=0.7),
        "PCA": over_time("linear", [0.5, 0.5, 0.5]).assign(t=np.nan),
    }
    display = TimeProbeDisplay.from_results(results)
    curve, stack, static = display.lines_
    assert display.ax_.get_lines() == display.lines_
    np.testing.assert_array_equal(curve.get_xdata(), TIMES)
    np.testing.assert_allclose(curve.get_ydata(), [0.2, 0.6, 0.4])
    np.testing.assert_allclose(stack.get_ydata(), 0.7)
    np.testing.assert_allclose(static.get_ydata(), 0.5)
    assert [line.get_linestyle() for line in display.lines_] == ["-", ":", "--"]
    assert curve.get_color() == stack.get_color() != static.get_color()
    assert legend(display) == ["DRL", "stacked", "PCA"]


def test_each_probe_has_its_own_line():
    frames = [over_time("svm", [0.1, 0.2, 0.3]), over_time("knn", [0.6, 0.5, 0.4])]
    display = TimeProbeDisplay.from_results({"DRL": pd.concat(frames)})
    assert legend(display) == ["DRL, svm", "DRL, knn"]
    svm, knn = display.lines_
    np.testing.assert_allclose(svm.get_ydata(), [0.1, 0.2, 0.3])
    np.testing.assert_allclose(knn.get_ydata(), [0.6, 0.5, 0.4])
    assert svm.get_color() != knn.get_color()


def test_time_display_from_an_estimator(digits):
    X, y = digits
    data = (X[:250], y[:250], X[250:], y[250:])
    options = {
        "times": TIMES,
        "n_labels": 50,
        "n_draws": 2,
        "probes": {"b": LogisticRegression(), "a": LogisticRegression(C=0.01)},
    }
    display = TimeProbeDisplay.from_estimator(Curve(), *data, **options)
    results = probe_over_time(Curve(), *data, **options)
    assert legend(display) == ["b", "stacked", "a"]
    for probe, line, stack in zip(
        "ba", display.lines_[::2], display.lines_[1::2], strict=True
    ):
        mine = results[results["probe"] == probe]
        mean = mine.groupby("t")["accuracy"].mean()
        np.testing.assert_allclose(line.get_ydata(), mean)
        expected = mine[mine["stacked"]]["accuracy"].mean()
        np.testing.assert_allclose(stack.get_ydata(), expected)


# --- accuracy by number of labels -------------------------------------------


def test_lines_and_bands_by_labels():
    results = by_labels(
        {
            "DRL": {10: [0.4, 0.6], 100: [0.8, 0.8], "all": [0.9, 1.0]},
            "PCA": {10: [0.3, 0.3], 100: [0.5, 0.7], "all": [0.9, 0.9]},
        }
    )
    display = LabelEfficiencyDisplay.from_results(results)
    assert legend(display) == ["DRL", "PCA"]
    assert display.ax_.get_xscale() == "log"
    assert ticks(display) == {"10": 10, "100": 100, "all": 1000}
    means = {"DRL": [0.5, 0.8, 0.95], "PCA": [0.3, 0.6, 0.9]}
    stds = {"DRL": [0.02**0.5, 0, 0.005**0.5], "PCA": [0, 0.02**0.5, 0]}
    for line, band in zip(display.lines_, display.bands_, strict=True):
        mean, std = (np.array(of[line.get_label()]) for of in (means, stds))
        np.testing.assert_array_equal(line.get_xdata(), [10, 100, 1000])
        np.testing.assert_allclose(line.get_ydata(), mean)
        x, edge = band.get_paths()[0].vertices.T
        for place, low, high in zip(
            [10, 100, 1000], mean - std, mean + std, strict=True
        ):
            np.testing.assert_allclose(edge[x == place].min(), low)
            np.testing.assert_allclose(edge[x == place].max(), high)
        face = band.get_facecolor()[0, :3]
        np.testing.assert_allclose(face, mpl.colors.to_rgb(line.get_color()))


@pytest.mark.parametrize(
    ("numbers", "columns", "place"),
    [
        ([20, 50, "all"], {}, 125),
        ([20, "all"], {}, 200),
        (["all"], {}, 10),
        ([20, 50, "all"], {"n_rows": 1198}, 1198),
    ],
)
def test_position_of_all_labels(numbers, columns, place):
    results = by_labels({"DRL": {n: [0.5] for n in numbers}}, **columns)
    display = LabelEfficiencyDisplay.from_results(results)
    assert ticks(display) == {str(n): place if n == "all" else n for n in numbers}
    assert display.lines_[0].get_xdata()[-1] == place


def test_without_all_labels_there_is_no_such_tick():
    results = by_labels({"DRL": {20: [0.5], 50: [0.5]}}, n_rows=100)
    assert set(ticks(LabelEfficiencyDisplay.from_results(results))) == {"20", "50"}


def test_label_display_from_estimators(digits):
    X, y = digits
    representations = {"raw": FunctionTransformer(), "PCA": PCA(4)}
    options = {"n_labels": [20, 50], "n_draws": 2, "cv": 2}
    display = LabelEfficiencyDisplay.from_estimators(representations, X, y, **options)
    results = compare(representations, X, y, **options)
    for line in display.lines_:
        mine = results[results["representation"] == line.get_label()]
        np.testing.assert_allclose(
            line.get_ydata(), mine.groupby("n_labels")["accuracy"].mean()
        )


# --- conventions of Displays ------------------------------------------------


@pytest.mark.parametrize(
    ("display", "results"),
    [
        (TimeProbeDisplay, {"DRL": over_time("linear", [0.1, 0.2, 0.3])}),
        (LabelEfficiencyDisplay, by_labels({"DRL": {20: [0.5], 50: [0.6]}})),
    ],
)
def test_plot_draws_on_given_axes_or_on_new_ones(display, results):
    figure, axes = plt.subplots(1, 2)
    drawn = display.from_results(results, ax=axes[1])
    assert drawn.ax_ is axes[1]
    assert drawn.figure_ is figure
    assert not axes[0].get_lines()
    again = drawn.plot()
    assert again is drawn
    assert drawn.figure_ is not figure
    assert len(drawn.lines_) == len(axes[1].get_lines()) == 1
    drawn.figure_.canvas.draw()
