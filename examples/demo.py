"""Few labels, many rows: accuracy on the digits with 20 labels to all of them.

Every representation is fitted on the training rows without their labels; a
logistic regression then learns from the labelled ones. Test rows are never
seen before they are predicted. Printed are means over splits, and after the
sign the standard deviation over splits.

    python examples/demo.py [--jobs 2] [--splits 3] [--quick]
"""

import argparse
import time

import numpy as np
import pandas as pd
from joblib import Parallel, delayed, parallel_config
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import FunctionTransformer

from diffrep import DiffusionRepresentation, VariationalDiffusionRepresentation
from diffrep.baselines import RandomEncoderRepresentation

N_LABELS = [20, 50, 100, "all"]
N_DRAWS = 10  # choices of the labelled rows per split, averaged

IMAGES = {"image_shape": (1, 8, 8), "random_state": 0}

REPRESENTATIONS = {
    "raw pixels": FunctionTransformer(),
    "PCA": PCA(32),
    "random encoder": RandomEncoderRepresentation(**IMAGES),
    "start, untrained": RandomEncoderRepresentation(**IMAGES, init="pca"),
    "DRL": DiffusionRepresentation(**IMAGES),
    "VDRL": VariationalDiffusionRepresentation(**IMAGES),
    "DRL, t_grid=4": DiffusionRepresentation(**IMAGES, t_grid=4),
}


def probe(codes, y, codes_test, y_test, n_labels, seed):
    """Test accuracy of a linear classifier on some of the labels."""
    labelled = np.arange(len(y))
    if n_labels != "all":
        labelled, _ = train_test_split(
            labelled, train_size=n_labels, stratify=y, random_state=seed
        )
    # One scale for all columns: to give each its own would blow up the small
    # principal components and spoil PCA.
    scale = codes.std()
    classifier = LogisticRegression(max_iter=5000)
    classifier.fit(codes[labelled] / scale, y[labelled])
    return classifier.score(codes_test / scale, y_test)


def run(name, representation, split, load=load_digits):
    """Fit one representation on one split; one result per number of labels."""
    X, y = load(return_X_y=True)
    X, X_test, y, y_test = train_test_split(
        X, y, test_size=1 / 3, stratify=y, random_state=split
    )
    start = time.process_time()
    codes = representation.fit(X).transform(X)
    seconds = time.process_time() - start
    codes_test = representation.transform(X_test)
    return [
        {
            "features": name,
            "labels": str(n_labels),
            "CPU s": seconds,
            "accuracy": np.mean(
                [
                    probe(codes, y, codes_test, y_test, n_labels, seed)
                    for seed in range(N_DRAWS if n_labels != "all" else 1)
                ]
            ),
        }
        for n_labels in N_LABELS
    ]


def table(representations, jobs=2, splits=3, load=load_digits):
    """Accuracy by representation and number of labels, as text in a DataFrame."""
    tasks = [
        delayed(run)(name, representation, split, load)
        for name, representation in reversed(representations.items())
        for split in range(splits)
    ]
    # Worker processes with one thread each: two torch threads that share a
    # core are many times slower than one.
    with parallel_config("loky", inner_max_num_threads=1):
        rows = Parallel(n_jobs=jobs)(tasks)
    runs = pd.DataFrame(row for task in rows for row in task)

    cells = runs.groupby(["features", "labels"])["accuracy"].agg(["mean", "std"])
    accuracy = (
        cells.apply(lambda cell: f"{cell['mean']:.3f} ±{cell['std']:.3f}", axis=1)
        .unstack()
        .loc[list(representations), [str(n) for n in N_LABELS]]
    )
    accuracy["CPU s"] = runs.groupby("features")["CPU s"].mean().round(1)
    return accuracy.rename_axis(index=None, columns="labels")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2, help="fits at a time")
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one epoch, to try it out")
    arguments = parser.parse_args()

    if arguments.quick:
        for representation in REPRESENTATIONS.values():
            if "max_epochs" in representation.get_params():
                representation.set_params(max_epochs=1)

    start = time.perf_counter()
    print(table(REPRESENTATIONS, arguments.jobs, arguments.splits).to_string())
    print(f"\n{time.perf_counter() - start:.0f} s on {arguments.jobs} jobs")


if __name__ == "__main__":
    main()
