"""How codes are given out: columns of one variance, whatever they were trained to."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from diffrep import (
    DiffusionRepresentation,
    load,
)
from diffrep.baselines import (
    SimCLRRepresentation,
)
from diffrep.exceptions import CodeCollapseWarning

QUICK = {"n_components": 8, "max_epochs": 2, "batch_size": 64, "random_state": 0}
IMAGES = {"image_shape": (1, 8, 8), **QUICK}
images_and_table = pytest.mark.parametrize(
    "shape", [(1, 8, 8), None], ids=["images", "table"]
)


def trained_codes(rep, X, t=1.0):
    """Codes ``(n, n_components)`` as they were trained, before they are read."""
    model = rep.net_.module_
    x, _ = rep._rows(X)[:]
    with torch.inference_mode():
        return model.curve(x, torch.tensor([t]))[:, 0].numpy()


def assert_columns_have_one_standard_deviation(codes):
    np.testing.assert_allclose(codes.mean(axis=0), 0, atol=1e-3 * codes.std())
    np.testing.assert_allclose(codes.std(axis=0), codes.std(), rtol=2e-3)


@images_and_table
def test_columns_have_one_standard_deviation(estimator, shape, digits):
    codes = estimator(image_shape=shape, **QUICK).fit_transform(digits[0])
    assert_columns_have_one_standard_deviation(codes)


@images_and_table
def test_columns_without_views_do_too(estimator_without_views, shape, digits):
    rep = estimator_without_views(image_shape=shape, augment=None, **QUICK)
    assert_columns_have_one_standard_deviation(rep.fit_transform(digits[0]))


@pytest.mark.parametrize("time_conditioning", ["late", "full"])
def test_columns_have_one_standard_deviation_over_times(time_conditioning, digits):
    rep = DiffusionRepresentation(
        t_grid=4, time_conditioning=time_conditioning, **IMAGES
    ).fit(digits[0])
    times = rep.net_.module_.times.ppf((torch.arange(8) + 0.5) / 8)
    stds = rep.encode(digits[0], times.numpy()).reshape(-1, 8).std(axis=0)
    np.testing.assert_allclose(stds, stds.mean(), rtol=2e-3)


def test_scaling_the_codes_changes_nothing(estimator, digits):
    X, y = digits
    codes = estimator(**IMAGES).fit_transform(X)
    scaled = StandardScaler().fit_transform(codes)
    one = np.vdot(codes, scaled) / np.vdot(codes, codes)
    np.testing.assert_allclose(scaled, one * codes, atol=0.01)
    for make in (LogisticRegression, KNeighborsClassifier):
        accuracies = [make().fit(z[:200], y[:200]).score(z[200:], y[200:]) for z in
                      (one * codes, scaled)]  # fmt: skip
        assert accuracies[0] == pytest.approx(accuracies[1], abs=0.011)


def test_without_views_codes_are_only_turned(estimator_without_views, digits):
    rep = estimator_without_views(augment=None, **IMAGES).fit(digits[0])
    codes, trained = rep.transform(digits[0]), trained_codes(rep, digits[0])
    np.testing.assert_allclose(pdist(codes), pdist(trained), rtol=1e-3)
    assert not np.allclose(codes, trained, atol=0.1 * trained.std())


def test_a_random_start_without_views_is_read_as_trained(
    estimator_without_views, digits
):
    rep = estimator_without_views(augment=None, init="random", **IMAGES).fit(digits[0])
    trained = trained_codes(rep, digits[0])
    np.testing.assert_array_equal(rep.transform(digits[0]), trained)


def test_components_in_order_are_a_pca_away(digits):
    X, _ = digits
    rep = DiffusionRepresentation(augment=None, **IMAGES).fit(X)
    ordered = make_pipeline(rep, PCA()).fit_transform(X)
    expected = PCA().fit_transform(trained_codes(rep, X))
    np.testing.assert_allclose(
        np.abs(ordered), np.abs(expected), atol=1e-2 * expected.std()
    )
    assert (np.diff(ordered.std(axis=0)) < 0).all()


def test_a_dead_code_looks_dead(digits):
    parameters = IMAGES | {"max_epochs": 60}
    alive = DiffusionRepresentation(**parameters).fit_transform(digits[0])
    with pytest.warns(CodeCollapseWarning):
        rep = DiffusionRepresentation(l1_weight=3.0, **parameters).fit(digits[0])
    assert rep.transform(digits[0]).std(axis=0).max() < 0.1 * alive.std()


def test_reading_can_be_undone(estimator, digits):
    rep = estimator(**IMAGES).fit(digits[0])
    codes = torch.from_numpy(rep.transform(digits[0]))
    trained = trained_codes(rep, digits[0])
    found = rep.net_.module_.unread(codes).numpy()
    np.testing.assert_allclose(found, trained, atol=2e-3 * trained.std())


def test_codes_of_classes_are_read_as_others_are(digits):
    rep = DiffusionRepresentation(encoder="class", **IMAGES).fit(*digits)
    x = torch.arange(len(rep.classes_))
    with torch.inference_mode():
        expected = rep.net_.module_.read(rep.net_.module_.encoder(x))
    np.testing.assert_allclose(rep.class_codes_[:, 0], expected, atol=1e-6)


def test_the_start_alone_gives_codes_and_nothing_else(estimator, digits, tmp_path):
    X, _ = digits
    rep = estimator(**IMAGES | {"max_epochs": 0}).fit(X)
    assert rep.n_iter_ == 0
    assert len(rep.history_) == 0
    codes = rep.transform(X)
    np.testing.assert_allclose(codes.std(axis=0), codes.std(), rtol=2e-3)
    path = tmp_path / "start.safetensors"
    rep.save(path)
    np.testing.assert_array_equal(load(path).transform(X), codes)
    said = "fitted with max_epochs=0.*no network was trained"
    for method in ("score", "loss_over_time", "sample", "inverse_transform", "denoise"):
        arguments = {"sample": [codes], "inverse_transform": [codes]}.get(method, [X])
        arguments += [0.5, codes] * (method == "denoise")
        if hasattr(rep, method):
            with pytest.raises(NotFittedError, match=said):
                getattr(rep, method)(*arguments)
    rep.partial_fit(X)  # training goes on from there
    assert rep.n_iter_ == 1
    assert not np.allclose(rep.transform(X), codes, atol=1e-3)


@pytest.mark.parametrize("estimator", [DiffusionRepresentation, SimCLRRepresentation])
def test_training_begins_at_the_start_alone(estimator, digits):
    X, _ = digits
    start, still = (
        estimator(**IMAGES | {"max_epochs": n, "lr": 1e-12}).fit_transform(X)
        for n in (0, 1)
    )
    np.testing.assert_allclose(start, still, atol=1e-3 * start.std())


def test_large_images_all_the_way(tmp_path):
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (40, 3, 8, 10), dtype=np.uint8)
    X = coarse.repeat(8, axis=2).repeat(8, axis=3).reshape(40, -1)
    parameters = IMAGES | {"image_shape": (3, 64, 80), "max_epochs": 150}
    rep = DiffusionRepresentation(**parameters).fit(X)
    codes = rep.transform(X)
    for rows in (rep.inverse_transform(codes), rep.sample(codes, random_state=0)):
        assert rows.shape == X.shape
        own = [np.corrcoef(rows[i], X[i])[0, 1] for i in range(40)]
        other = [np.corrcoef(rows[i], X[i - 1])[0, 1] for i in range(40)]
        assert np.mean(own) > np.mean(other) + 0.2
    path = tmp_path / "large.safetensors"
    rep.save(path)
    np.testing.assert_array_equal(load(path).transform(X), codes)
