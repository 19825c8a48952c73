"""Fits with checkpoints are stopped at random times and resume.

They are stopped by SIGKILL, in forked processes, until one of them ends, or by Ctrl-C,
every other time followed by a second one within milliseconds. A trial fails if the
weights, the optimizer, the losses or the codes differ in a bit from those of an
uninterrupted fit, or if an interrupt changes an estimator that was fitted before. Linux
and macOS.
"""

import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from unittest.mock import patch

import numpy as np
from sklearn.base import clone

from diffrep import DiffusionRepresentation, VariationalDiffusionRepresentation
from diffrep.baselines import AutoencoderRepresentation, DenoiserFeatures
from diffrep.core import checkpoint

X = np.random.default_rng(0).normal(size=(400, 8))
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


def bits(rep):
    """Digest of the state after a fit, without durations."""
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


def uninterrupted(rep):
    """Digest and duration of an uninterrupted fit."""
    expected = bits(clone(rep).fit(X))
    start = time.monotonic()  # of the second one; the first is a warm-up
    if bits(clone(rep).fit(X)) != expected:
        raise ValueError("two fits of one seed differ")
    return expected, time.monotonic() - start


def killed(rep, found, seconds):
    """Fit in a forked process that is killed after some seconds, unless it ends.

    The process writes its digest to the file `found`. Returns whether it was killed.
    """
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        try:
            found.write_text(bits(clone(rep).fit(X)))
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


def interrupted(rep, seconds, again):
    """Fit with Ctrl-C after some seconds, and a second one after `again` more.

    Returns whether the fit was interrupted.
    """

    def second(*arguments):
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        raise KeyboardInterrupt

    def first(*arguments):
        signal.signal(signal.SIGALRM, second)
        signal.setitimer(signal.ITIMER_REAL, again)  # 0 means never
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, first)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            rep.fit(X)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        return True
    finally:
        signal.signal(signal.SIGALRM, before)
    return False


def stopped(n, how, fit):
    """Results of at least `n` stops in all.

    ``fit(rep, expected, longest, folder, number, rng)`` fits with a checkpoint in a
    folder until it is not stopped, and returns the numbers of stops and of failures.
    """
    rng, rows = np.random.default_rng(int(time.time())), []
    for name, rep in FITS.items():
        expected, longest = uninterrupted(rep)
        n_stops, n_fits, n_wrong = 0, 0, 0
        while n_stops < n / len(FITS):
            with tempfile.TemporaryDirectory() as folder:
                stops, wrong = fit(rep, expected, longest, Path(folder), n_fits, rng)
            n_stops, n_fits, n_wrong = n_stops + stops, n_fits + 1, n_wrong + wrong
        rows.append((f"{name}: {n_fits} fits, {how}", n_stops, n_wrong))
        print(*rows[-1], sep=", ", flush=True)
    return rows


def kills(n):
    """Results of at least `n` SIGKILLs in all."""

    def fit(rep, expected, longest, folder, number, rng):
        rep = clone(rep).set_params(checkpoint=folder / "checkpoints")
        found, n_killed = folder / "digest", 0
        # Writing all the time, or mostly training.
        with patch.object(checkpoint, "PERIOD", 0.1 * longest * (number % 2)):
            while killed(rep, found, rng.uniform(0, 1.5 * longest)):
                n_killed += 1
        return n_killed, not found.exists() or found.read_text() != expected

    return stopped(n, "SIGKILLs", fit)


def interrupts(n):
    """Results of at least `n` interrupts in all."""

    def fit(rep, expected, longest, folder, number, rng):
        trial = clone(rep).set_params(max_epochs=1).fit(X[:100])
        before, n_interrupts, n_wrong = bits(trial), 0, 0
        trial.set_params(checkpoint=folder / "checkpoints", max_epochs=rep.max_epochs)
        again = rng.uniform(0, 0.02) * (number % 2)
        while interrupted(trial, rng.uniform(0.01, longest), again):
            n_interrupts += 1
            n_wrong += bits(trial) != before
        return n_interrupts, n_wrong + (bits(trial) != expected)

    return stopped(n, "Ctrl-C", fit)
