"""Information in codes, silhouettes and diversity, compared with closed forms."""

import numpy as np
import pytest
import torch
from sklearn.metrics import silhouette_score
from sklearn.preprocessing import FunctionTransformer

from diffrep import DiffusionRepresentation
from diffrep.evaluation import class_silhouette, information_profile, sample_diversity
from diffrep.exceptions import CodeCollapseWarning

W = np.array([[1.0, 0.5, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
COVARIANCE = np.array(
    [[1, 0.6, 0.3, 0], [0.6, 1, 0.2, 0], [0.3, 0.2, 1, 0.5], [0, 0, 0.5, 1]]
)


class Linear(torch.nn.Module):
    """The code ``W x0``."""

    def __init__(self, data_shape, n_outputs, time_conditioned):
        super().__init__()
        self.register_buffer("W", torch.tensor(W, dtype=torch.float32))

    def forward(self, x):
        return x @ self.W.T


def gaussian(seed, n=20_000):
    return np.random.default_rng(seed).multivariate_normal(np.zeros(4), COVARIANCE, n)


@pytest.fixture(scope="module")
def linear():
    """Linear code of Gaussian rows of unit variance."""
    return DiffusionRepresentation(
        2,
        encoder=Linear,
        noise_space="data",
        code_dropout=0.5,
        augment=None,
        l1_weight=0.0,
        batch_size=256,
        max_epochs=15,
        random_state=0,
    ).fit(gaussian(0))


def residual():
    """Covariance of x0 given the code."""
    gain = COVARIANCE @ W.T @ np.linalg.inv(W @ COVARIANCE @ W.T)
    return COVARIANCE - gain @ W @ COVARIANCE


def test_profile_is_the_information_of_gaussian_data(linear):
    def information(sigma):
        noisy = [C + sigma**2 * np.eye(4) for C in (COVARIANCE, residual())]
        before, after = (np.linalg.slogdet(C)[1] for C in noisy)
        return (before - after) / 2

    profile = information_profile(linear, gaussian(1, 5000))
    assert list(profile) == [
        "t",
        "sigma",
        "loss_without_code",
        "loss_with_code",
        "nats",
    ]
    first = information(profile["sigma"].iloc[0])
    exact = first - profile["sigma"].map(information)
    assert exact.iloc[-1] > 4
    np.testing.assert_allclose(profile["nats"][3:], exact[3:], rtol=0.05)


def test_losses_equal_those_of_the_best_denoiser(linear):
    losses = linear.loss_over_time(gaussian(1), times=[0.4, 0.54, 0.7])
    for column, C in [("without_code", COVARIANCE), ("with_code", residual())]:
        v = np.linalg.eigvalsh(C)
        sigma = losses["sigma"].to_numpy()[:, None]
        least = (v / (v + sigma**2)).sum(axis=1)
        found = losses[f"loss_{column}"]
        assert (found > 0.98 * least).all()
        np.testing.assert_allclose(found, least, rtol=0.06, atol=0.01)
    assert (losses["loss_of_other_code"] > losses["loss_without_code"]).all()


def test_score_is_the_mean_error_of_x0(linear):
    X, ratios = gaussian(1, 2000), np.geomspace(0.1, 10, 8)
    sde = linear.net_.module_.sde
    losses = linear.loss_over_time(X, times=sde.time_at(torch.tensor(ratios)))
    expected = -(losses["loss_with_code"] * ratios**2).mean() / 4
    assert linear.score(X) == pytest.approx(expected, rel=1e-4)


def test_default_times_are_uniform_in_log_noise(linear):
    losses = linear.loss_over_time(gaussian(1, 50))
    steps = np.diff(np.log(losses["sigma"]))
    np.testing.assert_allclose(steps, steps[0], rtol=1e-4)
    ends = np.log(losses["sigma"].iloc[[0, -1]])
    np.testing.assert_allclose(ends, np.array([-1, 1]) * 1.2 * 2.326, rtol=0.02)


def test_profile_needs_a_null_code(table):
    X, _ = table
    rep = DiffusionRepresentation(2, max_epochs=1, random_state=0).fit(X)
    assert rep.loss_over_time(X)["loss_without_code"].isna().all()
    with pytest.raises(ValueError, match=r"Fit it with code_dropout=0\.1"):
        information_profile(rep, X)


@pytest.mark.parametrize(
    "estimator",
    [
        DiffusionRepresentation(4, l1_weight=100.0, max_epochs=100),
        DiffusionRepresentation(4, init="random", l1_weight=100.0, max_epochs=100),
    ],
)
def test_collapsed_code_causes_a_warning(table, estimator):
    X, _ = table
    with pytest.warns(CodeCollapseWarning, match="almost no information"):
        estimator.set_params(random_state=0).fit(X)
    # after a few steps there is no warning
    estimator.set_params(max_epochs=1).fit(X)


def test_silhouettes_equal_scikit_learn(digits):
    X, y = digits
    rep = DiffusionRepresentation(4, t_grid=2, max_epochs=2, random_state=0).fit(X)
    results = class_silhouette(
        {"raw": FunctionTransformer(), "DRL": rep}, X, y, times=[0.3, 0.7]
    )
    assert results["representation"].tolist() == ["raw", "DRL", "DRL"]
    codes = [X, *np.swapaxes(rep.encode(X, [0.3, 0.7]), 0, 1)]
    expected = [silhouette_score(z, y) for z in codes]
    np.testing.assert_allclose(results["silhouette"], expected)
    np.testing.assert_array_equal(results["t"], [np.nan, 0.3, 0.7])


def test_diversity_is_the_residual_variance_given_the_code():
    class Sampler:
        def __init__(self, known):
            self.known = known

        def transform(self, X):
            return X[:, : self.known]

        def sample(self, codes, random_state):
            rng = np.random.default_rng(random_state)
            drawn = rng.normal(size=(len(codes), 4))
            drawn[:, : self.known] = codes
            return drawn

    X = np.random.default_rng(1).normal(size=(500, 4))
    samplers = {str(known): Sampler(known) for known in (1, 3)}
    results = sample_diversity(samplers, X, n_draws=20)
    np.testing.assert_allclose(results["diversity"], [0.75, 0.25], rtol=0.05)
    assert results["n_columns"].tolist() == [1, 3]


def test_mixup_and_reconstruction_change_the_loss(digits):
    X = digits[0]
    shared = {"image_shape": (1, 8, 8), "max_epochs": 15, "random_state": 0}
    plain = DiffusionRepresentation(8, **shared).fit(X)
    rep = DiffusionRepresentation(8, reconstruction_weight=2.0, **shared).fit(X)
    losses = rep.history_["train_reconstruction"]
    assert losses.iloc[-1] < 0.8 * losses.iloc[0]
    assert "train_reconstruction" not in plain.history_
    mixed = DiffusionRepresentation(8, mixup=True, **shared).fit(X)
    # A mixture contains less about the row, so denoising is harder.
    assert (
        mixed.history_["train_denoising"].iloc[-1]
        > plain.history_["train_denoising"].iloc[-1]
    )
