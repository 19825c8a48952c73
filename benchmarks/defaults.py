"""Effect of each default: one parameter is changed at a time.

    python benchmarks/defaults.py [--jobs 2] [--splits 3] [--only images [--rows ...]]

The protocol is that of the demo. Prints one table each for the digits as images, the
digits as a table, and breast cancer: accuracy with 20, 50, 100 and all labels (mean ±
standard deviation over splits), and CPU seconds of a fit on one thread.
"""

import argparse
from functools import partial

from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from diffrep import DiffusionRepresentation, VariationalDiffusionRepresentation
from diffrep.core.augment import corrupt_features, gaussian_noise
from diffrep.evaluation import accuracy_table, compare

N_LABELS = [20, 50, 100, "all"]

DRL = DiffusionRepresentation
VDRL = VariationalDiffusionRepresentation

CHANGES = {
    "defaults": {},
    "noise_space='pca'": {"noise_space": "pca"},
    "noise_space='data'": {"noise_space": "data"},
    "augment=None": {"augment": None},
    "init='random'": {"init": "random"},
    "time_sampling='uniform'": {"time_sampling": "uniform"},
    "time_sampling='high_noise'": {"time_sampling": "high_noise"},
    "time_sampling=1.0": {"time_sampling": 1.0},
    "sde='vp'": {"sde": "vp"},
    "sde='subvp'": {"sde": "subvp"},
    "loss_weighting='eps'": {"loss_weighting": "eps"},
    "preconditioning='none'": {"preconditioning": "none", "loss_weighting": "eps"},
    "code_dropout=0.1": {"code_dropout": 0.1},
    "l1_weight=0": {"l1_weight": 0.0},
    "l1_weight=0.1": {"l1_weight": 0.1},
    "lr=1e-3": {"lr": 1e-3},
    "lr=4e-3": {"lr": 4e-3},
    "batch_size=256": {"batch_size": 256},
    "max_epochs=0": {"max_epochs": 0},
    "max_epochs=50": {"max_epochs": 50},
    "max_epochs=200": {"max_epochs": 200},
    "n_components=32": {"n_components": 32},
    "n_components=64": {"n_components": 64},
    "network_size='small'": {"network_size": "small"},
    "network_size='large'": {"network_size": "large"},
    "encoder='mlp'": {"encoder": "mlp"},
    "max_epochs=25": {"max_epochs": 25},
    "encoder='deep_conv', max_epochs=25": {"encoder": "deep_conv", "max_epochs": 25},
    "t_grid=4, time_conditioning='full'": {"t_grid": 4, "time_conditioning": "full"},
    "t_grid=16, time_conditioning='full'": {"t_grid": 16, "time_conditioning": "full"},
}
KL_WEIGHTS = [0.001, 0.01, 0.1]
VIEWS = {
    "no views": None,
    "noise, std 0.5": partial(gaussian_noise, std=0.5),
    "noise, std 1": gaussian_noise,
    "noise, std 2": partial(gaussian_noise, std=2.0),
    "features replaced, share .3 (default)": corrupt_features,
    "features replaced, share .6": partial(corrupt_features, share=0.6),
}

IMAGES = {
    name: DRL(image_shape=(1, 8, 8), **change) for name, change in CHANGES.items()
}
IMAGES |= {
    f"VDRL, kl_weight={weight}": VDRL(image_shape=(1, 8, 8), kl_weight=weight)
    for weight in KL_WEIGHTS
}
TABLES = {
    "raw": StandardScaler(),
    "PCA": make_pipeline(StandardScaler(), PCA(16)),
    **{name: DRL(augment=view) for name, view in VIEWS.items()},
    "n_components=32": DRL(32),
    "n_components=64": DRL(64),
    "VDRL": VDRL(),
}
TASKS = {
    "images": (IMAGES, load_digits),
    "digits": (TABLES, load_digits),
    "cancer": (TABLES, load_breast_cancer),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2, help="fits at a time")
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--only", choices=TASKS, help="one of the tables")
    parser.add_argument("--rows", nargs="+", help="of that table, by name")
    arguments = parser.parse_args()
    for name in [arguments.only] if arguments.only else TASKS:
        representations, load = TASKS[name]
        results = compare(
            {row: representations[row] for row in arguments.rows or representations},
            *load(return_X_y=True),
            cv=arguments.splits,
            n_labels=N_LABELS,
            n_jobs=arguments.jobs,
        )
        print(f"\n{name}\n{accuracy_table(results).to_string()}", flush=True)


if __name__ == "__main__":
    main()
