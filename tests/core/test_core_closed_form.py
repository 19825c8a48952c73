"""Closed forms, compared with numpy, scipy and scikit-learn."""

import gc
import weakref

import numpy as np
import pytest
import scipy.linalg
import torch
import torch.nn.functional as F
from sklearn.decomposition import PCA

from diffrep.core.banks import RowBank
from diffrep.core.closed_form import (
    RIDGE,
    ViewedRows,
    equal_variances,
    kmeans_filters,
    principal_components,
)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def correlated(n, n_features, decay=0.8):
    """Rows whose standard deviations decrease by the factor `decay`."""
    draws = np.random.default_rng(0)
    turn, _ = np.linalg.qr(draws.normal(size=(n_features, n_features)))
    scale = decay ** np.arange(n_features)
    rows = draws.normal(size=(n, n_features)) * scale @ turn + 3
    return torch.from_numpy(rows).float()


def stable_components(X, changes, k):
    views = [2**0.5 * changes, 0 * changes]
    return ViewedRows(X, lambda: views, rng()).stable_components(k)


def smooth_images(n, channels=1, side=12):
    noise = torch.randn(n, channels, side + 2, side + 2, generator=rng(1))
    images = F.avg_pool2d(noise, 3, 1)
    return images / images.std()


@pytest.mark.parametrize(
    ("n", "n_features", "k"),
    [(300, 12, 6), (300, 12, 12), (20, 60, 10), (500, 1, 1)],
    ids=["half", "all", "as many as rows", "one feature"],
)
def test_components_are_exact_for_small_matrices(n, n_features, k):
    X = correlated(n, n_features)
    mean, variances, directions = principal_components(X, k)
    rows = X.double().numpy()
    _, s, Vt = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    np.testing.assert_allclose(mean, rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(variances, s[:k] ** 2 / n, rtol=1e-3, atol=1e-6)
    cosines = np.abs((directions.numpy() * Vt[:k].T).sum(0))
    np.testing.assert_allclose(cosines, 1, atol=1e-3)


def test_components_are_close_for_large_matrices():
    X = correlated(1000, 100, decay=0.9)
    _, variances, directions = principal_components(X, 10)
    pca = PCA(10, svd_solver="full").fit(X)
    expected = pca.explained_variance_ * 999 / 1000
    np.testing.assert_allclose(variances, expected, rtol=0.01)
    overlap = np.linalg.svd(pca.components_ @ directions.numpy(), compute_uv=False)
    assert overlap.min() > 0.97


@pytest.mark.parametrize(
    ("n", "n_features", "k"), [(200, 30, 5), (200, 4, 9), (3, 40, 8), (2, 50, 4)]
)
def test_directions_are_orthonormal_with_their_largest_entry_positive(n, n_features, k):
    X = correlated(n, n_features)
    _, variances, directions = principal_components(X, k)
    k = min(k, n, n_features)
    assert directions.shape == (n_features, k)
    torch.testing.assert_close(
        directions.T @ directions, torch.eye(k), atol=1e-5, rtol=0
    )
    largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))
    assert (largest > 0).all()
    assert (variances >= 0).all()
    assert (variances.diff() <= 0).all()
    # n rows span n - 1 directions
    assert (variances[n - 1 :] <= 1e-6 * variances[0]).all()


def test_constant_data_have_no_variance():
    for X in (torch.full((20, 6), 2.5), torch.zeros(20, 40)):
        mean, variances, directions = principal_components(X, 4)
        assert torch.equal(mean, X[0])
        assert variances.tolist() == [0, 0, 0, 0]
        torch.testing.assert_close(directions.T @ directions, torch.eye(4))


def test_components_are_deterministic():
    X = correlated(50, 40, decay=0.99)
    first, same = principal_components(X, 3), principal_components(X, 3)
    assert all(torch.equal(a, b) for a, b in zip(first, same, strict=True))


def test_rows_are_freed_after_a_bank_is_fitted():
    rows = ViewedRows.drawn(correlated(50, 6), lambda x, generator: x + 1, rng())
    features = rows.fit(RowBank((6,)))
    gone = weakref.ref(rows)
    gc.disable()
    try:
        del rows
        assert gone() is None
    finally:
        gc.enable()
    assert features.view_differences.shape == (50, features.X.shape[1])


