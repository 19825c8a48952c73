"""Estimators in pipelines, searches, caches and pickles."""

import copy
import os
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from skorch.exceptions import DeviceWarning

from diffrep import (
    DiffusionRepresentation,
    VariationalDiffusionRepresentation,
    load,
)

QUICK = {"n_components": 4, "max_epochs": 3, "random_state": 0}


def test_frozen_representation_is_not_refitted(digits):
    X, y = digits
    rep = DiffusionRepresentation(**QUICK).fit(X)
    codes = rep.transform(X)
    few = make_pipeline(FrozenEstimator(rep), LogisticRegression(max_iter=1000))
    few.set_output(transform="pandas").fit(X[:100], y[:100])
    np.testing.assert_array_equal(few[:-1].transform(X), codes)
    expected = LogisticRegression(max_iter=1000).fit(
        few[:-1].transform(X[:100]), y[:100]
    )
    np.testing.assert_array_equal(
        few.predict(X), expected.predict(few[:-1].transform(X))
    )
    scores = cross_val_score(few, X, y, cv=3)
    search = GridSearchCV(few, {"logisticregression__C": [0.1, 10.0]}, cv=3).fit(X, y)
    assert scores.min() > 0.3  # ten classes: chance is 0.1
    np.testing.assert_array_equal(
        search.best_estimator_[:-1].transform(X).to_numpy(), codes
    )


def test_grid_search_over_times_and_components(digits):
    X, y = digits
    pipe = Pipeline(
        [
            ("rep", DiffusionRepresentation(max_epochs=2, random_state=0)),
            ("clf", LogisticRegression(max_iter=1000)),
        ]
    )
    grid = {"rep__t_grid": [None, 4, [0.3, 0.6]], "rep__n_components": [4, 8]}
    search = GridSearchCV(pipe, grid, cv=2, n_jobs=2).fit(X, y)
    assert len(search.cv_results_["params"]) == 6
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = search.best_estimator_
    for other in (copy.deepcopy(best), pickle.loads(pickle.dumps(best))):
        np.testing.assert_array_equal(other.predict_proba(X), best.predict_proba(X))


def test_search_without_labels_uses_score(table):
    X, _ = table
    rep = DiffusionRepresentation(random_state=0, batch_size=30, max_epochs=20)
    search = GridSearchCV(rep, {"n_components": [1, 8]}, cv=2).fit(X)
    assert search.best_params_ == {"n_components": 8}


def test_parallel_search_has_the_same_bits(table):
    X, _ = table

    def codes(n_jobs):
        return joblib.Parallel(n_jobs, backend="loky", inner_max_num_threads=1)(
            joblib.delayed(_codes)(X, t_grid) for t_grid in (None, 2)
        )

    for alone, beside in zip(codes(1), codes(2), strict=True):
        np.testing.assert_array_equal(alone, beside)


def _codes(X, t_grid):
    torch.set_num_threads(1)
    return DiffusionRepresentation(**QUICK, t_grid=t_grid).fit_transform(X)


def test_feature_union_and_column_transformer(table):
    X, y = table
    frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(8)])
    frame["colour"] = np.where(y == 0, "red", "blue")
    columns = ColumnTransformer(
        [
            (
                "codes",
                FeatureUnion(
                    [
                        ("static", DiffusionRepresentation(**QUICK)),
                        (
                            "curve",
                            VariationalDiffusionRepresentation(**QUICK, t_grid=2),
                        ),
                    ]
                ),
                list(frame.columns[:8]),
            ),
            ("colour", OneHotEncoder(sparse_output=False), ["colour"]),
        ]
    ).set_output(transform="pandas")
    out = columns.fit_transform(frame)
    assert out.shape == (90, 4 + 2 * 4 + 2)
    assert out.columns.is_unique
    assert "codes__static__diffusionrepresentation0" in out.columns


def test_pipeline_memory_fits_once(table, tmp_path):
    X, y = table
    pipe = make_pipeline(
        StandardScaler(),
        DiffusionRepresentation(**QUICK),
        LogisticRegression(),
        memory=str(tmp_path),
    )
    first = pipe.fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(pipe.fit(X, y).predict_proba(X), first)
    rep = DiffusionRepresentation(**QUICK)
    assert joblib.hash(rep) == joblib.hash(DiffusionRepresentation(**QUICK))


def test_data_frames_in_and_out(table):
    X, _ = table
    names = [f"feature {i}" for i in range(8)]
    rep = DiffusionRepresentation(**QUICK, t_grid=[0.125, 0.5]).fit(
        pd.DataFrame(X, columns=names)
    )
    assert rep.feature_names_in_.tolist() == names
    out = rep.set_output(transform="polars").transform(pl.DataFrame(X, schema=names))
    assert isinstance(out, pl.DataFrame)
    assert out.columns == [
        f"diffusionrepresentation_t{t}_{j}" for t in ("0.125", "0.5") for j in range(4)
    ]
    np.testing.assert_array_equal(
        rep.set_output(transform="default").transform(pd.DataFrame(X, columns=names)),
        out.to_numpy(),
    )


