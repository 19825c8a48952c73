"""Label propagation on codes, by neighbours, propagation and class shares.

    python benchmarks/graphs.py [mnist] --data FOLDER [--pool 10000]

Fits DRL to the pool once, without labels. Prints the accuracy on the unlabelled rows,
mean ± standard deviation over draws of the labels: balanced draws have the same number
of labels in each class, random draws have at least one.
"""

import argparse
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from diffrep import DiffusionRepresentation
from diffrep._graph import aligned, class_shares, neighbor_graph, propagated
from diffrep.datasets import DATASETS, load_dataset


def balanced(y, n_labels, order):
    """Draw the same number of rows of each class."""
    return pd.Series(order).groupby(y[order]).head(n_labels // len(np.unique(y)))


def at_random(y, n_labels, order):
    """Draw rows at random, at least one of each class."""
    first = pd.Series(order).groupby(y[order]).head(1)
    return np.unique(np.r_[first, order[: n_labels - len(first)]])


def counted(labels):
    """Class shares of LaplaceNet: those of the labelled rows."""
    counts = np.bincount(labels[labels >= 0])
    return counts / counts.sum(), np.zeros(len(counts))


def accuracies(W, labels, y):
    """Accuracy on unlabelled rows, by shares, propagation and alignment."""
    free = labels < 0
    for estimate, kind in product((counted, class_shares), ("laplace", "poisson")):
        shares, tolerance = estimate(labels)
        F = propagated(W, labels, shares, kind)
        corrected = aligned(F, labels, shares - tolerance, shares + tolerance)
        for what, scores in {"-": F, "aligned": corrected}.items():
            accuracy = np.mean(scores.argmax(axis=1)[free] == y[free])
            yield estimate.__name__, kind, what, accuracy


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", nargs="?", choices=DATASETS, default="mnist")
    parser.add_argument("--data", type=Path, help="folder of mnist.npz, cifar10*.npz")
    parser.add_argument("--pool", type=int, default=10_000, help="rows to fit on")
    parser.add_argument("--labels", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--draws", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = load_dataset(arguments.dataset, folder=arguments.data)
    n = len(data.X_train)
    pool = np.random.default_rng(0).permutation(n)[: arguments.pool]
    X, y = data.X_train[pool], data.y_train[pool]
    rep = DiffusionRepresentation(image_shape=data.image_shape, random_state=0)
    codes = rep.fit(X).transform(X)
    graphs = {k: neighbor_graph(codes, k) for k in (10, 50)}
    settings = product((balanced, at_random), arguments.labels, range(arguments.draws))
    rows = []
    for draw, n_labels, seed in settings:
        order = np.random.default_rng(seed).permutation(len(y))
        labels = np.full(len(y), -1)
        known = draw(y, n_labels, order)
        labels[known] = y[known]
        for n_neighbors, W in graphs.items():
            for shares, kind, what, accuracy in accuracies(W, labels, y):
                key = (draw.__name__, shares, kind, n_neighbors, what)
                rows.append((*key, n_labels, accuracy))
    keys = ["labelled", "shares", "propagation", "neighbours", "alignment"]
    results = pd.DataFrame(rows, columns=[*keys, "labels", "accuracy"])
    groups = results.groupby([*keys, "labels"], sort=False)["accuracy"]
    table = groups.agg(["mean", "std"]).round(3).unstack("labels").sort_index()
    print(table.swaplevel(axis=1).sort_index(axis=1).to_string())


if __name__ == "__main__":
    main()
