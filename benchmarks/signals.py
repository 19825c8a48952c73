"""Representations of signals: accuracies and mean ranks on real data sets.

    pip install aeon
    python benchmarks/signals.py --csv FILE [--seeds 0 1 2]

The data sets are those that are included in aeon; zeros are appended to shorter
signals. Representations are fitted to the signals of both the training and the test
set, without labels. Logistic regression receives codes as they are, as in a Pipeline,
with five draws of 1, 3 and 10 labels of each class and with all labels of the training
set. The 10,000 features of MiniRocket are followed by ridge regression, as its authors
recommend. Prints mean ranks over data sets. Results are appended to the CSV file; those
that are in it are not computed again.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from harness import draw_ranks, ranks, run
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from diffrep import DiffusionRepresentation, VariationalDiffusionRepresentation
from diffrep.baselines import (
    AutoencoderRepresentation,
    RandomEncoderRepresentation,
    SimCLRRepresentation,
    VariationalAutoencoderRepresentation,
)

SETS = [
    "ArrowHead",
    "OSULeaf",
    "ItalyPowerDemand",
    "JapaneseVowels",
    "PickupGestureWiimoteZ",
    "ACSF1",
    "BasicMotions",
    "GunPoint",
]
LABELS = {"1": 1, "3": 3, "10": 10, "all": None}
N_DRAWS = 5
KEYS = ["set", "seed", "row"]


class Features(TransformerMixin, BaseEstimator):
    """Features of signals by a transformer of aeon."""

    def __init__(self, signal_shape, kind, random_state=None):
        self.signal_shape = signal_shape
        self.kind = kind
        self.random_state = random_state

    def fit(self, X, y=None):
        from aeon.transformations.collection.convolution_based import MiniRocket
        from aeon.transformations.collection.feature_based import Catch22

        kinds = {
            "MiniRocket": lambda: MiniRocket(random_state=self.random_state),
            "catch22": lambda: Catch22(replace_nans=True),
        }
        self.features_ = kinds[self.kind]().fit(self._signals(X))
        return self

    def transform(self, X):
        return self.features_.transform(self._signals(X))

    def _signals(self, X):
        return X.reshape(len(X), *self.signal_shape).astype(float)  # for catch22


def raw(signal_shape):
    return StandardScaler()


def pca(signal_shape):
    return make_pipeline(StandardScaler(), PCA(0.95, svd_solver="full"))


def scaled(kind):
    return lambda signal_shape: make_pipeline(
        Features(signal_shape, kind), StandardScaler()
    )


def of(estimator, **options):
    return lambda signal_shape: estimator(signal_shape=signal_shape, **options)


ROWS = {
    "raw": raw,
    "PCA": pca,
    "catch22": scaled("catch22"),
    "MiniRocket": scaled("MiniRocket"),
    "random encoder": of(RandomEncoderRepresentation),
    "AE, as in the paper": of(AutoencoderRepresentation, augment=None, init="random"),
    "start": of(DiffusionRepresentation, max_epochs=0),
    "start, large": of(DiffusionRepresentation, max_epochs=0, network_size="large"),
    "AE": of(AutoencoderRepresentation),
    "VAE": of(VariationalAutoencoderRepresentation),
    "SimCLR": of(SimCLRRepresentation),
    "DRL": of(DiffusionRepresentation),
    "VDRL": of(VariationalDiffusionRepresentation),
}


def load(name):
    """Return signals of both sets ``(n, channels, length)``, and labels."""
    from aeon.datasets import load_classification

    parts = [load_classification(name, split=split) for split in ("train", "test")]
    length = max(x.shape[1] for X, _ in parts for x in X)
    signals = []
    for X, _ in parts:
        padded = [np.pad(x, ((0, 0), (0, length - x.shape[1]))) for x in X]
        signals.append(np.stack(padded).astype(np.float32))
    return (*signals, *(y for _, y in parts))


def measure(name, seed, row):
    """Return accuracies of one method on one data set."""
    torch.set_num_threads(1)
    X_train, X_test, y_train, y_test = load(name)
    signal_shape = X_train.shape[1:]
    rows = np.concatenate([X_train, X_test]).reshape(-1, np.prod(signal_shape))
    make = ROWS[row](signal_shape)
    seeds = [key for key in make.get_params() if key.endswith("random_state")]
    make.set_params(**dict.fromkeys(seeds, seed))
    start = time.process_time()
    codes = make.fit(rows).transform(rows)
    found = {"seconds": time.process_time() - start}
    train, test = codes[: len(y_train)], codes[len(y_train) :]
    probe = partial(LogisticRegression, max_iter=1000)
    if row == "MiniRocket":
        probe = partial(RidgeClassifierCV, alphas=np.logspace(-3, 3, 10))
    for label, n in LABELS.items():
        scores = []
        for draw in range(1 if n is None else N_DRAWS):
            order = np.random.default_rng((seed, draw)).permutation(len(y_train))
            of_class = [order[y_train[order] == c][:n] for c in np.unique(y_train)]
            own = np.concatenate(of_class)
            classifier = probe().fit(train[own], y_train[own])
            scores.append(classifier.score(test, y_test))
        found[label] = np.mean(scores)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--only", nargs="+", default=list(ROWS), help="rows")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    wanted = [
        (name, seed, row)
        for seed in arguments.seeds
        for name in arguments.sets
        for row in arguments.only
    ]
    results = run(measure, wanted, KEYS, arguments.csv, arguments.jobs)
    table = results.groupby(["row", "set"])[["seconds", *LABELS]].mean()
    by_set = table.unstack("row").round(3)
    table = table.groupby("row").mean()
    for n in LABELS:
        table[f"rank, {n}"], difference, n_sets = ranks(results, ROWS, "set", n)
        print(f"{n}: {n_sets} sets, critical difference {difference:.2f}")
    print(table.loc[[row for row in ROWS if row in table.index]].round(3).to_string())
    for n in LABELS:
        print(f"\n{n} labels of each class\n{by_set[n].to_string()}")
    draw_ranks(results, ROWS, "set", [*LABELS], arguments.csv.with_suffix(".png"))


if __name__ == "__main__":
    main()
