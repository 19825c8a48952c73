"""Base class of Displays."""

from __future__ import annotations

from abc import ABC, abstractmethod

from diffrep.evaluation._probing import check_columns

__all__ = ["BaseDisplay"]


class BaseDisplay(ABC):
    """Figure of stored results.

    Subclasses draw on `ax_`, and compute the results in ``from_estimator`` or
    ``from_estimators``.
    """

    _labels: dict = {}
    _legend = True

    #: Columns that a DataFrame of results must have, each of several if it is a dict.
    _columns: tuple[str, ...] = ()

    def __init__(self, results):
        self.results = results

    @classmethod
    def from_results(cls, results, *, ax=None):
        """Plot results that have been computed before.

        Parameters
        ----------
        results : object
            Results in the form that the class requires.
        ax : matplotlib Axes, default=None
            None creates a figure.

        Returns
        -------
        display : object
            The Display, with its attributes set.

        Raises
        ------
        ValueError
            If a DataFrame lacks required columns.
        """
        frames = results.values() if isinstance(results, dict) else [results]
        for frame in frames:
            check_columns(frame, *cls._columns)
        return cls(results).plot(ax=ax)

    def plot(self, ax=None):
        """Plot the results.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None creates a figure.

        Returns
        -------
        display : object
            The Display, with its attributes set.
        """
        if ax is None:
            import matplotlib.pyplot as plt

            _, ax = plt.subplots()
        self.ax_, self.figure_ = ax, ax.figure
        self._draw()
        ax.set(**self._labels)
        if self._legend and ax.get_legend_handles_labels()[0]:
            ax.legend()
        return self

    @abstractmethod
    def _draw(self):
        """Draw on `ax_`."""