def test_stable_components_solve_the_generalised_eigenproblem():
    X = correlated(400, 10)
    changes = 0.5 * correlated(300, 10).roll(4, 1)
    mean, maps = (a.double() for a in stable_components(X, changes, 4))
    rows, changed = X.double() - mean, changes.double()
    total, within = rows.T @ rows / 400, changed.T @ changed / 300
    within += RIDGE * total.diagonal().mean() * torch.eye(10)
    ratios, V = scipy.linalg.eigh(total, within)
    expected = torch.from_numpy(V[:, :-5:-1].copy())
    cosines = (maps / maps.norm(dim=0) * expected / expected.norm(dim=0)).sum(0)
    torch.testing.assert_close(cosines.abs(), torch.ones(4).double(), atol=1e-3, rtol=0)
    spread = (rows @ maps).std(0, correction=0)
    assert spread.square().mean().item() == pytest.approx(1, abs=1e-3)
    powers = torch.from_numpy(ratios[:-5:-1].copy()) ** 0.75
    torch.testing.assert_close(
        spread / spread[0], powers / powers[0], rtol=1e-3, atol=0
    )


def test_stable_components_without_views_are_principal():
    X = correlated(300, 12)
    mean, maps = stable_components(X, torch.zeros(300, 12), 5)
    _, variances, directions = principal_components(X, 12)
    components = maps / maps.norm(dim=0)
    cosines = (components * directions[:, :5]).sum(0).abs()
    torch.testing.assert_close(cosines, torch.ones(5), atol=1e-4, rtol=0)
    spread = ((X - mean) @ maps).std(0)
    powers = variances[:5] ** 0.75
    torch.testing.assert_close(
        spread / spread[0], powers / powers[0], rtol=1e-3, atol=0
    )


@pytest.mark.parametrize(
    ("X", "k"),
    [
        (torch.zeros(20, 6), 4),
        (correlated(2, 6), 4),
        (correlated(3, 40), 9),
        (correlated(30, 4), 9),
    ],
    ids=["zero", "two rows", "few rows", "few features"],
)
def test_stable_components_of_degenerate_rows_are_finite(X, k):
    noise = 1e3 * torch.randn(3, X.shape[1], generator=rng())
    for changes in (torch.zeros_like(X), X - X.mean(0), 1e-3 * X.roll(1, 0), noise):
        mean, maps = stable_components(X, changes, k)
        assert maps.shape == (X.shape[1], min(k, X.shape[1]))
        assert maps.isfinite().all()
        assert ((X - mean) @ maps).square().mean() < 2
        assert (maps.gather(0, maps.abs().argmax(0, keepdim=True)) > 0).all()


def responses(images, filters):
    """Responses of `filters` to new random patches."""
    size = filters.shape[-1]
    patches = F.unfold(images, size).transpose(1, 2).flatten(0, 1)
    chosen = torch.randperm(len(patches), generator=rng(7))[:5000]
    return (patches[chosen] @ filters.flatten(1).T).numpy()


def mean_squared_correlation(answers):
    correlation = np.corrcoef(answers.T)
    return (correlation[~np.eye(len(correlation), dtype=bool)] ** 2).mean()


@pytest.mark.parametrize("channels", [1, 3])
def test_responses_to_filters_are_hardly_correlated(channels):
    images = smooth_images(400, channels)
    filters = kmeans_filters(images, 32, (6, 6), rng())
    raw = F.unfold(images[:32], 6)[:, :, 0].view(filters.shape)
    raw = raw - raw.mean((1, 2, 3), keepdim=True)
    white, colored = (responses(images, f) for f in (filters, raw))
    # Random directions are not orthogonal: squared, their cosines are 1 / d.
    chance = 1 / (36 * channels - 1)
    assert mean_squared_correlation(white) < 4 * chance
    assert mean_squared_correlation(white) < mean_squared_correlation(colored) / 1.5


def test_filters_recover_the_shapes_in_images():
    # Each patch is one of four shapes, with random contrast and brightness.
    shapes = torch.randn(4, 36, generator=rng(2))
    which = torch.randint(4, (600,), generator=rng(3))
    contrast, brightness = torch.rand(2, 600, 1, generator=rng(4))
    images = (1 + contrast) * shapes[which] + 5 * brightness
    filters = kmeans_filters(images.view(600, 1, 6, 6), 16, (6, 6), rng()).flatten(1)
    found = (images @ filters.T).argmax(1)
    owners = [set(found[which == k].tolist()) for k in range(4)]
    assert sum(map(len, owners)) == len(set.union(*owners)), "a filter has two shapes"


def test_filters_have_zero_mean():
    filters = kmeans_filters(smooth_images(50, channels=3), 16, (6, 6), rng())
    assert filters.shape == (16, 3, 6, 6)
    assert filters.mean((1, 2, 3)).abs().max() < 1e-6 * filters.abs().max()
    # so responses do not depend on brightness
    images = smooth_images(50, channels=3)
    np.testing.assert_allclose(
        responses(images + 5, filters), responses(images, filters), atol=1e-3
    )


