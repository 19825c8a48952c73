"""Devices and random number generators.

diffrep never draws from the global generators of torch or numpy. One integer
seed per estimator is split into independent streams, and the numbers of every
training step are a function of (seed, stream, step) alone: nothing has to be
stored to repeat a step, and two fits at once cannot disturb each other.
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

#: Kinds of devices that torch has itself: others are modules, which are not imported.
DEVICES = {"cpu", "cuda", "mps", "xpu"}

#: There is one global generator of each kind, so what borrows them takes turns.
_BORROWED = threading.RLock()
if hasattr(os, "register_at_fork"):  # a process is forked while nobody borrows
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
    READOUT = 6  # views that say how codes are read
    SAMPLE = 7  # noise that sampling starts from and adds
    BORROWED = 8  # what code of the user's draws from torch's global generators


def choose_device(device: str = "auto") -> torch.device:
    """Return the device to train on.

    Parameters
    ----------
    device : str
        ``"auto"`` takes the environment variable ``DIFFREP_DEVICE`` if it is
        set, else cuda, else mps, else cpu. Any other value is a torch name,
        such as ``"cpu"`` or ``"cuda:1"``.

    Raises
    ------
    ValueError
        If torch does not know the name or finds no such device.
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
        torch.zeros((), device=chosen).item()  # which "meta" cannot
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device={device!r} cannot be used here: {error}. "
            "Use 'auto', 'cpu', or a device that torch finds on this machine."
        ) from error
    return chosen


def seed_for(seed: int, stream: Stream, step: int = 0, rank: int = 0) -> int:
    """Mix the seed, the stream, the step and the process into one 64-bit seed."""
    mixed = np.random.SeedSequence([seed, stream, step, rank])
    return int(mixed.generate_state(1, np.uint64)[0])


def generator(
    seed: int,
    stream: Stream,
    step: int = 0,
    device: torch.device | str = "cpu",
    rank: int = 0,
) -> torch.Generator:
    """Return a new generator on `device` for one step of one stream."""
    fresh = torch.Generator(device)
    fresh.manual_seed(seed_for(seed, stream, step, rank))
    return fresh


@contextmanager
def forked_rng(seed: int, device: torch.device | str = "cpu"):
    """Run a block that may draw from torch's global generators, of CPU and device.

    The block sees generators that are seeded with what follows from `seed`;
    afterwards they are as they were. One block runs at a time, whatever the thread.
    On mps the generator of the device is the global one.
    """
    device, seed = torch.device(device), seed_for(seed, Stream.BORROWED)
    gpus = [device] if device.type == "cuda" else []
    with _BORROWED, torch.random.fork_rng(devices=gpus):
        # torch.manual_seed would seed all GPUs, which nobody puts back
        torch.default_generator.manual_seed(seed)
        for gpu in gpus:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(seed)
        yield


def in_usual_state(function):
    """Decorate a function that the modes of torch and numpy around it do not change.

    Inference mode, autocast, a default device and numpy's handling of floating-point
    errors belong to a thread and are put aside. The default dtype of torch belongs to
    all threads; it is not touched.

    Raises
    ------
    RuntimeError
        If the default dtype is another one than float32.
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
