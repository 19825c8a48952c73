"""Displays of codes and of the rows they represent."""

from __future__ import annotations

from numbers import Integral

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.utils import check_consistent_length, column_or_1d

from diffrep._validation import flattened
from diffrep.display._base import BaseDisplay
from diffrep.evaluation._probing import check_has

__all__ = [
    "CodeSwapDisplay",
    "LatentDisplay",
    "LatentGridDisplay",
    "ReconstructionDisplay",
]


class LatentDisplay(BaseDisplay):
    """Scatter plot of codes, coloured by class or by a number.

    Parameters
    ----------
    points : ndarray of shape (n_samples, 2)
    y : array-like of shape (n_samples,), default=None
        Classes, or numbers with fractions, which are shown by a colour bar. Missing
        ones are grey.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and its Figure
    scatters_ : list of matplotlib PathCollection
        One for points without a class or number, if there are any; then one for each
        class, in sorted order, or one for all numbers.
    """

    def __init__(self, points, y=None):
        self.points = points
        self.y = y

    @classmethod
    def from_estimator(cls, representation, X, y=None, *, t=None, ax=None):
        """Encode rows and plot their codes.

        Parameters
        ----------
        representation : transformer
            Fitted. Codes with two columns are drawn as they are, longer ones by their
            first two principal components.
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), default=None
            Classes, or numbers with fractions, for the colours.
        t : float, default=None
            Time of the codes. None uses the result of `transform`.
        ax : matplotlib Axes, default=None
            None creates a figure.

        Returns
        -------
        display : LatentDisplay

        Raises
        ------
        TypeError
            If the representation has no method `transform`.
        ValueError
            If `X` and `y` differ in length, or `y` is not one-dimensional.
        """
        check_has(representation, "transform")
        if y is not None:
            y = column_or_1d(y)
            check_consistent_length(X, y)
        if t is None:
            codes = representation.transform(X)
        else:
            codes = representation.encode(X, t)[:, 0]
        if codes.shape[1] > 2:
            codes = PCA(2, svd_solver="covariance_eigh").fit_transform(codes)
        return cls(np.pad(codes, [(0, 0), (0, 2 - codes.shape[1])]), y).plot(ax=ax)

    def _draw(self):
        self.scatters_ = []
        style = {"s": 6, "alpha": 0.7, "linewidths": 0}
        y = np.full(len(self.points), None) if self.y is None else np.asarray(self.y)
        unlabelled = pd.isna(y)
        if unlabelled.any():
            points, own = self.points[unlabelled].T, {}
            if not unlabelled.all():
                own = {"color": "lightgrey", "label": "no label"}
            scatter = self.ax_.scatter(*points, **style, **own)
            self.scatters_.append(scatter)
        known = y[~unlabelled]
        if known.dtype.kind == "f" and (known != known.round()).any():
            points = self.points[~unlabelled].T
            self.scatters_.append(self.ax_.scatter(*points, c=known, **style))
            self.figure_.colorbar(self.scatters_[-1], ax=self.ax_)
            return
        labels = pd.unique(known)
        for label in sorted(labels, key=lambda label: (type(label).__name__, label)):
            points = self.points[y == label].T
            self.scatters_.append(self.ax_.scatter(*points, label=label, **style))


class _ImagesDisplay(BaseDisplay):
    """A table of images.

    Parameters
    ----------
    images : ndarray of shape (n_rows, n_columns, channels, height, width)
    value_range : tuple (lowest, highest), default=None
        Values drawn as black and white; None is the range of 99 % of the values.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and its Figure
    image_ : matplotlib AxesImage
        All images side by side.
    """

    _legend = False

    def __init__(self, images, value_range=None):
        self.images = images
        self.value_range = value_range

    def _draw(self):
        n_rows, n_columns, channels, height, width = self.images.shape
        low, high = self.value_range or np.quantile(self.images, [0.005, 0.995])
        mosaic = self.images.transpose(0, 3, 1, 4, 2)
        mosaic = mosaic.reshape(n_rows * height, n_columns * width, channels)
        mosaic = np.clip((mosaic - low) / max(high - low, 1e-12), 0, 1)
        colours = {} if channels == 3 else {"cmap": "gray", "vmin": 0, "vmax": 1}
        self.image_ = self.ax_.imshow(
            mosaic if channels == 3 else mosaic[:, :, 0], **colours
        )
        self.ax_.set_xticks((np.arange(n_columns) + 0.5) * width - 0.5)
        self.ax_.set_yticks((np.arange(n_rows) + 0.5) * height - 0.5)
        self.ax_.set_xticks(np.arange(1, n_columns) * width - 0.5, minor=True)
        self.ax_.set_yticks(np.arange(1, n_rows) * height - 0.5, minor=True)
        self.ax_.grid(which="minor", color="white", linewidth=1)
        self.ax_.tick_params(which="both", length=0)
        self._label()

    def _label(self):
        """Name the rows and columns, if they have names."""
        self.ax_.set(xticklabels=[], yticklabels=[])


