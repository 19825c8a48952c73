"""Banks of features of rows of a table."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from diffrep import DiffusionRepresentation
from diffrep.core.banks import RowBank, joined_columns
from diffrep.core.closed_form import ViewedRows


def fitted(X, seed=0):
    generator = torch.Generator().manual_seed(seed)
    bank = RowBank(X.shape[1:])
    return bank, bank.initialize(ViewedRows(X, list, generator)).X


def normal(n, d):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("n_features", [1, 2, 3, 4, 7, 300, 5000])
def test_columns_are_joined_equally_often_and_never_with_themselves(n_features):
    n_joined = min(3, n_features)
    columns = joined_columns(n_features, n_joined)
    assert columns.shape == (512, n_joined)
    assert all(len(set(sums)) == n_joined for sums in columns.tolist())
    counts = np.bincount(columns.flatten(), minlength=n_features)
    assert counts.max() - counts.min() <= 0.2 * counts.mean() + 2
    assert torch.equal(columns, joined_columns(n_features, n_joined))


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
    # thresholds are normal too, whatever the mean of the columns
    assert sums.mean(0).std() == pytest.approx(1, abs=0.1)
    assert abs(sums.mean(0).mean()) < 0.15
    assert torch.equal(features[:, 5:], sums.clamp(min=0))


@pytest.mark.parametrize("n_features", [1, 6, 200])
def test_columns_weigh_eight_times_the_random_features(n_features):
    _, features = fitted(normal(3000, n_features))
    columns, random = features[:, :n_features], features[:, n_features:]
    share = columns.var(0).sum() / random.var(0).sum()
    assert share == pytest.approx(8, rel=1e-3)


def test_constant_columns_do_no_harm():
    X = normal(100, 4)
    X[:, 1] = 0.0
    _, features = fitted(X)
    assert features.isfinite().all()
    assert fitted(torch.zeros(10, 3))[1].isfinite().all()


def test_codes_see_what_is_not_linear():
    # The class is a product of signs: no linear map of the columns has it.
    X = np.random.default_rng(0).normal(size=(1500, 4))
    y = X[:, 0] * X[:, 1] > 0
    rep = DiffusionRepresentation(64, max_epochs=0, random_state=0).fit(X)
    linear = LogisticRegression(max_iter=1000)
    assert linear.fit(X[:1000], y[:1000]).score(X[1000:], y[1000:]) < 0.6
    codes = rep.transform(X)
    assert linear.fit(codes[:1000], y[:1000]).score(codes[1000:], y[1000:]) > 0.85
