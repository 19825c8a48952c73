"""Spaces in which noise is added."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from diffrep.core.closed_form import ViewedRows
from diffrep.core.spaces import (
    N_DIRECTIONS,
    DataSpace,
    FeatureSpace,
    PrincipalSpace,
)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def correlated(n, *shape, decay=0.9):
    d = int(np.prod(shape))
    turn, _ = torch.linalg.qr(torch.randn(d, d, generator=rng(1)))
    scale = decay ** torch.arange(d)
    rows = torch.randn(n, d, generator=rng(2)) * scale @ turn + 2
    return rows.view(n, *shape)


def fitted(X):
    space = PrincipalSpace(X.shape[1:])
    space.initialize(ViewedRows.drawn(X, None, rng()))
    return space


@pytest.mark.parametrize("shape", [(10,), (2, 4, 4), (128,)])
def test_round_trip_with_all_components_is_the_identity(shape):
    X = correlated(300, *shape)
    space = fitted(X)
    points = space(X)
    assert points.shape == (300, *space.shape) == (300, np.prod(shape))
    torch.testing.assert_close(space.inverse(points), X, rtol=1e-4, atol=1e-3)


def test_round_trip_is_the_projection_onto_components():
    X = correlated(400, 3, 8, 8, decay=0.97)
    space = fitted(X)
    assert space.shape == (N_DIRECTIONS,)
    back = space.inverse(space(X)).numpy()
    rows = X.flatten(1).numpy()
    pca = PCA(N_DIRECTIONS, svd_solver="full").fit(rows)
    expected = pca.inverse_transform(pca.transform(rows)).reshape(X.shape)
    # the last components are computed iteratively; they are small
    np.testing.assert_allclose(back, expected, atol=0.1)
    assert np.square(back - expected).mean() < 1e-5 * np.square(rows).mean()
    points = torch.randn(5, N_DIRECTIONS, generator=rng())
    torch.testing.assert_close(space(space.inverse(points)), points, rtol=0, atol=1e-3)


def test_points_are_whitened_halfway():
    X = correlated(2000, 20)
    points = fitted(X)(X)
    variances = points.var(0, correction=0)
    assert float(variances.mean()) == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(points.mean(0), torch.zeros(20), atol=1e-4, rtol=0)
    correlation = np.corrcoef(points.T) - np.eye(20)
    assert np.abs(correlation).max() < 1e-2
    v = torch.from_numpy(PCA().fit(X.numpy()).explained_variance_)
    ratio = variances / v.sqrt()
    # small components are whitened less, those below a thousandth not at all
    torch.testing.assert_close(
        ratio[:8], ratio[0].expand(8), rtol=0.02, atol=0, check_dtype=False
    )
    assert (ratio.diff() < 1e-3).all()


def test_few_rows_have_as_many_components_as_rows():
    X = correlated(30, 300)
    points = fitted(X)(torch.cat([X, correlated(40, 300)[30:]]))
    assert points.shape == (40, 128)
    assert (points[:, 30:] == 0).all()  # also those of new rows
    assert (points[:30, :29].std(0) > 0.1).all()
    assert float(points[:30].var(0, correction=0).mean()) == pytest.approx(1, abs=1e-4)


def test_data_space_is_the_identity():
    X = correlated(20, 1, 3, 3)
    space = DataSpace((1, 3, 3))
    space.initialize(ViewedRows.drawn(X, None, rng()))
    assert space.shape == (1, 3, 3)
    assert torch.equal(space(X), X)
    assert torch.equal(space.inverse(X), X)
    assert not list(space.parameters())


@pytest.mark.parametrize(
    "X",
    [
        torch.zeros(20, 6),
        torch.full((20, 6), 0.1),
        correlated(2, 6),
        correlated(3, 200),
        torch.cat([correlated(20, 3), torch.zeros(20, 3)], dim=1),
        torch.eye(6)[torch.zeros(20, dtype=torch.int64)],
    ],
    ids=["zero", "constant", "two rows", "few rows", "dead features", "all alike"],
)
def test_points_of_degenerate_rows_are_finite(X):
    space = fitted(X)
    for x in (X, X + 10):
        assert space(x).isfinite().all()
    torch.testing.assert_close(space.inverse(space(X)), X, rtol=1e-3, atol=1e-3)


def shapes(n):
    """Images of bars with random positions and slopes."""
    place, slope = torch.rand(2, n, 1, 1, generator=rng(3)) * 2 - 1
    rows, columns = torch.meshgrid(*2 * [torch.linspace(-1, 1, 12)], indexing="ij")
    return torch.exp(-10 * (rows - place - slope * columns) ** 2)[:, None] - 0.3


def slightly_moved(x, generator):
    return x + 0.1 * torch.randn(x.shape, generator=generator)


@pytest.mark.parametrize("view", [None, slightly_moved])
def test_features_have_uncorrelated_components_of_mean_variance_one(view):
    X = shapes(2000)
    space = FeatureSpace((1, 12, 12))
    space.initialize(ViewedRows.drawn(X, view, rng()))
    points = space(X)
    assert points.shape == (2000, *space.shape) == (2000, 144)
    assert float(points.var(0, correction=0).mean()) == pytest.approx(1, abs=1e-3)
    covariance = np.cov(points.T)
    covariance -= np.diag(np.diag(covariance))
    assert np.abs(covariance).max() < 1e-2 * float(points.var(0).max())
    assert not [p for p in space.parameters() if p.requires_grad]


def test_images_are_recovered_from_features_by_least_squares():
    X = shapes(2000)
    space = FeatureSpace((1, 12, 12))
    space.initialize(ViewedRows.drawn(X, None, rng()))
    back = space.inverse(space(X)).flatten(1).numpy()
    points = np.column_stack([space(X), np.ones(len(X))]).astype(float)
    rows = X.flatten(1).numpy().astype(float)
    expected = points @ np.linalg.lstsq(points, rows, rcond=1e-6)[0]
    assert np.square(back - expected).mean() < 1e-3 * rows.var(0).mean()
    # which for bars is most of the image, also on new images
    new = shapes(4000)[2000:]
    error = (space.inverse(space(new)) - new).square().mean()
    assert float(error) < 0.2 * float(new.var(0).mean())
