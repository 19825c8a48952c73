"""Displays of accuracy over the time of codes and over the number of labels."""

from __future__ import annotations

from diffrep.display._base import BaseDisplay
from diffrep.evaluation import accuracy_over_splits, compare, probe_over_time

__all__ = ["LabelEfficiencyDisplay", "TimeProbeDisplay"]


class TimeProbeDisplay(BaseDisplay):
    """Accuracy of probes over the time of the codes.

    Solid lines are codes of a single time, dotted lines of the same colour are codes of
    all times side by side, and dashed lines are representations without time.

    Parameters
    ----------
    results : dict of str to DataFrame
        Results of `diffrep.evaluation.probe_over_time` by the name of a
        representation.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and its Figure
    lines_ : list of matplotlib Line2D
        In the order of `results`, each line over t before its constant line.
    """

    _labels = {"xlabel": "t", "ylabel": "accuracy"}
    _columns = ("t", "probe", "stacked", "accuracy")

    @classmethod
    def from_estimator(cls, representation, X, y, X_test, y_test, *, ax=None, **kwargs):
        """Probe a fitted representation and plot a line per probe.

        Parameters
        ----------
        representation : transformer
            Fitted.
        X, y : array-like of shape (n_samples, n_features) and (n_samples,)
        X_test, y_test : array-like of shape (n_test, n_features) and (n_test,)
        ax : matplotlib Axes, default=None
            None creates a figure.
        **kwargs
            Arguments of `diffrep.evaluation.probe_over_time`.

        Returns
        -------
        display : TimeProbeDisplay
        """
        results = probe_over_time(representation, X, y, X_test, y_test, **kwargs)
        by_probe = results.groupby("probe", sort=False)
        return cls.from_results(dict(iter(by_probe)), ax=ax)

    def _draw(self):
        self.lines_ = []
        curves = [
            (name if frame["probe"].nunique() == 1 else f"{name}, {probe}", curve)
            for name, frame in self.results.items()
            for probe, curve in frame.groupby("probe", sort=False)
        ]
        for i, (label, curve) in enumerate(curves):
            self._draw_curve(label, curve, color=f"C{i}")

    def _draw_curve(self, label, curve, color):
        mean = curve.groupby("t")["accuracy"].mean()  # leaves out t = nan
        if len(mean):
            style = {"color": color, "marker": "o", "label": label}
            self.lines_ += self.ax_.plot(mean.index, mean, **style)
        levels = curve[curve["t"].isna()].groupby("stacked")["accuracy"].mean()
        for stacked, accuracy in levels.items():
            style = {"linestyle": "--", "label": label}
            if stacked:  # once in the legend, which leaves out names with a _
                drawn = any(line.get_linestyle() == ":" for line in self.lines_)
                style = {"linestyle": ":", "label": "_" * drawn + "stacked"}
            self.lines_.append(self.ax_.axhline(accuracy, color=color, **style))


class LabelEfficiencyDisplay(BaseDisplay):
    """Accuracy of representations against the number of labels.

    Lines are means over draws and splits; bands are plus and minus the standard
    deviation over splits of the means over draws.

    Parameters
    ----------
    results : DataFrame
        Results of `diffrep.evaluation.compare`. "all" labels are drawn at the largest
        value of a column n_rows, if you add one, and otherwise one step to the right.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and its Figure
    lines_ : list of matplotlib Line2D
    bands_ : list of matplotlib PolyCollection
        One for each representation.
    """

    _labels = {"xlabel": "labelled rows", "ylabel": "accuracy"}
    _columns = ("representation", "split", "n_labels", "accuracy")

    @classmethod
    def from_estimators(cls, representations, X, y, *, ax=None, **kwargs):
        """Compare representations and plot a line for each.

        Parameters
        ----------
        representations : dict of str to transformer
            Not fitted.
        X, y : array-like of shape (n_samples, n_features) and (n_samples,)
        ax : matplotlib Axes, default=None
            None creates a figure.
        **kwargs
            Arguments of `diffrep.evaluation.compare`.

        Returns
        -------
        display : LabelEfficiencyDisplay
        """
        return cls.from_results(compare(representations, X, y, **kwargs), ax=ax)

    def _draw(self):
        self.lines_, self.bands_, places = [], [], self._places()
        accuracy = accuracy_over_splits(self.results).reset_index()
        for name, curve in accuracy.groupby("representation", sort=False):
            x, mean = [places[n] for n in curve["n_labels"]], curve["mean"]
            std = curve["std"].fillna(0)  # of one split
            self.lines_ += self.ax_.plot(x, mean, marker="o", label=name)
            style = {"color": self.lines_[-1].get_color(), "alpha": 0.2}
            band = self.ax_.fill_between(x, mean - std, mean + std, **style)
            self.bands_.append(band)
        self.ax_.set_xscale("log")
        self.ax_.set_xticks(list(places.values()), [str(n) for n in places])
        self.ax_.minorticks_off()

    def _places(self):
        """From the numbers of labels, "all" last, to places on the axis."""
        found = set(self.results["n_labels"])
        numbers = sorted(found - {"all"})
        places = dict(zip(numbers, numbers, strict=True))
        if "all" in found and "n_rows" in self.results:
            places["all"] = self.results["n_rows"].max()
        elif "all" in found:
            last = numbers[-1] if numbers else 1
            places["all"] = last * (last / numbers[-2] if len(numbers) > 1 else 10)
        return places
