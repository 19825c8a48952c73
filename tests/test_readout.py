"""The read-out: all columns of the codes have the same variance."""

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
from diffrep.core.layers import set_components
from diffrep.exceptions import CodeCollapseWarning

QUICK = {"n_components": 8, "max_epochs": 2, "batch_size": 64, "random_state": 0}
IMAGES = {"image_shape": (1, 8, 8), **QUICK}
images_and_table = pytest.mark.parametrize(
    "shape", [(1, 8, 8), None], ids=["images", "table"]
)


def trained_codes(rep, X, t=1.0):
    """Codes ``(n, n_components)`` before the read-out."""
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
def test_columns_without_views_have_one_standard_deviation(
    estimator_without_views, shape, digits
):
    rep = estimator_without_views(image_shape=shape, augment=None, **QUICK)
    assert_columns_have_one_standard_deviation(rep.fit_transform(digits[0]))


@pytest.mark.parametrize("time_conditioning", ["readout", "full"])
def test_columns_have_one_standard_deviation_over_times(time_conditioning, digits):
    rep = DiffusionRepresentation(
        t_grid=4, time_conditioning=time_conditioning, **IMAGES
    ).fit(digits[0])
    times = rep.net_.module_.readout.times
    stds = rep.encode(digits[0], times.numpy()).reshape(-1, 8).std(axis=0)
    np.testing.assert_allclose(stds, stds.mean(), rtol=2e-3)


def test_scaling_codes_does_not_change_distances(estimator, digits):
    X, y = digits
    codes = estimator(**IMAGES).fit_transform(X)
    scaled = StandardScaler().fit_transform(codes)
    one = np.vdot(codes, scaled) / np.vdot(codes, codes)
    np.testing.assert_allclose(scaled, one * codes, atol=0.01)
    for make in (LogisticRegression, KNeighborsClassifier):
        accuracies = [
            make().fit(z[:200], y[:200]).score(z[200:], y[200:])
            for z in (one * codes, scaled)
        ]
        assert accuracies[0] == pytest.approx(accuracies[1], abs=0.011)


def test_without_views_codes_are_only_rotated(estimator_without_views, digits):
    rep = estimator_without_views(augment=None, **IMAGES).fit(digits[0])
    codes, trained = rep.transform(digits[0]), trained_codes(rep, digits[0])
    np.testing.assert_allclose(pdist(codes), pdist(trained), rtol=1e-3)
    assert not np.allclose(codes, trained, atol=0.1 * trained.std())


def test_random_start_without_views_has_no_readout(
    estimator_without_views, digits, rounding
):
    rep = estimator_without_views(augment=None, init="random", **IMAGES).fit(digits[0])
    codes, trained = rep.transform(digits[0]), trained_codes(rep, digits[0])
    np.testing.assert_allclose(codes, trained, rtol=0, atol=rounding * trained.std())


def test_pca_of_codes_gives_ordered_components(digits):
    X, _ = digits
    rep = DiffusionRepresentation(augment=None, **IMAGES).fit(X)
    ordered = make_pipeline(rep, PCA()).fit_transform(X)
    expected = PCA().fit_transform(trained_codes(rep, X))
    np.testing.assert_allclose(
        np.abs(ordered), np.abs(expected), atol=1e-2 * expected.std()
    )
    assert (np.diff(ordered.std(axis=0)) < 0).all()


def test_collapsed_codes_stay_small(digits):
    parameters = IMAGES | {"max_epochs": 30}
    alive = DiffusionRepresentation(**parameters).fit_transform(digits[0])
    with pytest.warns(CodeCollapseWarning):
        rep = DiffusionRepresentation(l1_weight=3.0, **parameters).fit(digits[0])
    assert rep.transform(digits[0]).std(axis=0).max() < 0.1 * alive.std()