def test_filters_depend_on_the_generator_only():
    images = smooth_images(50)
    first, same, other = (kmeans_filters(images, 8, (4, 4), rng(s)) for s in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("images", "size"),
    [
        (torch.full((5, 3, 8, 8), 3.0), (6, 6)),
        (torch.zeros(5, 1, 8, 8), (4, 4)),
        (smooth_images(5), (1, 1)),
        (smooth_images(2)[..., :4, :4], (4, 4)),
    ],
    ids=["constant", "zero", "one pixel", "two patches"],
)
def test_filters_of_constant_images_are_finite(images, size):
    filters = kmeans_filters(images, 8, size, rng())
    assert filters.isfinite().all()
    assert torch.isfinite(F.conv2d(images, filters)).all()


@pytest.mark.parametrize(
    "variances",
    [
        torch.tensor([2.0]),
        torch.tensor([1.0, 0.0]),
        0.8 ** torch.arange(17),
        0.9 ** torch.arange(128),
        torch.cat([torch.ones(5), torch.zeros(7)]),
        torch.zeros(4),
        torch.tensor([1e-30, 1.0, 1e-10]),
    ],
    ids=["one", "two", "17", "128", "half dead", "dead", "one alive"],
)
def test_rotation_makes_all_variances_equal(variances):
    Q, k = equal_variances(variances.diag()), len(variances)
    torch.testing.assert_close(Q @ Q.T, torch.eye(k), atol=1e-5, rtol=0)
    found = (Q.T @ variances.diag() @ Q).diagonal()
    torch.testing.assert_close(found, variances.mean().expand(k), rtol=1e-4, atol=1e-9)
    assert torch.equal(Q, equal_variances(variances.diag()))


def test_rotation_stays_close_to_its_start():
    rows = correlated(500, 12)
    C = torch.cov(rows.T)
    Q = equal_variances(C, torch.eye(12))
    torch.testing.assert_close(Q @ Q.T, torch.eye(12), atol=1e-5, rtol=0)
    found = (Q.T @ C @ Q).diagonal()
    torch.testing.assert_close(found, found.mean().expand(12), rtol=1e-4, atol=1e-9)
    even = Q.T @ C @ Q  # nothing changes
    torch.testing.assert_close(
        equal_variances(even, torch.eye(12)), torch.eye(12), atol=1e-2, rtol=0
    )


def test_views_are_drawn_once_on_demand():
    drawn = []

    def augment(X, generator):
        drawn.append(len(X))
        return X + torch.randn(X.shape, generator=generator)

    rows = ViewedRows.drawn(correlated(50, 6), augment, rng())
    doubled = rows.through(lambda x: 2 * x)
    assert not drawn
    torch.testing.assert_close(doubled.view_differences, 2 * rows.view_differences)
    first, second = rows.views
    torch.testing.assert_close(rows.view_differences, (first - second) / 2**0.5)
    assert drawn == [50, 50]
    plain = ViewedRows.drawn(rows.X, None, rng())
    assert plain.views == []
    assert not plain.view_differences.any()


def test_a_bank_of_one_size_is_fitted_once():
    class Bank(torch.nn.Linear):
        @property
        def width(self):
            return self.out_features

        def initialize(self, rows):
            self.weight.data.normal_(generator=rows.generator)
            return rows.through(self)

    rows = ViewedRows.drawn(correlated(50, 6), None, rng())
    first, second, other = (torch.nn.utils.skip_init(Bank, 6, n) for n in (3, 3, 4))
    for bank in (first, second, other):
        bank.bias.data.zero_()
    features = rows.fit(first)
    assert rows.fit(second) is features
    assert torch.equal(first.weight, second.weight)
    torch.testing.assert_close(features.X, second(rows.X))
    assert rows.fit(other) is not features
    torch.testing.assert_close(rows.fit(other).X, other(rows.X))


def test_components_of_wide_rows_need_no_square_matrix():
    X = torch.randn(4, 200_000, generator=torch.Generator().manual_seed(0))
    mean, variances, directions = principal_components(X, 2)
    _, S, V = torch.linalg.svd(X - mean, full_matrices=False)
    np.testing.assert_allclose(variances, S[:2] ** 2 / 4, rtol=1e-4)
    np.testing.assert_allclose((V[:2] @ directions).abs(), np.eye(2), atol=1e-3)
