"""Errors and warnings of diffrep."""

__all__ = ["CodeCollapseWarning", "DivergenceError"]


class DivergenceError(RuntimeError):
    """Training gave a loss that is not a finite number."""


class CodeCollapseWarning(UserWarning):
    """A code carries next to nothing, or is priced so that it cannot."""
