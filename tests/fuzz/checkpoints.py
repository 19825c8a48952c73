"""Checkpoints that are changed at random: refused, passed over, or they work.

Half of them are changed byte by byte, half of these with a checksum that fits; the
others in what they say, with a checksum that fits. A fit that finds one raises
`CheckpointError`, or ends, with codes that are finite. Anything else is a failure.
"""

import copy
import hashlib
import io
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from sklearn.base import clone

from diffrep import DiffusionRepresentation
from diffrep.exceptions import CheckpointError, CheckpointWarning

X = np.random.default_rng(0).normal(size=(60, 4))

#: Bytes of a checksum, which a line of JSON and the state follow.
N_CHECKSUM = 32

#: Values that take the place of others in a state.
ODD = [
    *(None, True, 0, -1, 10**12, 1e308, float("nan"), "", "x", [], {}, [1], {"a": 1}),
    *(torch.zeros(3), torch.full((2, 2), float("nan"))),
]


def checked(body):
    """Put the checksum of bytes before them."""
    return hashlib.sha256(body).digest() + body


def changed_bytes(data, rng):
    """Flip some bits, cut off the end at times; every other time with a checksum."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    if rng.random() < 0.3:
        del data[rng.integers(N_CHECKSUM, len(data)) :]
    return bytes(data) if rng.random() < 0.5 else checked(bytes(data[N_CHECKSUM:]))


def changed_state(line, state, rng):
    """Replace, remove or rename one value of a state at a random place."""
    holder = state = copy.deepcopy(state)
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = keys[rng.integers(len(keys))]
        inner = holder[key]
        if not (isinstance(inner, dict | list) and inner and rng.random() < 0.85):
            break
        holder = inner
    if isinstance(holder, list) or rng.random() < 0.7:
        holder[key] = copy.deepcopy(ODD[rng.integers(len(ODD))])
    elif rng.random() < 0.5:
        del holder[key]
    else:
        holder[f"{key}x"] = holder.pop(key)
    payload = io.BytesIO()
    torch.save(state, payload)
    return checked(line + b"\n" + payload.getvalue())


def outcome(rep):
    """Fit, from the checkpoint that is there: "refused" or "works"."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CheckpointWarning)
        try:
            codes = clone(rep).fit(X).transform(X)
        except CheckpointError:
            return "refused"
    if not np.isfinite(codes).all():
        raise ValueError("codes are not finite")
    return "works"


def checkpoints(n, seed=0):
    """Rows of the table for `n` changed checkpoints: what, tried, failed."""
    counts, n_failed = Counter(), 0
    with tempfile.TemporaryDirectory() as folder:
        rep = DiffusionRepresentation(2, max_epochs=2, random_state=0)
        rep.set_params(checkpoint=folder).fit(X)
        path = max(Path(folder).rglob("*.ckpt"))
        data = path.read_bytes()
        line, payload = data[N_CHECKSUM:].split(b"\n", 1)
        state = torch.load(io.BytesIO(payload), weights_only=True)
        for i in range(n):
            rng = np.random.default_rng([seed, i])
            for written in path.parent.iterdir():
                written.unlink()
            if i % 2:
                path.write_bytes(changed_state(line, state, rng))
            else:
                path.write_bytes(changed_bytes(data, rng))
            try:
                counts[outcome(rep)] += 1
            except Exception as error:  # any other than the one that is promised
                n_failed += 1
                print(f"checkpoint {i}: {error!r}"[:300], flush=True)
    said = f"{counts['refused']:,} refused, {counts['works']:,} work or are passed over"
    return [(f"changed checkpoints: {said}", n, n_failed)]