@pytest.mark.parametrize("time_conditioning", ["readout", "full"])
def test_readout_is_invertible(estimator, time_conditioning, digits):
    X, times = digits[0][:300], [0.3, 0.9]
    rep = estimator(time_conditioning=time_conditioning, **IMAGES).fit(X)
    found = rep.net_.module_.readout.inverse(
        torch.from_numpy(rep.encode(X, times)),
        torch.tensor(times),
        is_static=time_conditioning == "readout",
    ).numpy()
    for i, t in enumerate(times[: found.shape[1]]):
        trained = trained_codes(rep, X, t)
        np.testing.assert_allclose(found[:, i], trained, atol=5e-3 * trained.std())


def test_fewer_columns_are_inverted_by_least_squares(digits):
    rep = DiffusionRepresentation(4, t_grid=3, max_epochs=2, random_state=0)
    rep.fit(digits[0])
    codes = rep.transform(digits[0])
    z = rep._checked_codes(codes)
    assert z.shape == (len(codes), 1, 128)
    again = rep.net_.module_.readout(z, rep._tensor_times()).flatten(1).numpy()
    np.testing.assert_allclose(again, codes, atol=1e-2 * codes.std())
    trained = trained_codes(rep, digits[0])
    mean = rep.net_.module_.readout.means[-1].numpy()
    lengths = [np.square(a - mean).sum(axis=1) for a in (z[:, 0].numpy(), trained)]
    assert (lengths[0] <= 1.001 * lengths[1]).all()


def test_codes_at_the_last_time_are_static(estimator, digits):
    # Proposition 2.1 of Mittal et al. (2023): x_1 is independent of x_0.
    X = digits[0][:300]
    static, stack = (estimator(t_grid=t, **IMAGES).fit(X) for t in (None, 3))
    for rep in (static, stack):
        last = rep.transform(X)[:, -8:]
        np.testing.assert_array_equal(rep.encode(X, 1.0)[:, 0], last)
        assert np.abs(rep.encode(X, 0.5)[:, 0] - last).max() > 0.1 * last.std()


GAUSSIAN = np.random.default_rng(0).normal(size=(20_000, 5))
MIXING = np.random.default_rng(1).normal(size=(5, 5))


class LinearEncoder(torch.nn.Module):
    """Encoder of stable components of the row, with a known read-out."""

    def __init__(self, data_shape, n_outputs, time_conditioned):
        super().__init__()
        self.map = torch.nn.Linear(*data_shape, n_outputs)

    def forward(self, x):
        return self.map(x)

    def initialize(self, rows):
        set_components(self.map, *rows.stable_components(self.map.out_features))


def of_gaussian_rows(t_grid=None):
    """Initial encoder of correlated Gaussian rows without views, and the covariance."""
    X = GAUSSIAN @ MIXING
    rep = DiffusionRepresentation(
        5, t_grid=t_grid, encoder=LinearEncoder, augment=None, max_epochs=0
    )
    rep.set_params(random_state=0).fit(X)
    return rep, X, np.corrcoef(X.T)


def variances(spectrum, ratio):
    """Variances of codes of Gaussian rows along principal axes, total and predicted.

    The initial encoder gives a component of variance s the variance ``s^(3/2)``. Noisy
    rows predict the share ``s / (s + ratio^2)`` of it.
    """
    total = spectrum**1.5 / (spectrum**1.5).mean()
    return total, total * spectrum / (spectrum + ratio**2)


def predicted_share(spectrum, ratio):
    total, predicted = variances(spectrum, ratio)
    return predicted.sum() / total.sum()


def test_predicted_share_equals_that_of_gaussian_rows():
    rep, _, C = of_gaussian_rows()
    readout, sde = rep.net_.module_.readout, rep.net_.module_.sde
    ratios = sde.noise_to_signal(readout.times[:-1]).numpy()
    expected = [predicted_share(np.linalg.eigvalsh(C), ratio) for ratio in ratios]
    np.testing.assert_allclose(readout.told[:-1], expected, atol=0.03)
    assert readout.told[-1] == 0


