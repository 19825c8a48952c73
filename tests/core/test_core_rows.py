"""Standardised batches of rows."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.preprocessing import StandardScaler

import diffrep.core.rows
from diffrep.core.rows import CLIP, RowBatches, Rows, averaged, hold_out, padded
from diffrep.core.standardizer import Standardizer


def values(dtype, order="C"):
    rng = np.random.default_rng(0)
    return np.asarray(rng.integers(0, 2, (60, 4)) * 3 + 1, dtype=dtype, order=order)


@pytest.mark.parametrize(
    "dtype", ["f8", "f4", "f2", ">f4", ">i2", "u1", "i8", "u2", "?"]
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_all_dtypes_are_standardised_equally(dtype, order):
    X = values(dtype, order)
    scaler = StandardScaler().fit(X.astype(float))
    rows = Rows(X, Standardizer(scaler.mean_, scaler.scale_), (4,), (4,), "cpu")
    index = np.array([3, 50, 3])
    x, seen = rows[index]
    assert x.dtype == torch.float32
    assert seen is x
    np.testing.assert_allclose(x, scaler.transform(X.astype(float))[index], rtol=1e-6)
    np.testing.assert_array_equal(rows[10:20][0], rows[np.arange(10, 20)][0])


def test_large_offsets_keep_precision():
    X = 1e9 + np.arange(100.0)[:, None]
    rows = Rows(X, Standardizer([1e9], [1.0]), (1,), (1,), "cpu")
    assert rows[5:8][0].flatten().tolist() == [5, 6, 7]


def test_extreme_values_are_clipped():
    X = np.array([[1e300, -1e300, 1.0]])
    x, _ = Rows(X, Standardizer(np.zeros(3), np.ones(3)), (3,), (3,), "cpu")[:1]
    assert x.tolist() == [[CLIP, -CLIP, 1.0]]


def test_batches_contain_classes():
    y = np.array([2, 0, 1, 0])
    rows = Rows(
        np.eye(4),
        Standardizer(np.zeros(4), np.ones(4)),
        (1, 2, 2),
        (1, 2, 2),
        "cpu",
        y,
        np.array([3, 2]),
    )
    x, classes = rows[:]
    assert len(rows) == 2
    assert classes.tolist() == [0, 1]
    assert x.shape == (2, 1, 2, 2)
    assert x.flatten(1).argmax(1).tolist() == [3, 2]


@pytest.mark.parametrize(
    ("n", "share", "n_valid"), [(100, 0.25, 25), (2, 0.1, 1), (2, 0.9, 1)]
)
def test_held_out_rows_are_the_complement(n, share, n_valid):
    train, valid = hold_out(n, share, np.random.default_rng(0))
    assert len(valid) == n_valid
    assert sorted([*train, *valid]) == list(range(n))
    assert n == 2 or valid.tolist() != list(range(n_valid))


class Watched(np.ndarray):
    """Array that counts the rows read at a time."""

    largest = 0

    def __getitem__(self, key):
        found = np.asarray(self)[key]
        Watched.largest = max(Watched.largest, len(found))
        return found


@pytest.mark.parametrize(("n", "batch_size"), [(10, 3), (9, 3), (2, 256), (1000, 256)])
def test_epoch_contains_every_row_once(n, batch_size):
    X = np.arange(float(n))[:, None].view(Watched)
    Watched.largest = 0
    rows = Rows(X, Standardizer([0.0], [n / CLIP]), (1,), (1,), "cpu")
    batches = RowBatches(rows, batch_size, np.random.default_rng(0).permutation)
    dealt = [x.flatten() * n / CLIP for x, _ in batches]
    sizes = {len(x) for x in dealt}
    assert len(dealt) == len(batches) == -(-n // batch_size)
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) == Watched.largest <= batch_size
    found = torch.cat(dealt).round().tolist()
    assert sorted(found) == list(range(n))
    assert n < 9 or found != list(range(n))
    again = torch.cat([x.flatten() for x, _ in batches]) * n / CLIP
    assert n < 9 or again.round().tolist() != found


def images(n=20, side=12):
    return torch.randn(n, 2, side, side, generator=torch.Generator().manual_seed(0))


def test_average_over_areas():
    torch.testing.assert_close(
        averaged(images(), (4, 6)), pooled := F.avg_pool2d(images(), (3, 2))
    )
    assert pooled.shape == (20, 2, 4, 6)
    torch.testing.assert_close(averaged(images(), (12, 12)), images())
    # if sides do not divide, a pixel on a border belongs to both areas
    odd = averaged(images(), (5, 7))
    torch.testing.assert_close(odd.mean((2, 3)), images().mean((2, 3)))
    enlarged = images().repeat_interleave(5, 2).repeat_interleave(7, 3)
    torch.testing.assert_close(odd, F.avg_pool2d(enlarged, 12))


@pytest.mark.parametrize("resident", [False, True])
def test_large_images_are_averaged(resident):
    X = images().flatten(1).numpy()
    rows = Rows(
        X,
        Standardizer(np.ones(288), np.full(288, 2.0)),
        (2, 4, 6),
        (2, 12, 12),
        "cpu",
        resident=resident,
    )
    assert (rows.resident is not None) == resident
    expected = averaged((images() - 1) / 2, (4, 6))
    torch.testing.assert_close(rows[:][0], expected)
    torch.testing.assert_close(rows[np.array([7, 3])][0], expected[[7, 3]])


def test_points_are_computed_once(monkeypatch):
    class Space(torch.nn.Module):
        shape, n_rows = (3,), 0

        def forward(self, x):
            Space.n_rows += len(x)
            return 2 * x

    X = np.arange(300.0).reshape(100, 3) / 100
    args = (X, Standardizer(np.zeros(3), np.ones(3)), (3,), (3,), "cpu")
    for held, n_rows in [(True, 128), (False, 64)]:
        Space.n_rows = 0
        rows = Rows(*args, space=Space(), hold_points=held)
        for _ in range(2):
            points, seen = rows[np.array([5, 90])]
            torch.testing.assert_close(points, 2 * seen)
        assert Space.n_rows == n_rows  # multiples of 32
    monkeypatch.setattr(diffrep.core.rows, "MAX_VALUES", 299)
    assert Rows(*args, space=Space(), hold_points=True)._all_points is None


@pytest.mark.parametrize("n", [1, 31, 32, 33])
def test_blocks_are_padded_to_a_multiple(n):
    sizes = []

    def doubled(x):
        sizes.append(len(x))
        return 2 * x

    x = images(n)
    assert torch.equal(padded(doubled, x), 2 * x)
    assert sizes == [32 * -(-n // 32)]
