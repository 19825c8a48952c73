"""Test and measure the estimators on a GPU.

    python benchmarks/gpu.py [--part tests steps quality] [--device cuda] [--small]
                             [--data FOLDER] [--seconds 30] [--out DIR]

"tests" runs the tests about devices. "steps" fits the default and larger networks in
float32, TF32 and bfloat16, with rows on the device or streamed to it, and with compiled
networks. It prints milliseconds per step, images per second, TFLOP per second of matrix
products and convolutions, their share of the peak of the card, if that is known, and
the peak of the allocated memory. "quality" fits each representation to the images of
cifar10*.npz in FOLDER for a number of seconds, and prints the accuracy of a linear
classifier with 1,000 and all labels and of five nearest neighbours; it needs
``--data``. Each row is printed and appended to DIR/gpu.csv when it has been measured.
Rows that are in this file are not measured again. Nothing has to be installed: the
repository and the dependencies may be on PYTHONPATH.

``--small`` runs the smallest form, for machines without a GPU.
"""

import argparse
import csv
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from statistics import median
from unittest.mock import patch

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from skorch.callbacks import Callback
from torch.utils.flop_counter import FlopCounterMode

from diffrep import DiffusionRepresentation
from diffrep.baselines import AutoencoderRepresentation, SimCLRRepresentation
from diffrep.core.device import choose_device
from diffrep.core.rows import Rows
from diffrep.datasets import load_dataset

ROOT = Path(__file__).resolve().parents[1]

UNET = {"encoder": "wide_resnet", "score_network": "unet", "noise_space": "data"}
NETWORKS = {
    "default": {},
    "large": {"network_size": "large"},
    "deep_conv": {"encoder": "deep_conv"},
    "wide_resnet + unet": UNET,
}
#: TFLOP per second of dense products, from the data sheets of NVIDIA.
PEAKS = {
    "A100": {"float32": 19.5, "tf32": 156, "bf16": 312},
    "H100": {"float32": 67, "tf32": 495, "bf16": 989},
    "H200": {"float32": 67, "tf32": 495, "bf16": 989},
}
STEPS = [
    (name, side, channels, batch_size, precision, "")
    for name, side, channels, batch_size in [
        ("default", 28, 1, 256),
        ("default", 32, 3, 256),
        ("default", 32, 3, 4096),
        ("large", 32, 3, 4096),
        ("deep_conv", 32, 3, 1024),
        ("wide_resnet + unet", 32, 3, 256),
        ("wide_resnet + unet", 32, 3, 1024),
        ("wide_resnet + unet", 64, 3, 256),
    ]
    for precision in ("float32", "tf32", "bf16")
] + [
    ("default", 32, 3, 4096, "float32", "streamed"),
    ("default", 32, 3, 4096, "float32", "compiled"),
    ("wide_resnet + unet", 32, 3, 1024, "bf16", "streamed"),
    ("wide_resnet + unet", 32, 3, 1024, "bf16", "compiled"),
]
QUALITY = {
    "start": DiffusionRepresentation(max_epochs=0),
    "DRL": DiffusionRepresentation(),
    "DRL, batches of 1,024": DiffusionRepresentation(batch_size=1024),
    "DRL, large, batches of 1,024": DiffusionRepresentation(
        network_size="large", batch_size=1024
    ),
    "DRL, deep_conv, batches of 1,024": DiffusionRepresentation(
        encoder="deep_conv", batch_size=1024, precision="bf16"
    ),
    "DRL, wide_resnet + unet": DiffusionRepresentation(**UNET, precision="bf16"),
    "DRL, wide_resnet": DiffusionRepresentation(
        encoder="wide_resnet", precision="bf16"
    ),
    "AE of the features": AutoencoderRepresentation(target_space="features"),
    "SimCLR": SimCLRRepresentation(),
}


class EpochSeconds(Callback):
    """Seconds of each epoch, including the work of the device."""

    def __init__(self):
        self.seconds = []

    def on_epoch_begin(self, net, **kwargs):
        self.start_ = now(net.device)

    def on_epoch_end(self, net, **kwargs):
        self.seconds.append(now(net.device) - self.start_)

    def __deepcopy__(self, memo):
        return self  # estimators copy callbacks; the seconds are read here


class Compiled(Callback):
    """Compiles the networks before the first epoch."""

    def on_train_begin(self, net, **kwargs):
        net.module_.encoder.compile()
        net.module_.score_network.compile()


def now(device):
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def tests(device, arguments):
    """Tests about devices."""
    yield "tests", lambda: tested(device, arguments.small)


