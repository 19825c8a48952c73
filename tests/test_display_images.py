"""Displays of codes and rows draw the computed values."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from diffrep import DiffusionRepresentation
from diffrep.display import (
    CodeSwapDisplay,
    InformationProfileDisplay,
    LatentDisplay,
    LatentGridDisplay,
    LossOverTimeDisplay,
    ReconstructionDisplay,
    TrainingDisplay,
)
from diffrep.evaluation import information_profile

pytestmark = pytest.mark.usefixtures("figures")


class Painter:
    """Samples are constant images of the code, or the row at low noise."""

    image_shape = (1, 2, 3)

    def transform(self, X):
        return np.asarray(X)[:, :2]

    def sample(self, codes, *, start=None, t=1.0, random_state=None):
        painted = np.repeat(codes[:, :1] + 10 * codes[:, 1:2], 6, axis=1)
        return painted if start is None else t * painted + (1 - t) * start


@pytest.fixture(scope="module")
def fitted(digits):
    return DiffusionRepresentation(
        2, image_shape=(1, 8, 8), code_dropout=0.2, max_epochs=2, random_state=0
    ).fit(digits[0])


def tile(display, row, column):
    """Values of one image of a figure, from 0 (black) to 1 (white)."""
    _, _, _, height, width = display.images.shape
    mosaic = np.asarray(display.image_.get_array())
    return mosaic[
        row * height : (row + 1) * height, column * width : (column + 1) * width
    ]


def test_points_are_two_columns_coloured_by_class():
    X = np.random.default_rng(0).normal(size=(30, 2))
    y = np.repeat(["b", "a", "c"], 10)
    display = LatentDisplay.from_estimator(FunctionTransformer(), X, y)
    for label, scatter in zip("abc", display.scatters_, strict=True):
        np.testing.assert_array_equal(scatter.get_offsets(), X[y == label])
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts == ["a", "b", "c"]


def test_numbers_have_a_colour_bar_and_missing_ones_are_grey():
    X = np.random.default_rng(0).normal(size=(30, 2))
    y = np.where(np.arange(30) < 10, np.nan, X[:, 0])
    display = LatentDisplay.from_estimator(FunctionTransformer(), X, y)
    grey, scatter = display.scatters_
    np.testing.assert_array_equal(grey.get_offsets(), X[:10])
    np.testing.assert_array_equal(scatter.get_offsets(), X[10:])
    np.testing.assert_array_equal(scatter.get_array(), X[10:, 0])
    assert scatter.colorbar is not None
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        LatentDisplay.from_estimator(FunctionTransformer(), X, y[1:])
    with pytest.raises(TypeError, match="has no transform"):
        LatentDisplay.from_estimator(FunctionTransformer, X)


def test_longer_codes_are_reduced_by_pca():
    X = np.random.default_rng(0).normal(size=(30, 5)) * [1, 5, 1, 3, 1]
    display = LatentDisplay.from_estimator(FunctionTransformer(), X)
    (scatter,) = display.scatters_
    expected = PCA(2).fit_transform(X)
    np.testing.assert_allclose(np.abs(scatter.get_offsets()), np.abs(expected))
    assert display.ax_.get_legend() is None


def test_points_at_a_given_time(digits):
    X = digits[0]
    rep = DiffusionRepresentation(2, t_grid=3, max_epochs=1, random_state=0).fit(X)
    display = LatentDisplay.from_estimator(rep, X, t=0.5)
    np.testing.assert_array_equal(display.points, rep.encode(X, 0.5)[:, 0])
    one = DiffusionRepresentation(1, max_epochs=1, random_state=0).fit(X)
    points = LatentDisplay.from_estimator(one, X).points
    np.testing.assert_array_equal(points[:, :1], one.transform(X))
    assert not points[:, 1].any()


def test_latent_grid_increases_to_the_right_and_upwards():
    display = LatentGridDisplay.from_estimator(Painter(), extent=(0, 2), n_per_side=3)
    grid = np.array([[0, 1, 2]]) + 10 * np.array([[2], [1], [0]])
    np.testing.assert_array_equal(display.images[:, :, 0, 0, 0], grid)
    for row, second in enumerate((2, 1, 0)):
        for column, first in enumerate((0, 1, 2)):
            shown = tile(display, row, column)
            expected = (first + 10 * second) / 22
            np.testing.assert_allclose(shown, expected, atol=0.05)


def test_reconstructions_are_below_their_rows():
    X = np.arange(12.0).reshape(2, 6)
    display = ReconstructionDisplay.from_estimator(Painter(), X, times=(0.0, 1.0))
    for column in (0, 1):
        row = X[column].reshape(2, 3) / 11
        np.testing.assert_allclose(tile(display, 0, column), row)
        np.testing.assert_allclose(tile(display, 1, column), row)
        painted = np.clip((X[column, 0] + 10 * X[column, 1]) / 11, 0, 1)
        np.testing.assert_allclose(tile(display, 2, column), painted)
    names = [text.get_text() for text in display.ax_.get_yticklabels()]
    assert names == ["row", "0.0", "1.0"]


def test_codes_are_swapped_along_rows():
    X = np.array([[0.0, 0.1, 0, 0, 0, 0], [0.2, 0.3, 1, 1, 1, 1]])
    display = CodeSwapDisplay.from_estimator(Painter(), X, t=0.5)
    for i, row in enumerate(X):
        for j, other in enumerate(X):
            painted = other[0] + 10 * other[1]
            expected = np.clip(0.5 * painted + 0.5 * row, 0, 1).reshape(2, 3)
            np.testing.assert_allclose(tile(display, 1 + i, 1 + j), expected)
        np.testing.assert_allclose(tile(display, 0, 1 + i), row.reshape(2, 3))
        np.testing.assert_allclose(tile(display, 1 + i, 0), row.reshape(2, 3))


def test_colour_images_are_shown_in_colour():
    images = np.random.default_rng(0).random((1, 2, 3, 4, 5))
    display = ReconstructionDisplay(images, (0, 1)).plot()
    shown = display.image_.get_array()
    assert shown.shape == (4, 10, 3)
    np.testing.assert_allclose(shown[:, 5:], images[0, 1].transpose(1, 2, 0))


def test_displays_from_an_estimator(fitted, digits):
    X = digits[0][:3]
    display = CodeSwapDisplay.from_estimator(fitted, X, t=0.4)
    codes = np.tile(fitted.transform(X), (3, 1))
    start = np.repeat(X, 3, axis=0)
    found = fitted.sample(codes, start=start, t=0.4, random_state=0)
    np.testing.assert_allclose(display.images[1:, 1:].reshape(9, 64), found)
    grid = LatentGridDisplay.from_estimator(fitted, n_per_side=2)
    corners = [[-1, 1], [1, 1], [-1, -1], [1, -1]]
    found = fitted.sample(corners, random_state=0)
    np.testing.assert_allclose(grid.images.reshape(4, 64), found)


def test_tables_cannot_be_drawn_as_images(table):
    X, _ = table
    rep = DiffusionRepresentation(2, max_epochs=1, random_state=0).fit(X)
    with pytest.raises(ValueError, match="image_shape=None"):
        LatentGridDisplay.from_estimator(rep)


@pytest.mark.parametrize(
    "display",
    [
        LossOverTimeDisplay,
        InformationProfileDisplay,
        ReconstructionDisplay,
        CodeSwapDisplay,
        TrainingDisplay,
    ],
)
def test_other_estimators_cannot_be_drawn(display, fitted, digits):
    X = digits[0][:3]
    arguments = () if display is TrainingDisplay else (X,)
    for wrong in (make_pipeline(fitted), PCA(2).fit(X)):
        with pytest.raises(TypeError, match=r"has no \w+\. Pass a DiffusionRep"):
            display.from_estimator(wrong, *arguments)


def test_grids_of_invalid_size_are_rejected(fitted):
    extents = [{"extent": extent} for extent in (3, (0, 1, 2), (np.nan, 1))]
    for options in (*extents, {"n_per_side": 0}, {"n_per_side": 2.5}):
        with pytest.raises(ValueError, match=r"extent=.*must be"):
            LatentGridDisplay.from_estimator(fitted, **options)
    with pytest.raises(TypeError, match="has no sample"):
        LatentGridDisplay.from_estimator(PCA(2))


def test_training_display_has_a_line_for_each_loss(digits):
    rep = DiffusionRepresentation(4, max_epochs=3, early_stopping=True, random_state=0)
    with pytest.raises(NotFittedError, match="not fitted yet"):
        TrainingDisplay.from_estimator(rep)
    start = clone(rep).set_params(max_epochs=0).fit(digits[0])
    with pytest.raises(NotFittedError, match="max_epochs=0"):
        TrainingDisplay.from_estimator(start)
    display = TrainingDisplay.from_estimator(rep.fit(digits[0]))
    assert set(display.lines_) == {
        f"{part}_{loss}"
        for part in ("train", "valid")
        for loss in ("loss", "denoising", "l1")
    }
    for name, line in display.lines_.items():
        np.testing.assert_array_equal(line.get_ydata(), rep.history_[name])


def test_lines_of_losses_and_profile_equal_the_frames(fitted, digits):
    X = digits[0]
    display = LossOverTimeDisplay.from_estimator(fitted, X, times=[0.3, 0.6])
    frame = fitted.loss_over_time(X, times=[0.3, 0.6])
    pd.testing.assert_frame_equal(display.results, frame)
    assert len(display.lines_) == 3
    for name, line in display.lines_.items():
        np.testing.assert_array_equal(line.get_xydata(), frame[["t", name]])
    nothing = frame.assign(loss_without_code=np.nan)
    assert len(LossOverTimeDisplay.from_results(nothing).lines_) == 2
    profile = InformationProfileDisplay.from_estimator(fitted, X)
    frame = information_profile(fitted, X)
    np.testing.assert_array_equal(profile.line_.get_xydata(), frame[["sigma", "nats"]])
