"""Training of one network by two processes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from diffrep import DiffusionRepresentation, data_parallel
from diffrep.core.distributed import Peers, peers

SCRIPT = Path(__file__).with_name("distributed_script.py")


#: The script selects the CPU, so the group uses gloo; MPI is not needed.
TWO = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2"]
TWO += ["--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no"]
TWO += ["--main_process_port=0"]  # any free port


def launch(folder, *launcher):
    """Run the script; return what the processes saved, and the standard error."""
    folder.mkdir()
    run = subprocess.run(
        [sys.executable, *launcher, str(SCRIPT), str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return [np.load(path) for path in sorted(folder.glob("rank*.npz"))], run.stderr


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distributed")
    return launch(folder / "two", *TWO), launch(folder / "one")


def test_all_processes_hold_the_same_weights(runs):
    (first, second), _ = runs[0]
    assert first["n"] == 2
    for name in ("rep", "unseeded", "few", "codes", "loss", "labels"):
        np.testing.assert_array_equal(first[name], second[name])


def test_loss_is_close_to_that_of_one_process(runs):
    ((two, _), _), ((one,), _) = runs
    assert one["n"] == 1
    assert one["loss"][-1] < 0.85 * one["loss"][0]
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=0.03)
    assert not np.array_equal(two["loss"], one["loss"])


def test_codes_and_labels_are_as_good(runs):
    ((two, _), _), ((one,), _) = runs
    y = load_digits().target[:900]
    probed, called = [], []
    for run in (two, one):
        probe = LogisticRegression(max_iter=2000).fit(run["codes"][:200], y[:200])
        probed.append(probe.score(run["codes"][200:], y[200:]))
        called.append(np.mean(run["labels"] == y))
    assert min(*probed, *called) > 0.75
    assert abs(probed[0] - probed[1]) < 0.03
    assert abs(called[0] - called[1]) < 0.05


def test_only_the_first_process_shows_a_bar(runs):
    (_, two), (_, one) = runs
    start = "0/8 [00:00<?, ?epoch/s]"
    assert two.count(start) == one.count(start) == 1


def test_data_parallel_without_a_group_has_no_effect():
    X = load_digits().data[:100]
    rep = DiffusionRepresentation(4, max_epochs=1, random_state=0)
    with data_parallel() as found:
        assert found == peers() == Peers(0, 1)
        inside = rep.fit(X).transform(X)
    np.testing.assert_array_equal(rep.fit(X).transform(X), inside)


def test_shares_of_processes_partition_the_rows():
    rows = np.arange(11)
    shares = [Peers(rank, 3).share(rows) for rank in range(3)]
    np.testing.assert_array_equal(np.sort(np.concatenate(shares)), rows)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    with pytest.raises(ValueError, match="2 rows for 3 processes"):
        Peers(0, 3).share(rows[:2])


def test_group_is_left_at_the_end_of_the_block(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 4)
    with data_parallel() as found:
        assert found == peers() == Peers(1, 4)
    assert peers() == Peers(0, 1)
