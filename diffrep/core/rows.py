"""Data sets, which convert rows of any dtype to standardised float32 batches.

On a CPU, arrays and memory maps are never copied as a whole: the rows of a batch are
gathered, standardised and cast. On an accelerator, all standardised rows are moved to
the device once, if they fit.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import torch
from torch.utils.data import Dataset

from diffrep.core.distributed import peers

__all__ = [
    "CLIP",
    "MAX_VALUES",
    "MixedBatches",
    "RowBatches",
    "Rows",
    "averaged",
    "blocks",
    "hold_out",
    "padded",
]

#: Standardised values are clipped at this, so that a single extreme value neither
#: disturbs training nor overflows float32.
CLIP = 10.0

#: Largest number of values (128 MB) in rows that are held at once.
MAX_VALUES = 2**25

#: Number of values of images that are averaged at once.
MAX_PART = 2**22

#: Networks evaluate a multiple of so many rows, since matrix kernels round differently
#: for shorter blocks. MKL on one thread with AVX-512 rounds all longer blocks alike, so
#: that the result of a row does not depend on the others.
N_ALIKE = 32

#: Number of rows for which points of a space are computed at once.
N_BLOCK = 128


class Rows(Dataset):
    """Rows of `X` as float32 tensors ``(n, *data_shape)``.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
        Any real dtype.
    standardizer : Standardizer
        Standardised values are clipped to +-`CLIP`.
    data_shape : tuple of int
        Shape of the rows that are returned.
    given_shape : tuple of int
        Shape of one row of `X`. Images with more pixels than `data_shape` are averaged
        over areas, and longer signals over time.
    device : torch.device
        Device of the batches.
    y : ndarray of shape (n,), optional
        Class indices, if a net is trained on them.
    index : ndarray of int, optional
        Rows of `X` to use, by default all.
    resident : bool
        Whether to keep the standardised rows: on a GPU if they fit into half of its
        free memory, and on a CPU if they are averages of at most `MAX_VALUES` values.
    space : nn.Module, optional
        Space whose points are returned in place of the rows.
    hold_points : bool
        Whether to compute the points once and keep them, if they have at most
        `MAX_VALUES` values.
    """

    def __init__(
        self,
        X,
        standardizer,
        data_shape,
        given_shape,
        device,
        y=None,
        index=None,
        resident=False,
        space=None,
        hold_points=False,
    ):
        self.X = X
        self.dtype = np.promote_types(X.dtype, np.float32)
        self.standardizer = standardizer.astype(self.dtype)
        self.data_shape = tuple(data_shape)
        self.given_shape = tuple(given_shape)
        self.device = torch.device(device)
        self.y = y
        self.index = index
        self.resident = self._all_rows() if resident and self._fits() else None
        self.space = space
        self.hold_points = hold_points

    def __len__(self):
        return len(self.X) if self.index is None else len(self.index)

    def __getitem__(self, chosen):
        """Return the rows with indices `chosen`, a slice or an array of int.

        Returns
        -------
        x0, y : Tensor
            The rows or their points, and the classes, or the rows if there are none.
        """
        x = y = self._rows(chosen)
        if self.y is not None:
            y = torch.from_numpy(self.y[self._numbers(chosen)])
            y = _moved(y, self.device)
        if self.space is None:
            return x, y
        if self._all_points is None:
            return self._points(x), y
        return _chosen(self._all_points, chosen), y

    def _rows(self, chosen):
        if self.resident is None:
            return self._standardised(self._numbers(chosen))
        return _chosen(self.resident, chosen)

    @torch.no_grad()
    def _points(self, x):
        return padded(self.space, x)

    @cached_property
    def _all_points(self):
        """Points of all rows, or None if they are not held."""
        if not self.hold_points or len(self) * math.prod(self.space.shape) > MAX_VALUES:
            return None
        starts = range(0, len(self), N_BLOCK)
        blocks = (slice(i, min(i + N_BLOCK, len(self))) for i in starts)
        return torch.cat([self._points(self._rows(block)) for block in blocks])

    def _numbers(self, chosen):
        return chosen if self.index is None else self.index[chosen]

    def some(self, n, rng):
        """Return `n` random rows, or as many as have `MAX_VALUES` values.

        If there are fewer rows, all are returned, in random order.
        """
        n = min(n, max(2, MAX_VALUES // math.prod(self.data_shape)))
        return self[rng.permutation(len(self))[:n]]

    def _standardised(self, numbers):
        if self.given_shape == self.data_shape:
            return _moved(self._scaled(numbers), self.device)
        numbers = np.arange(len(self.X))[numbers]
        n_parts = 1 + len(numbers) * self.X.shape[1] // MAX_PART
        images = [
            averaged(self._scaled(part), self.data_shape[1:])
            for part in np.array_split(numbers, n_parts)
        ]
        return _moved(torch.cat(images), self.device)

    def _scaled(self, numbers):
        rows = self.standardizer.transform(self.X[numbers])
        np.clip(rows, -CLIP, CLIP, out=rows)
        rows = np.ascontiguousarray(rows, np.float32)
        return torch.from_numpy(rows).view(-1, *self.given_shape)

    def _fits(self):
        if self.device.type != "cuda":
            averages = self.given_shape != self.data_shape
            return averages and len(self) * math.prod(self.data_shape) <= MAX_VALUES
        free, _ = torch.cuda.mem_get_info(self.device)
        return 4 * len(self) * math.prod(self.data_shape) < free / 2

    def _all_rows(self):
        parts = np.array_split(np.arange(len(self)), 1 + len(self) // 8192)
        return torch.cat([self._standardised(self._numbers(part)) for part in parts])


def averaged(images, sides):
    """Average images over areas, or signals over time, which keeps their means.

    Parameters
    ----------
    images : Tensor of shape (n, C, H, W) or (n, C, L)
    sides : tuple (height, width) or (length,)
        Sides of the result, at most those of `images`.

    Returns
    -------
    images : Tensor of shape (n, C, *sides)
    """
    *rows, columns = (
        _area_weights(length, side).to(images.device)
        for length, side in zip(images.shape[2:], sides, strict=True)
    )
    for weights in rows:
        images = weights @ images
    return images @ columns.T


def _area_weights(length, n):
    """Return the matrix ``(n, length)`` of averages over n equal parts of a line."""
    ends = torch.arange(n + 1, dtype=torch.float64) * length / n
    pixel = torch.arange(length)
    low, high = ends[:-1, None].clamp(min=pixel), ends[1:, None].clamp(max=pixel + 1)
    return ((high - low).clamp(min=0) * n / length).float()


def padded(function, x):
    """Return ``function(x)``, evaluated with a multiple of `N_ALIKE` rows.

    Parameters
    ----------
    function : callable
        Maps rows ``(m, ...)`` to values ``(m, ...)``, row by row.
    x : Tensor of shape (n, ...)

    Returns
    -------
    values : Tensor of shape (n, ...)
    """
    n = len(x)
    if n % N_ALIKE:
        x = torch.cat([x, x.new_zeros(-n % N_ALIKE, *x.shape[1:])])
    return function(x)[:n]


def _chosen(tensor, chosen):
    """Return rows of a tensor; `chosen` is a slice or an array of int."""
    if isinstance(chosen, slice):
        return tensor[chosen]
    return tensor[_moved(torch.from_numpy(chosen), tensor.device)]


def _moved(tensor, device):
    """Return a tensor on a device, from pinned memory if that is a GPU.

    The CPU then does not wait for the copy.
    """
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def hold_out(n, share, rng):
    """Split row indices for training and validation, at least one for each.

    Parameters
    ----------
    n : int
        Number of rows, at least 2.
    share : float
        Share of the rows for validation.
    rng : numpy.random.Generator

    Returns
    -------
    train, valid : ndarray of int
        In ascending order.
    """
    order = rng.permutation(n)
    n_valid = min(max(1, round(share * n)), n - 1)
    return np.sort(order[n_valid:]), np.sort(order[:n_valid])


def blocks(batches, n_rows, n_values):
    """Concatenate batches to blocks of at least `n_rows` rows or `n_values` values.

    Parameters
    ----------
    batches : iterable of ndarray of shape (n, n_features)
    n_rows, n_values : int

    Yields
    ------
    block : ndarray of shape (m, n_features)
        Remaining rows that are too few for a block are appended to the last one.
    """
    block: list = []
    held: list = []
    n = 0
    for batch in batches:
        block.append(batch)
        n += len(batch)
        if n >= n_rows or n * batch.shape[1] >= n_values:
            if held:
                yield np.concatenate(held)
            block, held, n = [], block, 0
    if held or block:
        yield np.concatenate(held + block)


class RowBatches:
    """Batches of nearly equal size, in a new order in each epoch.

    With several processes, each gets its share of every batch.

    Parameters
    ----------
    rows : Rows
    batch_size : int
        Largest number of rows in a batch. All rows of an epoch are distributed evenly,
        so that no batch is much smaller than the others.
    order : callable, optional
        ``order(n)`` returns the order of the rows of the next epoch.
    """

    def __init__(self, rows, batch_size, order=np.arange):
        self.rows = rows
        self.batch_size = batch_size
        self.order = order

    def __len__(self):
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self):
        return self.starting_at(0)

    def starting_at(self, position):
        """Iterate over the batches of an epoch, from index `position` on."""
        for index in np.array_split(self.order(len(self.rows)), len(self))[position:]:
            yield self.rows[peers().share(index)]


class MixedBatches:
    """Batches of unlabelled and labelled rows; an epoch has each unlabelled row once.

    Parameters
    ----------
    rows : Rows
    batch_size : int
        Largest number of rows in a batch.
    labelled : ndarray of bool
        Mask of the rows with a label, which are repeated.
    n_labelled : int
        Number of labelled rows in a batch, fewer than `batch_size`.
    order : callable
        ``order(n)`` returns the order of all rows of the next epoch.
    """

    def __init__(self, rows, batch_size, labelled, n_labelled, order):
        self.rows = rows
        self.n_others = batch_size - n_labelled
        self.labelled = labelled
        self.n_labelled = n_labelled
        self.order = order

    def __len__(self):
        return -(-np.count_nonzero(~self.labelled) // self.n_others)

    def __iter__(self):
        order = self.order(len(self.rows))
        known = self.labelled[order]
        again = np.resize(order[known], (len(self), self.n_labelled))
        for others, some in zip(
            np.array_split(order[~known], len(self)), again, strict=True
        ):
            yield self.rows[peers().share(np.concatenate([others, some]))]
