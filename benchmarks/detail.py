"""Content of codes with two components, by the density of the training times.

    python benchmarks/detail.py [--dataset mnist] [--data FOLDER] [--rows 5000]

Follows figures 2 and 3 of Mittal et al. (2023) (``PAPER_SETTING``), with the paper's
weight of the loss ("eps") and with the default one ("edm"). Prints means and standard
deviations over seeds of the silhouette of the classes, the cross-validated accuracy of
ten nearest neighbours, the share of the variance of the ink (the sum of the pixels,
which shows the thickness of the stroke) that ten nearest neighbours explain, and the
CPU seconds of a fit. Each row is appended to DIR/detail-DATASET.csv when it has been
measured. Rows that are in this file are not measured again.
"""

import argparse
import time
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch
from harness import run
from sklearn.metrics import silhouette_score
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from diffrep import (
    PAPER_SETTING,
    VE,
    DiffusionRepresentation,
    VariationalDiffusionRepresentation,
)
from diffrep.datasets import DATASETS, load_dataset

ESTIMATORS = {
    "DRL": (DiffusionRepresentation, {"l1_weight": 0.0}),
    "VDRL": (VariationalDiffusionRepresentation, {}),
}
TIMES = ["uniform", "high_noise", "log_normal", 0.5, 0.6, 0.7, 0.8]


def measure(name, weighting, times, seed, data, n_steps, lr, sigma_max):
    """Return the measures of one fit, with a density of times or a single time."""
    make, options = ESTIMATORS[name]
    X, y = data.X_train, data.y_train
    rep = make(
        2,
        image_shape=data.image_shape,
        sde=VE(sigma_max=sigma_max),
        max_epochs=max(1, n_steps * 128 // len(X)),
        lr=lr,
        random_state=seed,
        **PAPER_SETTING
        | {
            "time_conditioning": "readout",  # one code for all times
            "loss_weighting": weighting,
            "time_sampling": times if times.isidentifier() else float(times),
        },
        **options,
    )
    start = time.process_time()
    codes = rep.fit(X).transform(X)
    seconds = time.process_time() - start
    ink = X.sum(axis=1, dtype=np.float64)
    return {
        "silhouette": silhouette_score(codes, y),
        "10-NN": cross_val_score(KNeighborsClassifier(10), codes, y).mean(),
        "ink": cross_val_score(KNeighborsRegressor(10), codes, ink).mean(),
        "CPU s": seconds,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", choices=DATASETS, default="mnist")
    parser.add_argument("--data", type=Path, help="folder of mnist.npz, cifar10*.npz")
    parser.add_argument("--rows", type=int, default=5000, help="rows to fit on")
    parser.add_argument("--estimators", nargs="+", default=list(ESTIMATORS))
    parser.add_argument("--weightings", nargs="+", default=["eps", "edm"])
    parser.add_argument("--times", nargs="+", default=TIMES)
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--sigma-max", type=float, default=50, help="most noise")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("results"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = load_dataset(arguments.dataset, folder=arguments.data)
    data.X_train = data.X_train[: arguments.rows]
    data.y_train = data.y_train[: arguments.rows]
    arguments.out.mkdir(parents=True, exist_ok=True)
    wanted = product(
        arguments.estimators,
        arguments.weightings,
        map(str, arguments.times),
        range(arguments.seeds),
    )
    results = run(
        partial(
            measure,
            data=data,
            n_steps=arguments.steps,
            lr=arguments.lr,
            sigma_max=arguments.sigma_max,
        ),
        list(wanted),
        ["estimator", "weighting", "times", "seed"],
        arguments.out / f"detail-{arguments.dataset}.csv",
        n_jobs=1,
    )
    results = results.drop(columns="seed")
    keys = ["estimator", "weighting", "times"]
    table = results.groupby(keys, sort=False).agg(["mean", "std"]).round(3)
    print(table.to_string())


if __name__ == "__main__":
    main()
