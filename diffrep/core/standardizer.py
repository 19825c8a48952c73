"""Standardisation of rows, after an asinh transform of columns with a long tail."""

from __future__ import annotations

import copy

import numpy as np

__all__ = ["Standardizer"]


class Standardizer:
    """Standardisation to mean 0 and variance 1, after skewed columns are transformed.

    ``z = (f(x) - mean) / scale``, with ``f(x) = asinh((x - center) / width)`` for
    skewed columns, which is linear near the centre and logarithmic far from it, and
    ``f(x) = x`` for the others.

    Parameters
    ----------
    mean, scale : ndarray of shape (n_features,)
        Mean and scale of ``f(x)``.
    skewed : ndarray of int of shape (k,)
        Indices of the skewed columns.
    center, width : ndarray of shape (k,)
    """

    def __init__(self, mean, scale, skewed=(), center=(), width=()):
        self.mean, self.scale = np.asarray(mean), np.asarray(scale)
        # The hash of an empty array contains its strides, which `ravel` makes equal.
        self.skewed = np.asarray(skewed, np.int64).ravel()
        self.center = np.asarray(center, float).ravel()
        self.width = np.asarray(width, float).ravel()

    def astype(self, dtype):
        """Return a copy with arrays of a dtype."""
        converted = copy.copy(self)
        for name in ("mean", "scale", "center", "width"):
            setattr(converted, name, np.asarray(getattr(self, name), dtype))
        return converted

    def bend(self, X):
        """Transform the skewed columns of rows ``(n, n_features)`` in place."""
        if len(self.skewed):
            X[:, self.skewed] = np.arcsinh(
                (X[:, self.skewed] - self.center) / self.width
            )
        return X

    def transform(self, X):
        """Return standardised rows ``(n, n_features)``."""
        X = np.array(X, np.promote_types(X.dtype, np.float32))
        with np.errstate(over="ignore"):  # infinite values are clipped
            X = self.bend(X)
            X -= self.mean
            X /= self.scale
        return X

    def inverse(self, Z):
        """Return rows in units of the data, infinite where they overflow."""
        with np.errstate(over="ignore"):  # the caller checks for infinite values
            X = Z * self.scale + self.mean
            if len(self.skewed):
                sines = np.sinh(X[:, self.skewed])
                X[:, self.skewed] = sines * self.width + self.center
        return X