class LatentGridDisplay(_ImagesDisplay):
    """Samples from codes on a grid, with the second component on the vertical axis.

    Parameters
    ----------
    images : ndarray of shape (n_rows, n_columns, channels, height, width)
    value_range : tuple (lowest, highest), default=None
        Values drawn as black and white; None is the range of 99 % of the values.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and its Figure
    image_ : matplotlib AxesImage
        All images side by side.
    """

    _labels = {"xlabel": "first component", "ylabel": "second component"}

    @classmethod
    def from_estimator(
        cls,
        representation,
        *,
        extent=(-1, 1),
        n_per_side=10,
        value_range=None,
        random_state=0,
        ax=None,
    ):
        """Sample one row for each code of a grid.

        Parameters
        ----------
        representation : DiffusionRepresentation or VariationalDiffusionRepresentation
            Fitted to images, with codes of two columns.
        extent : tuple (lowest, highest), default=(-1, 1)
            Range of both components.
        n_per_side : int, default=10
        value_range : tuple (lowest, highest), default=None
            Values drawn as black and white; None is the range of 99 % of the values.
        random_state : int, RandomState instance or None, default=0
        ax : matplotlib Axes, default=None
            None creates a figure.

        Returns
        -------
        display : LatentGridDisplay

        Raises
        ------
        TypeError
            If the estimator has no method `sample`.
        ValueError
            If `extent` is not two numbers, `n_per_side` is not an integer of at least
            1, or codes do not have two columns.
        """
        check_has(representation, "sample")
        is_range = np.shape(extent) == (2,) and np.isfinite(extent).all()
        if not is_range or not isinstance(n_per_side, Integral) or n_per_side < 1:
            raise ValueError(
                f"extent={extent!r} must be (lowest, highest), and n_per_side="
                f"{n_per_side!r} an integer of at least 1."
            )
        low, high = extent
        side = np.linspace(low, high, n_per_side)
        codes = np.stack(np.meshgrid(side, side[::-1]), axis=-1).reshape(-1, 2)
        images = representation.sample(codes, random_state=random_state)
        images = _as_images(representation, images, n_per_side)
        return cls(images, value_range).plot(ax=ax)


class ReconstructionDisplay(_ImagesDisplay):
    """Rows, and below them samples from their codes and noisy versions.

    Parameters
    ----------
    images : ndarray of shape (1 + T, n, channels, height, width)
    value_range : tuple (lowest, highest), default=None
        Values drawn as black and white; None is the range of 99 % of the values.
    times : sequence of float, default=()

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and its Figure
    image_ : matplotlib AxesImage
        All images side by side.
    """

    def __init__(self, images, value_range=None, times=()):
        super().__init__(images, value_range)
        self.times = times

    @classmethod
    def from_estimator(
        cls, representation, X, *, times=(0.4, 0.6, 0.8, 1.0), random_state=0, ax=None
    ):
        """Noise rows to each time, and sample from there with their codes.

        Parameters
        ----------
        representation : DiffusionRepresentation or VariationalDiffusionRepresentation
            Fitted to images.
        X : array-like of shape (n_samples, n_features)
            A few rows, one per column.
        times : sequence of float, default=(0.4, 0.6, 0.8, 1.0)
            In [0, 1]. Samples from t = 1 depend on the code only.
        random_state : int, RandomState instance or None, default=0
        ax : matplotlib Axes, default=None
            None creates a figure.

        Returns
        -------
        display : ReconstructionDisplay
        """
        check_has(representation, "sample")
        X = _as_rows(representation, X)
        codes = representation.transform(X)
        back = [
            representation.sample(codes, start=X, t=t, random_state=random_state)
            for t in times
        ]
        images = _as_images(representation, np.concatenate([X, *back]), 1 + len(times))
        return cls(images, (X.min(), X.max()), times).plot(ax=ax)

    def _label(self):
        self.ax_.set(xticklabels=[], yticklabels=["row", *self.times], ylabel="from t")


class CodeSwapDisplay(_ImagesDisplay):
    """Rows that are noised and then denoised with the codes of other rows.

    The first row of the table shows the images whose codes are used, and the first
    column the images that are noised. At low noise the result follows the noisy image,
    at high noise the code.

    Parameters
    ----------
    images : ndarray of shape (1 + n, 1 + n, channels, height, width)
    value_range : tuple (lowest, highest), default=None
        Values drawn as black and white; None is the range of 99 % of the values.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and its Figure
    image_ : matplotlib AxesImage
        All images side by side.
    """

    _labels = {"xlabel": "code of", "ylabel": "noised"}

    @classmethod
    def from_estimator(cls, representation, X, *, t=0.6, random_state=0, ax=None):
        """Noise rows to a time, and sample from there with the code of each row.

        Parameters
        ----------
        representation : DiffusionRepresentation or VariationalDiffusionRepresentation
            Fitted to images.
        X : array-like of shape (n_samples, n_features)
            A few rows, since n * n samples are computed.
        t : float, default=0.6
            In [0, 1].
        random_state : int, RandomState instance or None, default=0
        ax : matplotlib Axes, default=None
            None creates a figure.

        Returns
        -------
        display : CodeSwapDisplay
        """
        check_has(representation, "sample")
        X = _as_rows(representation, X)
        codes, n = representation.transform(X), len(X)
        swapped = representation.sample(
            np.tile(codes, (n, 1)),
            start=np.repeat(X, n, axis=0),
            t=t,
            random_state=random_state,
        ).reshape(n, n, -1)
        table = np.zeros((1 + n, 1 + n, X.shape[1]))
        table[0, 0], table[0, 1:], table[1:, 0] = X.min(), X, X
        table[1:, 1:] = swapped
        images = _as_images(representation, table.reshape((1 + n) ** 2, -1), 1 + n)
        return cls(images, (X.min(), X.max())).plot(ax=ax)


def _as_rows(representation, X):
    X = np.asarray(X)
    return X if X.ndim == 2 else flattened(X, representation)


def _as_images(representation, rows, n_rows):
    """Images ``(n_rows, n_columns, channels, height, width)`` of flattened rows."""
    shape = representation.image_shape
    if shape is None:
        raise ValueError(
            f"{type(representation).__name__} has image_shape=None, and only images "
            "can be shown as such. Fit it with image_shape=(channels, height, width)."
        )
    return np.asarray(rows).reshape(n_rows, -1, *shape)
