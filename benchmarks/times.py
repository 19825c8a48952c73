"""Static codes, compared with codes at a time that is chosen for each question.

    python benchmarks/times.py --data FOLDER --csv FILE [--seeds 0 1 2] [--sets ...]

Fits a static code of 128 columns, and one that is read out at four times in 32 columns
each, with default parameters otherwise, to 5,000 images without labels. Each question
is then answered by classifiers trained on 20 and 100 labels (eight draws) and tested on
3,000 other images. Results are appended to the CSV file; those that are in it are not
computed again. Prints means and paired differences.
"""

import argparse
import time
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch
from harness import labelled, run
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from diffrep import DiffusionRepresentation
from diffrep.datasets import colored_digits, load_dataset, textured_digits
from diffrep.trajectory import TimeSelector, TimeVotingClassifier

N_TRAIN, N_TEST, N_DRAWS = 5000, 3000, 8
N_LABELS = (20, 100)
SETS = ("coloured", "textured", "mnist", "cifar10")


def images_of(name, folder, seed):
    """Return rows, the shape of an image, and the labels for each question."""
    source = "cifar10" if name == "cifar10" else "mnist"
    data = load_dataset(source, folder=folder)
    rng = np.random.default_rng(seed)
    train = rng.permutation(len(data.X_train))[:N_TRAIN]
    test = rng.permutation(len(data.X_test))[:N_TEST]
    X = np.concatenate([data.X_train[train], data.X_test[test]])
    y = np.concatenate([data.y_train[train], data.y_test[test]])
    if name == "coloured":
        X, paper, pen = colored_digits(X.reshape(-1, 28, 28), random_state=seed)
        return X, (3, 28, 28), {"digit": y, "paper": paper, "pen": pen}
    if name == "textured":
        small = X.reshape(-1, 14, 2, 14, 2).mean((2, 4))
        X, place, texture = textured_digits(small, random_state=seed)
        return X, (1, 28, 28), {"digit": y, "place": place, "texture": texture}
    return X, data.image_shape, {"class": y}


def scaled(codes):
    """Return codes of one time, with a mean squared length of 16 in training."""
    codes = codes - codes[:N_TRAIN].mean(axis=0)
    return 4 * codes / np.sqrt(np.square(codes[:N_TRAIN]).sum(axis=1).mean())


def measure(name, seed, folder):
    """Return the results of one data set and seed."""
    X, shape, questions = images_of(name, folder, seed)
    codes, seconds = {}, {}
    for read, parameters in {
        "static": {"n_components": 128},
        "stack": {"n_components": 32, "t_grid": 4},
    }.items():
        rep = DiffusionRepresentation(
            image_shape=shape, random_state=seed, **parameters
        )
        begin = time.process_time()
        rep.fit(X[:N_TRAIN])
        seconds[read] = time.process_time() - begin
        n_times = len(rep.t_grid_) if read == "stack" else 1
        times = np.split(rep.transform(X), n_times, axis=1)
        codes[read] = np.hstack([scaled(time) for time in times])
    codes["even"], seconds["even"] = codes["stack"] / 2, seconds["stack"]
    linear = LogisticRegression(max_iter=1000)
    selecting = make_pipeline(TimeSelector(4), linear)
    ways = {
        "static": ("static", linear),
        "chosen": ("stack", selecting),
        "vote": ("stack", TimeVotingClassifier(n_times=4)),
        "stack": ("even", linear),
    }
    rows = []
    for question, y in questions.items():
        for n in N_LABELS:
            for draw in range(N_DRAWS):
                own = labelled(y[:N_TRAIN], n, (seed, draw))
                for way, (read, classifier) in ways.items():
                    classifier.fit(codes[read][own], y[own])
                    score = classifier.score(codes[read][N_TRAIN:], y[N_TRAIN:])
                    time_read = np.nan
                    if way == "chosen":
                        time_read = rep.t_grid_[classifier[0].index_]
                    rows.append(
                        {
                            "question": question,
                            "n_labels": n,
                            "draw": draw,
                            "way": way,
                            "accuracy": score,
                            "t": time_read,
                            "fit_seconds": seconds[read],
                        }
                    )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the files")
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    wanted = [(name, seed) for seed, name in product(arguments.seeds, arguments.sets)]
    results = run(
        partial(measure, folder=arguments.data),
        wanted,
        ["set", "seed"],
        arguments.csv,
        n_jobs=1,
    )
    keys = ["set", "question", "n_labels"]
    by_seed = results.groupby([*keys, "seed", "way"])["accuracy"].mean().unstack()
    print(by_seed.groupby(keys).mean().round(3).to_string())
    gains = by_seed.sub(by_seed["static"], axis=0).drop(columns="static")
    print("\nagainst static, mean and standard deviation over seeds")
    print(gains.groupby(keys).agg(["mean", "std"]).round(3).to_string())


if __name__ == "__main__":
    main()
