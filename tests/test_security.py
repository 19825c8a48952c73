"""Guarantees of SECURITY.md: each names tests, and these tests exist."""

import ast
import re
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from diffrep import DiffusionRepresentation, load
from diffrep.baselines import SimCLRRepresentation
from diffrep.trajectory import TrajectoryClassifier

ROOT = Path(__file__).parents[1]
X, LABELS = np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 3
QUICK = {"max_epochs": 1, "random_state": 0}
FITTED = {
    "DRL": DiffusionRepresentation(2, t_grid=2, **QUICK),
    "simCLR": SimCLRRepresentation(2, **QUICK),
    "classifier": TrajectoryClassifier(DiffusionRepresentation(2, **QUICK), **QUICK),
}

_watchers: list = []


def _tell(event, arguments):
    for watcher in _watchers:
        watcher.append((event, *arguments[:1]))


@contextmanager
def watched():
    """List Python's audit events in a block."""
    if not hasattr(_tell, "hooked"):
        sys.addaudithook(
            _tell
        )  # audit hooks cannot be removed; this one is idle between blocks
        _tell.hooked = True
    events: list = []
    _watchers.append(events)
    try:
        yield events
    finally:
        _watchers.remove(events)


#: Execution or lookup of code, and new processes.
RUNS = (
    r"exec|compile|import|pickle\.|marshal\.|os\.(system|exec|fork|spawn)|subprocess\."
)


@pytest.mark.parametrize("name", FITTED)
def test_loading_a_model_file_runs_no_code(name, tmp_path):
    estimator, path = FITTED[name].fit(X, LABELS), tmp_path / "model"
    estimator.save(path)
    load(path)  # imports of libraries at first use
    with watched() as events:
        loaded = load(path)
    assert ("open", str(path)) in [(e, str(a)) for e, a in events]
    assert [e for e in events if re.match(RUNS, e[0])] == []
    assert loaded.n_features_in_ == 4


def test_watcher_detects_code_of_a_pickle():
    import pickle

    data = pickle.dumps(np.float64)
    with watched() as events:
        pickle.loads(data)
    assert [e for e in events if re.match(RUNS, e[0])]


def test_no_network_connection_is_opened(tmp_path):
    with watched() as events:
        for estimator in FITTED.values():
            estimator.fit(X, LABELS).save(tmp_path / "model")
            load(tmp_path / "model")
        rep = FITTED["DRL"]
        rep.sample(rep.transform(X), n_steps=2, random_state=0)
    assert events
    assert [e for e in events if e[0].startswith(("socket.", "urllib."))] == []


def test_watcher_detects_connections():
    import socket

    with watched() as events, socket.socket() as end:
        end.bind(("127.0.0.1", 0))
    assert [e for e in events if e[0].startswith("socket.")]


def promises():
    text = (ROOT / "SECURITY.md").read_text()
    section = text.split("## Guarantees and their tests")[1].split("\n## ")[0]
    return [item.split("\n\n")[0] for item in section.split("\n- ")[1:]]


def test_guarantees_are_found():
    assert len(promises()) > 10


@pytest.mark.parametrize("promise", promises(), ids=lambda text: text[:40])
def test_guarantees_name_existing_tests(promise):
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", promise)
    assert named, promise
    for path, test in named:
        tree = ast.parse((ROOT / path).read_text())
        found = [n.name for n in tree.body if isinstance(n, ast.FunctionDef)]
        assert test in found, f"{path}::{test}"
