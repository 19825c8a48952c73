"""Results in threads and processes are the same, bit for bit."""

import multiprocessing
import os
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from diffrep import DiffusionRepresentation, VariationalDiffusionRepresentation, load
from diffrep.baselines import SimCLRRepresentation
from diffrep.core.device import forked_rng
from diffrep.semi_supervised import LaplaceNetClassifier
from diffrep.trajectory import TrajectoryClassifier

SMALL = {"n_components": 3, "max_epochs": 4, "batch_size": 20, "random_state": 0}
RNG = np.random.default_rng(0)
X, LABELS = RNG.normal(size=(60, 6)), np.arange(60) % 3


class Dropping(nn.Module):
    """Encoder that uses torch's global generators when it is built and trained."""

    seen: list = []

    def __init__(self, data_shape, n_outputs, time_conditioned):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(data_shape[0], 16),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(16, n_outputs),
        )

    def forward(self, x, t=None):
        if self.training:
            self.seen.append(torch.random.initial_seed())
        return self.layers(x)


class NoDropping(Dropping):
    """The same, without draws in training."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.layers[2].p = 0.0


def drawing_view(x, generator):
    """View that ignores the generator it receives."""
    return x + 0.1 * torch.randn_like(x)


FITS = {
    "DRL": DiffusionRepresentation(**SMALL),
    "VDRL, bf16": VariationalDiffusionRepresentation(**SMALL, precision="bf16"),
    "simCLR, other seed": SimCLRRepresentation(**SMALL | {"random_state": 1}),
    "own encoder": DiffusionRepresentation(**SMALL, encoder=Dropping),
    "the same again": DiffusionRepresentation(**SMALL, encoder=Dropping),
    "own views": DiffusionRepresentation(**SMALL, augment=drawing_view),
    "curves": TrajectoryClassifier(max_epochs=4, random_state=0),
    "few labels": LaplaceNetClassifier(
        max_epochs=1, supervised_epochs=1, augment=drawing_view, random_state=0
    ),
}


def bits(estimator):
    read = getattr(estimator, "transform", None) or estimator.predict_proba
    return read(X).tobytes()


@pytest.fixture(scope="module")
def rep():
    return clone(FITS["DRL"]).fit(X)


def test_fits_in_threads_equal_single_fits():
    alone = [bits(clone(e).fit(X, LABELS)) for e in FITS.values()]
    with ThreadPoolExecutor(len(FITS)) as pool:
        beside = list(pool.map(lambda e: bits(clone(e).fit(X, LABELS)), FITS.values()))
    for name, a, b in zip(FITS, alone, beside, strict=True):
        assert a == b, name


def test_draws_of_own_networks_depend_on_seed_and_step():
    fits = []
    for encoder in (Dropping, Dropping, NoDropping):
        Dropping.seen.clear()
        rep = DiffusionRepresentation(**SMALL, encoder=encoder).fit(X)
        fits.append((list(Dropping.seen), bits(rep)))
    # Each step has its own seed: 4 epochs of 3 batches, and then the read-out.
    seeds = fits[0][0]
    assert len(set(seeds[:12])) == 12
    assert fits[0] == fits[1]
    assert fits[2][0] == seeds
    assert fits[2][1] != fits[0][1]  # so that dropout is active
    other = DiffusionRepresentation(**SMALL | {"random_state": 1}, encoder=Dropping)
    Dropping.seen.clear()
    other.fit(X)
    assert not set(Dropping.seen) & set(seeds)


def test_codes_in_threads(rep):
    expected = [rep.transform(X[i:]).tobytes() for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            found = pool.map(lambda i: rep.transform(X[i:]).tobytes(), range(8))
            assert list(found) == expected


def test_samples_in_threads(rep):
    codes = rep.transform(X[:4])

    def draw(seed):
        return rep.sample(codes, n_steps=5, random_state=seed).tobytes()

    expected = [draw(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(draw, range(4))) == expected
    assert len(set(expected)) == 4


def test_saving_to_one_file_from_threads_leaves_a_complete_file(rep, tmp_path):
    path = tmp_path / "model"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(rep.save, [path] * 12))
    assert bits(load(path)) == bits(rep)
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_codes_in_forked_processes(rep):
    context, expected = multiprocessing.get_context("fork"), rep.transform(X)
    pipes = [context.Pipe(duplex=False) for _ in range(2)]

    def work(pipe):
        torch.set_num_threads(1)  # threads of OpenMP do not survive a fork
        pipe.send(rep.transform(X))

    workers = [context.Process(target=work, args=(end,)) for _, end in pipes]
    # Python 3.12 warns that a process with threads is forked.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for worker in workers:
            worker.start()
    for (pipe, _), worker in zip(pipes, workers, strict=True):
        assert pipe.poll(60)
        np.testing.assert_array_equal(pipe.recv(), expected)
        worker.join()


def test_codes_in_a_spawned_process(rep):
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        found = pool.submit(rep.transform, X).result(timeout=120)
    np.testing.assert_array_equal(found, rep.transform(X))


def test_fits_that_use_global_generators_take_turns():
    def draws(seed):
        found = []
        for _ in range(20):
            with forked_rng(seed):
                found += [torch.rand(1000).sum().item() for _ in range(3)]
        return found

    expected = [draws(seed) for seed in range(6)]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(draws, range(6))) == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_while_another_thread_uses_global_generators():
    """The process has the generator of the user, and may use it."""
    state = torch.get_rng_state()
    begun, go_on = threading.Event(), threading.Event()

    def borrow():
        with forked_rng(0):
            begun.set()
            go_on.wait(0.3)

    thread = threading.Thread(target=borrow)
    thread.start()
    begun.wait()
    # Python 3.12 warns that a process with threads is forked.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        same = torch.equal(torch.get_rng_state(), state)
        with forked_rng(0):
            os._exit(0 if same else 1)
    thread.join()
    _, status = os.waitpid(child, 0)
    assert status == 0
