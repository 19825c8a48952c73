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
    """A checkpoint is that of another fit, or holds what none of ours does."""


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written or read; training goes on without it."""


class ModelFileError(ValueError):
    """A file holds no estimator that could be loaded; the message says why."""


class CodeCollapseWarning(UserWarning):
    """A code carries next to nothing, or is priced so that it cannot."""


class DivergenceError(RuntimeError):
    """Training gave numbers that are not finite, or a loss beyond all reason.

    Attributes
    ----------
    history : DataFrame
        The epochs that were trained, in order, those that were given up
        included; `n_halvings` says how often the learning rate had been halved.
    """

    def __init__(self, message, history=()):
        super().__init__(message)
        self.history = pd.DataFrame(history)


class DivergenceWarning(ConvergenceWarning):
    """Training diverged and goes on from earlier weights at half the learning rate."""
