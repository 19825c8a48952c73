"""Proposition 2.1 of Mittal et al. (2023), and differences between codes over t.

    python benchmarks/over_time.py [digits | mnist | cifar10] [--data FOLDER]

By the proposition, codes over t are at least as good as the code of an autoencoder for
any task. Both are fitted in the setting of the paper (``PAPER_SETTING``), with the
defaults but an encoder E(x0, t), and with the defaults; a tenth of the codes is
dropped. Prints the accuracy of a linear classifier at each time, on all times side by
side and on the code of the autoencoder; the denoising loss with and without the code at
each time; the linear CKA between codes at the quantiles of the training times; and the
time of sixteen codes relative to one.
"""

import argparse
import time

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression

from diffrep import (
    PAPER_SETTING,
    DiffusionRepresentation,
    VariationalDiffusionRepresentation,
)
from diffrep.baselines import AutoencoderRepresentation
from diffrep.datasets import load_dataset
from diffrep.evaluation import code_similarity, probe_over_time

TIMES = np.linspace(0, 1, 11)
# Parameters of all methods, and of those that add noise.
WAYS = {
    "as in the paper": ({"augment": None, "init": "random"}, PAPER_SETTING),
    "E(x0, t), defaults otherwise": ({}, {"time_conditioning": "full"}),
    "defaults": ({}, {}),
}


def losses_over_time(rep, X):
    """Squared error of the score network with codes and with the null code."""
    model = rep.net_.module_
    draws = torch.Generator().manual_seed(0)
    x = torch.from_numpy(rep.standardizer_.transform(X)).float()
    x = x.view(-1, *model.data_shape)
    rows = []
    with torch.inference_mode():
        x0 = model.space(x)
        eps = torch.randn(x0.shape, generator=draws)
        for t in np.maximum(TIMES, 1e-5):
            t = torch.full((len(x0),), float(t))
            null = model.null_code.expand(len(x0), -1)
            errors = [
                float(model.denoising_error(x0, eps, t, z).mean())
                for z in (model.outputs(x, t)[:, : model.n_components], null)
            ]
            rows.append(errors)
    return pd.DataFrame(rows, index=TIMES, columns=["loss, code", "loss, null code"])


def seconds(function, *arguments):
    start = time.process_time()
    function(*arguments)
    return time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", nargs="?", default="digits")
    parser.add_argument("--data", help="folder of mnist.npz, cifar10*.npz")
    parser.add_argument("--rows", type=int, default=5000, help="rows to fit on")
    parser.add_argument("--labels", type=int, default=100)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = load_dataset(arguments.dataset, folder=arguments.data)
    chosen = np.random.default_rng(0).permutation(len(data.X_train))[: arguments.rows]
    X, y = data.X_train[chosen], data.y_train[chosen]
    rest = X, y, data.X_test, data.y_test
    options = {"probes": {"linear": LogisticRegression(tol=3e-4, max_iter=2000)}}
    for way, (shared, noise) in WAYS.items():
        shared = {"image_shape": data.image_shape, "random_state": 0, **shared}
        # Some codes are dropped so that the null code is trained.
        noise = {"t_grid": 4, "code_dropout": 0.1, **shared, **noise}
        autoencoder = AutoencoderRepresentation(**shared).fit(X)
        fitted = {
            "DRL": DiffusionRepresentation(**noise).fit(X),
            "VDRL": VariationalDiffusionRepresentation(**noise).fit(X),
        }
        for n in (arguments.labels, "all"):
            options |= {"n_labels": n, "n_draws": 1 if n == "all" else 10}
            flat = probe_over_time(autoencoder, *rest, **options)["accuracy"].mean()
            print(f"\n{way}, {n} labels: autoencoder {flat:.3f}")
            table = {}
            for name, rep in fitted.items():
                found = probe_over_time(rep, *rest, times=TIMES, **options)
                by_time = found.groupby("t", dropna=False, sort=False)
                table[name] = by_time["accuracy"].mean()
            print(pd.DataFrame(table).round(3).T.to_string())
        for name, rep in fitted.items():
            print(f"\n{name}")
            print(losses_over_time(rep, data.X_test[:1000]).round(3).T.to_string())
            print(code_similarity(rep, data.X_test, rep.t_grid_).round(2).to_string())
            grid = np.linspace(0.2, 0.9, 16)
            one = seconds(rep.encode, data.X_test, grid[:1])
            print(f"16 codes cost {seconds(rep.encode, data.X_test, grid) / one:.2f}")


if __name__ == "__main__":
    main()
