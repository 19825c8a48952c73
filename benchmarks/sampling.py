"""Quality of digits that are sampled from codes, and seconds per sample.

    python benchmarks/sampling.py [--seeds 3]

For held-out digits, prints the share of samples from their codes that a support vector
machine trained on real digits assigns to the right class; the same for
`inverse_transform`, and its mean squared error relative to the variance of the pixels;
and the seconds for 256 samples of 50 steps on one thread, before and after
`fit_decoder`. Then prints the error of `inverse_transform` by the number of steps.
"""

import argparse
import time

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

from diffrep import DiffusionRepresentation, VariationalDiffusionRepresentation

ROWS = {
    "DRL": DiffusionRepresentation(),
    "DRL, noise on pixels": DiffusionRepresentation(noise_space="data"),
    "DRL, noise on pixels, 32": DiffusionRepresentation(32, noise_space="data"),
    "DRL, noise on pixels, 8": DiffusionRepresentation(8, noise_space="data"),
    "DRL, noise on pixels, 2": DiffusionRepresentation(2, noise_space="data"),
    "DRL, 4 times": DiffusionRepresentation(t_grid=4),
    "VDRL": VariationalDiffusionRepresentation(),
}
STEPS = (1, 2, 4, 8, 16, 32)


def measures(rep, X_test, y_test, judge):
    """Return the measures of one fitted estimator."""
    codes = rep.transform(X_test)
    start = time.perf_counter()
    rep.sample(codes[:256], n_steps=50, random_state=0)
    seconds = time.perf_counter() - start
    centres = rep.inverse_transform(codes)
    return {
        "samples recognised": judge.score(rep.sample(codes, random_state=0), y_test),
        "centres recognised": judge.score(centres, y_test),
        "error of centres": np.square(centres - X_test).mean() / X_test.var(),
        "seconds": seconds,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=list(ROWS), choices=ROWS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found, by_steps = [], []
    for seed in range(arguments.seeds):
        X, X_test, y, y_test = train_test_split(
            *load_digits(return_X_y=True), test_size=1 / 3, random_state=seed
        )
        judge = SVC().fit(X, y)
        for name in arguments.only:
            rep = ROWS[name].set_params(image_shape=(1, 8, 8), random_state=seed).fit(X)
            for trained in ("as fitted", "decoder"):
                if trained == "decoder":
                    rep.fit_decoder(X)
                found.append(
                    {"row": name, "trained": trained}
                    | measures(rep, X_test, y_test, judge)
                )
            for n_steps in STEPS:
                centres = rep.inverse_transform(rep.transform(X_test), n_steps=n_steps)
                error = np.square(centres - X_test).mean() / X_test.var()
                by_steps.append({"row": name, "n_steps": n_steps, "error": error})
        print(f"real digits recognised: {judge.score(X_test, y_test):.3f}")
    table = pd.DataFrame(found).groupby(["row", "trained"], sort=False).mean()
    print(table.round(3).to_string())
    errors = pd.DataFrame(by_steps).pivot_table("error", "row", "n_steps", sort=False)
    print(errors.round(3).to_string())


if __name__ == "__main__":
    main()
