"""Initialisation from data: `init` and `noise_space`."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import StandardScaler
from torch import nn

from diffrep import DiffusionRepresentation
from diffrep.baselines import (
    SimCLRRepresentation,
)
from diffrep.core.spaces import DataSpace, FeatureSpace, PrincipalSpace


def unchanged(x, generator):
    return x


def at_the_start(
    estimator, n_components=4, init="closed_form", augment=None, **parameters
):
    """Return an untrained estimator, by default without views."""
    if estimator is SimCLRRepresentation and augment is None:
        augment = unchanged
    parameters |= {"augment": augment, "max_epochs": 0, "random_state": 0}
    return estimator(n_components, init=init, **parameters)


def as_trained(rep, codes):
    """Invert the read-out of codes."""
    model = rep.net_.module_
    times = torch.tensor(rep._read_times(), dtype=torch.float32)
    codes = torch.from_numpy(codes).view(len(codes), len(times), -1)
    return model.readout.inverse(codes, times, not model.time_conditioned)[:, 0].numpy()


def assert_components_are_alike(codes, expected, atol=1e-3):
    """Compare components up to scale and sign."""
    signs = np.sign((codes * expected).sum(0))
    codes, expected = codes / codes.std(axis=0), expected / expected.std(axis=0)
    np.testing.assert_allclose(codes * signs, expected, atol=atol)


def rotation_to(codes, expected):
    """Orthogonal map of codes that is closest to the expected ones."""
    left, _, right = np.linalg.svd(codes.T @ expected)
    return left @ right


def first_stage(rep, X):
    """Features of the initial code, at any time."""
    model = rep.net_.module_
    x = torch.from_numpy(rep.standardizer_.transform(X)).float()
    x = x.view(-1, *model.data_shape)
    condition = None
    if (
        model.time_conditioned
    ):  # any time: the first stage does not depend on t at first
        condition = torch.randn(len(x), 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return model.encoder.backbone(x, condition)[0].numpy()


@pytest.mark.parametrize("conditioning", ["readout", "full"])
def test_initial_code_of_a_table_is_a_pca_of_its_bank(estimator, conditioning, table):
    X, _ = table
    rep = at_the_start(estimator, encoder="mlp", time_conditioning=conditioning)
    codes = rep.fit(X).transform(X)
    expected = PCA(4, svd_solver="full").fit_transform(first_stage(rep, X))
    np.testing.assert_allclose(codes.mean(axis=0), 0, atol=1e-4)
    codes = as_trained(rep, codes)
    assert_components_are_alike(codes, expected, 0.01)
    if "Variational" not in estimator.__name__:  # half of the outputs are not codes
        assert codes.var(axis=0).mean() == pytest.approx(1, abs=1e-3)


def test_conditioned_codes_are_initially_equal_at_all_times(estimator, table):
    X, _ = table
    rep = at_the_start(estimator, t_grid=3, time_conditioning="full").fit(X)
    expected = PCA(4, svd_solver="full").fit_transform(first_stage(rep, X))
    curve = rep.encode(X, [0.0, 0.1, 0.6, 1.0])
    for codes in curve.swapaxes(0, 1):
        codes = codes @ rotation_to(codes, expected)
        assert_components_are_alike(codes, expected, 0.01)
    np.testing.assert_allclose(curve - curve[:, :1], 0, atol=1e-3)


@pytest.mark.parametrize("t_grid", [None, 2])
def test_components_beyond_the_features_are_initially_zero(t_grid, table):
    X, _ = table
    n_features = 8 + 512  # columns of the table and their random features
    rep = at_the_start(DiffusionRepresentation, n_features + 3, t_grid=t_grid).fit(X)
    codes = as_trained(rep, rep.transform(X))
    np.testing.assert_allclose(codes[:, n_features:], 0, atol=1e-4)
    assert codes[:, :n_features].std(axis=0).max() > 1


@pytest.mark.parametrize("t_grid", [None, 2])
@pytest.mark.parametrize("conditioning", ["readout", "full"])
def test_initial_code_of_images_is_a_pca_of_the_first_stage(
    conditioning, t_grid, digits
):
    X = digits[0][:60]
    rep = at_the_start(
        DiffusionRepresentation,
        8,
        image_shape=(1, 8, 8),
        t_grid=t_grid and [0.5, 1.0],
        time_conditioning=conditioning,
    ).fit(X)
    expected = PCA(8, svd_solver="full").fit_transform(first_stage(rep, X))
    codes = rep.encode(X, 1.0)[:, 0]  # the first eight components, also of 128
    assert_components_are_alike(codes @ rotation_to(codes, expected), expected, 0.01)


def test_initial_code_contains_what_views_keep():
    X = np.random.default_rng(0).normal(size=(500, 6))

    def shaken(x, generator):
        draws = torch.randn(len(x), 3, generator=generator)
        return x + torch.cat([draws, 0 * draws], dim=1)

    rep = at_the_start(DiffusionRepresentation, 3, augment=shaken).fit(X)
    codes, rows = rep.transform(X), StandardScaler().fit_transform(X)
    r_squared = [
        LinearRegression().fit(codes, rows[:, part]).score(codes, rows[:, part])
        for part in (slice(3), slice(3, 6))
    ]
    assert r_squared[0] < 0.1 < 0.9 < r_squared[1]


def test_initial_filters_are_sparse_centres_of_patches(digits):
    X, _ = digits
    rep = at_the_start(DiffusionRepresentation, image_shape=(1, 8, 8)).fit(X)
    filters = rep.net_.module_.encoder.backbone.bank.filters.conv
    sums = filters.weight.sum((1, 2, 3)).abs() / filters.weight.abs().sum((1, 2, 3))
    assert sums.max() < 1e-5
    assert set(filters.bias.tolist()) == {-0.25}
    images = torch.from_numpy((X - X.mean()) / X.std()).float().view(-1, 1, 8, 8)
    with torch.inference_mode():
        responses = filters(images)
    assert float(responses.std()) == pytest.approx(1, rel=0.02)
    assert 0.1 < float((responses > 0).float().mean()) < 0.5


@pytest.mark.parametrize("t_grid", [None, 2])
def test_random_start_depends_on_the_seed(t_grid, table):
    X, _ = table
    closed, first, same, other = (
        at_the_start(DiffusionRepresentation, init=init, t_grid=t_grid)
        .set_params(random_state=seed)
        .fit(X)
        .transform(X)
        for init, seed in [
            ("closed_form", 0),
            ("random", 0),
            ("random", 0),
            ("random", 1),
        ]
    )
    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first, other, atol=0.01)
    assert not np.allclose(first, closed, atol=0.01)


class Own(nn.Module):
    """User-defined encoder."""

    rows = None

    def __init__(self, data_shape, n_outputs, time_conditioned):
        super().__init__()
        self.map = nn.Linear(data_shape[0], n_outputs)

    def forward(self, x, t=None):
        return self.map(x)

    def initialize(self, rows):
        self.rows, self.views = rows.X.clone(), [*rows.views]
        self.draw = torch.randn(3, generator=rows.generator)


def test_own_encoder_is_initialised_only_with_closed_form(estimator, table):
    X, _ = table
    rep = at_the_start(estimator, encoder=Own).fit(X)
    encoder = rep.net_.module_.encoder
    standardised = StandardScaler().fit_transform(X)
    np.testing.assert_allclose(
        np.sort(encoder.rows.numpy(), axis=0), np.sort(standardised, axis=0), atol=1e-5
    )
    again = at_the_start(estimator, encoder=Own).fit(X).net_.module_.encoder
    assert torch.equal(encoder.draw, again.draw)
    assert torch.equal(encoder.rows, again.rows)
    if estimator is not SimCLRRepresentation:  # it requires views
        assert encoder.views == []
    gaussian = at_the_start(estimator, encoder=Own, augment="gaussian").fit(X)
    first, second = gaussian.net_.module_.encoder.views
    assert not torch.equal(encoder.rows, first)
    assert not torch.equal(first, second)
    unasked = at_the_start(estimator, encoder=Own, init="random").fit(X)
    assert unasked.net_.module_.encoder.rows is None


@pytest.mark.parametrize(
    ("parameters", "space"),
    [
        ({}, FeatureSpace),
        ({"image_shape": None}, PrincipalSpace),
        ({"noise_space": "pca"}, PrincipalSpace),
        ({"noise_space": "data"}, DataSpace),
        ({"score_network": "unet"}, DataSpace),
    ],
    ids=str,
)
def test_default_noise_spaces(parameters, space, digits):
    X = digits[0][:20]
    parameters = {"image_shape": (1, 8, 8), "init": "random", **parameters}
    rep = at_the_start(DiffusionRepresentation, **parameters)
    assert type(rep.fit(X).net_.module_.space) is space


@pytest.mark.parametrize("noise_space", ["pca", "features"])
def test_unet_cannot_denoise_components(noise_space, digits):
    rep = DiffusionRepresentation(
        image_shape=(1, 8, 8), score_network="unet", noise_space=noise_space
    )
    with pytest.raises(ValueError, match=r"'unet' needs noise in.*noise_space='data'"):
        rep.fit(digits[0])


@pytest.mark.parametrize("noise_space", ["pca", "data"])
@pytest.mark.parametrize("sde", ["ve", "vp"])
def test_points_have_unit_variance_for_any_spectrum(noise_space, sde):
    # A network that returns 0 has the error s / (1 + s) at squared noise-to-signal
    # ratio s if the mean variance is 1; the ratios of `score` lie about 1.
    draws = np.random.default_rng(0)
    X = draws.normal(size=(3000, 8)) @ draws.normal(size=(8, 8)) + 5
    rep = at_the_start(DiffusionRepresentation, noise_space=noise_space, sde=sde)
    rep.set_params(max_epochs=1, lr=1e-12)
    output = rep.fit(X).net_.module_.score_network.output
    output.weight.data.zero_()
    output.bias.data.zero_()
    assert rep.score(X) == pytest.approx(-0.5, abs=0.01)


@pytest.mark.parametrize(
    "shape", [{}, {"image_shape": (1, 4, 4)}, {"signal_shape": (2, 8)}], ids=str
)
@pytest.mark.parametrize("noise_space", ["pca", "data", "features"])
def test_constant_rows_can_be_fitted(noise_space, shape):
    X = np.full((20, 16), 3.0)
    rep = DiffusionRepresentation(2, noise_space=noise_space, max_epochs=2, **shape)
    rep.fit(X)
    assert np.isfinite(rep.transform(X)).all()
    assert np.isfinite(rep.score(X))


@pytest.mark.parametrize("image_shape", [(1, 1, 16), (1, 16, 1), (3, 1, 5)])
def test_images_of_height_one_have_filters(image_shape):
    n_features = int(np.prod(image_shape))
    X = np.random.default_rng(0).normal(size=(60, n_features))
    rep = at_the_start(DiffusionRepresentation, 2, image_shape=image_shape).fit(X)
    assert np.allclose(rep.transform(X).std(axis=0), 1, atol=0.5)
    points = rep.net_.module_.space(torch.from_numpy(X).float().view(-1, *image_shape))
    assert float(points.var(0).mean()) == pytest.approx(1, abs=0.1)
