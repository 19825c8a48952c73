"""Standardisation of rows, after an asinh transform of columns with a long tail."""

from __future__ import annotations

import copy

import numpy as np

__all__ = ["Standardizer"]


class Standardizer:
    """Columns of mean 0 and variance 1, after those with a long tail are bent.

    ``z = (f(x) - mean) / scale``. For skewed columns ``f(x) = asinh((x - center) /
    width)``, linear near the centre and logarithmic far from it; ``f(x) = x`` for
    the others.

    Parameters
    ----------
    mean, scale : ndarray of shape (n_features,)
        Of ``f(x)``.
    skewed : ndarray of int of shape (k,)
        Numbers of the columns that are bent.
    center, width : ndarray of shape (k,)
    """

    def __init__(self, mean, scale, skewed=(), center=(), width=()):
        self.mean, self.scale = np.asarray(mean), np.asarray(scale)
        self.skewed = np.asarray(skewed, np.int64)
        self.center, self.width = np.asarray(center, float), np.asarray(width, float)

    def astype(self, dtype):
        """Return the same with numbers of a dtype."""
        converted = copy.copy(self)
        for name in ("mean", "scale", "center", "width"):
            setattr(converted, name, np.asarray(getattr(self, name), dtype))
        return converted

    def bend(self, X):
        """Bend the skewed columns of rows ``(n, n_features)`` in place."""
        if len(self.skewed):
            X[:, self.skewed] = np.arcsinh(
                (X[:, self.skewed] - self.center) / self.width
            )
        return X

    def transform(self, X):
        """Return rows ``(n, n_features)`` standardised."""
        X = np.array(X, np.promote_types(X.dtype, np.float32))
        with np.errstate(over="ignore"):  # clipped is what is beyond float32, too
            X = self.bend(X)
            X -= self.mean
            X /= self.scale
        return X

    def inverse(self, Z):
        """Return rows in units of the data; what overflows becomes infinite."""
        with np.errstate(over="ignore"):  # who asks for rows checks them
            X = Z * self.scale + self.mean
            if len(self.skewed):
                sines = np.sinh(X[:, self.skewed])
                X[:, self.skewed] = sines * self.width + self.center
        return X
