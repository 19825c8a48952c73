"""Devices and random number generators.

The global generators of torch and numpy are not used. The seed of an estimator is split
into independent streams, and the random numbers of a training step depend only on
(seed, stream, step). A step can thus be repeated without a stored state, and
simultaneous fits do not affect each other.
"""

from __future__ import annotations

import functools
import os
import threading
from contextlib import ExitStack, contextmanager
from enum import IntEnum

import numpy as np
import torch

__all__ = [
    "Stream",
    "choose_device",
    "forked_rng",
    "generator",
    "in_usual_state",
    "seed_for",
]

#: Types of devices that need no import of another module.
DEVICES = {"cpu", "cuda", "mps", "xpu"}

#: Held while the global generators are used, of which there is one per device.
_BORROWED = threading.RLock()
if hasattr(os, "register_at_fork"):  # so that no process is forked meanwhile
    os.register_at_fork(
        before=_BORROWED.acquire,
        after_in_parent=_BORROWED.release,
        after_in_child=_BORROWED.release,
    )


class Stream(IntEnum):
    """Independent uses of one seed."""

    START = 0  # initial weights
    SHUFFLE = 1  # order of the rows in an epoch
    STEP = 2  # times, noise, views, dropped codes of a training step
    VALIDATION = 3  # the same at validation
    SPLIT = 4  # rows held out
    SCORE = 5  # fixed noise of `score`
    READOUT = 6  # views and noise to which the read-out is fitted
    SAMPLE = 7  # initial and added noise of sampling
    BORROWED = 8  # torch's global generators, for user-defined parts


def choose_device(device: str = "auto") -> torch.device:
    """Return the device to train on.

    Parameters
    ----------
    device : str
        ``"auto"`` is the value of the environment variable ``DIFFREP_DEVICE`` if it is
        set, otherwise the first available of cuda, mps and cpu. Other values are names
        of torch, such as ``"cpu"`` or ``"cuda:1"``.

    Raises
    ------
    ValueError
        If torch does not know the name or has no such device.
    """
    if device == "auto":
        device = os.environ.get("DIFFREP_DEVICE", "auto")
    if device == "auto":
        if torch.cuda.is_available():
            device = "cuda"
        elif torch.backends.mps.is_available():
            device = "mps"
        else:
            device = "cpu"
    try:
        chosen = torch.device(device)
        if chosen.type not in DEVICES:
            raise RuntimeError(f"it is none of {', '.join(sorted(DEVICES))}")
        torch.zeros((), device=chosen).item()  # an error for "meta"
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device={device!r} cannot be used here: {error}. "
            "Use 'auto', 'cpu', or a device that torch finds on this machine."
        ) from error
    return chosen


def seed_for(seed: int, stream: Stream, step: int = 0, rank: int = 0) -> int:
    """Combine seed, stream, step and rank of the process to one 64-bit seed."""
    mixed = np.random.SeedSequence([seed, stream, step, rank])
    return int(mixed.generate_state(1, np.uint64)[0])


def generator(
    seed: int,
    stream: Stream,
    step: int = 0,
    device: torch.device | str = "cpu",
    rank: int = 0,
) -> torch.Generator:
    """Return a new generator on `device` for a step of a stream."""
    fresh = torch.Generator(device)
    fresh.manual_seed(seed_for(seed, stream, step, rank))
    return fresh


@contextmanager
def forked_rng(seed: int, device: torch.device | str = "cpu"):
    """Seed torch's global generators, of CPU and device, within a block.

    Their states are restored after the block. Only one thread at a time is in such a
    block. On mps, the generator of the device is the global one.
    """
    device, seed = torch.device(device), seed_for(seed, Stream.BORROWED)
    gpus = [device] if device.type == "cuda" else []
    with _BORROWED, torch.random.fork_rng(devices=gpus):
        # torch.manual_seed would seed all GPUs, whose states are not restored
        torch.default_generator.manual_seed(seed)
        for gpu in gpus:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(seed)
        yield


def in_usual_state(function):
    """Decorate a function to make it independent of modes of torch and numpy.

    Inference mode, autocast, the default device and numpy's handling of floating-point
    errors are set to their defaults within the function, for this thread only. The
    default dtype of torch is not changed, since it is common to all threads.

    Raises
    ------
    RuntimeError
        If the default dtype is not float32.
    """

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        if torch.get_default_dtype() != torch.float32:
            raise RuntimeError(
                f"torch's default dtype is {torch.get_default_dtype()}; networks of "
                "diffrep are of float32. Call torch.set_default_dtype(torch.float32), "
                "and pass rows of any dtype."
            )
        with ExitStack() as stack:
            stack.enter_context(
                np.errstate(divide="warn", over="warn", invalid="warn", under="ignore")
            )
            if torch.is_inference_mode_enabled():
                stack.enter_context(torch.inference_mode(False))
            for kind in ("cpu", "cuda"):
                if torch.is_autocast_enabled(kind):
                    stack.enter_context(torch.autocast(kind, enabled=False))
            if torch.get_default_device().type != "cpu":
                stack.enter_context(torch.device("cpu"))
            return function(*args, **kwargs)

    return wrapper
