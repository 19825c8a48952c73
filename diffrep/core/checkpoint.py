"""Checkpoint files, and hashes of data.

A checkpoint has three parts: the SHA-256 of the rest, a line of JSON that identifies
the training, and tensors, numbers and text written by ``torch.save``. It is read with
``weights_only=True``, so reading runs no code.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import time
import warnings
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import joblib
import numpy as np
import torch
from torch import Tensor

from diffrep.core.distributed import peers
from diffrep.exceptions import CheckpointError, CheckpointWarning

__all__ = [
    "N_KEPT",
    "PERIOD",
    "Checkpoints",
    "digest",
    "plain",
    "plain_part",
    "write_whole",
]

#: Longest time between two checkpoints, in seconds.
PERIOD = 5.0

#: Number of checkpoints that are kept: the newest, and one in case it is damaged.
N_KEPT = 2

#: Temporary files that were not modified for so many seconds are deleted.
ABANDONED = 60.0

#: Number of bytes of an array that are hashed at once.
CHUNK = 2**24


class Checkpoints:
    """The checkpoints of one training, in a folder of their own.

    With several processes the first one writes and reads for all.

    Parameters
    ----------
    folder : str or path-like
        Shared by any number of trainings.
    training : dict of str
        Identifies the training and determines the name of its folder.
    versions : dict of str
        Versions of libraries. Checkpoints of other versions are rejected.
    """

    def __init__(self, folder, training, versions):
        self.folder = Path(folder).expanduser() / digest(training)[:32]
        self.record = {**training, **versions}
        self.written = time.monotonic()

    def due(self) -> bool:
        """Whether a checkpoint is due."""
        return time.monotonic() - self.written >= PERIOD

    def write(self, state: dict) -> None:
        """Write a state of tensors, numbers and text; warn if that fails."""
        try:
            if peers().rank == 0:
                self._write(self._packed(state))
        except OSError as error:
            warnings.warn(
                f"A checkpoint could not be written to {self.folder}: {error}. "
                "Training continues without it. Free some space, or use another one.",
                CheckpointWarning,
                stacklevel=2,
            )
        self.written = time.monotonic()

    def newest(self) -> dict | None:
        """Return the newest undamaged state, or None if there is none.

        Raises
        ------
        CheckpointError
            If it is of another training or version.
        """
        return peers().agree(self._newest() if peers().rank == 0 else None)

    def _packed(self, state):
        file = io.BytesIO()
        torch.save(state, file)
        payload = file.getvalue()
        line = json.dumps(self.record).encode() + b"\n"
        checksum = hashlib.sha256(line)
        checksum.update(payload)
        return checksum.digest(), line, payload

    def _write(self, parts):
        self.folder.mkdir(parents=True, exist_ok=True)
        last = max((int(path.stem) for path in self._files()), default=0)
        write_whole(self.folder / f"{last + 1:08}.ckpt", parts)
        self._clear()

    def _clear(self):
        """Delete old checkpoints, and temporary files of killed processes."""
        with suppress(OSError):  # files that remain do no harm
            for path in self._files()[:-N_KEPT]:
                path.unlink(missing_ok=True)
            for path in self.folder.glob("*.tmp"):
                if time.time() - path.stat().st_mtime > ABANDONED:
                    path.unlink(missing_ok=True)

    def _files(self):
        """Return the paths of the checkpoints, the newest last."""
        found = self.folder.glob("[0-9]*.ckpt")
        return sorted(p for p in found if p.stem.isdecimal() and p.is_file())

    def _newest(self):
        for path in reversed(self._files()):
            try:
                record, payload = _unpacked(path.read_bytes())
            except (OSError, ValueError, MemoryError, RecursionError) as error:
                warnings.warn(
                    f"The checkpoint {path} cannot be used: {error}. Training resumes "
                    "from the previous checkpoint, or starts again.",
                    CheckpointWarning,
                    stacklevel=2,
                )
                continue
            self._check(record, path)
            try:
                return torch.load(payload, map_location="cpu", weights_only=True)
            except Exception as error:  # malformed archives raise any exception
                raise CheckpointError(
                    f"The checkpoint {path} contains objects other than tensors, "
                    "numbers and text; it was not read. Delete it to start again."
                ) from error
        return None

    def _check(self, record, path):
        found = [
            f"{name} was {record.get(name)}, is {self.record.get(name)}"
            for name in {**self.record, **record}
            if record.get(name) != self.record.get(name)
        ]
        if found:
            raise CheckpointError(
                f"The checkpoint {path} is not of this fit: {'; '.join(found)}. Delete "
                f"{self.folder} to start again, or restore these values."
            )


def write_whole(path: Path, parts) -> None:
    """Write bytes or buffers to a file, which is either complete or not changed.

    Links are followed, permissions of an existing file are kept, and ``~`` is expanded.

    Raises
    ------
    OSError
        If the folder does not exist, or the path is not that of a regular file.
    """
    path = Path(path).expanduser().resolve()
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"{path} cannot be written: the folder {path.parent} does not exist."
        )
    if path.exists() and not path.is_file():
        raise OSError(f"{path} cannot be written: it is not a regular file.")
    begun = path.with_name(f"{uuid4().hex}.tmp")
    try:
        with open(begun, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            os.chmod(begun, path.stat().st_mode)
        os.replace(begun, path)
    finally:
        begun.unlink(missing_ok=True)


def _unpacked(content):
    """Return record and payload of a checkpoint; raise ValueError if it is damaged."""
    if hashlib.sha256(content[32:]).digest() != content[:32]:
        raise ValueError("it is truncated or damaged")
    line, payload = content[32:].split(b"\n", 1)
    record = json.loads(line)
    if not isinstance(record, dict):
        raise ValueError(f"its record is a {type(record).__name__}, not an object")
    return record, io.BytesIO(payload)


def plain(value):
    """Copy a value that consists of tensors, numbers, text, lists, tuples and dicts.

    Raises
    ------
    TypeError
        If it contains other objects.
    """
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, np.generic):
        return value.item()
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(plain(item) for item in value)
    raise TypeError(f"{type(value).__name__} is not plain")


def plain_part(values: dict) -> dict:
    """Copy the entries of a dict that `plain` can copy."""
    part = {}
    for name, value in values.items():
        try:
            part[name] = plain(value)
        except TypeError:
            continue
    return part


def digest(value) -> str:
    """SHA-256 of the content of a value, which is the same in all processes.

    Parameters
    ----------
    value : object
        Arrays and memory maps are read in blocks of rows, and containers are traversed.
        Other objects are pickled.

    Raises
    ------
    ValueError
        If an object cannot be pickled, such as a local function.
    """
    checksum = hashlib.sha256()
    _feed(checksum, value)
    return checksum.hexdigest()


def _feed(checksum, value):
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray) and value.dtype != object:
        checksum.update(f"array {value.dtype.str} {value.shape}\0".encode())
        rows = np.atleast_1d(value)
        n = max(1, CHUNK // max(1, rows[:1].nbytes))
        for start in range(0, len(rows), n):
            checksum.update(rows[start : start + n].tobytes())
    elif isinstance(value, dict):
        _feed(checksum, [*value.items()])
    elif isinstance(value, (list, tuple)):
        checksum.update(f"sequence {len(value)}\0".encode())
        for item in value:
            _feed(checksum, item)
    elif value is None or isinstance(value, (bool, int, float, str)):
        checksum.update(f"{value!r}\0".encode())
    else:
        try:
            checksum.update(joblib.hash(value).encode())
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ValueError(
                f"{value!r} cannot be identified in another process, since it cannot "
                "be pickled. Define it at the top level of a module."
            ) from error
