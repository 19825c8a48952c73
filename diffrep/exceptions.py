"""Errors and warnings of diffrep."""

import pandas as pd
from sklearn.exceptions import ConvergenceWarning

__all__ = [
    "CheckpointError",
    "CheckpointWarning",
    "CodeCollapseWarning",
    "DivergenceError",
    "DivergenceWarning",
    "ModelFileError",
]


class CheckpointError(ValueError):
    """A checkpoint belongs to another fit, or has invalid content."""


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written or read; training continues without it."""


class ModelFileError(ValueError):
    """A file is not a valid model file; the message gives the reason."""


class CodeCollapseWarning(UserWarning):
    """Codes contain almost no information, or their penalty is too large."""


class DivergenceError(RuntimeError):
    """Training diverged: the loss or weights are not finite, or the loss exploded.

    Attributes
    ----------
    history : DataFrame
        All epochs in order, including discarded ones. `n_halvings` is the number of
        times that the learning rate had been halved.
    """

    def __init__(self, message, history=()):
        super().__init__(message)
        self.history = pd.DataFrame(history)


class DivergenceWarning(ConvergenceWarning):
    """Training diverged and continues from earlier weights at a lower rate."""
