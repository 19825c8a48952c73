"""Displays of the similarity of codes over time and of attention profiles."""

from __future__ import annotations

import numpy as np

from diffrep.display._base import BaseDisplay
from diffrep.evaluation import attention_profiles, code_information, code_similarity

__all__ = ["AttentionProfileDisplay", "TimeSimilarityDisplay"]

SIMILARITIES = {"cka": code_similarity, "mutual_information": code_information}


class TimeSimilarityDisplay(BaseDisplay):
    """Heat map of the similarity of codes at two times.

    Parameters
    ----------
    results : DataFrame of shape (T, T)
        Result of `diffrep.evaluation.code_similarity` or
        `diffrep.evaluation.code_information`.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and its Figure
    image_ : matplotlib AxesImage
    """

    _labels = {"xlabel": "t", "ylabel": "t"}

    @classmethod
    def from_estimator(cls, representation, X, *, times=None, method="cka", ax=None):
        """Compute the similarity of codes over time and plot it.

        Parameters
        ----------
        representation : transformer
            Fitted, with codes that depend on t.
        X : array-like of shape (n_samples, n_features)
        times : array-like of shape (T,), default=None
            None is eleven times from 0 to 1.
        method : {"cka", "mutual_information"}, default="cka"
        ax : matplotlib Axes, default=None
            None creates a figure.

        Returns
        -------
        display : TimeSimilarityDisplay

        Raises
        ------
        ValueError
            If the method is unknown, or codes do not depend on t.
        """
        if method not in SIMILARITIES:
            raise ValueError(
                f"method={method!r} is none of {', '.join(map(repr, SIMILARITIES))}. "
                "Choose one of them."
            )
        return cls.from_results(SIMILARITIES[method](representation, X, times), ax=ax)

    def _draw(self):
        times = self.results.index
        self.image_ = self.ax_.imshow(self.results, origin="lower")
        places = np.arange(len(times))
        self.ax_.set_xticks(places, [f"{t:.2g}" for t in times])
        self.ax_.set_yticks(places, [f"{t:.2g}" for t in times])
        self.figure_.colorbar(self.image_, ax=self.ax_)


class AttentionProfileDisplay(BaseDisplay):
    """Attention of a classifier over time, with a line for each class.

    Parameters
    ----------
    results : DataFrame of shape (n_classes, T)
        Result of `diffrep.evaluation.attention_profiles`.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and its Figure
    lines_ : dict of object to matplotlib Line2D
        By the class.
    """

    _labels = {"xlabel": "t", "ylabel": "share of the attention"}

    @classmethod
    def from_estimator(cls, classifier, X, y, *, mask=None, ax=None):
        """Compute the profiles of a fitted classifier and plot them.

        Parameters
        ----------
        classifier : TrajectoryClassifier
            Fitted, with ``head="attention"``.
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Classes over which attention is averaged.
        mask : optional
            As for `diffrep.evaluation.attention_profiles`.
        ax : matplotlib Axes, default=None
            None creates a figure.

        Returns
        -------
        display : AttentionProfileDisplay
        """
        return cls.from_results(attention_profiles(classifier, X, y, mask=mask), ax=ax)

    def _draw(self):
        self.lines_ = {}
        for name, profile in self.results.iterrows():
            (self.lines_[name],) = self.ax_.plot(
                profile.index, profile, marker="o", label=str(name)
            )
        self.ax_.set_ylim(bottom=0)
