"""The pattern of all Displays: arrays that are stored, an Axes they are drawn on."""

from __future__ import annotations

from abc import ABC, abstractmethod

__all__ = ["BaseDisplay"]


class BaseDisplay(ABC):
    """Figure of stored results.

    Subclasses draw on `ax_`, and compute the results in ``from_estimator`` or
    ``from_estimators``.
    """

    _labels: dict = {}
    _legend = True

    def __init__(self, results):
        self.results = results

    @classmethod
    def from_results(cls, results, *, ax=None):
        """Plot results that are there already.

        Parameters
        ----------
        results : object
            As the class takes them.
        ax : matplotlib Axes, default=None
            None makes a figure.

        Returns
        -------
        display : object
            With the attributes of the class.
        """
        return cls(results).plot(ax=ax)

    def plot(self, ax=None):
        """Plot the results.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a figure.

        Returns
        -------
        display : object
            With the attributes of the class.
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