def test_feature_names_of_close_times_differ(table):
    X, _ = table
    rep = DiffusionRepresentation(**QUICK, t_grid=[0.5, 0.50001]).fit(X)
    assert len(set(rep.get_feature_names_out())) == 8


def test_pickles_and_files_load_in_a_new_process(table, tmp_path):
    X, _ = table
    rep = VariationalDiffusionRepresentation(**QUICK, t_grid=2, loss_weighting="eps")
    rep.fit(X)
    (tmp_path / "rep.pickle").write_bytes(pickle.dumps(rep))
    joblib.dump(rep, tmp_path / "rep.joblib")
    rep.save(tmp_path / "rep.safetensors")
    np.save(tmp_path / "X.npy", X)
    script = """if True:
        import diffrep, joblib, numpy as np
        from sklearn.frozen import FrozenEstimator
        reps = [joblib.load("rep.pickle"), joblib.load("rep.joblib")]
        reps.append(diffrep.load("rep.safetensors"))
        np.save("codes.npy", [rep.transform(np.load("X.npy")) for rep in reps])
        print(*(joblib.hash(FrozenEstimator(rep)) for rep in reps))
        """
    session = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    for codes in np.load(tmp_path / "codes.npy"):
        np.testing.assert_allclose(codes, rep.transform(X), rtol=1e-5, atol=1e-6)
    # Caches identify a step by its hash, which is equal in all sessions.
    here = [joblib.load(tmp_path / f"rep.{name}") for name in ("pickle", "joblib")]
    here.append(load(tmp_path / "rep.safetensors"))
    assert session.stdout.split() == [joblib.hash(FrozenEstimator(rep)) for rep in here]
    assert joblib.hash(FrozenEstimator(rep)) == joblib.hash(FrozenEstimator(here[0]))
    before = joblib.hash(rep)
    rep.net_.module_.encoder.outputs[0].bias.data[0] += 1
    assert joblib.hash(rep) != before


class Holding(torch.nn.Module):
    """Encoder with tensors of all kinds, one of them under two names."""

    def __init__(self, data_shape, n_outputs, time_conditioned):
        super().__init__()
        self.map = torch.nn.Linear(data_shape[0], n_outputs)
        self.tied = self.map.weight
        self.register_buffer("sparse", torch.eye(3).to_sparse())
        self.register_buffer("brief", torch.ones(3, dtype=torch.bfloat16))
        self.register_buffer("imaginary", torch.ones((), dtype=torch.complex64))
        self.register_buffer("passing", torch.arange(3.0), persistent=False)

    def forward(self, x):
        return self.map(x)


def test_tensors_of_all_kinds_are_pickled_and_copied(table):
    rep = DiffusionRepresentation(**QUICK, encoder=Holding).fit(table[0])
    codes = rep.transform(table[0])
    for other in (copy.deepcopy(rep), pickle.loads(pickle.dumps(rep))):
        own, copied = (r.net_.module_.encoder for r in (rep, other))
        assert copied.tied is copied.map.weight is not own.map.weight
        for name, buffer in own.named_buffers():
            found = copied.get_buffer(name)
            assert (found.dtype, found.layout) == (buffer.dtype, buffer.layout)
            assert torch.equal(found.to_dense(), buffer.to_dense())
        np.testing.assert_array_equal(other.transform(table[0]), codes)
        other.partial_fit(table[0])
    np.testing.assert_array_equal(rep.transform(table[0]), codes)


def test_cuda_state_loads_on_a_cpu(table):
    X, _ = table
    rep = DiffusionRepresentation(**QUICK).fit(X)
    codes = rep.transform(X)
    rep.net_.device = "cuda"
    if torch.cuda.is_available():
        pytest.skip("this machine has cuda, so the state would load there")
    with pytest.warns(DeviceWarning, match="cuda.* is not available|no CUDA devices"):
        loaded = pickle.loads(pickle.dumps(rep))
    assert str(loaded.net_.device) == "cpu"
    np.testing.assert_array_equal(loaded.transform(X), codes)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_size_of_a_pickle_does_not_depend_on_the_number_of_rows(early_stopping):
    X = np.random.default_rng(0).normal(size=(4000, 8))
    rep = DiffusionRepresentation(1, max_epochs=1, early_stopping=early_stopping)
    few, many = (len(pickle.dumps(rep.fit(X[:n]))) for n in (100, 4000))
    assert abs(many - few) < 1000  # bytes: less than one per row


def test_html_repr_has_no_links(table):
    html = DiffusionRepresentation(**QUICK).fit(table[0])._repr_html_()
    assert "DiffusionRepresentation" in html
    assert "diffrep.org" not in html
    assert "readthedocs" not in html
