"""Blocks of Python in the README and the guide that are not doctests."""

import re
from pathlib import Path

import dask.array
import dask.distributed
import joblib
import numpy as np
import onnxruntime
import pytest
from accelerate import PartialState
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from diffrep import DiffusionRepresentation, base

ROOT = Path(__file__).parents[1]
BLOCKS = {
    f"{page.stem}-{i}": block
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if "generated" not in page.parts
    for i, block in enumerate(
        re.findall(r"^```python\n((?!>>>).*?)^```", page.read_text(), re.M | re.S)
    )
}


@pytest.fixture
def names(monkeypatch, tmp_path):
    """Names that the blocks use, for small data and one epoch."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(base, "EPOCHS", (1, 1))
    X = load_digits().data[:60].astype(np.float32)
    rep = DiffusionRepresentation(4, random_state=0).fit(X)
    return {
        "np": np,
        "joblib": joblib,
        "onnxruntime": onnxruntime,
        "GridSearchCV": GridSearchCV,
        "DiffusionRepresentation": DiffusionRepresentation,
        "X": X[:40],
        "y": np.arange(40) % 2,
        "X_test": X[40:],
        "rep": rep,
        "search": GridSearchCV(
            make_pipeline(rep, LogisticRegression()),
            {"logisticregression__C": [0.1, 1.0]},
            cv=2,
        ),
    }


@pytest.fixture
def client(monkeypatch):
    """Client of a cluster in this process, in place of one at an address."""
    with dask.distributed.Client(
        processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None
    ) as client:
        monkeypatch.setattr(dask.distributed, "Client", lambda address: client)
        yield client


def test_blocks_of_the_readme(names):
    exec(BLOCKS["README-0"], names)
    accuracies = [
        few.fit(names["X"][:50], names["y"][:50]).score(
            names["X"][1500:], names["y"][1500:]
        )
        for few in (names["few"], LogisticRegression(max_iter=2000))
    ]
    assert accuracies[0] > accuracies[1] + 0.05  # after one epoch
    assert accuracies[1] == pytest.approx(0.75, abs=0.01)
    exec(BLOCKS["README-1"], names)


def test_block_of_image_files(names, tmp_path):
    (tmp_path / "photos").mkdir()
    tiles = names["X"].reshape(8, 5, 8, 8, 1).repeat(3, axis=-1).astype(np.uint8)
    for i, tile in enumerate(tiles[:, 0]):
        Image.fromarray(tile * 15).save(tmp_path / "photos" / f"{i}.png")
    exec(BLOCKS["getting_started-0"], names)
    assert names["images"].shape == (8, 32, 32, 3)
    codes = names["rep_of_files"].transform(names["images"])
    np.testing.assert_array_equal(codes, names["codes"])


def test_block_of_level_of_detail(names):
    exec(BLOCKS["level_of_detail-0"], names)
    assert names["rep"].sample(names["codes"]).shape == names["X_test"].shape


@pytest.mark.parametrize(("i", "n_fits"), [(0, 1), (1, 4 * 5 + 1)])
def test_blocks_of_reliability(names, tmp_path, i, n_fits):
    exec(BLOCKS[f"reliability-{i}"], names)
    assert len(list((tmp_path / "checkpoints").iterdir())) == n_fits


# torch's exporter uses a deprecated function of torch.
@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")
def test_block_of_onnx(names):
    names["rep"].to_onnx("codes.onnx")
    rows = names["rows"] = names["X_test"]
    exec(BLOCKS["saving-0"], names)
    np.testing.assert_allclose(
        names["codes"], names["rep"].transform(rows), atol=1e-4, rtol=0
    )


def test_block_of_memory_maps(names):
    rng = np.random.default_rng(0)
    np.save("images.npy", rng.integers(0, 256, (8, 3 * 64 * 64), dtype=np.uint8))
    exec(BLOCKS["scale-0"], names)
    assert isinstance(names["X"], np.memmap)
    assert names["rep"].n_iter_ == 1


def test_block_of_accelerate(names, tmp_path):
    exec(BLOCKS["scale-1"], names)
    codes = joblib.load(tmp_path / "rep.joblib").transform(names["X"])
    np.testing.assert_array_equal(codes, names["rep"].transform(names["X"]))
    PartialState._reset_state()


def test_block_of_dask(names, client):
    X = names["X"]
    names["rows"] = dask.array.from_array(X, chunks=(10, X.shape[1]))
    exec(BLOCKS["scale-2"], names)
    np.testing.assert_array_equal(
        names["codes"].compute(), names["rep"].transform(X).astype("float32")
    )
    assert names["search"].n_splits_ == 2


def test_all_blocks_are_tested():
    assert set(BLOCKS) == {
        "README-0",
        "README-1",
        "getting_started-0",
        "level_of_detail-0",
        "reliability-0",
        "reliability-1",
        "saving-0",
        "scale-0",
        "scale-1",
        "scale-2",
    }