def test_integer_grid_has_even_predicted_shares():
    rep, _, C = of_gaussian_rows(t_grid=4)
    ratios = rep.net_.module_.sde.noise_to_signal(torch.from_numpy(rep.t_grid_))
    shares = [predicted_share(np.linalg.eigvalsh(C), float(ratio)) for ratio in ratios]
    np.testing.assert_allclose(shares, [0.75, 0.5, 0.25, 0.0], atol=0.05)
    assert rep.t_grid_[-1] == 1


def test_codes_over_time_follow_the_formula():
    rep, X, C = of_gaussian_rows()
    spectrum, V = np.linalg.eigh(C)
    t = rep.net_.module_.readout.times[4]
    ratio = float(rep.net_.module_.sde.noise_to_signal(t))
    total, predicted = variances(spectrum, ratio)
    size = ((total - predicted) / (predicted + 1)) ** 0.75 / (predicted + 1) ** 0.5
    rows = (X - X.mean(axis=0)) / X.std(axis=0)
    expected = rows @ V * np.sqrt(total / spectrum) * size
    codes = rep.encode(X, float(t))[:, 0]
    distances = [
        pdist(z[:300]) / np.sqrt(z.var(axis=0).mean()) for z in (codes, expected)
    ]
    np.testing.assert_allclose(*distances, rtol=0.1)


def test_times_of_a_stack_share_one_mean_variance(estimator, digits):
    rep = estimator(**IMAGES).fit(digits[0])
    curve = rep.encode(digits[0], np.linspace(0, 1, 23))
    variances = curve.var(axis=0).mean(axis=1)
    np.testing.assert_allclose(variances, variances.mean(), rtol=0.02)


def test_readout_is_linear_in_the_codes(digits):
    rep = DiffusionRepresentation(**IMAGES).fit(digits[0])
    readout = rep.net_.module_.readout
    z = torch.randn(3, 1, 8, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([0.6], requires_grad=True)
    readout(z, t)[0, 0, 0].backward()
    with torch.no_grad():
        ends = [readout(z, torch.tensor([s]))[0, 0, 0] for s in (0.599, 0.601)]
    assert float(t.grad) == pytest.approx(float(ends[1] - ends[0]) / 0.002, rel=0.02)


def test_zero_epochs_give_codes_only(estimator, digits, tmp_path):
    X, _ = digits
    rep = estimator(**IMAGES | {"max_epochs": 0}).fit(X)
    assert rep.n_iter_ == 0
    assert len(rep.history_) == 0
    codes = rep.transform(X)
    np.testing.assert_allclose(codes.std(axis=0), codes.std(), rtol=2e-3)
    path = tmp_path / "start.safetensors"
    rep.save(path)
    np.testing.assert_array_equal(load(path).transform(X), codes)
    said = "fitted with max_epochs=0.*not trained"
    for method in ("score", "loss_over_time", "sample", "inverse_transform", "denoise"):
        arguments = {"sample": [codes], "inverse_transform": [codes]}.get(method, [X])
        arguments += [0.5, codes] * (method == "denoise")
        if hasattr(rep, method):
            with pytest.raises(NotFittedError, match=said):
                getattr(rep, method)(*arguments)
    rep.partial_fit(X)  # training continues from there
    assert rep.n_iter_ == 1
    assert not np.allclose(rep.transform(X), codes, atol=1e-3)


@pytest.mark.parametrize("estimator", [DiffusionRepresentation, SimCLRRepresentation])
def test_training_begins_at_the_initial_codes(estimator, digits):
    X, _ = digits
    start, still = (
        estimator(**IMAGES | {"max_epochs": n, "lr": 1e-12}).fit_transform(X)
        for n in (0, 1)
    )
    np.testing.assert_allclose(start, still, atol=1e-3 * start.std())


def test_large_images_are_averaged_and_restored(tmp_path):
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (40, 3, 8, 10), dtype=np.uint8)
    X = coarse.repeat(8, axis=2).repeat(8, axis=3).reshape(40, -1)
    parameters = IMAGES | {"image_shape": (3, 64, 80), "max_epochs": 60}
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
