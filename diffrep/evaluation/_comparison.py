"""Comparison of representations by the accuracy of a probe with few labels."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral

import numpy as np
import pandas as pd
from joblib import Parallel, delayed, parallel_config
from scipy import stats
from sklearn.model_selection import StratifiedShuffleSplit, check_cv

from diffrep._validation import HasMethods, Interval, validate_params
from diffrep.evaluation._probing import (
    check_columns,
    check_has,
    check_labels,
    check_representations,
    dense,
    fit_and_probe,
    integer_seed,
    probe_codes,
    usable,
)

__all__ = [
    "accuracy_over_splits",
    "accuracy_table",
    "compare",
    "label_efficiency",
    "paired_difference",
]

N_LABELS = (10, 100, 1000, "all")

DRAWS = {
    "n_draws": [Interval(Integral, 1, None, closed="left")],
    "probe": [None, HasMethods(["fit", "predict"])],
    "random_state": ["random_state"],
}


@validate_params(DRAWS, prefer_skip_nested_validation=True)
def label_efficiency(
    representation,
    X,
    y,
    X_test,
    y_test,
    *,
    n_labels=N_LABELS,
    n_draws=10,
    probe=None,
    random_state=0,
):
    """Compute the accuracy of a probe trained on codes of a few labelled rows.

    Parameters
    ----------
    representation : transformer
        Fitted on `X` or on other rows without labels, but not on `X_test`.
    X : array-like of shape (n_samples, n_features)
        Rows from which the labelled ones are drawn.
    y : array-like of shape (n_samples,)
        Their classes.
    X_test : array-like of shape (n_test, n_features)
    y_test : array-like of shape (n_test,)
    n_labels : sequence of int or "all", default=(10, 100, 1000, "all")
        Numbers of labelled rows. Numbers below the number of classes or not below
        n_samples are left out.
    n_draws : int, default=10
        Number of draws of the labelled rows; "all" has one. Draws are stratified, or
        have the same number of rows of each class if the rarest class might be
        missing. They depend only on `y` and `random_state`, so all representations
        use the same ones.
    probe : classifier, default=None
        Cloned for each draw. None is a `LogisticRegression` with a tolerance for which
        60,000 rows take seconds.
    random_state : int, RandomState instance or None, default=0
        Seed of the draws.

    Returns
    -------
    results : DataFrame
        Columns n_labels (int or "all"), draw, accuracy (share of the test rows).

    Raises
    ------
    TypeError
        If the representation has no method `transform`.
    ValueError
        If lengths do not match, labels are missing or are not classes, or if no number
        of labels is possible.
    """
    check_has(representation, "transform")
    y, y_test = check_labels(X, y), check_labels(X_test, y_test)
    codes = dense(representation.transform(X))
    codes_test = dense(representation.transform(X_test))
    seed = integer_seed(random_state)
    return probe_codes(codes, y, codes_test, y_test, n_labels, n_draws, probe, seed)


@validate_params(
    {
        **DRAWS,
        "cv": [
            Interval(Integral, 1, None, closed="left"),
            HasMethods("split"),
            Iterable,
        ],
    },
    prefer_skip_nested_validation=True,
)
def compare(
    representations,
    X,
    y,
    *,
    cv=3,
    n_labels=N_LABELS,
    n_draws=10,
    probe=None,
    random_state=0,
    n_jobs=None,
):
    """Fit representations on splits of the rows and compare them with few labels.

    Parameters
    ----------
    representations : dict of str to transformer
        Unfitted; clones are fitted on the training rows without their labels.
    X : array-like of shape (n_samples, n_features)
    y : array-like of shape (n_samples,)
    cv : int, splitter or iterable of (train, test), default=3
        An int is a `StratifiedShuffleSplit` with a third of the rows for
        testing. ``[(train, test)] * 3`` gives one split three seeds.
    n_labels, n_draws, probe : optional
        See `label_efficiency`.
    random_state : int, RandomState instance or None, default=0
        Seed of the splits and draws. For split i, all parameters named
        ``random_state`` of a clone, including those of its steps, are set to the seed
        plus i.
    n_jobs : int or None, default=None
        Number of parallel fits, each in a process with one thread.

    Returns
    -------
    results : DataFrame
        Columns representation, split, n_labels, draw, accuracy; of the split,
        fit_seconds (CPU time of ``fit`` in its process), rows_per_second (wall
        clock of ``transform`` on the test rows) and n_columns of the codes.

    Raises
    ------
    TypeError
        If `representations` is not a dict of transformers.
    ValueError
        As for `label_efficiency`.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from diffrep.evaluation import compare
    >>> results = compare(
    ...     {"2 components": PCA(2), "16 components": PCA(16)},
    ...     *load_digits(return_X_y=True),
    ...     n_labels=[50],
    ... )
    >>> accuracy = results.groupby("representation")["accuracy"].mean()
    >>> accuracy.idxmax()
    '16 components'

    """
    check_representations(representations)
    X = X if hasattr(X, "shape") else np.asarray(X)
    y, seed = check_labels(X, y), integer_seed(random_state)
    if isinstance(cv, Integral):
        cv = StratifiedShuffleSplit(int(cv), test_size=1 / 3, random_state=seed)
    splits = list(check_cv(cv).split(X, y))
    if not splits:
        raise ValueError("cv has no splits. Pass at least one pair (train, test).")
    for train, _ in splits:
        usable(n_labels, y[train])  # before fits, which may take minutes
    tasks = [
        delayed(fit_and_probe)(
            representation, X, y, train, test, n_labels, n_draws, probe, seed + split
        )
        for representation in representations.values()
        for split, (train, test) in enumerate(splits)
    ]
    # Worker processes with one thread each: two torch threads that share a
    # core are many times slower than one.
    with parallel_config("loky", inner_max_num_threads=1):
        frames = Parallel(n_jobs=n_jobs)(tasks)
    keys = [(name, split) for name in representations for split in range(len(splits))]
    return (
        pd.concat(frames, keys=keys, names=["representation", "split"])
        .reset_index(["representation", "split"])
        .reset_index(drop=True)
    )


def accuracy_over_splits(results):
    """Summarise accuracy by representation and number of labels.

    Parameters
    ----------
    results : DataFrame
        Result of `compare`.

    Returns
    -------
    accuracy : DataFrame
        Indexed by (representation, n_labels), in the order of `results`. Columns mean,
        std and count are over splits, of means over draws. The standard deviation for
        one split is nan.

    Raises
    ------
    ValueError
        If columns are missing from `results`.
    """
    keys = ["representation", "n_labels"]
    check_columns(results, *keys, "split", "accuracy")
    by_split = results.groupby([*keys, "split"], sort=False)["accuracy"].mean()
    return by_split.groupby(level=keys, sort=False).agg(["mean", "std", "count"])


def accuracy_table(results):
    """Format accuracy and cost of representations as a table of text.

    Parameters
    ----------
    results : DataFrame
        Result of `compare`.

    Returns
    -------
    table : DataFrame of str
        Columns: each of n_labels, "mean ±std" of the accuracy over splits, or
        the mean alone of one split; then the means over splits of "CPU s" of
        ``fit``, "rows/s" of ``transform`` and "columns" of the codes.

    Raises
    ------
    ValueError
        If columns are missing from `results`.
    """
    check_columns(results, "representation", "n_labels", "fit_seconds")
    table = pd.DataFrame(
        index=pd.Index(results["representation"].unique(), name=None),
        columns=pd.Index(results["n_labels"].unique(), dtype=object),
        dtype=object,
    )
    for (name, n), (mean, std, count) in accuracy_over_splits(results).iterrows():
        table.loc[name, n] = f"{mean:.3f} ±{std:.3f}" if count > 1 else f"{mean:.3f}"
    per_split = results.drop_duplicates(["representation", "split"])
    costs = per_split.groupby("representation").mean(numeric_only=True)
    table["CPU s"] = costs["fit_seconds"].map("{:.1f}".format)
    table["rows/s"] = costs["rows_per_second"].map("{:,.0f}".format)
    table["columns"] = costs["n_columns"].map("{:.0f}".format)
    return table.fillna("").rename_axis(columns="n_labels")


def paired_difference(results, first, second, *, level=0.95):
    """Compute the difference in accuracy of two representations.

    Differences of means over draws are paired by split, with Student's t interval over
    splits. Splits that share rows are not independent, so the interval of ``cv=3`` is
    too short. An interval over seeds on one split only covers the variation of seeds.
    See Nadeau and Bengio, Machine Learning 52, 2003.

    Parameters
    ----------
    results : DataFrame
        Result of `compare`.
    first, second : str
        Names of representations.
    level : float, default=0.95
        Confidence of the interval, between 0 and 1.

    Returns
    -------
    differences : DataFrame
        Columns n_labels, difference, low, high, n_splits. The interval is nan for one
        split.

    Raises
    ------
    ValueError
        If a name or columns are missing from `results`, or `level` is not between 0
        and 1.
    """
    check_columns(results, "representation", "n_labels", "split", "accuracy")
    known = list(results["representation"].unique())
    for name in (first, second):
        if name not in known:
            raise ValueError(
                f"There is no representation {name!r} in the results; there are "
                f"{known}. Give two of these."
            )
    if not 0 < level < 1:
        raise ValueError(
            f"level={level!r} must be between 0 and 1. Give 0.95 for 95 per cent."
        )
    means = results.groupby(["representation", "n_labels", "split"], sort=False)
    means = means["accuracy"].mean()
    pairs = pd.concat([means[first], means[second]], axis=1, join="inner")
    difference = pairs.iloc[:, 0] - pairs.iloc[:, 1]
    rows = difference.groupby("n_labels", sort=False).agg(["mean", "sem", "count"])
    half = stats.t.ppf((1 + level) / 2, rows["count"] - 1) * rows["sem"]
    columns = {
        "difference": rows["mean"],
        "low": rows["mean"] - half,
        "high": rows["mean"] + half,
        "n_splits": rows["count"],
    }
    return pd.DataFrame(columns).reset_index()
