"""Checkpoints: killed fits that are called again give the same result."""

import errno
import hashlib
import io
import json
import os
import pickle
import shutil
import signal
import warnings
from contextlib import contextmanager
from contextvars import copy_context
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from torch import nn

from diffrep import (
    VE,
    DiffusionRepresentation,
    VariationalDiffusionRepresentation,
    _checkpoints,
)
from diffrep.baselines import AutoencoderRepresentation, DenoiserFeatures
from diffrep.core import checkpoint, distributed
from diffrep.core.augment import Chain, gaussian_noise
from diffrep.core.checkpoint import Checkpoints, digest, plain
from diffrep.core.loop import TrainingLoop
from diffrep.exceptions import CheckpointError, CheckpointWarning

SMALL = {"n_components": 3, "max_epochs": 3, "batch_size": 20, "random_state": 0}
X = np.random.default_rng(0).normal(size=(80, 6))
N_STEPS = 3 * 4


class Killed(BaseException):
    """Stands in for SIGKILL, except that ``finally`` is run."""


@pytest.fixture(autouse=True)
def always_due(monkeypatch):
    """Write a checkpoint after each step, without waiting for the disk."""
    monkeypatch.setattr(checkpoint, "PERIOD", 0.0)
    monkeypatch.setattr(os, "fsync", lambda file: None)


def fitted_bits(rep):
    """Digest of the state after a fit, without durations."""
    return digest(
        [
            plain(rep.net_.module_.state_dict()),
            plain(rep.net_.optimizer_.state_dict()),
            rep.net_.step_,
            rep.history_.drop(columns="dur").to_dict("list"),
            rep.transform(X),
        ]
    )


@contextmanager
def killed_at(n, owner, name, after=False, error=Killed):
    """Raise an error in place of the n-th call of a function, or right after it."""
    original, calls = getattr(owner, name), [0]

    def counted(*args, **kwargs):
        calls[0] += 1
        if calls[0] == n and not after:
            raise error
        result = original(*args, **kwargs)
        if calls[0] == n:
            raise error
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, counted)
        yield calls


def steps(call):
    """Number of training steps of a call."""
    with killed_at(0, TrainingLoop, "_batch_done") as calls:
        call()
    return calls[0]


class Dropping(nn.Sequential):
    """Encoder that uses torch's global generator in training."""

    def __init__(self, data_shape, n_outputs, time_conditioned):
        super().__init__(nn.Dropout(0.5), nn.Linear(data_shape[0], n_outputs))


class Frozen(nn.Sequential):
    """Encoder with frozen and unused weights, which get no gradient."""

    def __init__(self, data_shape, n_outputs, time_conditioned):
        super().__init__(nn.Linear(data_shape[0], n_outputs))
        self[0].bias.requires_grad_(False)
        self.unused = nn.Parameter(torch.ones(2))


