"""Times of the estimators relative to plain torch.

    python benchmarks/speed.py [--quick] [--only fit transform ...]

Two programs take turns of less than a second on one thread, and the median over rounds
of the ratio of their times is printed. The last line lists all ratios that have an
upper bound; the exit status is 1 if one exceeds it.
"""

import argparse
import copy
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from statistics import median

import numpy as np
import onnxruntime
import torch
from joblib import parallel_config
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback

from diffrep import DiffusionRepresentation
from diffrep.core.objectives import l1_norm
from diffrep.core.optimizers import warmup_cosine
from diffrep.core.time_sampling import stratified

N_IMAGE_ROWS, IMAGE_SHAPE = 2560, (1, 28, 28)
N_TABLE_ROWS, N_COLUMNS = 12_800, 128
BOUNDS = {
    "fit, images": 1.03,
    "fit, tables": 1.10,
    "transform, float64": 1.05,
    "transform, float32": 1.05,
    "transform, uint8": 1.05,
    "transform, memmap": 1.05,
    "16 codes over one": 2.0,
    "2 jobs over 1": 1.0,
}


def data(kind, n):
    """Return rows of small images, or of a table, and their shape."""
    rng = np.random.default_rng(0)
    if kind == "tables":
        return rng.normal(size=(n, N_COLUMNS)).astype(np.float32), None
    smooth = rng.random((n, 8, 8)).repeat(4, 1).repeat(4, 2)[:, :28, :28]
    return (255 * smooth.reshape(n, -1)).astype(np.uint8), IMAGE_SHAPE


@contextmanager
def timed(seconds):
    """Append the duration of a block to `seconds`."""
    start = time.perf_counter()
    yield
    seconds.append(time.perf_counter() - start)


class EpochTimes(Callback):
    """Seconds of each epoch of a `fit` except the first."""

    def __init__(self, seconds):
        self.seconds = seconds

    def on_train_begin(self, net, **kwargs):
        self.last_ = None

    def on_epoch_end(self, net, **kwargs):
        now = time.perf_counter()
        if self.last_ is not None:
            self.seconds.append(now - self.last_)
        self.last_ = now

    def __deepcopy__(self, memo):
        return self  # estimators copy callbacks; the seconds are read here


class BareLoop:
    """Training loop written by hand, on the modules of an estimator."""

    def __init__(self, rep, X, fused=True):
        self.model = copy.deepcopy(rep.net_.module_).train()
        rows = rep.standardizer_.transform(X)
        rows = rows.clip(-10, 10).astype(np.float32)
        self.rows = torch.from_numpy(rows).view(-1, *self.model.data_shape)
        self.batch_size, self.lr = rep.batch_size, rep.lr
        self.weights = list(self.model.parameters())
        self.averages = [weight.detach().clone() for weight in self.weights]
        self.optimizer = torch.optim.AdamW(
            self.weights, lr=rep.lr, weight_decay=0.01, fused=fused
        )
        self.draws = torch.Generator().manual_seed(0)
        self.step, self.n_steps = 0, 100_000

    def epoch(self):
        order = torch.randperm(len(self.rows), generator=self.draws)
        total = torch.zeros(())
        for index in order.split(self.batch_size):
            total += self.train_step(self.rows[index])
        return float(total)

    def train_step(self, x):
        model, draws = self.model, self.draws
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * warmup_cosine(self.step, self.n_steps)
        self.optimizer.zero_grad()
        x0 = model.space(x)
        t = model.times.ppf(stratified(len(x), draws))
        eps = torch.randn(x0.shape, generator=draws)
        z = model.encoder(model.augment(x, draws))
        loss = model.denoising_error(x0, eps, t, z).mean()
        loss = loss + model.code.penalty_weight * l1_norm(z).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.averages, self.weights, 0.001)
        self.step += 1
        return loss.detach()


