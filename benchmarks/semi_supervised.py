"""Classification with few labels: LaplaceNet and graphs, on pixels and on codes.

    python benchmarks/semi_supervised.py [mnist] --data FOLDER --csv FILE

For each number of labels, prints mean ± standard deviation over draws of the labels of
the accuracy on test rows and on the unlabelled rows of `fit` ("pool"), and the CPU
seconds of a fit on one thread. Representations are fitted once, to the pool without
labels. Results are appended to the CSV file; those that are in it are not computed
again. Then prints paired differences to LaplaceNet from scratch. ``--full`` uses all
60,000 images, more labels, and the views and epochs of a fit on a GPU.
"""

import argparse
import copy
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from harness import run
from joblib import Parallel, delayed, parallel_config
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

from diffrep import (
    DiffusionRepresentation,
    VariationalDiffusionRepresentation,
    load,
)
from diffrep.baselines import AutoencoderRepresentation
from diffrep.datasets import DATASETS, load_dataset
from diffrep.semi_supervised import LaplaceNetClassifier
from diffrep.trajectory import TimeSelector

REPRESENTATIONS = {
    "start": partial(DiffusionRepresentation, max_epochs=0),
    "AE": AutoencoderRepresentation,
    "DRL": DiffusionRepresentation,
    "DRL mixup": partial(DiffusionRepresentation, mixup=True),
    "VDRL": VariationalDiffusionRepresentation,
}
#: Number of neighbours in the graphs on pixels and on codes.
SPREADING = {"kernel": "knn", "n_neighbors": 10, "alpha": 0.9, "max_iter": 200}
STARTS = ["start", "AE", "DRL", "VDRL", "DRL, chosen t"]
#: "50 first": epochs on the labelled rows, which are the default from scratch.
WAYS = ["", ", no mixup", ", 50 first", ", 50 first, no mixup"]
DEFAULT = [
    "supervised",
    "LabelSpreading",
    "LabelSpreading, DRL",
    "LaplaceNet",
    "LaplaceNet, no mixup",
    *(f"LaplaceNet, {start}{way}" for start in STARTS for way in WAYS),
]
FULL = ["self-training", *DEFAULT, "LaplaceNet, DRL mixup"]
KEYS = ["dataset", "pool", "epochs", "labels", "row", "split"]


def chosen_time(representation, X, labels):
    """Return a copy with the codes of the one of six times that is best for labels."""
    times = np.linspace(0, 1, 6)
    known = np.flatnonzero(labels >= 0)
    codes = representation.encode(X[known], times).reshape(len(known), -1)
    selector = TimeSelector(len(times)).fit(codes, labels[known])
    copied = copy.copy(representation)
    copied.t_grid_ = times[[selector.index_]]
    return copied


def classifier(row, representations, options, X, labels):
    """Return the unfitted classifier of a row of the table."""
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
    if "chosen t" in details:
        representation = chosen_time(representation, X, labels)
    if "no mixup" in details:
        options = {**options, "mixup": False}
    if "50 first" in details:
        options = {**options, "supervised_epochs": 50}
    return LaplaceNetClassifier(representation, **options)


def measure(
    dataset, pool, epochs, n_labels, row, split, *, data, representations, options
):
    """Return accuracies of one classifier for one draw of the labels."""
    epochs = epochs if epochs == "auto" else int(epochs)
    torch.set_num_threads(1)
    X, y = data.X_train, data.y_train
    # The same number of each class.
    order = np.random.default_rng(split).permutation(len(y))
    chosen = pd.Series(order).groupby(y[order]).head(n_labels // len(np.unique(y)))
    labels = np.full(len(y), -1)
    labels[chosen] = y[chosen]
    options = {**options, "max_epochs": epochs, "random_state": split}
    model = classifier(row, representations, options, X, labels)
    scale = FunctionTransformer(lambda rows: rows / np.float32(X.max()))
    pixels = row.startswith(("supervised", "self-training")) or row == "LabelSpreading"
    model = make_pipeline(scale, model) if pixels else model
    known = np.flatnonzero(labels >= 0) if row == "supervised" else slice(None)
    start = time.process_time()
    model.fit(X[known], labels[known])
    seconds = time.process_time() - start
    last = model[-1] if hasattr(model, "steps") else model
    pseudo = getattr(last, "transduction_", None)
    pseudo = model.predict(X) if pseudo is None else pseudo
    free = labels < 0
    return {
        "test": np.mean(model.predict(data.X_test) == data.y_test),
        "of the pool": np.mean(pseudo[free] == y[free]),
        "CPU s": seconds,
    }


def fitted(name, data, folder):
    """Return the representation of the pool, stored in `folder`."""
    torch.set_num_threads(1)
    file = folder / f"{name}-{len(data.X_train)}.drl"
    if file.exists():
        return load(file)
    make = REPRESENTATIONS[name]
    rep = make(image_shape=data.image_shape, random_state=0).fit(data.X_train)
    rep.save(file)
    return rep


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", nargs="?", choices=DATASETS, default="mnist")
    parser.add_argument("--data", type=Path, help="folder of mnist.npz, cifar10*.npz")
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--pool", type=int, help="rows to fit on, 5,000 by default")
    parser.add_argument("--labels", type=int, nargs="+", default=[20, 100, 1000])
    parser.add_argument("--splits", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", nargs="+", default=["auto"], help="with a graph")
    parser.add_argument("--only", nargs="+", help="rows of the table")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = load_dataset(arguments.dataset, folder=arguments.data)
    full = arguments.full
    pool = arguments.pool or (len(data.X_train) if full else 5000)
    chosen = np.random.default_rng(0).permutation(len(data.X_train))[:pool]
    data.X_train, data.y_train = data.X_train[chosen], data.y_train[chosen]
    rows = arguments.only or (FULL if full else DEFAULT)
    options = {"image_shape": data.image_shape, "n_views": 3 if full else 1}
    wanted = [
        (arguments.dataset, len(chosen), str(epochs), n, row, split)
        for split in arguments.splits
        for epochs in arguments.epochs
        for n in arguments.labels
        for row in rows
    ]
    names = {part for row in rows for part in row.split(", ")}
    names = sorted(names & set(REPRESENTATIONS))
    with parallel_config("loky", inner_max_num_threads=1):
        found = Parallel(n_jobs=arguments.jobs)(
            delayed(fitted)(name, data, arguments.csv.parent) for name in names
        )
    representations = dict(zip(names, found, strict=True))
    measured = partial(
        measure, data=data, representations=representations, options=options
    )
    results = run(measured, wanted, KEYS, arguments.csv, arguments.jobs)
    results = results[results[KEYS].apply(tuple, axis=1).isin(wanted)]
    columns = ["epochs", "labels", "row"]
    groups = results.groupby(columns, sort=False)
    table = groups[["test", "of the pool"]].agg(["mean", "std"]).round(4)
    table["CPU s", "mean"] = groups["CPU s"].mean().round()
    print(f"\n{arguments.dataset}, {len(chosen)} rows\n{table.to_string()}")
    by_row = results.pivot(index=["epochs", "labels", "split"], columns="row")["test"]
    if "LaplaceNet" in by_row:
        gains = by_row.sub(by_row["LaplaceNet"], axis=0).drop(columns="LaplaceNet")
        gains = gains.groupby(["epochs", "labels"]).agg(["mean", "std"]).round(4)
        print(f"\ntest, against LaplaceNet from scratch\n{gains.T.to_string()}")


if __name__ == "__main__":
    main()
