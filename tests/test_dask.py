"""Searches and transforms on a Dask cluster."""

import dask.array
import numpy as np
import pytest
from distributed import Client, LocalCluster
from joblib import parallel_config
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from diffrep import DiffusionRepresentation


@pytest.fixture(scope="module")
def client():
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:300], y[:300]


def test_search_on_dask_equals_a_local_search(client, digits):
    X, y = digits
    search = GridSearchCV(
        make_pipeline(
            DiffusionRepresentation(8, max_epochs=1, random_state=0, device="cpu"),
            LogisticRegression(max_iter=2000),
        ),
        {"diffusionrepresentation__n_components": [2, 8]},
        cv=3,
    )
    with parallel_config("dask"):
        found = search.fit(X, y).cv_results_["mean_test_score"]
    np.testing.assert_allclose(found, search.fit(X, y).cv_results_["mean_test_score"])


def test_blocks_of_a_dask_array_are_transformed(client, digits):
    X, _ = digits
    rep = DiffusionRepresentation(8, t_grid=2, max_epochs=1, random_state=0).fit(X)
    rows = dask.array.from_array(X, chunks=(77, -1))
    codes = rows.map_blocks(
        rep.transform, dtype=np.float32, chunks=(rows.chunks[0], 2 * 8)
    )
    assert codes.shape == (300, 16)
    np.testing.assert_array_equal(codes.compute(), rep.transform(X))