def fit(quick):
    """Time of a step of `fit`, relative to the loop written by hand."""
    ratios = {}
    for kind, n in {"images": N_IMAGE_ROWS, "tables": N_TABLE_ROWS}.items():
        X, image_shape = data(kind, n)
        ours, bare = [], []
        rep = DiffusionRepresentation(
            image_shape=image_shape,
            max_epochs=1,
            random_state=0,
            callbacks=[EpochTimes(ours)],
        )
        loop = BareLoop(rep.fit(X), X)
        loop.epoch()
        rep.set_params(max_epochs=2, warm_start=True)
        for _ in range(12 if quick else 40):
            rep.fit(X)
            with timed(bare):
                loop.epoch()
        rounds = np.array(ours) / np.array(bare)
        n_steps = -(-n // rep.batch_size)
        low, high = np.quantile(rounds, [0.25, 0.75])
        print(
            f"fit, {kind}: {1e3 * median(ours) / n_steps:.2f} ms a step, bare "
            f"{1e3 * median(bare) / n_steps:.2f}; half of the rounds within "
            f"{low:.2f} to {high:.2f}"
        )
        ratios[f"fit, {kind}"] = median(rounds)
    return ratios


def transform(quick):
    """Time of `transform` relative to the encoder alone, and of 16 codes to one."""
    X, image_shape = data("images", 1280)
    shared = {"image_shape": image_shape, "max_epochs": 1, "random_state": 0}
    rep = DiffusionRepresentation(**shared).fit(X)
    rows = torch.from_numpy(rep.standardizer_.transform(X).astype(np.float32))
    rows = rows.view(-1, *image_shape)
    encoder = rep.net_.module_.encoder

    def bare(batch_size):
        with torch.inference_mode():
            return torch.cat([encoder(batch) for batch in rows.split(batch_size)])

    n_rounds = 25 if quick else 75
    sizes = [64, 128, 256, 640]
    seconds = {size: [] for size in sizes}
    for _ in range(n_rounds):
        for size in sizes:
            with timed(seconds[size]):
                bare(size)
    best = min(sizes, key=lambda size: median(seconds[size]))
    print(f"bare encoder: best with {best} rows in a batch")
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file, X)
        file.flush()
        inputs = {
            "float64": X.astype(np.float64),
            "float32": X.astype(np.float32),
            "uint8": X,
            "memmap": np.load(file.name, mmap_mode="r"),
        }
        ratios = {}
        for name, rows_in in inputs.items():
            ours, other = [], []
            for _ in range(n_rounds):
                with timed(ours):
                    rep.transform(rows_in)
                with timed(other):
                    bare(best)
            ratios[f"transform, {name}"] = median(np.array(ours) / np.array(other))
    curves = DiffusionRepresentation(t_grid=16, **shared).fit(X)
    one, many = [], []
    for _ in range(n_rounds):
        with timed(one):
            rep.transform(X)
        with timed(many):
            curves.transform(X)
    ratios["16 codes over one"] = median(np.array(many) / np.array(one))
    return ratios


def cores(quick):
    """Time of a search with two jobs, relative to one."""
    X, y = load_digits(return_X_y=True)
    search = GridSearchCV(
        make_pipeline(
            DiffusionRepresentation(image_shape=(1, 8, 8), random_state=0),
            LogisticRegression(max_iter=1000),
        ),
        {
            "diffusionrepresentation__max_epochs": [4 if quick else 16],
            "diffusionrepresentation__n_components": [8, 16],
        },
        cv=4,
        refit=False,
    )
    seconds = {1: [], 2: []}
    for i in range(3):
        for n_jobs, found in seconds.items():
            search.set_params(n_jobs=n_jobs)
            with parallel_config("loky"), timed(found):
                search.fit(X, y)
            if i == 0:
                found.clear()  # the workers start in the first search
    return {"2 jobs over 1": median(np.array(seconds[2]) / np.array(seconds[1]))}


def growth(quick):
    """Exponents of the times of fit and transform, by the size that grows."""

    def fitted(n=2560, T=None, n_components=128, side=28):
        rng = np.random.default_rng(0)
        X = rng.random((n, side * side), dtype=np.float32)
        rep = DiffusionRepresentation(
            n_components,
            t_grid=T,
            image_shape=(1, side, side),
            max_epochs=3,
            random_state=0,
        )
        epochs, seconds = [], []
        rep.set_params(callbacks=[EpochTimes(epochs)]).fit(X)
        for _ in range(3):
            with timed(seconds):
                rep.transform(X)
        return median(epochs), median(seconds)

    grid = {
        "n": [1280, 2560, 5120, 10_240],
        "T": [1, 4, 16, 64],
        "n_components": [32, 64, 128, 256],
        "side": [16, 28, 40, 56],
    }
    for name, values in grid.items():
        found = np.array([fitted(**{name: value}) for value in values])
        slopes = np.polyfit(np.log(values), np.log(found), 1)[0]
        print(
            f"{name} in {values}: fit ~ {name}^{slopes[0]:.2f}, "
            f"transform ~ {name}^{slopes[1]:.2f}; seconds {found.T.round(3).tolist()}"
        )
    return {}


