"""Fits with checkpoints that are killed at random times, and go on.

They run in processes that are forked from a warm one and killed by SIGKILL after a
random time, again and again until one ends. A trial fails if the weights, the
optimizer, the losses or the codes differ in one bit from those of a fit that nobody
interrupted. Linux and macOS.
"""

import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np
from sklearn.base import clone

from diffrep import DiffusionRepresentation, VariationalDiffusionRepresentation
from diffrep.baselines import AutoencoderRepresentation, DenoiserFeatures
from diffrep.core import checkpoint

SMALL = {"n_components": 4, "max_epochs": 10, "batch_size": 50, "random_state": 0}
FITS = {
    "DRL": DiffusionRepresentation(**SMALL),
    "VDRL, a code of t": VariationalDiffusionRepresentation(**SMALL, t_grid=2),
    "DDAE": DenoiserFeatures(**SMALL),
    "autoencoder, early stopping": AutoencoderRepresentation(
        **SMALL | {"max_epochs": 40, "lr": 0.02},
        early_stopping=True,
        n_iter_no_change=3,
    ),
    "autoencoder that diverges at first": AutoencoderRepresentation(**SMALL, lr=10.0),
}


def bits(rep, X):
    """Digest of all that a fit leaves, but for the seconds it took."""
    net = rep.net_
    return checkpoint.digest(
        [
            checkpoint.plain(net.module_.state_dict()),
            checkpoint.plain(net.optimizer_.state_dict()),
            net.step_,
            rep.history_.drop(columns="dur").to_dict("list"),
            rep.transform(X),
        ]
    )


def killed(rep, X, found, seconds):
    """Fit in a forked process; kill it after so many seconds, unless it is done.

    It writes its digest to the file `found`. Returns whether it was killed.
    """
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        try:
            found.write_text(bits(clone(rep).fit(X), X))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def kills(n):
    """Rows of the table for at least `n` SIGKILLs in all."""
    X = np.random.default_rng(0).normal(size=(400, 8))
    rng, rows = np.random.default_rng(int(time.time())), []
    for name, rep in FITS.items():
        start = time.monotonic()
        expected = bits(clone(rep).fit(X), X)
        longest = time.monotonic() - start
        n_killed, n_fits, n_wrong = 0, 0, 0
        while n_killed < n / len(FITS):
            # Always writing, or mostly training.
            checkpoint.PERIOD = 0.1 * longest * (n_fits % 2)
            with tempfile.TemporaryDirectory() as folder:
                rep = clone(rep).set_params(checkpoint=Path(folder) / "checkpoints")
                found = Path(folder) / "digest"
                while killed(rep, X, found, rng.uniform(0, 1.5 * longest)):
                    n_killed += 1
                n_fits += 1
                n_wrong += not found.exists() or found.read_text() != expected
        rows.append((f"{name}: {n_fits} fits, SIGKILLs", n_killed, n_wrong))
        print(*rows[-1], sep=", ", flush=True)
    return rows
