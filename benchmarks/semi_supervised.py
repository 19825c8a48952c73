"""Few labels and many rows without: LaplaceNet and graphs, on pixels and on codes.

    python benchmarks/semi_supervised.py [mnist] --data FOLDER [--pool 10000]

For each number of labels, mean ± standard deviation over choices of the labelled rows
of the accuracy on the test rows and, "of the pool", on its rows without a label; CPU
seconds of a fit on one thread. Representations are fitted once, on the pool without
labels, and their seconds are reported in rows of their own. ``--full`` has all rows,
60,000 images, more labels, and the views and epochs of a GPU.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed, parallel_config
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

from diffrep import DiffusionRepresentation, VariationalDiffusionRepresentation
from diffrep.baselines import AutoencoderRepresentation
from diffrep.datasets import DATASETS, load_dataset
from diffrep.semi_supervised import LaplaceNetClassifier

REPRESENTATIONS = {
    "AE": AutoencoderRepresentation,
    "DRL": DiffusionRepresentation,
    "DRL mixup": partial(DiffusionRepresentation, mixup=True),
    "VDRL": VariationalDiffusionRepresentation,
}
#: Of the graph on pixels and on codes.
SPREADING = {"kernel": "knn", "n_neighbors": 10, "alpha": 0.9, "max_iter": 200}
DEFAULT = [
    "supervised",
    "LabelSpreading",
    "LabelSpreading, DRL",
    "LaplaceNet",
    "LaplaceNet, no mixup",
    "LaplaceNet, longer",
    "LaplaceNet, DRL",
    "LaplaceNet, DRL, no mixup",
    "LaplaceNet, VDRL",
]
FULL = [
    "supervised",
    "self-training",
    "LabelSpreading",
    "LabelSpreading, DRL",
    "LaplaceNet",
    "LaplaceNet, no mixup",
    "LaplaceNet, longer",
    *(f"LaplaceNet, {name}" for name in REPRESENTATIONS),
    "LaplaceNet, DRL, no mixup",
]
LABELS = {"cifar10": [100, 1000]}


def classifier(row, representations, options, seed):
    """Unfitted classifier of a row of the table."""
    kind, *details = row.split(", ")
    representation = next(
        (representations[d] for d in details if d in representations), None
    )
    if kind in ("supervised", "self-training"):
        linear = LogisticRegression(max_iter=2000)
        return linear if kind == "supervised" else SelfTrainingClassifier(linear)
    if kind == "LabelSpreading":
        spreading = LabelSpreading(**SPREADING)
        if representation is None:
            return spreading
        return make_pipeline(FrozenEstimator(representation), spreading)
    options = {**options, "mixup": "no mixup" not in details, "random_state": seed}
    if "longer" in details:
        options["max_epochs"] *= 3
    return LaplaceNetClassifier(representation, **options)


def measure(row, n_labels, split, data, representations, options):
    """Accuracies of one classifier with one choice of the labelled rows."""
    torch.set_num_threads(1)
    X, y = data.X_train, data.y_train
    # As many of each class.
    order = np.random.default_rng(split).permutation(len(y))
    chosen = pd.Series(order).groupby(y[order]).head(n_labels // len(np.unique(y)))
    labels = np.full(len(y), -1)
    labels[chosen] = y[chosen]
    model = classifier(row, representations, options, split)
    scale = FunctionTransformer(lambda rows: rows / np.float32(X.max()))
    pixels = row.startswith(("supervised", "self-training")) or row == "LabelSpreading"
    model = make_pipeline(scale, model) if pixels else model
    known = np.flatnonzero(labels >= 0) if row == "supervised" else slice(None)
    start = time.process_time()
    model.fit(X[known], labels[known])
    seconds = time.process_time() - start
    last = model[-1] if hasattr(model, "steps") else model
    called = getattr(last, "transduction_", None)
    called = model.predict(X) if called is None else called
    free = labels < 0
    return {
        "row": row,
        "labels": n_labels,
        "test": np.mean(model.predict(data.X_test) == data.y_test),
        "of the pool": np.mean(called[free] == y[free]),
        "CPU s": seconds,
    }


def fitted(name, data):
    """Representation of the pool, and CPU seconds of its fit."""
    torch.set_num_threads(1)
    start = time.process_time()
    make = REPRESENTATIONS[name]
    rep = make(image_shape=data.image_shape, random_state=0).fit(data.X_train)
    return rep, time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", nargs="?", choices=DATASETS, default="mnist")
    parser.add_argument("--data", type=Path, help="folder of mnist.npz, cifar10*.npz")
    parser.add_argument("--pool", type=int, help="rows to fit on, 10,000 by default")
    parser.add_argument("--labels", type=int, nargs="+")
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8, help="with a graph")
    parser.add_argument("--only", nargs="+", help="rows of the table")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = load_dataset(arguments.dataset, folder=arguments.data)
    full = arguments.full
    pool = arguments.pool or (len(data.X_train) if full else 10_000)
    chosen = np.random.default_rng(0).permutation(len(data.X_train))[:pool]
    data.X_train, data.y_train = data.X_train[chosen], data.y_train[chosen]
    rows = arguments.only or (FULL if full else DEFAULT)
    n_labels = [10, 100, 1000] if full else [100]
    n_labels = arguments.labels or LABELS.get(arguments.dataset, n_labels)
    options = {
        "image_shape": data.image_shape,
        "n_views": 3 if full else 1,
        "max_epochs": 100 if full else arguments.epochs,
    }
    names = {part for row in rows for part in row.split(", ")} & set(REPRESENTATIONS)
    with parallel_config("loky", inner_max_num_threads=1):
        run = Parallel(n_jobs=arguments.jobs)
        pairs = run(delayed(fitted)(name, data) for name in sorted(names))
        found = dict(zip(sorted(names), pairs, strict=True))
        for name, (_, seconds) in found.items():
            print(f"fit of {name}: {seconds:.0f} CPU s", flush=True)
        representations = {name: rep for name, (rep, _) in found.items()}
        results = []
        for found in Parallel(n_jobs=arguments.jobs, return_as="generator")(
            delayed(measure)(row, n, split, data, representations, options)
            for n in n_labels
            for row in rows
            for split in range(arguments.splits)
        ):
            print(*found.values(), flush=True)
            results.append(found)
    results = pd.DataFrame(results).groupby(["labels", "row"], sort=False)
    table = results[["test", "of the pool"]].agg(["mean", "std"]).round(4)
    table["CPU s", "mean"] = results["CPU s"].mean().round()
    print(f"\n{arguments.dataset}, {len(chosen)} rows\n{table.to_string()}")


if __name__ == "__main__":
    main()