def choices(quick):
    """Time of a step with one change, relative to the loop without it."""
    for kind, n in {"images": N_IMAGE_ROWS, "tables": N_TABLE_ROWS}.items():
        X, image_shape = data(kind, n)
        rep = DiffusionRepresentation(
            image_shape=image_shape, max_epochs=1, random_state=0
        ).fit(X)
        loops = {
            name: BareLoop(rep, X) for name in ("as it is", "bfloat16", "compiled")
        }
        loops["not fused"] = BareLoop(rep, X, fused=False)
        if kind == "images":
            loops["not channels last"] = BareLoop(rep, X)
            filters = loops["not channels last"].model.encoder.backbone.filters
            filters.conv.to(memory_format=torch.contiguous_format)
        model = loops["compiled"].model
        model.encoder = torch.compile(model.encoder)
        model.score_network = torch.compile(model.score_network)
        compilation: list = []
        with timed(compilation):
            loops["compiled"].epoch()
        seconds = {name: [] for name in loops}
        for _ in range(5 if quick else 15):
            for name, loop in loops.items():
                with (
                    timed(seconds[name]),
                    torch.autocast("cpu", torch.bfloat16, name == "bfloat16"),
                ):
                    loop.epoch()
        base = np.array(seconds["as it is"])
        for name, found in seconds.items():
            print(f"{kind}, {name}: {np.median(found / base):.2f}")
        gain = median(base - np.array(seconds["compiled"])) * rep.batch_size / n
        print(f"{kind}: compiled in {compilation[0]:.0f} s, gains {gain:.4f} s a step")
    return {}


def latency(quick):
    """Milliseconds of `transform` and of ONNX, by the number of rows."""
    rep = DiffusionRepresentation(image_shape=IMAGE_SHAPE, max_epochs=0, random_state=0)
    X, _ = data("images", 500)
    rep.fit(X)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        rep.to_onnx(f"{folder}/codes.onnx")
        session = onnxruntime.InferenceSession(f"{folder}/codes.onnx", options)
    ways = {
        "transform": rep.transform,
        "ONNX": lambda X: session.run(["codes"], {"X": X.astype(np.float32)}),
    }
    for n in (1, 32, 500):
        seconds = {name: [] for name in ways}
        for _ in range(20 if quick else 100):
            for name, way in ways.items():
                with timed(seconds[name]):
                    way(X[:n])
        for name, found in seconds.items():
            print(f"{n} rows, {name}: {1000 * median(found):.2f} ms")
    return {}


PROGRAMS = {
    "import torch, pandas, sklearn and skorch": (
        "import torch, pandas, skorch, sklearn.model_selection"
    ),
    "import diffrep": "import diffrep",
    "import, load and transform": (
        "import diffrep; diffrep.load({path!r}).transform({X})"
    ),
    "import and fit of 60 rows, max_epochs=0": (
        "import diffrep; diffrep.DiffusionRepresentation(max_epochs=0).fit({X})"
    ),
    "import and fit of 60 rows, max_epochs=5": (
        "import diffrep; diffrep.DiffusionRepresentation(max_epochs=5).fit({X})"
    ),
}


def startup(quick):
    """CPU seconds of programs in new processes."""
    X = [[i % 7, i % 5, i % 3] for i in range(60)]
    seconds = {name: [] for name in PROGRAMS}
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/rep.safetensors"
        DiffusionRepresentation(max_epochs=0).fit(X).save(path)
        for _ in range(3 if quick else 9):
            for name, program in PROGRAMS.items():
                start = children_seconds()
                script = program.format(path=path, X=X)
                subprocess.run([sys.executable, "-c", script], check=True)
                seconds[name].append(children_seconds() - start)
    for name, found in seconds.items():
        print(f"{name}: {median(found):.2f} s")
    return {}


def children_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


SECTIONS = {
    "fit": fit,
    "transform": transform,
    "cores": cores,
    "growth": growth,
    "latency": latency,
    "startup": startup,
    "choices": choices,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="fewer rounds, bounds only"
    )
    parser.add_argument("--only", nargs="+", choices=SECTIONS)
    arguments = parser.parse_args()
    bounded = ["fit", "transform", "cores"]
    torch.set_num_threads(1)
    ratios = {}
    for name in arguments.only or (bounded if arguments.quick else SECTIONS):
        ratios |= SECTIONS[name](arguments.quick)
    over = [name for name, ratio in ratios.items() if ratio > BOUNDS[name]]
    for name, ratio in ratios.items():
        print(f"{name:<20} {ratio:6.3f}   bound {BOUNDS[name]:g}")
    print("; ".join(f"{name} {ratio:.3f}" for name, ratio in ratios.items()))
    sys.exit(bool(over))


if __name__ == "__main__":
    main()
