"""Rows in batches: blocks, kinds of batches, interrupted streams."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.exceptions import NotFittedError
from skorch.callbacks import Callback

from diffrep import DiffusionRepresentation, base
from diffrep.core.rows import blocks

REP = DiffusionRepresentation(4, augment=None, batch_size=16, random_state=0)


@pytest.fixture(scope="module")
def X():
    return load_wine(return_X_y=True)[0].astype(np.float32)


@pytest.fixture
def short_blocks(monkeypatch):
    """Use blocks of sixty rows."""
    monkeypatch.setattr(base, "N_BLOCK_ROWS", 60)


@given(st.lists(st.integers(0, 7)), st.integers(1, 20), st.integers(1, 60))
def test_blocks_hold_all_rows_in_order(lengths, n_rows, n_values):
    ends = np.cumsum([0, *lengths])
    rows = np.arange(3 * ends[-1]).reshape(-1, 3)
    batches = [rows[a:b] for a, b in pairwise(ends)]
    found = list(blocks(batches, n_rows, n_values))
    np.testing.assert_array_equal(np.concatenate([rows[:0], *found]), rows)
    wanted = min(n_rows, -(-n_values // 3))
    longest = max(lengths, default=0)
    for block in found[:-1]:
        assert wanted <= len(block) < wanted + longest
    if len(rows) >= wanted and found:
        assert wanted <= len(found[-1]) < 2 * (wanted + longest)


def test_stream_equals_partial_fit_on_blocks(X, short_blocks):
    batches = np.array_split(X, 18)  # batches of 9 or 10 rows
    streamed = clone(REP).fit_batches(iter(batches))
    by_hand = clone(REP)
    for block in blocks(batches, 60, 10**9):
        by_hand.partial_fit(block)
    assert streamed.n_iter_ == 2
    np.testing.assert_array_equal(streamed.transform(X), by_hand.transform(X))


def test_first_block_determines_the_standardisation(X, short_blocks):
    rep = clone(REP).fit_batches([X[:80], X[80:]])
    np.testing.assert_allclose(rep.standardizer_.mean, X[:80].mean(0), rtol=1e-5)
    streamed = rep.fit_batches([X[80:]])
    assert streamed.n_iter_ == 3
    np.testing.assert_allclose(rep.standardizer_.mean, X[:80].mean(0), rtol=1e-5)


class Lines(torch.utils.data.IterableDataset):
    def __init__(self, rows):
        self.rows = rows

    def __iter__(self):
        return iter(self.rows)


def parquet(rows, folder):
    frame = pd.DataFrame(rows, columns=[f"c{j}" for j in range(rows.shape[1])])
    pa.parquet.write_table(pa.Table.from_pandas(frame), folder / "rows.parquet")
    return pyarrow.dataset.dataset(folder).to_batches(batch_size=25)


@pytest.mark.parametrize(
    "stream",
    [
        lambda X, folder: (X[i : i + 25] for i in range(0, len(X), 25)),
        lambda X, folder: torch.utils.data.DataLoader(
            Lines(X), batch_size=25, generator=torch.Generator()
        ),
        parquet,
        lambda X, folder: (b.to_pandas() for b in parquet(X, folder)),
    ],
    ids=["generator", "IterableDataset", "record batches", "data frames"],
)
def test_all_kinds_of_streams_are_equal(X, short_blocks, stream, tmp_path, rounding):
    rep = clone(REP).fit_batches(stream(X, tmp_path))
    expected = clone(REP).fit_batches([X[:75], X[75:]]).transform(X)
    codes = np.concatenate(list(rep.transform_batches(stream(X, tmp_path))))
    np.testing.assert_allclose(codes, expected, rtol=0, atol=rounding * expected.std())


def test_names_of_columns_are_kept_and_checked(X, short_blocks):
    frame = pd.DataFrame(X, columns=list("abcdefghijklm"))
    rep = clone(REP).fit_batches([frame[:70], frame[70:]])
    assert list(rep.feature_names_in_) == list(frame)
    with pytest.raises(ValueError, match="feature names should match"):
        rep.fit_batches([frame.rename(columns={"a": "z"})])
    with pytest.raises(ValueError, match="12 features"):
        clone(REP).fit_batches([X[:90], X[90:, :12]])


def test_interrupted_stream_keeps_completed_blocks(X, short_blocks):
    def broken():
        yield from (X[:60], X[60:120], X[120:170])
        raise ConnectionError

    rep = clone(REP)
    with pytest.raises(ConnectionError):
        rep.fit_batches(broken())
    expected = clone(REP).partial_fit(X[:60])
    np.testing.assert_array_equal(rep.transform(X), expected.transform(X))


class Failing(Callback):
    def on_batch_end(self, net, **kwargs):
        raise ZeroDivisionError


def test_failing_first_block_leaves_an_unfitted_estimator(X):
    rep = clone(REP).set_params(callbacks=[Failing()])
    with pytest.raises(ZeroDivisionError):
        rep.fit_batches([X])
    with pytest.raises(NotFittedError):
        rep.transform(X)


def test_batches_must_be_arrays_of_rows(X):
    rep = clone(REP).fit(X)
    for one in (X, pd.DataFrame(X), X[0]):
        with pytest.raises(ValueError, match=r"batches has shape .*or pass \[X\]"):
            clone(REP).fit_batches(one)
        with pytest.raises(ValueError, match=r"batches has shape .*or pass \[X\]"):
            next(rep.transform_batches(one))
    parts = np.stack([X[:40], X[40:80]])  # an array of batches
    found = list(rep.transform_batches(parts))
    np.testing.assert_array_equal(np.concatenate(found), rep.transform(X[:80]))
    labelled = torch.utils.data.TensorDataset(torch.tensor(X), torch.ones(len(X)))
    loader = torch.utils.data.DataLoader(
        labelled, batch_size=25, generator=torch.Generator()
    )
    with pytest.raises(ValueError, match=r"pairs of rows and labels, pass the rows"):
        clone(REP).fit_batches(loader)


def test_stream_without_rows_is_rejected(X):
    with pytest.raises(ValueError, match="batches is empty"):
        clone(REP).fit_batches([])
    rep = clone(REP)
    with pytest.raises(ValueError, match="13 features"):
        rep.fit_batches([X[:5], X[:5, :4]])
    with pytest.raises(NotFittedError):
        rep.transform(X)