def tested(device, small):
    """Run the tests about devices; return their last line."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += [str(ROOT / "tests/test_device.py"), f"--device={device.type}"]
    if small:
        command += ["-k", "networks_are_on and (images or table)"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout, done.stderr, flush=True)
    return {"result": done.stdout.strip().splitlines()[-1]}


def steps(device, arguments):
    """Durations of steps of the default and of larger networks."""
    small = arguments.small
    for settings in STEPS[:1] if small else STEPS:
        name, side, channels, batch_size, precision, mode = settings
        row = f"{name}, {side} x {side} x {channels}, {batch_size}, {precision}"
        n = 2 * batch_size if small else max(16 * batch_size, 8192)
        yield (
            f"{row}, {mode}" if mode else row,
            lambda n=n, settings=settings: step(device, n, *settings),
        )


def step(device, n, name, side, channels, batch_size, precision, mode):
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (n, channels, 4, 4), dtype=np.uint8)
    X = coarse.repeat(side // 4, 2).repeat(side // 4, 3).reshape(n, -1)
    seconds = EpochSeconds()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    rep = DiffusionRepresentation(
        image_shape=(channels, side, side),
        batch_size=batch_size,
        max_epochs=4,
        precision="bf16" if precision == "bf16" else "float32",
        callbacks=[Compiled(), seconds] if mode == "compiled" else [seconds],
        device=str(device),
        random_state=0,
        **NETWORKS[name],
    )
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    start = now(device)
    with patch.object(Rows, "_fits", Rows._fits if mode != "streamed" else no):
        rep.fit(X)
    whole = now(device) - start
    epoch = median(seconds.seconds[1:])
    found = {
        "ms_a_step": round(1e3 * epoch * batch_size / n, 3),
        "images_a_second": round(n / epoch),
        "fit_seconds": round(whole, 2),
    }
    start = now(device)
    rep.transform(X)
    found["transform_images_a_second"] = round(n / (now(device) - start))
    rep.set_params(callbacks=None)
    n_flops = operations(rep, X[:batch_size], 2) - operations(rep, X[:batch_size], 1)
    speed = n_flops * n / batch_size / epoch / 1e12
    found["tflop_a_second"] = round(speed, 3)
    if device.type == "cuda":
        card = torch.cuda.get_device_name(device)
        for peaks in (PEAKS[known] for known in PEAKS if known in card):
            found["percent_of_peak"] = round(100 * speed / peaks[precision], 1)
        found["peak_memory_mb"] = torch.cuda.max_memory_allocated(device) >> 20
    return found


def no(rows):
    """Replace a method: rows do not fit into the memory of the device."""
    return False


def operations(rep, X, n_steps):
    """Count the floating point operations of a fit of one batch."""
    with FlopCounterMode(display=False) as counter:
        rep.set_params(max_epochs=n_steps).fit(X)
    return counter.get_total_flops()


def quality(device, arguments):
    """Accuracies on codes of photographs, with the same training time for all."""
    if not arguments.data:
        return
    data = load_dataset("cifar10", folder=arguments.data)
    for row, estimator in QUALITY.items():
        estimator.set_params(
            image_shape=data.image_shape, device=str(device), random_state=0
        )
        yield (
            f"{row}, {arguments.seconds:g} seconds",
            lambda estimator=estimator: accuracies(estimator, data, arguments.seconds),
        )


def accuracies(rep, data, n_seconds):
    if rep.max_epochs != 0:
        epoch = EpochSeconds()
        rep.set_params(max_epochs=3, callbacks=[epoch]).fit(data.X_train)
        n_epochs = max(1, round(n_seconds / median(epoch.seconds[1:])))
        rep.set_params(max_epochs=n_epochs, callbacks=None)
    start = time.perf_counter()
    rep.fit(data.X_train)
    found = {"fit_seconds": round(time.perf_counter() - start, 1)}
    found["n_epochs"] = rep.n_iter_
    train, test = rep.transform(data.X_train), rep.transform(data.X_test)
    scale = train.std()
    order = np.random.default_rng(0).permutation(len(train))
    for name, n, probe in [
        ("1000", 1000, LogisticRegression(max_iter=1000)),
        ("all", None, LogisticRegression(max_iter=1000)),
        ("5-NN", None, KNeighborsClassifier(5)),
    ]:
        probe.fit(train[order[:n]] / scale, data.y_train[order[:n]])
        found[name] = round(probe.score(test / scale, data.y_test), 4)
    return found


PARTS = {"tests": tests, "steps": steps, "quality": quality}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--data", type=Path, help="folder of cifar10*.npz")
    parser.add_argument("--seconds", type=float, default=30, help="of each fit")
    parser.add_argument("--out", type=Path, default=Path("results"))
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    machine = device.type
    if device.type == "cuda":
        machine = torch.cuda.get_device_name(device)
    print(f"{machine}, torch {torch.__version__}, {date.today()}", flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "gpu.csv"
    done = set()
    if path.exists():
        with path.open(newline="") as file:
            done = {(row[0], row[1]) for row in csv.reader(file)}
    for part in arguments.part:
        for name, measure in PARTS[part](device, arguments):
            if (machine, name) in done:
                continue
            found = measure()
            text = "; ".join(f"{key} {value}" for key, value in found.items())
            print(f"{name}: {text}", flush=True)
            with path.open("a", newline="") as file:
                csv.writer(file).writerow([machine, name, text, date.today()])


if __name__ == "__main__":
    main()
