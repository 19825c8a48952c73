"""Classifiers of curves of codes, compared with single times.

    python benchmarks/trajectories.py [digits] [--labels 100]

Fits DRL once for each split, with codes at several times, and trains all heads of
`TrajectoryClassifier` on the labelled rows. They are compared with logistic regression
on all times side by side, on each time and on the time chosen by `TimeSelector`, and
with the vote over times. "Best single time" is the time with the highest accuracy on
the test rows, which favours it.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed, parallel_config
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from diffrep import DiffusionRepresentation
from diffrep.core.heads import HEADS
from diffrep.datasets import DATASETS, load_dataset
from diffrep.trajectory import (
    TimeSelector,
    TimeVotingClassifier,
    TrajectoryClassifier,
)


def measure(name, folder, rows, n_labels, n_times, split):
    """Return test accuracies on one split."""
    torch.set_num_threads(1)
    data = load_dataset(name, folder=folder, random_state=split)
    X, y = data.X_train[:rows], data.y_train[:rows]
    rep = DiffusionRepresentation(
        t_grid=n_times, image_shape=data.image_shape, random_state=split
    )
    curves, test = rep.fit(X).transform(X), rep.transform(data.X_test)
    known = slice(None)
    if n_labels:
        known, _ = train_test_split(
            np.arange(len(y)), train_size=n_labels, stratify=y, random_state=split
        )

    found = {}
    for head in HEADS:
        classifier = TrajectoryClassifier(
            n_times=n_times, head=head, random_state=split
        )
        classifier.fit(curves[known], y[known])
        found[head] = classifier.score(test, data.y_test)
    linear = LogisticRegression(max_iter=5000)
    stacks = {
        "logistic regression": linear,
        "TimeSelector": make_pipeline(TimeSelector(n_times), linear),
        "TimeVotingClassifier": TimeVotingClassifier(linear, n_times=n_times),
    }
    for row, classifier in stacks.items():
        classifier.fit(curves[known], y[known])
        found[row] = classifier.score(test, data.y_test)
    single = []
    for codes, codes_test in zip(
        np.split(curves, n_times, axis=1), np.split(test, n_times, axis=1), strict=True
    ):
        linear.fit(codes[known], y[known])
        single.append(linear.score(codes_test, data.y_test))
        found[f"logistic regression, time {len(single)}"] = single[-1]
    return {**found, "best single time": max(single)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", nargs="?", choices=DATASETS, default="digits")
    parser.add_argument("--data", type=Path, help="folder of mnist.npz, cifar10*.npz")
    parser.add_argument("--rows", type=int, help="rows to fit on")
    parser.add_argument("--labels", type=int, help="labelled rows, all by default")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    with parallel_config("loky", inner_max_num_threads=1):
        results = Parallel(n_jobs=arguments.jobs)(
            delayed(measure)(
                arguments.dataset,
                arguments.data,
                arguments.rows,
                arguments.labels,
                arguments.times,
                split,
            )
            for split in range(arguments.splits)
        )
    table = pd.DataFrame(results)
    gain = table.sub(table["best single time"], axis=0)
    summary = pd.DataFrame({"accuracy": table.mean(), "std": table.std()})
    summary["less best single time"] = gain.mean()
    summary["std of it"] = gain.std()
    print(summary.round(4).to_string())


if __name__ == "__main__":
    main()
