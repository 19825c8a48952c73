"""Checkpoints with random changes are rejected, skipped, or work.

They belong to an interrupted and to a finished fit. In half of them bytes are changed,
every other time with a valid checksum; in the others values are changed, with a valid
checksum. A fit that finds one must raise `CheckpointError` or end with finite codes.
Anything else is a failure.
"""

import copy
import hashlib
import io
import json
import tempfile
import warnings
from collections import Counter
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from sklearn.base import clone

from diffrep import DiffusionRepresentation
from diffrep.core.loop import TrainingLoop
from diffrep.exceptions import (
    CheckpointError,
    CheckpointWarning,
    DivergenceError,
    DivergenceWarning,
)
from tests.fuzz.files import change_value

X = np.random.default_rng(0).normal(size=(60, 4))

#: Bytes of the checksum, which is followed by a line of JSON and the state.
N_CHECKSUM = 32

#: Values that replace others in a state.
ODD = [
    *(None, True, 0, -1, 10**12, 1e308, float("nan"), "", "x", [], {}, [1], {"a": 1}),
    *(torch.zeros(3), torch.full((2, 2), float("nan"))),
]


def checked(body):
    """Prepend the checksum of bytes."""
    return hashlib.sha256(body).digest() + body


def changed_bytes(data, rng):
    """Flip some bits or truncate; every other time with a valid checksum."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    if rng.random() < 0.3:
        del data[rng.integers(N_CHECKSUM, len(data)) :]
    return bytes(data) if rng.random() < 0.5 else checked(bytes(data[N_CHECKSUM:]))


def changed_parts(record, state, rng):
    """Change the description or the state in a checkpoint."""
    record, state = copy.deepcopy((record, state))
    change_value(record if rng.random() < 0.1 else state, ODD, rng)
    payload = io.BytesIO()
    torch.save(state, payload)
    line = json.dumps(record, default=str).encode()
    return checked(line + b"\n" + payload.getvalue())


def written(rep, n_steps):
    """Bytes of the checkpoint of a fit that is interrupted after some steps."""
    done, count = TrainingLoop._batch_done, [0]

    def interrupted(self, loss):
        done(self, loss)
        count[0] += 1
        if count[0] == n_steps:
            raise KeyboardInterrupt

    with patch.object(TrainingLoop, "_batch_done", interrupted):
        with suppress(KeyboardInterrupt):
            clone(rep).fit(X)
        return max(Path(rep.checkpoint).rglob("*.ckpt")).read_bytes()


def outcome(rep):
    """Fit from an existing checkpoint; return "refused" or "works"."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CheckpointWarning)  # skipped checkpoints
        warnings.simplefilter("ignore", DivergenceWarning)  # extreme weights
        try:
            codes = clone(rep).fit(X).transform(X)
        except (
            CheckpointError,
            DivergenceError,
        ):  # weights may be finite and codes infinite
            return "refused"
    if not np.isfinite(codes).all():
        raise ValueError("codes are not finite")
    return "works"


def checkpoints(n, seed=0):
    """Results of `n` changed checkpoints: what, tried, failed."""
    counts, n_failed = Counter(), 0
    with tempfile.TemporaryDirectory() as folder:
        rep = DiffusionRepresentation(2, max_epochs=2, batch_size=20, random_state=0)
        rep.set_params(checkpoint=folder)
        originals = [written(rep, n_steps) for n_steps in (4, 7)]  # out of 6 steps
        path = max(Path(folder).rglob("*.ckpt"))
        parts = []
        for data in originals:
            line, payload = data[N_CHECKSUM:].split(b"\n", 1)
            state = torch.load(io.BytesIO(payload), weights_only=True)
            parts.append((json.loads(line), state))
        for i in range(n):
            rng, which = np.random.default_rng([seed, i]), i // 2 % len(originals)
            for file in path.parent.iterdir():
                file.unlink()
            if i % 2:
                path.write_bytes(changed_parts(*parts[which], rng))
            else:
                path.write_bytes(changed_bytes(originals[which], rng))
            try:
                counts[outcome(rep)] += 1
            except Exception as error:  # any error other than the documented one
                n_failed += 1
                print(f"checkpoint {i}: {error!r}"[:300], flush=True)
    said = f"{counts['refused']:,} refused, {counts['works']:,} work or are skipped"
    return [(f"changed checkpoints: {said}", n, n_failed)]
