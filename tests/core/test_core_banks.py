"""Banks of features of tables and of signals."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from diffrep import DiffusionRepresentation
from diffrep.core.banks import LEVELS, RowBank, SignalBank, joined_columns
from diffrep.core.closed_form import ViewedRows


def fitted(X, seed=0):
    generator = torch.Generator().manual_seed(seed)
    bank = RowBank(X.shape[1:])
    return bank, bank.initialize(ViewedRows(X, list, generator)).X


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("n_features", [1, 2, 3, 4, 7, 300, 5000])
def test_columns_are_used_equally_often_in_sums(n_features):
    n_joined = min(3, n_features)
    columns = joined_columns(n_features, n_joined, 512)
    assert columns.shape == (512, n_joined)
    assert all(len(set(sums)) == n_joined for sums in columns.tolist())
    counts = np.bincount(columns.flatten(), minlength=n_features)
    assert counts.max() - counts.min() <= 0.2 * counts.mean() + 2
    assert torch.equal(columns, joined_columns(n_features, n_joined, 512))


def test_sums_have_unit_variance_in_correlated_columns():
    X = (
        normal(4000, 5)
        @ torch.tensor(np.linalg.cholesky(0.5 + 0.5 * np.eye(5))).float()
    )
    X = X + torch.tensor([5.0, 0, 0, -3, 0])
    bank, features = fitted(X)
    weight, bias = (parameter.detach() for parameter in bank.sums.parameters())
    sums = (X[:, bank.columns] * weight).sum(2) + bias
    assert sums.var(0).median() == pytest.approx(0.9, abs=0.1)
    assert sums.var(0).max() < 1.1
    # thresholds are normal, too, for any mean of the columns
    assert sums.mean(0).std() == pytest.approx(1, abs=0.1)
    assert abs(sums.mean(0).mean()) < 0.15
    assert torch.equal(features[:, 5:], sums.clamp(min=0))


@pytest.mark.parametrize("n_features", [1, 6, 200])
def test_columns_weigh_eight_times_the_random_features(n_features):
    _, features = fitted(normal(3000, n_features))
    columns, random = features[:, :n_features], features[:, n_features:]
    share = columns.var(0).sum() / random.var(0).sum()
    assert share == pytest.approx(8, rel=1e-3)


def test_wide_tables_are_reduced_to_principal_components():
    X = normal(700, 30) @ normal(30, 1025) + 0.1 * normal(700, 1025)
    bank, features = fitted(X)
    assert features.shape == (700, bank.width) == (700, 512 + 512)
    found = features[:, :512] / bank.column_weight
    # The spectrum decreases after thirty components.
    pca = PCA(30, svd_solver="full").fit(X)
    cosines = found[:, :30].T @ torch.from_numpy(pca.transform(X)).float()
    cosines /= found[:, :30].norm(dim=0)[:, None] * found[:, :30].norm(dim=0)
    torch.testing.assert_close(cosines.abs(), torch.eye(30), atol=0.01, rtol=0)
    kept = found.square().sum() / (X - X.mean(0)).square().sum()
    assert 0.99 < kept <= 1


def test_few_rows_of_a_wide_table_keep_all_components():
    X = normal(20, 2000)
    bank, features = fitted(X)
    found = features[:, :512] / bank.column_weight
    assert (found[:, 20:] == 0).all()
    distances = [torch.cdist(rows, rows) for rows in (found, X)]
    torch.testing.assert_close(*distances, rtol=1e-3, atol=0.05)
    assert not any(weight.requires_grad for weight in bank.reduced.parameters())


@pytest.mark.parametrize(
    ("n_features", "n"), [(1025, 512), (8192, 512), (20_000, 192), (100_000, 128)]
)
def test_principal_components_have_a_limited_number_of_weights(n_features, n):
    bank = RowBank((n_features,))
    assert bank.reduced.weight.shape == (n, n_features)
    assert bank.width == n + 512


def test_constant_columns_have_finite_features():
    X = normal(100, 4)
    X[:, 1] = 0.0
    _, features = fitted(X)
    assert features.isfinite().all()
    assert fitted(torch.zeros(10, 3))[1].isfinite().all()


def test_codes_contain_interactions():
    # The class is a product of signs, which no linear map of the columns contains.
    X = np.random.default_rng(0).normal(size=(1500, 4))
    y = X[:, 0] * X[:, 1] > 0
    rep = DiffusionRepresentation(64, max_epochs=0, random_state=0).fit(X)
    linear = LogisticRegression(max_iter=1000)
    assert linear.fit(X[:1000], y[:1000]).score(X[1000:], y[1000:]) < 0.6
    codes = rep.transform(X)
    assert linear.fit(codes[:1000], y[:1000]).score(codes[1000:], y[1000:]) > 0.85


@pytest.fixture(scope="module")
def signals():
    """A fitted signal bank, and its 200 noisy step functions (200, 2, 100)."""
    X = normal(200, 2, 100).cumsum(2) / 5
    bank = SignalBank((2, 100))
    generator = torch.Generator().manual_seed(0)
    bank.initialize(ViewedRows(X, list, generator))
    return bank, X


def responses_by_hand(bank, x, scale):
    """Responses ``(n_filters, n_windows)`` of one signal, window by window."""
    n, size, step = 2**scale, bank.size, 1
    filters = bank.scales[scale].numpy().reshape(-1, 2, size)
    x = x.numpy()
    if scale > 0:
        step, around = 2, ((0, 0), (n // 2, n // 2))
        x = np.pad(x, around)
        starts = range(0, x.shape[1] - n + 1, n // 2)
        x = np.stack([x[:, s : s + n].mean(1) for s in starts], axis=1)
    around = (size - 1) * step // 2
    x = np.pad(x, ((0, 0), (around, around)))
    starts = range(x.shape[1] - (size - 1) * step)
    windows = [x[:, s : s + (size - 1) * step + 1 : step] for s in starts]
    return np.stack([(filters * window).sum((1, 2)) for window in windows], axis=1)


@pytest.mark.parametrize("scale", [0, 1, 3])
def test_windows_of_signals_contain_averages(signals, scale):
    bank, X = signals
    found = bank.scales[scale] @ bank.windows(X[:1], scale)
    expected = responses_by_hand(bank, X[0], scale)
    np.testing.assert_allclose(found[0], expected, atol=1e-4)


def test_features_of_signals_by_hand(signals):
    bank, X = signals
    n_filters, groups = 48, []
    for scale in range(len(bank.scales)):
        responses = responses_by_hand(bank, X[7], scale)
        levels = bank.levels[scale].numpy()
        shares = [np.clip((responses - a) / 0.02, -1, 1).mean(1) for a in levels]
        strong = np.maximum(responses - 0.25, 0)
        mean, largest = np.sqrt(strong.mean(1) + 1e-3), strong.max(1)
        edges = np.arange(5) * strong.shape[1] / 4
        parts = [
            strong[:, int(low) : int(np.ceil(high))].mean(1)
            for low, high in pairwise(edges)
        ]
        parts = np.sqrt(np.stack(parts, axis=1) + 1e-3).ravel()
        for group, weight in [*((g, 1) for g in (*shares, mean, largest)), (parts, 4)]:
            scale_ = np.sqrt(group.var() + 1e-5)
            groups.append((group - group.mean()) / scale_ / weight)
    expected = np.concatenate(groups) / 4
    assert len(expected) == bank.width == len(bank.scales) * n_filters * 11
    np.testing.assert_allclose(bank(X[7:8])[0], expected, atol=2e-3)


def test_levels_are_quantiles_of_responses(signals):
    bank, X = signals
    for scale, filters in enumerate(bank.scales):
        responses = filters @ bank.windows(X, scale)
        for share, level in zip(LEVELS, bank.levels[scale], strict=True):
            below = (responses < level).float().mean((0, 2))
            np.testing.assert_allclose(below, share, atol=0.03)


def test_scales_cover_the_signal():
    n_scales = {1: 1, 2: 1, 9: 1, 16: 1, 17: 2, 33: 3, 512: 6, 1025: 8}
    for length, n in n_scales.items():
        assert len(SignalBank((1, length)).scales) == n


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (1, 9), (2, 40)])
def test_constant_and_short_signals_have_finite_features(shape):
    for X in (torch.zeros(10, *shape), normal(10, *shape)):
        bank = SignalBank(shape)
        rows = bank.initialize(ViewedRows(X, list, torch.Generator().manual_seed(0)))
        assert rows.X.shape == (10, bank.width)
        assert rows.X.isfinite().all()


def test_features_of_signals_are_continuous(signals):
    bank, X = signals
    before, after = bank(X), bank(X + 1e-6 * normal(*X.shape))
    assert (after - before).abs().max() < 1e-3
