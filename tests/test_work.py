"""Counts of work: passes through networks, waits for the device, copies."""

import tracemalloc
from unittest.mock import patch

import numpy as np
import pytest
import torch

from diffrep import DiffusionRepresentation
from diffrep.core.encoders import MLPBackbone
from diffrep.core.training import BLOCK

REP = {"encoder": "mlp", "max_epochs": 2, "batch_size": 32, "random_state": 0}


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).normal(size=(320, 8)).astype(np.float32)


def passes(call):
    """Number of rows in each pass through a backbone during `call`."""
    rows, forward = [], MLPBackbone.forward

    def counted(self, x, condition=None):
        rows.append(len(x))
        return forward(self, x, condition)

    with patch.object(MLPBackbone, "forward", counted):
        call()
    return rows


@pytest.mark.parametrize("t_grid", [None, 1, 16])
def test_curve_takes_one_pass_through_the_backbone(X, t_grid):
    rep = DiffusionRepresentation(4, t_grid=t_grid, **REP).fit(X)
    n_blocks = -(-len(X) // BLOCK["cpu"])
    found = passes(lambda: rep.transform(X))
    assert len(found) == n_blocks
    assert len(X) <= sum(found) < len(X) + 32  # rows are padded to multiples of 32


def test_full_conditioning_takes_a_pass_per_time(X):
    rep = DiffusionRepresentation(4, t_grid=3, time_conditioning="full", **REP).fit(X)
    assert len(passes(lambda: rep.transform(X[:10]))) == 3


def test_step_encodes_its_batch_once(X):
    short = DiffusionRepresentation(4, augment=None, **REP)
    long = DiffusionRepresentation(4, augment=None, **REP | {"max_epochs": 5})
    before, after = passes(lambda: short.fit(X)), passes(lambda: long.fit(X))
    assert after.count(32) - before.count(32) == 3 * 10
    assert len(after) - len(before) == 3 * 10


def test_losses_are_read_once_per_epoch(X):
    def waits(max_epochs):
        count, read = [0], torch.Tensor.__float__

        def counted(self):
            count[0] += 1
            return read(self)

        rep = DiffusionRepresentation(4, **REP | {"max_epochs": max_epochs})
        with (
            patch.object(torch.Tensor, "__float__", counted),
            patch.object(torch.Tensor, "item", counted),
        ):
            rep.fit(X)
        return count[0]

    # Loss, denoising error and penalty; none of the ten steps of an epoch waits.
    assert waits(5) - waits(3) == 2 * 3


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_rows_are_not_copied_as_a_whole(dtype):
    X = np.random.default_rng(0).integers(0, 200, size=(40_000, 64)).astype(dtype)
    quick = {"max_epochs": 1, "batch_size": 4000, "network_size": 0.05}
    rep = DiffusionRepresentation(2, **REP | quick)
    rep.fit(X[:8000])
    peaks = []
    for n in (20_000, 40_000):
        tracemalloc.start()
        rep.fit(X[:n])
        fitted = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        rep.transform(X[:n])
        peaks.append((fitted, tracemalloc.get_traced_memory()[1] - n * 2 * 4))
        tracemalloc.stop()
    more = np.subtract(peaks[1], peaks[0]) / 20_000  # additional bytes per row
    assert (more < 20).all()  # eight for the order of the rows; a row has 64
