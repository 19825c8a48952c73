"""Accuracy on the digits with 20, 50, 100 and all labels.

Each representation is fitted on the training rows without their labels. Logistic
regression is then trained on the codes of the labelled rows, and tested on other
rows. Prints means ± standard deviations over splits.

    python examples/demo.py [--jobs 2] [--splits 3] [--quick]
"""

import argparse
import time

from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.preprocessing import FunctionTransformer

from diffrep import DiffusionRepresentation, VariationalDiffusionRepresentation
from diffrep.baselines import RandomEncoderRepresentation
from diffrep.evaluation import accuracy_table, compare

N_LABELS = [20, 50, 100, "all"]

IMAGES = {"image_shape": (1, 8, 8)}

REPRESENTATIONS = {
    "raw pixels": FunctionTransformer(),
    "PCA": PCA(32),
    "random encoder": RandomEncoderRepresentation(**IMAGES),
    "start, untrained": DiffusionRepresentation(**IMAGES, max_epochs=0),
    "DRL": DiffusionRepresentation(**IMAGES),
    "VDRL": VariationalDiffusionRepresentation(**IMAGES),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2, help="fits at a time")
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one epoch, to try it out")
    arguments = parser.parse_args()

    if arguments.quick:
        for representation in REPRESENTATIONS.values():
            if representation.get_params().get("max_epochs", 0) != 0:
                representation.set_params(max_epochs=1)

    start = time.perf_counter()
    results = compare(
        REPRESENTATIONS,
        *load_digits(return_X_y=True),
        cv=arguments.splits,
        n_labels=N_LABELS,
        n_jobs=arguments.jobs,
    )
    print(accuracy_table(results).to_string())
    print(f"\n{time.perf_counter() - start:.0f} s on {arguments.jobs} jobs")


if __name__ == "__main__":
    main()
