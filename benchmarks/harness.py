"""Results in a CSV file, and mean ranks, of benchmarks on many data sets."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from joblib import Parallel, delayed, parallel_config
from scipy.stats import studentized_range


def run(measure, wanted, keys, csv, n_jobs):
    """Append ``measure(*key)`` to a CSV for each key that is not in it; return all.

    Keys that are in the file are not measured again.

    Parameters
    ----------
    measure : callable
        Returns one row as a dict of figures, or a list of rows.
    wanted : list of tuple
        Values of `keys`.
    keys : list of str
    csv : path-like
    n_jobs : int
        Number of processes, of one thread each.
    """
    csv, done = Path(csv), set()
    types = {key: type(value) for key, value in zip(keys, wanted[0], strict=True)}
    if csv.exists():
        results = pd.read_csv(csv, dtype=types)
        done = set(results[keys].itertuples(index=False, name=None))
    todo = [key for key in wanted if key not in done]
    with parallel_config("loky", inner_max_num_threads=1):
        found = Parallel(n_jobs=n_jobs, return_as="generator")(
            delayed(measure)(*key) for key in todo
        )
        for key, figures in zip(todo, found, strict=True):
            rows = figures if isinstance(figures, list) else [figures]
            names = dict(zip(keys, key, strict=True))
            frame = pd.DataFrame([names | row for row in rows])
            frame.to_csv(csv, mode="a", header=not csv.exists(), index=False)
    return pd.read_csv(csv, dtype=types)


def labelled(y, n, seeds):
    """Choose n rows in a random order: the first of every class, then the second."""
    order = np.random.default_rng(seeds).permutation(len(y))
    place = pd.Series(order).groupby(y[order]).cumcount().to_numpy()
    return order[np.argsort(place, kind="stable")[:n]]


def ranks(results, rows, data, column):
    """Mean ranks of `rows` over data sets, and their critical difference.

    Parameters
    ----------
    results : DataFrame
        With columns "row", `data` and `column`, an accuracy.
    rows : iterable of str
        Methods that are ranked.
    data : str
        Column that names the data set.
    column : str

    Returns
    -------
    ranks : Series
        Mean ranks; 1 is the best.
    difference : float
        Critical difference at 5 % of Nemenyi's test (Demšar, "Statistical Comparisons
        of Classifiers over Multiple Data Sets", 2006).
    n_sets : int
        Number of data sets on which all rows were measured.
    """
    means = results[results["row"].isin(list(rows))].dropna(subset=column)
    means = means.groupby([data, "row"])[column].mean().unstack().dropna()
    n_sets, n_rows = means.shape
    q = studentized_range.ppf(0.95, n_rows, np.inf) / np.sqrt(2)
    difference = q * np.sqrt(n_rows * (n_rows + 1) / (6 * n_sets))
    return means.round(6).rank(axis=1, ascending=False).mean(), difference, n_sets


def draw_ranks(results, rows, data, columns, path):
    """Draw mean ranks by number of labels, with the critical difference."""
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    mean_ranks = pd.DataFrame({n: ranks(results, rows, data, n)[0] for n in columns})
    for row in mean_ranks.mean(axis=1).sort_values().index:
        axes.plot(columns, mean_ranks.loc[row], marker="o", label=row)
    difference = ranks(results, rows, data, columns[-1])[1]
    place, middle = len(columns) - 0.6, mean_ranks.mean().mean()
    axes.errorbar(place, middle, difference / 2, color="k", capsize=4)
    axes.text(place + 0.1, middle, "critical\ndifference", va="center")
    axes.set(xlim=(-0.2, place + 0.9), ylabel="mean rank", xlabel="labels")
    axes.invert_yaxis()
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=120)
