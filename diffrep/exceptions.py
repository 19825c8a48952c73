"""Errors and warnings of diffrep."""

__all__ = ["CodeCollapseWarning", "DivergenceError", "ModelFileError"]


class DivergenceError(RuntimeError):
    """Training gave a loss that is not a finite number."""


class ModelFileError(ValueError):
    """A file holds no estimator that could be loaded; the message says why."""


class CodeCollapseWarning(UserWarning):
    """A code carries next to nothing, or is priced so that it cannot."""
