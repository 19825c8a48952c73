"""Coloured MNIST: similarity of codes over time, and attention of three classifiers.

    python benchmarks/colored_mnist.py --data FOLDER [--figure FILE]

Fits DRL with codes that depend on t to coloured digits, without labels. Prints the
linear CKA and the mutual information of the codes at eleven times; the accuracy and the
attention profile of three classifiers of the curves (digit, pen, paper); and the
divergences of the profiles in bits. The experiment follows the companion paper,
arXiv 2210.13774, with smaller networks.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from diffrep import DiffusionRepresentation
from diffrep.datasets import colored_digits, load_dataset
from diffrep.display import AttentionProfileDisplay, TimeSimilarityDisplay
from diffrep.evaluation import (
    attention_profiles,
    code_information,
    code_similarity,
    jensen_shannon,
)
from diffrep.trajectory import TrajectoryClassifier


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of mnist.npz")
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--steps", type=int, default=1000, help="of DRL")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figure", type=Path, help="a PNG to write")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = load_dataset("mnist", folder=arguments.data)
    n_train, n_test = arguments.rows, 2000
    images = np.concatenate([data.X_train[:n_train], data.X_test[:n_test]])
    digit = np.concatenate([data.y_train[:n_train], data.y_test[:n_test]])
    X, paper, pen = colored_digits(images.reshape(-1, 28, 28))
    train, test = slice(n_train), slice(n_train, None)
    times = np.linspace(0.2, 0.8, 7)
    rep = DiffusionRepresentation(
        32,
        t_grid=times,
        image_shape=(3, 28, 28),
        noise_space="data",
        augment=None,
        max_epochs=-(-arguments.steps * 256 // n_train),
        random_state=arguments.seed,
    ).fit(X[train])

    similarities = {
        "linear CKA": code_similarity(rep, X[test]),
        "mutual information (share)": code_information(rep, X[test]),
    }
    for name, similarity in similarities.items():
        print(f"{name}\n{similarity.round(2).to_string()}\n")
    profiles = {}
    for name, y in {"digit": digit, "pen": pen, "paper": paper}.items():
        classifier = TrajectoryClassifier(rep, random_state=arguments.seed)
        classifier.fit(X[train], y[train])
        print(f"{name}: {classifier.score(X[test], y[test]):.3f}")
        rows = np.full(n_test, name)
        profiles[name] = attention_profiles(classifier, X[test], rows).loc[name]
    profiles = pd.DataFrame(profiles).T
    print(f"\n{profiles.round(3).to_string()}")
    print(f"\nbits between\n{jensen_shannon(profiles).round(3).to_string()}")
    if arguments.figure:
        fig, axes = plt.subplots(1, 3, figsize=(15, 4.2), layout="constrained")
        for ax, (name, similarity) in zip(axes, similarities.items(), strict=False):
            TimeSimilarityDisplay.from_results(similarity, ax=ax)
            ax.set(title=name)
        AttentionProfileDisplay.from_results(profiles, ax=axes[2])
        axes[2].set(title="attention by question")
        axes[2].legend()
        fig.savefig(arguments.figure, dpi=80)


if __name__ == "__main__":
    main()
