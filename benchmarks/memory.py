"""Memory of fit and transform in addition to the data, by the number of rows.

    python benchmarks/memory.py [--big FOLDER] [--rows 10000 100000 1000000] [--wide]

Each row of the table is a new process on one thread. Its anonymous memory (RssAnon,
which does not contain the pages of a memory map) is read every ten milliseconds. The
table gives the peak during the call minus the memory before; the output of transform is
not counted. Fits have one epoch. ``--wide`` adds tables of many columns: 50 rows of
20,000, also with 0 and 500 epochs, and 500 rows of 100,000. ``--big`` writes 6 GB of
images, uint8 64 x 64 x 3, as a memory map to FOLDER, and prints the whole anonymous
memory of the process. Its encoder is a linear map of patch means and noise is added to
principal components, so that it takes minutes; ``--default`` also measures the default
networks, on the first 20,000 images. Linux only.
"""

import argparse
import pickle
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from diffrep import DiffusionRepresentation

N_COLUMNS = 64
BIG_SHAPE = (3, 64, 64)


def anonymous():
    """Anonymous memory of this process in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status has no RssAnon; this needs Linux.")


@contextmanager
def watched(found, name, already=0.0):
    """Store in `found` the seconds of a block and its peak of memory in MB."""
    before, peak, done = anonymous(), [0.0], threading.Event()

    def watch():
        while not done.wait(0.01):
            peak[0] = max(peak[0], anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    yield
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    found[name] = peak[0] - before - already
    found[f"{name}, all"] = peak[0]
    found[f"{name}, s"] = seconds


class PatchMeans(torch.nn.Sequential):
    """Encoder of images that takes hardly any time."""

    def __init__(self, data_shape, n_outputs, time_conditioned):
        super().__init__(
            torch.nn.AvgPool2d(8), torch.nn.Flatten(), torch.nn.Linear(192, n_outputs)
        )


def measure(path, kind, batch_size, max_epochs):
    """Fit to a memory map and transform it, in a new process."""
    torch.set_num_threads(1)
    X = np.load(path, mmap_mode="r")
    n_first = min(max_epochs, 1)
    options = {"batch_size": batch_size, "max_epochs": n_first, "random_state": 0}
    few = X[:2000]
    if kind == "table":
        rep = DiffusionRepresentation(32, **options)
    elif kind == "wide":
        rep, few = DiffusionRepresentation(**options), X[:, :100]
    elif kind == "patches":
        options |= {"encoder": PatchMeans, "noise_space": "pca", "augment": None}
        rep = DiffusionRepresentation(32, image_shape=BIG_SHAPE, **options)
    else:
        X = X[:20_000]
        rep = DiffusionRepresentation(32, image_shape=BIG_SHAPE, **options)
    # torch allocates memory at the first step, which does not depend on the rows.
    rep.fit(few).transform(few)
    rep.max_epochs = max_epochs
    found = {}
    with watched(found, "fit"):
        rep.fit(X)
    output = 4 * rep.n_components * len(X) / 2**20
    with watched(found, "transform", output):
        rep.transform(X)
    found["pickle"] = len(pickle.dumps(rep)) / 2**20
    return found


def in_a_process(*arguments):
    command = [sys.executable, __file__, "--measure", *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True)
    return pickle.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="*", default=[10**4, 10**5, 10**6])
    parser.add_argument("--wide", action="store_true", help="a table of few rows")
    parser.add_argument("--big", type=Path, help="folder for 6 GB of images")
    parser.add_argument("--default", action="store_true", help="networks, see above")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        path, kind, *numbers = arguments.measure
        sys.stdout.buffer.write(pickle.dumps(measure(path, kind, *map(int, numbers))))
        return
    rng = np.random.default_rng(0)
    folder = arguments.big or Path(".")
    path = folder / "memory_benchmark.npy"
    print("rows, epochs: MB of data, of fit, of transform (peak); pickle; seconds")
    tables = [("table", n, N_COLUMNS, 1024, 1) for n in arguments.rows]
    if arguments.wide:
        tables += [("wide", 50, 20_000, 128, n_epochs) for n_epochs in (0, 1, 500)]
        tables.append(("wide", 500, 100_000, 128, 1))
    for kind, n, n_columns, batch_size, n_epochs in tables:
        np.save(path, rng.standard_normal((n, n_columns), np.float32))
        f = in_a_process(path, kind, batch_size, n_epochs)
        size = path.stat().st_size / 2**20
        print(
            f"{n} x {n_columns}, {n_epochs}: "
            f"{size:.0f}, {f['fit']:.0f}, {f['transform']:.0f}; "
            f"{f['pickle']:.1f}; {f['fit, s']:.0f}, {f['transform, s']:.0f}",
            flush=True,
        )
    if arguments.big:
        width = int(np.prod(BIG_SHAPE))
        n = 6 * 10**9 // width
        X = np.lib.format.open_memmap(path, "w+", np.uint8, (n, width))
        for start in range(0, n, 4096):
            rows = X[start : start + 4096]
            rows[:] = rng.integers(0, 256, rows.shape, np.uint8)
        X.flush()
        del X
        for kind in ["patches", "default"][: 1 + arguments.default]:
            f = in_a_process(path, kind, 256, 1)
            print(
                f"{n} images, {path.stat().st_size / 1e9:.1f} GB, {kind}: at most "
                f"{f['fit, all']:.0f} MB in fit ({f['fit, s']:.0f} s), "
                f"{f['transform, all']:.0f} in transform ({f['transform, s']:.0f} s)"
            )
    path.unlink()


if __name__ == "__main__":
    main()
