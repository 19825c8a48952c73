"""Training of one network by several processes.

Each process holds the whole network and all rows. In each step it computes the gradient
on its share of the batch. All processes apply the mean gradient, so their weights stay
equal, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["Peers", "data_parallel", "peers"]


@dataclass(frozen=True)
class Peers:
    """The processes that train together, and the rank of this one.

    Parameters
    ----------
    rank : int
        Index of this process, from 0.
    n : int
        Number of processes.
    """

    rank: int = 0
    n: int = 1

    def share(self, index):
        """Return the row indices of a batch that this process uses."""
        if len(index) < self.n:
            raise ValueError(
                f"A batch has {len(index)} rows for {self.n} processes. Use a larger "
                "batch_size, more rows or fewer processes."
            )
        return index[self.rank :: self.n]

    def average_(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by their means over all processes, with one message."""
        if self.n == 1:
            return
        tensors = list(tensors)
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.n
        for tensor, mean in zip(
            tensors, flat.split([t.numel() for t in tensors]), strict=True
        ):
            tensor.copy_(mean.view_as(tensor))

    def broadcast_(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by those of the first process."""
        if self.n > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def agree(self, value):
        """Return the `value` of the first process."""
        values = [value]
        if self.n > 1:
            dist.broadcast_object_list(values, src=0)
        return values[0]


_ALONE = Peers()
_PEERS: ContextVar[Peers] = ContextVar("peers", default=_ALONE)


def peers() -> Peers:
    """Return the processes that train together in the current block."""
    return _PEERS.get()


@contextmanager
def data_parallel() -> Iterator[Peers]:
    """Train all estimators that are fitted in a block by several processes.

    The processes are those of torch's process group, which is created by ``accelerate
    launch`` and ``accelerate.PartialState()``, or by ``torchrun`` and
    ``torch.distributed.init_process_group()``. Without a group there is only one
    process. All processes must call `fit` with the same parameters and rows, and end
    with the same weights. `batch_size` is the total over all processes. Each draws its
    own times, noise and views, so the loss is close to that of a single process, but
    not equal.

    Yields
    ------
    peers : Peers
        `rank` is the index of this process and `n` the number of processes.

    Examples
    --------
    >>> from diffrep import data_parallel
    >>> with data_parallel() as peers:
    ...     peers.n
    1
    """
    found = _ALONE
    if dist.is_available() and dist.is_initialized():
        found = Peers(dist.get_rank(), dist.get_world_size())
    token = _PEERS.set(found)
    try:
        yield found
    finally:
        _PEERS.reset(token)
