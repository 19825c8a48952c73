"""Compare representations on the same data, with the same views and training time.

    python benchmarks/quality.py digits wine mnist --data FOLDER [--seeds 3] [--out DIR]

Prints one table per data set: accuracy of a linear classifier (or of another one, given
by ``--probe 5-NN``, after a StandardScaler with ``--scale``) with 10, 100, 1,000 and
all labels, mean ± standard deviation over seeds. All trained methods get the same CPU
seconds on one thread, converted to a number of epochs that is measured once per method
(``--budget seconds``), or the same number of steps (``--budget steps``). Then prints
differences between DRL and some methods, with 95 % intervals over seeds. Results that
are in DIR are not computed again.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from diffrep import (
    PAPER_SETTING,
    DiffusionRepresentation,
    VariationalDiffusionRepresentation,
)
from diffrep.baselines import (
    AutoencoderRepresentation,
    DenoiserFeatures,
    RandomEncoderRepresentation,
    SimCLRRepresentation,
    VariationalAutoencoderRepresentation,
)
from diffrep.datasets import DATASETS, load_dataset
from diffrep.display import LabelEfficiencyDisplay
from diffrep.evaluation import accuracy_table, compare, paired_difference

#: CPU seconds, or steps, per fit.
AMOUNTS = {
    "seconds": {"mnist": 45, "cifar10": 120, "synthetic": 30},
    "steps": {"mnist": 3000, "cifar10": 1500},
}
OTHERS = {"seconds": 10, "steps": 800}

PAPER = {"augment": None, "init": "random"}
STATIC_PAPER = PAPER_SETTING | {"time_conditioning": "readout"}
FEATURES = {"target_space": "features"}
TRAINED = {
    "AE": partial(AutoencoderRepresentation, **PAPER),
    "VAE": partial(VariationalAutoencoderRepresentation, **PAPER),
    "AE, same views and start": AutoencoderRepresentation,
    "VAE, same views and start": VariationalAutoencoderRepresentation,
    "AE of the features": partial(AutoencoderRepresentation, **FEATURES),
    "VAE of the features": partial(VariationalAutoencoderRepresentation, **FEATURES),
    "SimCLR": SimCLRRepresentation,
    "SimCLR-Gauss": partial(SimCLRRepresentation, augment="gaussian"),
    "SimCLR-Gauss, as in the paper": partial(
        SimCLRRepresentation, augment="gaussian", init="random"
    ),
    "DRL, as in the paper": partial(DiffusionRepresentation, **STATIC_PAPER),
    "DRL, as in the paper, noise as view": partial(
        DiffusionRepresentation, **STATIC_PAPER | {"augment": "gaussian"}
    ),
    "VDRL, as in the paper": partial(
        VariationalDiffusionRepresentation, **STATIC_PAPER
    ),
    "DDAE": DenoiserFeatures,
    "DDAE, 4 times": partial(DenoiserFeatures, t_grid=4),
    "DRL": DiffusionRepresentation,
    "DRL, large": partial(DiffusionRepresentation, network_size="large"),
    "DRL, highest noise": partial(DiffusionRepresentation, time_sampling=1.0),
    "DRL, 4 times": partial(DiffusionRepresentation, t_grid=4),
    "DRL, VP": partial(DiffusionRepresentation, sde="vp"),
    "DRL, sub-VP": partial(DiffusionRepresentation, sde="subvp"),
    "VDRL": VariationalDiffusionRepresentation,
    "VDRL, highest noise": partial(
        VariationalDiffusionRepresentation, time_sampling=1.0
    ),
    "VDRL, 4 times": partial(VariationalDiffusionRepresentation, t_grid=4),
}
#: Methods for images only.
OF_IMAGES = {"AE of the features", "VAE of the features"}
PROBES = {
    "linear": LogisticRegression(tol=3e-4, max_iter=2000),
    "3-NN": KNeighborsClassifier(3),
    "5-NN": KNeighborsClassifier(5),
    "SVC": SVC(),
    "forest": RandomForestClassifier(random_state=0),
}
AGAINST = [
    "start, not trained",
    "AE, same views and start",
    "AE of the features",
    "VAE of the features",
    "SimCLR",
    "DRL, highest noise",
]


class KMeansFeatures(TransformerMixin, BaseEstimator):
    """Soft assignments of whitened patches to k-means centres, in quadrants.

    Coates and Ng, "Learning Feature Representations with K-means", 2012.
    """

    def __init__(self, image_shape, n_clusters=400, size=6, random_state=0):
        self.image_shape = image_shape
        self.n_clusters = n_clusters
        self.size = size
        self.random_state = random_state

    def fit(self, X, y=None):
        rng = np.random.default_rng(self.random_state)
        chosen = rng.choice(len(X), min(len(X), 5000), replace=False)
        patches = torch.cat(
            [
                self._patches(b).reshape(-1, self._width())
                for b in np.array_split(X[np.sort(chosen)], 20)
            ]
        )
        patches = patches[rng.permutation(len(patches))[:100_000]].double()
        self.mean_ = patches.mean(0)
        variances, V = torch.linalg.eigh(torch.cov(patches.T))
        self.whiten_ = V / (variances + 0.1 * variances.mean()).sqrt() @ V.T
        kmeans = MiniBatchKMeans(
            self.n_clusters, batch_size=4096, n_init=1, random_state=self.random_state
        )
        kmeans.fit(((patches - self.mean_) @ self.whiten_).numpy())
        self.centres_ = torch.from_numpy(kmeans.cluster_centers_).float()
        return self

    def transform(self, X):
        return np.concatenate(
            [self._features(b) for b in np.array_split(X, 1 + len(X) // 100)]
        )

    def _width(self):
        return self.image_shape[0] * self.size**2

    def _patches(self, X):
        """Patches of equal mean and contrast, (n, positions, width)."""
        x = torch.from_numpy(np.asarray(X, np.float32)).view(-1, *self.image_shape)
        patches = F.unfold(x, self.size).transpose(1, 2)
        patches = patches - patches.mean(2, keepdim=True)
        return patches / (patches.var(2, keepdim=True) + 10).sqrt()

    def _features(self, X):
        white = (self._patches(X) - self.mean_.float()) @ self.whiten_.float()
        distance = torch.cdist(white, self.centres_.expand(len(X), -1, -1))
        near = (distance.mean(2, keepdim=True) - distance).clamp(min=0)
        sides = [s - self.size + 1 for s in self.image_shape[1:]]
        maps = near.transpose(1, 2).unflatten(2, sides)
        return F.adaptive_avg_pool2d(maps, 2).flatten(1).numpy()


def rows_for(image_shape):
    """Return the methods for a kind of data: a dict from name to estimator."""
    shape = {"image_shape": image_shape, "random_state": 0}
    untrained = {
        "random encoder": RandomEncoderRepresentation(**shape),
        "start, not trained": DiffusionRepresentation(max_epochs=0, **shape),
        "start, large": DiffusionRepresentation(
            max_epochs=0, network_size="large", **shape
        ),
    }
    trained = {
        name: make(**shape)
        for name, make in TRAINED.items()
        if image_shape or name not in OF_IMAGES
    }
    if image_shape is None:
        scale = StandardScaler
        kmeans = make_pipeline(scale(), MiniBatchKMeans(64, n_init=3, random_state=0))
        plain = {"raw": scale(), "PCA": make_pipeline(scale(), PCA(0.99))}
    else:
        kmeans = KMeansFeatures(image_shape)
        plain = {
            "raw": FunctionTransformer(),
            "PCA": PCA(min(64, image_shape[1] ** 2 // 2)),
        }
    return {**plain, "k-means": kmeans, **untrained, **trained}


def n_epochs(estimator, X, budget, amount):
    """Number of epochs for a number of steps, or for CPU seconds of a whole fit."""
    n_batches = -(-len(X) // estimator.batch_size)
    if budget == "steps":
        return max(1, round(amount / n_batches))
    some = X[: 10 * estimator.batch_size]

    def seconds(max_epochs):
        start = time.process_time()
        clone(estimator).set_params(max_epochs=max_epochs).fit(some)
        return time.process_time() - start

    seconds(1)  # modules are imported here
    start, more = seconds(1), seconds(4)
    epoch = (more - start) / 3 * n_batches / -(-len(some) // estimator.batch_size)
    return max(1, round((amount - start) / epoch))


def run(name, arguments):
    """Return the results of all methods on one data set."""
    data = load_dataset(name, folder=arguments.data)
    X = np.concatenate([data.X_train, data.X_test])
    y = np.concatenate([data.y_train, data.y_test])
    if name in AMOUNTS["seconds"] and data.image_shape:  # without a given test set
        train, test = np.split(np.arange(len(X)), [len(data.X_train)])
        splits = [(train[: arguments.rows], test)] * arguments.seeds
    else:
        splitter = StratifiedShuffleSplit(
            arguments.seeds, test_size=1 / 3, random_state=0
        )
        if arguments.folds:
            splitter = StratifiedKFold(arguments.folds, shuffle=True, random_state=0)
        splits = list(splitter.split(X, y))
    amount = AMOUNTS[arguments.budget].get(name, OTHERS[arguments.budget])
    amount = arguments.amount or amount
    probe = PROBES[arguments.probe]
    if arguments.scale:
        probe = make_pipeline(StandardScaler(), probe)
    found = []
    for row, estimator in rows_for(data.image_shape).items():
        if arguments.only and row not in arguments.only:
            continue
        path = arguments.out / f"{name}-{row.replace(' ', '_').replace(',', '')}.csv"
        if not path.exists():
            if row in TRAINED:
                X_train = X[splits[0][0]]
                epochs = n_epochs(estimator, X_train, arguments.budget, amount)
                estimator.set_params(max_epochs=epochs)
            results = compare(
                {row: estimator},
                X,
                y,
                cv=splits,
                n_draws=arguments.draws,
                n_labels=arguments.labels,
                probe=probe,
                n_jobs=arguments.jobs,
            )
            results.to_csv(path, index=False)
        whole_or_all = {"n_labels": lambda n: n if n == "all" else int(n)}
        results = pd.read_csv(path, converters=whole_or_all)
        found.append(results)
    return pd.concat(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("datasets", nargs="+", choices=DATASETS)
    parser.add_argument("--data", type=Path, help="folder of mnist.npz, cifar10*.npz")
    parser.add_argument("--budget", choices=["seconds", "steps"], default="seconds")
    parser.add_argument("--amount", type=float, help="CPU seconds, or steps, per fit")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, help="in place of random thirds to test")
    parser.add_argument(
        "--draws", type=int, default=10, help="choices of labelled rows"
    )
    parser.add_argument("--probe", choices=PROBES, default="linear")
    parser.add_argument("--scale", action="store_true", help="codes before the probe")
    parser.add_argument("--labels", nargs="+", default=["10", "100", "1000", "all"])
    parser.add_argument("--jobs", type=int, default=2, help="fits at a time")
    parser.add_argument("--rows", type=int, help="rows of mnist, cifar10 to fit on")
    parser.add_argument("--only", nargs="+", help="rows of the table")
    parser.add_argument("--out", type=Path, default=Path("results"))
    arguments = parser.parse_args()
    arguments.labels = [n if n == "all" else int(n) for n in arguments.labels]
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for name in arguments.datasets:
        results = run(name, arguments)
        print(f"\n{name}\n{accuracy_table(results).to_string()}", flush=True)
        for other in AGAINST:
            if {"DRL", other} <= set(results["representation"]):
                print(f"\nDRL - {other}")
                print(paired_difference(results, "DRL", other).round(4).to_string())
        figure = LabelEfficiencyDisplay.from_results(results).figure_
        figure.set_size_inches(8, 6)
        figure.savefig(arguments.out / f"{name}.png", dpi=120)


if __name__ == "__main__":
    main()