KINDS = {
    "DRL": DiffusionRepresentation(**SMALL),
    "own": DiffusionRepresentation(**SMALL, encoder=Dropping),
    "frozen": DiffusionRepresentation(**SMALL, encoder=Frozen),
    "VDRL": VariationalDiffusionRepresentation(**SMALL, t_grid=2, augment=None),
    "DDAE": DenoiserFeatures(**SMALL),
    "early": AutoencoderRepresentation(
        **SMALL | {"max_epochs": 30, "lr": 0.03},
        early_stopping=True,
        n_iter_no_change=2,
    ),
}
POINTS = {
    "after a step": (TrainingLoop, "_batch_done", True),
    "before a file is complete": (os, "fsync", False),
    "before it has its name": (os, "replace", False),
    "before older ones are deleted": (os, "replace", True),
    "between epochs": (TrainingLoop, "_reached", True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_killed_again_and_again(kind, tmp_path):
    """The result does not depend on when and how often the fit is killed."""
    expected = fitted_bits(clone(KINDS[kind]).fit(X))
    points, n_killed = list(POINTS.values()), 0
    rep = clone(KINDS[kind]).set_params(checkpoint=tmp_path)
    while True:
        owner, name, after = points[n_killed % len(points)]
        try:
            with killed_at(2 if name == "_reached" else 4, owner, name, after):
                rep.fit(X)
        except Killed:
            n_killed += 1
            assert len(list(tmp_path.glob("*/*.ckpt"))) <= checkpoint.N_KEPT + 1
            assert not hasattr(rep, "net_")
        else:
            break
    assert n_killed >= 3
    assert fitted_bits(rep) == expected
    assert steps(lambda: clone(rep).fit(X)) == 0
    assert fitted_bits(clone(rep).fit(X)) == expected
    assert len(list(tmp_path.glob("*/*"))) == checkpoint.N_KEPT


@cache
def _uninterrupted():
    return fitted_bits(clone(KINDS["DRL"]).fit(X))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(("name", "n"), [("fsync", 1), ("fsync", 7), ("replace", 6)])
def test_sigkill_during_a_write(name, n, tmp_path):
    """The process is killed while it writes a file."""
    rep = clone(KINDS["DRL"]).set_params(checkpoint=tmp_path)
    # Python 3.12 warns that a process with threads is forked.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        with killed_at(n, os, name) as calls:
            original = getattr(os, name)

            def kill(*arguments):
                if calls[0] == n - 1:
                    os.kill(os.getpid(), signal.SIGKILL)
                return original(*arguments)

            setattr(os, name, kill)
            rep.fit(X)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    (left,) = tmp_path.glob("*/*.tmp")
    os.utime(left, (0, 0))  # a newer file may still be written
    assert fitted_bits(rep.fit(X)) == _uninterrupted()
    assert not left.exists()


def test_resumes_at_the_interrupted_step(tmp_path):
    rep = clone(KINDS["DRL"]).set_params(checkpoint=tmp_path)
    with killed_at(7, TrainingLoop, "_batch_done", after=True), pytest.raises(Killed):
        rep.fit(X)
    assert steps(lambda: rep.fit(X)) == N_STEPS - 7


@pytest.mark.parametrize("period", [0.0, 1e9])
def test_keyboard_interrupt_writes_a_checkpoint_and_is_raised(
    period, tmp_path, monkeypatch
):
    monkeypatch.setattr(checkpoint, "PERIOD", period)
    rep = clone(KINDS["DRL"]).fit(X + 1)
    codes = rep.transform(X)
    rep.set_params(checkpoint=tmp_path)
    model = type(rep.net_.module_)
    with (
        killed_at(6, model, "forward", error=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        rep.fit(X)
    np.testing.assert_array_equal(rep.transform(X), codes)
    assert steps(lambda: rep.fit(X)) == N_STEPS - 5
    assert fitted_bits(rep) == _uninterrupted()


def test_interrupt_within_a_step_writes_no_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "PERIOD", 1e9)
    rep = clone(KINDS["DRL"]).set_params(checkpoint=tmp_path)
    with (
        killed_at(6, torch, "_foreach_lerp_", error=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        rep.fit(X)
    assert not list(tmp_path.glob("*/*.ckpt"))
    assert fitted_bits(rep.fit(X)) == _uninterrupted()


class Stop(Callback):
    """Callback that ends the training in the second epoch."""

    def on_train_begin(self, net, **kwargs):
        self.losses_ = []

    def on_epoch_end(self, net, **kwargs):
        self.losses_.append(net.history[-1, "train_loss"])
        if len(self.losses_) == 2:
            raise KeyboardInterrupt


def test_callbacks_resume(tmp_path):
    rep = clone(KINDS["DRL"]).set_params(callbacks=[Stop()])
    expected = fitted_bits(rep.fit(X))
    assert rep.n_iter_ == 2
    rep = clone(rep).set_params(checkpoint=tmp_path)
    with killed_at(6, TrainingLoop, "_batch_done"), pytest.raises(Killed):
        rep.fit(X)
    assert fitted_bits(rep.fit(X)) == expected
    assert steps(lambda: clone(rep).fit(X)) == 0


def test_warm_starts_resume(tmp_path):
    def fits(folder, kill):
        rep = clone(KINDS["DRL"]).set_params(warm_start=True, checkpoint=folder)
        rep.fit(X)
        rep.set_params(max_epochs=2)
        if kill:
            with (
                killed_at(5, TrainingLoop, "_batch_done", after=True),
                pytest.raises(Killed),
            ):
                rep.fit(X)
        return rep.fit(X)

    expected = fits(None, kill=False)
    assert fitted_bits(fits(tmp_path, kill=True)) == fitted_bits(expected)
    again = []
    assert steps(lambda: again.append(fits(tmp_path, kill=False))) == 0
    assert again[0].n_iter_ == 5
    assert fitted_bits(again[0]) == fitted_bits(expected)


# It diverges on purpose; the warning is checked in test_divergence.
@pytest.mark.filterwarnings("ignore::diffrep.exceptions.DivergenceWarning")
def test_resumed_fit_recovers_from_divergence_alike(tmp_path):
    rep = AutoencoderRepresentation(**SMALL | {"lr": 5.0, "max_epochs": 6})
    n_steps = steps(lambda: rep.fit(X))
    assert n_steps > 6 * 4
    expected = fitted_bits(rep)
    rep = clone(rep).set_params(checkpoint=tmp_path)
    for n in (2, 4, 5):
        with (
            killed_at(n, TrainingLoop, "_batch_done", after=True),
            pytest.raises(Killed),
        ):
            rep.fit(X)
    assert steps(lambda: rep.fit(X)) == n_steps - 11
    assert fitted_bits(rep) == expected


def test_search_skips_finished_fits(tmp_path):
    def search(folder):
        rep = AutoencoderRepresentation(**SMALL, checkpoint=folder)
        return GridSearchCV(rep, {"lr": [1e-3, 1e-2]}, cv=2)

    expected = search(None)
    n_steps = steps(lambda: expected.fit(X))
    done = n_steps // 2
    search_in_folder = search(tmp_path)
    with (
        killed_at(done, TrainingLoop, "_batch_done", after=True),
        pytest.raises(Killed),
    ):
        search_in_folder.fit(X)
    assert steps(lambda: search_in_folder.fit(X)) == n_steps - done
    best, other = search_in_folder.best_estimator_, expected.best_estimator_
    assert fitted_bits(best) == fitted_bits(other)
    assert len(list(tmp_path.iterdir())) == 5  # four in the search, one refit


def test_each_fit_has_its_own_folder(tmp_path):
    rep = clone(KINDS["DRL"]).set_params(checkpoint=tmp_path).fit(X)
    others = [
        clone(rep).set_params(lr=1e-4),
        clone(rep).set_params(random_state=1),
    ]
    y = np.arange(80) % 2
    for other in others:
        assert steps(lambda other=other: other.fit(X, y)) == N_STEPS
    assert steps(lambda: clone(rep).fit(X + 1e-12)) == N_STEPS
    assert len(list(tmp_path.iterdir())) == 4
    # These have no effect.
    same = clone(rep).set_params(verbose=1, random_state=np.random.RandomState(0))
    assert steps(lambda: same.set_params(verbose=0, random_state=0).fit(X, y)) == 0
    np.save(tmp_path / "rows.npy", X)
    assert steps(lambda: rep.fit(np.load(tmp_path / "rows.npy", mmap_mode="r"))) == 0


def test_objects_are_identified_by_content(tmp_path):
    def rep():
        return clone(KINDS["DRL"]).set_params(
            sde=VE(sigma_max=20.0),
            time_sampling=scipy.stats.beta(3, 1),
            augment=Chain(gaussian_noise, gaussian_noise),
            t_grid=np.array([0.2, 0.4]),
            lr=np.float64(0.003),
            checkpoint=tmp_path,
        )

    expected = fitted_bits(rep().fit(X))
    assert steps(lambda: rep().set_params(lr=0.003).fit(X)) == 0
    assert fitted_bits(rep().fit(X)) == expected
    assert steps(lambda: rep().set_params(sde=VE(sigma_max=30.0)).fit(X)) == N_STEPS
    other = scipy.stats.beta(3, 2)
    assert steps(lambda: rep().set_params(time_sampling=other).fit(X)) == N_STEPS


def test_checkpoint_of_another_fit_is_rejected(tmp_path):
    rep = clone(KINDS["DRL"]).set_params(checkpoint=tmp_path).fit(X)
    (first,) = tmp_path.iterdir()
    other = clone(rep).set_params(lr=0.01).fit(X)
    (second,) = set(tmp_path.iterdir()) - {first}
    shutil.rmtree(second)
    shutil.copytree(first, second)
    codes = other.transform(X)
    with pytest.raises(CheckpointError, match=r"lr was 0\.002, is 0\.01.*Delete"):
        other.fit(X)
    np.testing.assert_array_equal(other.transform(X), codes)


def test_checkpoint_of_another_version_is_rejected(tmp_path, monkeypatch):
    rep = clone(KINDS["DRL"]).set_params(checkpoint=tmp_path).fit(X)
    monkeypatch.setattr(_checkpoints, "__version__", "9.9")
    with pytest.raises(CheckpointError, match=r"diffrep was 0\..*, is 9\.9\. Delete"):
        rep.fit(X)
    assert issubclass(CheckpointError, ValueError)


def damaged(path, how):
    content = bytearray(path.read_bytes())
    if how == "cut off":
        content = content[: len(content) // 2]
    elif how == "empty":
        content = b""
    else:
        content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("how", ["cut off", "empty", "one bit"])
@pytest.mark.parametrize("n_damaged", [1, 2])
def test_damaged_checkpoints_are_skipped(how, n_damaged, tmp_path):
    rep = clone(KINDS["DRL"]).set_params(checkpoint=tmp_path)
    with killed_at(7, TrainingLoop, "_batch_done", after=True), pytest.raises(Killed):
        rep.fit(X)
    for path in sorted(tmp_path.glob("*/*.ckpt"))[-n_damaged:]:
        damaged(path, how)
    message = "truncated or damaged.*resumes"
    with pytest.warns(CheckpointWarning, match=message) as warned:
        n_steps = steps(lambda: rep.fit(X))
    assert len(warned) == n_damaged
    assert n_steps == (N_STEPS - 6 if n_damaged == 1 else N_STEPS)
    assert fitted_bits(rep) == _uninterrupted()


@pytest.mark.parametrize("line", [b"[]", b"5", b"null", b"\xff", 100_000 * b"["])
def test_record_that_is_not_an_object_is_skipped(line, tmp_path):
    rep = clone(KINDS["DRL"]).set_params(checkpoint=tmp_path).fit(X)
    for path in tmp_path.glob("*/*.ckpt"):
        content = line + b"\n" + path.read_bytes()[32:].split(b"\n", 1)[1]
        path.write_bytes(hashlib.sha256(content).digest() + content)
    with pytest.warns(CheckpointWarning, match="cannot be used"):
        rep.fit(X)
    assert fitted_bits(rep) == _uninterrupted()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("finished", 0),
        ("now.step", -1),
        ("now.start_loss", "x"),
        ("now.start_loss", None),
        ("now.callbacks", []),
        ("now.module.null_code", torch.zeros(9)),
        ("now.optimizer.param_groups.0.betas", 0.9),
        ("now.optimizer.state.0.exp_avg", None),
        ("now.optimizer.state.0", []),
        ("history", []),
        ("history.0.train_loss", {}),
        ("run.n_halvings", 10**12),
        ("run.first_epoch", 5),
        ("run.sums", {}),
        ("run.good", {}),
        ("run.good.n_epochs", 0.5),
    ],
)
def test_invalid_content_is_rejected(place, value, tmp_path):
    rep = clone(KINDS["DRL"]).set_params(checkpoint=tmp_path)
    with killed_at(7, TrainingLoop, "_batch_done", after=True), pytest.raises(Killed):
        rep.fit(X)
    path = max(tmp_path.glob("*/*.ckpt"))
    line, payload = path.read_bytes()[32:].split(b"\n", 1)
    state = torch.load(io.BytesIO(payload), weights_only=True)
    *parts, last = [int(p) if p.isdecimal() else p for p in place.split(".")]
    holder = state
    for part in parts:
        holder = holder[part]
    assert holder[last] is not value
    holder[last] = value
    changed = io.BytesIO()
    torch.save(state, changed)
    content = line + b"\n" + changed.getvalue()
    path.write_bytes(hashlib.sha256(content).digest() + content)
    with pytest.raises(CheckpointError, match="not have the form"):
        rep.fit(X)


class Trap:
    """Object that runs code when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("trapped",)


def test_reading_a_checkpoint_runs_no_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rep = clone(KINDS["DRL"]).set_params(checkpoint="folder").fit(X)
    newest = max(Path("folder").glob("*/*.ckpt"))
    line = newest.read_bytes()[32:].split(b"\n", 1)[0] + b"\n"
    torch.save({"finished": Trap()}, "trap")
    content = line + Path("trap").read_bytes()
    newest.write_bytes(hashlib.sha256(content).digest() + content)
    with pytest.raises(CheckpointError, match="objects other than tensors"):
        rep.fit(X)
    assert not Path("trapped").exists()
    with pytest.raises(pickle.UnpicklingError):
        torch.load("trap", weights_only=True)
    assert "lr" in json.loads(line)


@pytest.mark.parametrize(("name", "n"), [("fsync", 1), ("replace", 5), ("fsync", 12)])
def test_full_disk_is_a_warning(name, n, tmp_path):
    full = OSError(errno.ENOSPC, "No space left on device")
    rep = clone(KINDS["DRL"]).set_params(checkpoint=tmp_path)
    with (
        killed_at(n, os, name, error=full),
        pytest.warns(
            CheckpointWarning, match=r"No space left.*Training continues"
        ) as w,
    ):
        rep.fit(X)
    assert len(w) == 1
    assert fitted_bits(rep) == _uninterrupted()
    assert not list(tmp_path.glob("*/*.tmp"))
    assert steps(lambda: rep.fit(X)) == 0


def test_read_only_folder_is_a_warning(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    rep = clone(KINDS["DRL"]).set_params(checkpoint=tmp_path / "file")
    with pytest.warns(CheckpointWarning, match="could not be written"):
        rep.fit(X)
    assert fitted_bits(rep) == _uninterrupted()


def test_checkpoint_needs_a_seed(tmp_path):
    rep = DiffusionRepresentation(checkpoint=tmp_path)
    with pytest.raises(ValueError, match=r"needs random_state.*random_state=0"):
        rep.fit(X)


def test_parameters_that_cannot_be_pickled_are_rejected(tmp_path):
    rep = clone(KINDS["DRL"]).set_params(checkpoint=tmp_path)
    rep.set_params(encoder=lambda shape, n, timed: nn.Linear(shape[0], n))
    with pytest.raises(ValueError, match=r"cannot be identified.*top level"):
        rep.fit(X)


def test_only_the_first_process_writes(tmp_path):
    def write(rank):
        distributed._PEERS.set(distributed.Peers(rank, 2))
        Checkpoints(tmp_path, {"rank": str(rank)}, {}).write({"a": 1})

    for rank in range(2):
        copy_context().run(write, rank)
    assert len(list(tmp_path.iterdir())) == 1
    assert Checkpoints(tmp_path, {"rank": "0"}, {}).newest() == {"a": 1}


def test_digests_depend_on_content_only():
    values = [
        X,
        X.astype(np.float32),
        X[:40],
        X.reshape(40, 12),
        X.T,
        1,
        1.0,
        "1",
        None,
        [1],
        [[1]],
        [1, 1],
        {"a": 1},
        {"a": 2},
        torch.tensor(1.0),
        True,
        nn.ReLU,
    ]
    digests = [digest(value) for value in values]
    assert len({*digests}) == len(values)
    assert digest(np.asfortranarray(X)) == digests[0]
    assert digest(torch.from_numpy(X)) == digests[0]
