"""Draws of labelled rows, probes on codes, and single fits of a comparison."""

from __future__ import annotations

import time
from numbers import Integral

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC
from sklearn.utils import check_consistent_length, column_or_1d

from diffrep._validation import check_class_labels, check_transformer, draw_seed

__all__ = [
    "check_columns",
    "check_has",
    "check_labels",
    "check_representations",
    "codes_by_time",
    "default_probes",
    "dense",
    "draw_labelled",
    "fit_and_probe",
    "integer_seed",
    "probe_codes",
    "times_or_default",
    "usable",
]

#: Root mean squared length of the centred codes that probes receive.
LENGTH = 4.0


def fit_and_probe(representation, X, y, train, test, n_labels, n_draws, probe, seed):
    """Results of one representation on one split."""
    representation = clone(representation)
    names = [
        p for p in representation.get_params() if p.split("__")[-1] == "random_state"
    ]
    representation.set_params(**dict.fromkeys(names, seed))
    X, X_test = _take(X, train), _take(X, test)
    start = time.process_time()
    representation.fit(X, None)  # FrozenEstimator requires the second argument
    fit_seconds = time.process_time() - start
    codes = dense(representation.transform(X))
    start = time.perf_counter()
    codes_test = dense(representation.transform(X_test))
    seconds = time.perf_counter() - start
    return probe_codes(
        codes, y[train], codes_test, y[test], n_labels, n_draws, probe, seed
    ).assign(
        fit_seconds=fit_seconds,
        rows_per_second=len(codes_test) / seconds,
        n_columns=codes.shape[1],
    )


def _linear_probe():
    # On 60,000 rows scikit-learn's 1e-4 takes twice as long for the same accuracy.
    return LogisticRegression(tol=3e-4, max_iter=2000)


def default_probes(seed):
    """Return the probes of `probe_over_time` by name."""
    return {
        "linear": _linear_probe(),
        "mlp": MLPClassifier((512,), early_stopping=True, random_state=seed),
        "svm": SVC(random_state=seed),
        "knn": KNeighborsClassifier(10),
    }


def probe_codes(codes, y, codes_test, y_test, n_labels, n_draws, probe, seed):
    """Accuracy by number of labels and draw."""
    probe = _linear_probe() if probe is None else probe
    # All columns have the same scale, since a scale for each would enlarge the small
    # components of a PCA. Rotations of the codes and columns of zeros do not change
    # the effect of the penalty of the probe.
    centre = codes.mean(axis=0)
    length = np.sqrt(np.square(codes - centre).sum(axis=1).mean()) or 1.0
    codes, codes_test = (LENGTH * (c - centre) / length for c in (codes, codes_test))
    rows = []
    for n in usable(n_labels, y):
        for draw in range(1 if n == "all" else n_draws):
            labelled = slice(None) if n == "all" else draw_labelled(y, n, (seed, draw))
            classifier = clone(probe).fit(codes[labelled], y[labelled])
            accuracy = np.mean(classifier.predict(codes_test) == y_test)
            rows.append((n, draw, accuracy))
    results = pd.DataFrame(rows, columns=["n_labels", "draw", "accuracy"])
    return results.astype({"n_labels": object})


def usable(n_labels, y):
    """Return the numbers of labels that can be drawn."""
    if isinstance(n_labels, str | Integral):
        n_labels = [n_labels]
    wrong = [n for n in n_labels if n != "all" and not isinstance(n, Integral)]
    if wrong:
        raise ValueError(
            f"n_labels contains {wrong[0]!r}; expected integers and 'all', such as "
            "[10, 100, 'all']."
        )
    classes = np.unique(y).tolist()
    n_classes = len(classes)
    if n_classes < 2:
        raise ValueError(
            f"y has one class, {classes[0]!r}; accuracies need at least 2 classes."
        )
    found = [n for n in n_labels if n == "all" or n_classes <= n < len(y)]
    if not found:
        raise ValueError(
            f"n_labels={list(n_labels)} has no number between the {n_classes} classes "
            f"and the {len(y)} rows. Add one, or 'all'."
        )
    return found


def draw_labelled(y, n, seeds):
    """Return n row indices with all classes, stratified if that is possible."""
    seed = int(np.random.SeedSequence(seeds).generate_state(1)[0])
    counts = np.unique(y, return_counts=True)[1]
    if (n * counts // len(y)).min() >= 1 and len(y) - n >= len(counts):
        return train_test_split(
            np.arange(len(y)), train_size=n, stratify=y, random_state=seed
        )[0]
    order = np.random.default_rng(seed).permutation(len(y))
    # The first of every class, then the second of every class, and so on.
    place = pd.Series(order).groupby(y[order]).cumcount().to_numpy()
    return order[np.argsort(place, kind="stable")[:n]]


def check_labels(X, y):
    """Return y as a column, one class for each row."""
    y = column_or_1d(y)
    check_consistent_length(X, y)
    check_class_labels(y)
    return y


def check_columns(results, *columns):
    """Raise an error if results are not a data frame with these columns."""
    missing = [c for c in columns if c not in getattr(results, "columns", ())]
    if missing:
        raise ValueError(
            f"results lacks the columns {', '.join(missing)}. Pass the DataFrame that "
            "the function of diffrep.evaluation named in the documentation returned."
        )


def check_representations(representations):
    """Raise an error if representations are not a dict of transformers by name."""
    if not isinstance(representations, dict) or not representations:
        raise TypeError(
            f"representations={representations!r} must be a dict from names to "
            "transformers. Pass {'PCA': PCA(16)}, for instance."
        )
    for name, representation in representations.items():
        check_transformer(name, representation)


def check_has(estimator, name):
    """Raise TypeError unless an estimator has an attribute of trained ones."""
    if isinstance(estimator, type) or not hasattr(estimator, name):
        raise TypeError(
            f"{estimator!r} has no {name}. Pass a DiffusionRepresentation or another "
            "fitted estimator of diffrep that has it; of a pipeline, pass this step."
        )


def integer_seed(random_state):
    """Return an integer unchanged, and otherwise draw a seed."""
    if isinstance(random_state, Integral):
        return int(random_state)
    return draw_seed(random_state)


def times_or_default(times):
    """Return times as an array; None is eleven times from 0 to 1."""
    if times is None:
        return np.linspace(0, 1, 11)
    return np.atleast_1d(np.asarray(times, dtype=float))


def codes_by_time(representation, X, times):
    """Return pairs of time and codes, or one pair with t = nan for static codes."""
    if getattr(representation, "t_grid_", None) is None:
        check_has(representation, "transform")
        return [(np.nan, dense(representation.transform(X)))]
    check_has(representation, "encode")
    times = times_or_default(times)
    curves = representation.encode(X, times)
    return [(t, curves[:, i]) for i, t in enumerate(times)]


def _take(X, index):
    return X.iloc[index] if hasattr(X, "iloc") else X[index]


def dense(codes):
    """Return codes as a dense array of floats."""
    codes = np.asarray(codes.toarray() if hasattr(codes, "toarray") else codes)
    return codes if codes.dtype.kind == "f" else codes.astype(np.float32)
