"""Displays of training, losses over time and information over time."""

from __future__ import annotations

from sklearn.utils.validation import check_is_fitted

from diffrep.base import check_is_trained
from diffrep.display._base import BaseDisplay
from diffrep.evaluation import information_profile
from diffrep.evaluation._probing import check_has

__all__ = ["InformationProfileDisplay", "LossOverTimeDisplay", "TrainingDisplay"]


class TrainingDisplay(BaseDisplay):
    """Losses over the epochs of training.

    Parameters
    ----------
    results : DataFrame
        ``history_`` of an estimator.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and its Figure
    lines_ : dict of str to matplotlib Line2D
        By the column of `results`.
    """

    _columns = ("epoch",)
    _labels = {"xlabel": "epoch", "ylabel": "loss"}

    @classmethod
    def from_estimator(cls, representation, *, ax=None):
        """Plot the history of a fitted estimator.

        Parameters
        ----------
        representation : estimator
            Fitted.
        ax : matplotlib Axes, default=None
            None creates a figure.

        Returns
        -------
        display : TrainingDisplay

        Raises
        ------
        NotFittedError
            If the estimator was not trained.
        """
        check_is_fitted(representation)
        check_has(representation, "net_")
        check_is_trained(representation)
        return cls.from_results(representation.history_, ax=ax)

    def _draw(self):
        self.lines_ = {}
        for name in self.results.columns:
            part, _, loss = name.partition("_")
            if part in {"train", "valid"} and loss != "loss_best":
                style = {"linestyle": "-" if part == "train" else "--"}
                label = name.replace("_", " ")
                (self.lines_[name],) = self.ax_.plot(
                    self.results["epoch"], self.results[name], label=label, **style
                )


class LossOverTimeDisplay(BaseDisplay):
    """Denoising loss over t with the code, with another row's code and without a code.

    Parameters
    ----------
    results : DataFrame
        Result of ``loss_over_time`` of an estimator.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and its Figure
    lines_ : dict of str to matplotlib Line2D
        By the column of `results`.
    """

    _columns = ("t", "loss_without_code", "loss_of_other_code", "loss_with_code")
    _labels = {"xlabel": "t", "ylabel": "squared error of the noise"}

    @classmethod
    def from_estimator(cls, representation, X, y=None, *, times=None, ax=None):
        """Compute the losses of rows and plot them.

        Parameters
        ----------
        representation : DiffusionRepresentation or VariationalDiffusionRepresentation
            Fitted.
        X : array-like of shape (n_samples, n_features)
        y, times : optional
            As for ``loss_over_time``.
        ax : matplotlib Axes, default=None
            None creates a figure.

        Returns
        -------
        display : LossOverTimeDisplay
        """
        check_has(representation, "loss_over_time")
        losses = representation.loss_over_time(X, y, times=times)
        return cls.from_results(losses, ax=ax)

    def _draw(self):
        self.lines_ = {}
        for name in ("loss_without_code", "loss_of_other_code", "loss_with_code"):
            if self.results[name].notna().any():
                label = name.removeprefix("loss_").replace("_", " ")
                (self.lines_[name],) = self.ax_.plot(
                    self.results["t"], self.results[name], label=label
                )
        self.ax_.set_ylim(bottom=0)


class InformationProfileDisplay(BaseDisplay):
    """Information that the code adds to the noisy row, in nats, over the noise.

    Parameters
    ----------
    results : DataFrame
        Result of `diffrep.evaluation.information_profile`.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and its Figure
    line_ : matplotlib Line2D
    """

    _columns = ("sigma", "nats")
    _labels = {"xlabel": "sigma", "ylabel": "nats of the code", "xscale": "log"}

    @classmethod
    def from_estimator(cls, representation, X, *, times=None, ax=None):
        """Compute the profile of a fitted estimator and plot it.

        Parameters
        ----------
        representation : DiffusionRepresentation or VariationalDiffusionRepresentation
            Fitted with `code_dropout`.
        X : array-like of shape (n_samples, n_features)
        times : optional
            As for `diffrep.evaluation.information_profile`.
        ax : matplotlib Axes, default=None
            None creates a figure.

        Returns
        -------
        display : InformationProfileDisplay
        """
        profile = information_profile(representation, X, times=times)
        return cls.from_results(profile, ax=ax)

    def _draw(self):
        (self.line_,) = self.ax_.plot(self.results["sigma"], self.results["nats"])
        self.ax_.set_ylim(bottom=0)
