"""What codes of two columns hold, by the density of the training times.

    python benchmarks/detail.py [--dataset digits] [--data FOLDER] [--rows 5000]

No views, noise on the pixels: the setting of Mittal et al. (2023), figures 2 and 3,
with the paper's loss (``preconditioning="none"``) and with the default one ("edm").
Prints mean and standard deviation over seeds of: the silhouette of the classes, the
accuracy of ten nearest neighbours, and the share of the variance of the ink (the sum of
the pixels, for handwriting a matter of stroke) that ten nearest neighbours explain;
both cross-validated.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed, parallel_config
from sklearn.metrics import silhouette_score
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from diffrep import VE, DiffusionRepresentation, VariationalDiffusionRepresentation
from diffrep.datasets import DATASETS, load_dataset

ESTIMATORS = {
    "DRL": (DiffusionRepresentation, {"l1_weight": 0.0}),
    "VDRL": (VariationalDiffusionRepresentation, {}),
}
TIMES = ["uniform", "high_noise", "log_normal", 0.5, 0.6, 0.7, 0.8]


def measure(name, preconditioning, times, seed, data, n_steps, lr, sigma_max):
    """Measures of one fit."""
    make, options = ESTIMATORS[name]
    X, y = data.X_train, data.y_train
    rep = make(
        2,
        image_shape=data.image_shape,
        noise_space="data",
        sde=VE(sigma_max=sigma_max),
        preconditioning=preconditioning,
        time_sampling=times,
        augment=None,
        max_epochs=max(1, n_steps * 256 // len(X)),
        lr=lr,
        random_state=seed,
        **options,
    )
    codes = rep.fit(X).transform(X)
    ink = X.sum(axis=1, dtype=np.float64)
    return {
        "estimator": name,
        "preconditioning": preconditioning,
        "times": times,
        "silhouette": silhouette_score(codes, y),
        "10-NN": cross_val_score(KNeighborsClassifier(10), codes, y).mean(),
        "ink": cross_val_score(KNeighborsRegressor(10), codes, ink).mean(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", choices=DATASETS, default="digits")
    parser.add_argument("--data", type=Path, help="folder of mnist.npz, cifar10*.npz")
    parser.add_argument("--rows", type=int, default=5000, help="rows to fit on")
    parser.add_argument("--estimators", nargs="+", default=list(ESTIMATORS))
    parser.add_argument("--preconditionings", nargs="+", default=["none", "edm"])
    parser.add_argument("--times", nargs="+", default=TIMES)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--sigma-max", type=float, default=50, help="most noise")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = load_dataset(arguments.dataset, folder=arguments.data)
    data.X_train = data.X_train[: arguments.rows]
    data.y_train = data.y_train[: arguments.rows]
    names = {name for name in arguments.times if str(name).isidentifier()}
    tasks = [
        delayed(measure)(
            name,
            preconditioning,
            times if times in names else float(times),
            seed,
            data,
            arguments.steps,
            arguments.lr,
            arguments.sigma_max,
        )
        for name in arguments.estimators
        for preconditioning in arguments.preconditionings
        for times in arguments.times
        for seed in range(arguments.seeds)
    ]
    with parallel_config("loky", inner_max_num_threads=1):
        results = pd.DataFrame(Parallel(n_jobs=arguments.jobs)(tasks))
    keys = ["estimator", "preconditioning", "times"]
    table = results.groupby(keys, sort=False).agg(["mean", "std"]).round(3)
    print(table.to_string())


if __name__ == "__main__":
    main()
