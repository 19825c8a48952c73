"""Baselines, compared with known results."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from diffrep import VE, DiffusionRepresentation
from diffrep.baselines import (
    AutoencoderRepresentation,
    DenoiserFeatures,
    RandomEncoderRepresentation,
    SimCLRRepresentation,
    VariationalAutoencoderRepresentation,
)
from diffrep.core.augment import AUGMENTATIONS
from diffrep.core.device import Stream, generator

QUICK = {"n_components": 4, "max_epochs": 3, "random_state": 0}
AE, VAE = AutoencoderRepresentation, VariationalAutoencoderRepresentation
AUTOENCODERS = pytest.mark.parametrize("estimator", [AE, VAE])
TRAINED = [AE, VAE, SimCLRRepresentation, DenoiserFeatures]
ALL = pytest.mark.parametrize("estimator", [*TRAINED, RandomEncoderRepresentation])


def quick(estimator, **parameters):
    if estimator is RandomEncoderRepresentation:
        return estimator(4, random_state=0, **parameters)
    return estimator(**QUICK | parameters)


def weights(rep):
    return [parameter.clone() for parameter in rep.net_.module_.parameters()]


def same(weights, others):
    return all(torch.equal(a, b) for a, b in zip(weights, others, strict=True))


def raw_codes(rep, X):
    """Codes before the read-out."""
    rows, _ = rep._rows(X)[:]
    with torch.inference_mode():
        return rep.net_.module_.curve(rows, torch.tensor([0.5]))[:, 0].numpy()


def factors(n, strengths, n_features, noise, seed=0):
    """Gaussian rows with a few strong directions and isotropic noise."""
    draws = np.random.default_rng(1)
    turn, _ = np.linalg.qr(draws.normal(size=(n_features, n_features)))
    scale = np.sqrt(np.r_[strengths, np.zeros(n_features - len(strengths))] + noise)
    return np.random.default_rng(seed).normal(size=(n, n_features)) * scale @ turn


@ALL
@pytest.mark.parametrize("t_grid", [1, 2])
def test_same_seed_same_bits(estimator, t_grid, table):
    X, _ = table
    rep = quick(estimator, t_grid=t_grid)
    first = rep.fit(X).transform(X)
    np.testing.assert_array_equal(clone(rep).fit(X).transform(X), first)
    other = clone(rep).set_params(random_state=1).fit(X).transform(X)
    assert not np.allclose(other, first, atol=0.01)


@ALL
@pytest.mark.parametrize(
    "shape", [{}, {"image_shape": (1, 2, 4)}, {"signal_shape": (2, 4)}], ids=str
)
def test_code_of_a_row_depends_on_that_row_alone(estimator, shape, table, rounding):
    X, _ = table
    X = np.vstack([X, X + 1, X - 1])
    rep = quick(estimator, t_grid=2, **shape).fit(X)
    codes = rep.transform(X)
    order = np.random.default_rng(0).permutation(len(X))
    for index in (order, [0], [255], [256], [269]):
        found, expected = rep.transform(X[index]), codes[index]
        np.testing.assert_allclose(found, expected, rtol=0, atol=rounding * codes.std())


@ALL
def test_classifier_on_codes_recognises_digits(estimator, digits):
    X, y = digits
    rep = quick(estimator, image_shape=(1, 8, 8))
    rep.set_params(n_components=128 if estimator is DenoiserFeatures else 32)
    if estimator is not RandomEncoderRepresentation:
        rep.set_params(max_epochs=5)
    pipe = make_pipeline(rep, StandardScaler(), LogisticRegression(max_iter=2000))
    assert pipe.fit(X[:300], y[:300]).score(X[300:], y[300:]) > 0.6  # chance is 0.1


@pytest.mark.parametrize("estimator", TRAINED)
def test_warm_start_and_partial_fit_continue_training(estimator, table):
    X, _ = table
    cold = quick(estimator, max_epochs=15).fit(X)
    warm = clone(cold).set_params(warm_start=True).fit(X)
    assert same(weights(cold), weights(warm))
    warm.fit(X)
    losses = warm.history_["train_loss"]
    assert warm.n_iter_ == 30
    assert losses[-5:].mean() < losses[:5].mean()
    step = quick(estimator)
    for _ in range(15):
        step.partial_fit(X)
    losses = step.history_["train_loss"]
    assert step.n_iter_ == 15
    assert losses[-5:].mean() < losses[:5].mean()


@AUTOENCODERS
def test_rows_of_low_rank_are_reconstructed(estimator):
    X = factors(1000, [3, 2, 1], 10, noise=0)
    parameters = {"augment": None, "random_state": 0, "max_epochs": 50}
    if estimator is VAE:
        parameters["kl_weight"] = 0.0
    rep = estimator(3, **parameters).fit(X[:700])
    assert -0.03 < rep.score(X[700:]) < 0
    narrow = estimator(1, **parameters | {"max_epochs": 10}).fit(X[:700])
    assert narrow.score(X[700:]) < -0.2


def test_autoencoder_is_as_good_as_principal_components():
    X = factors(3000, [5, 4, 3], 8, noise=0.3)
    train, test = X[:2000], X[2000:]
    scaler = StandardScaler().fit(train)
    rows = scaler.transform(test)

    def score_and_floor(k):
        pca = PCA().fit(scaler.transform(train))
        kept = rows @ pca.components_[:k].T
        floor = np.square(rows - kept @ pca.components_[:k]).mean()
        rest = pca.explained_variance_[k:].sum() / 8
        assert floor == pytest.approx(rest, rel=0.1)
        rep = AE(k, augment=None, random_state=0, max_epochs=20).fit(train)
        return rep.score(test), -floor

    # Beyond the strong directions there is only noise.
    score, floor = score_and_floor(3)
    assert floor - 0.02 < score < floor + 0.005
    # With fewer components, a curved surface may be better than a plane.
    score, floor = score_and_floor(2)
    assert score > floor - 0.02


def test_variational_code_of_gaussian_rows_is_that_of_probabilistic_pca():
    # With a decoder of variance b = kl_weight, the best code of a component of
    # variance v is its posterior mean, of variance 1 - b / v, and none if v < b.
    X = factors(1000, [5], 6, noise=0.1)
    v = PCA().fit(StandardScaler().fit_transform(X)).explained_variance_
    assert v[0] > 3
    for weight in (1.0, 2.0):
        rep = VAE(
            2, kl_weight=weight, augment=None, random_state=0, max_epochs=40, lr=5e-3
        ).fit(X)
        spread = np.linalg.eigvalsh(np.cov(raw_codes(rep, X).T))
        np.testing.assert_allclose(spread, [0, 1 - weight / v[0]], atol=0.04)
        error = (weight**2 / v[0] + v[1:].sum()) / 6
        assert rep.score(X) == pytest.approx(-error, rel=0.1)
        kl = rep.history_["train_kl"].iloc[-1] * 6 / 2 / weight
        assert kl == pytest.approx(np.log(v[0] / weight) / 2, rel=0.1)


def test_penalty_of_the_code_collapses_it_or_is_off(table):
    X, _ = table
    free, dear = (
        VAE(2, kl_weight=w, random_state=0, max_epochs=200).fit(X) for w in (0.0, 30.0)
    )
    assert raw_codes(dear, X).std(axis=0).max() < 0.05
    assert raw_codes(free, X).std(axis=0).min() > 0.5
    assert dear.score(X) == pytest.approx(-1, abs=0.05)  # the variance of the rows
    assert dear.score(X) < free.score(X) - 0.2


def test_transform_of_a_variational_autoencoder_is_the_mean(table):
    X, _ = table
    rep = quick(VAE, augment=None).fit(X)
    rows, _ = rep._rows(X)[:]
    with torch.inference_mode():
        outputs = rep.net_.module_.encoder(rows)
    assert outputs.shape == (90, 8)
    expected = rep.net_.module_.readout(outputs[:, None, :4], torch.ones(1))[:, 0]
    np.testing.assert_allclose(rep.transform(X), expected, atol=1e-5)


@AUTOENCODERS
@pytest.mark.parametrize(
    "shape", [{}, {"image_shape": (2, 2, 2)}, {"signal_shape": (2, 4)}], ids=str
)
def test_score_is_the_cross_entropy(estimator, shape, table):
    X, _ = table
    parameters = {"reconstruction_loss": "bce", "t_grid": 2, **shape}
    rep = quick(estimator, time_conditioning="full", **parameters).fit(X)
    channels = X.reshape(90, *([2, 4] if shape else [8]))
    axes = (0, 2) if shape else 0
    low, high = (f(channels, axis=axes, keepdims=True) for f in (np.min, np.max))
    target = ((channels - low) / (high - low)).reshape(90, 8)
    rows, _ = rep._rows(X)[:]
    model = rep.net_.module_
    losses = []
    for t in rep.t_grid_:
        with torch.inference_mode():
            z = model.outputs(rows, torch.full((90,), t, dtype=torch.float32))[:, :4]
            p = model.decoder(z).sigmoid().flatten(1).double().numpy()
        losses.append(-target * np.log(p) - (1 - target) * np.log(1 - p))
    assert rep.score(X) == pytest.approx(-np.mean(losses), rel=1e-4)


def test_cross_entropy_needs_targets_in_the_data(table):
    rep = AutoencoderRepresentation(
        reconstruction_loss="bce", target_space="pca", max_epochs=1
    )
    with pytest.raises(ValueError, match="'bce' is for data, not for target_"):
        rep.fit(table[0])


def test_cross_entropy_of_bits_is_close_to_their_entropy():
    # For independent bits and a useless code the minimum is the entropy.
    share = np.array([0.1, 0.3, 0.5, 0.9])
    X = (np.random.default_rng(0).random((1000, 4)) < share).astype(float)
    parameters = {"reconstruction_loss": "bce", "max_epochs": 30, "random_state": 0}
    rep = VAE(2, kl_weight=20.0, augment=None, **parameters).fit(X)
    p = X.mean(0)
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p)).mean()
    assert rep.score(X) == pytest.approx(-entropy, abs=0.005)
    alive = AE(4, augment=None, **parameters).fit(X)
    assert alive.score(X) > -0.1 * entropy


def test_simclr_needs_views_and_two_rows(table):
    X, _ = table
    with pytest.raises(ValueError, match=r"'augment' parameter of SimCLR.*Got None"):
        SimCLRRepresentation(augment=None).fit(X)
    with pytest.raises(ValueError, match=r"'batch_size' parameter of SimCLR.*Got 1"):
        SimCLRRepresentation(batch_size=1).fit(X)


def test_simclr_makes_codes_of_views_similar(digits):
    X, _ = digits

    def spread_of_views(rep):
        """Mean squared distance of two views, relative to that of two rows."""
        rows, _ = rep._rows(X)[:]
        draws = torch.Generator().manual_seed(0)
        first, second = (AUGMENTATIONS["image"](rows, draws) for _ in range(2))
        with torch.inference_mode():
            first, second = (
                F.normalize(rep.net_.module_.encoder(v)) for v in (first, second)
            )
        apart = (first - second.roll(1, 0)).square().sum(1).mean()
        return float((first - second).square().sum(1).mean() / apart)

    parameters = {"image_shape": (1, 8, 8), "random_state": 0, "init": "random"}
    start = SimCLRRepresentation(16, max_epochs=0, **parameters).fit(X)
    rep = SimCLRRepresentation(16, max_epochs=40, **parameters).fit(X)
    assert spread_of_views(rep) < 0.6 * spread_of_views(start)
    assert spread_of_views(rep) < 0.4


def test_codes_are_taken_before_the_projection(table):
    X, _ = table
    rep = quick(SimCLRRepresentation).fit(X)
    codes = rep.transform(X)
    for parameter in rep.net_.module_.projection.parameters():
        parameter.data.zero_()
    np.testing.assert_array_equal(rep.transform(X), codes)
    rep.net_.module_.encoder.outputs[0].weight.data.zero_()
    assert not np.allclose(rep.transform(X), codes, atol=0.01)


def test_random_encoder_is_the_random_start_of_others(table):
    X, y = table
    shared = {"n_components": 4, "random_state": 0}
    rep = RandomEncoderRepresentation(**shared).fit(X)
    before = DiffusionRepresentation(
        init="random", augment=None, max_epochs=0, **shared
    )
    codes = rep.transform(X)
    np.testing.assert_allclose(codes, before.fit(X).transform(X), atol=1e-5)
    start = weights(rep)
    assert same(start, weights(clone(rep).fit(X, y)))
    np.testing.assert_array_equal(rep.transform(X), codes)
    assert len(rep.history_) == 0


def test_random_encoder_has_no_training_parameters():
    names = set(RandomEncoderRepresentation().get_params())
    assert not names & {"lr", "max_epochs", "batch_size", "warm_start", "callbacks"}
    with pytest.raises(TypeError, match="lr"):
        RandomEncoderRepresentation(lr=0.1)


@pytest.mark.parametrize("layer", [0, 1, 2, -1])
def test_denoiser_features_are_states_of_the_score_network(layer, table):
    X, _ = table
    rep = quick(DenoiserFeatures, layer=layer, t_grid=[0.2, 0.7], augment=None).fit(X)
    model = rep.net_.module_
    network = model.score_network
    rows = torch.from_numpy(rep.standardizer_.transform(X)).float()
    with torch.inference_mode():
        points = (rows - model.space.mean) @ model.space.directions / model.space.scale
        for codes, t in zip(np.hsplit(rep.transform(X), 2), (0.2, 0.7), strict=True):
            t = torch.full((90,), t)
            sigma = VE().sigma(t)[:, None]
            condition = network.time(t)
            h = network.input(points / (1 + sigma**2).sqrt())
            h = h + network.code(model.null_code)
            states = [h]
            for block in network.blocks:
                scale, shift = block.modulation.map(F.silu(condition)).chunk(2, dim=1)
                inner = block.inner(block.norm(h) * (1 + scale) + shift)
                h = h + block.outer(F.silu(inner))
                states.append(h)
            np.testing.assert_allclose(codes, states[layer], rtol=1e-3, atol=1e-5)


def test_denoiser_features_change_with_layer_and_time(table):
    X, _ = table
    codes = {
        layer: quick(DenoiserFeatures, layer=layer, augment=None)
        .fit(X)
        .encode(X, [0.1, 0.6])
        for layer in (0, 1, 2)
    }
    for a, b in [(0, 1), (1, 2)]:
        assert np.abs(codes[a] - codes[b]).max() > 0.01
    for curve in codes.values():
        assert np.abs(curve[:, 0] - curve[:, 1]).max() > 0.01
    last = quick(DenoiserFeatures, layer=-1, augment=None).fit(X)
    last = last.encode(X, [0.1, 0.6])
    np.testing.assert_array_equal(last, codes[2])


def test_denoiser_features_have_no_encoder(table):
    rep = quick(DenoiserFeatures).fit(table[0])
    assert not list(rep.net_.module_.encoder.parameters())
    assert not {"encoder", "init", "time_conditioning"} & set(rep.get_params())
    with pytest.raises(TypeError, match="encoder"):
        DenoiserFeatures(encoder="mlp")
    with pytest.raises(ValueError, match="t_grid"):
        DenoiserFeatures(t_grid=None).fit(table[0])


def test_denoiser_learns_to_denoise():
    # The minimum is the error for a Gaussian with this spectrum.
    X = factors(2000, [5], 6, noise=0.1)
    rep = DenoiserFeatures(
        32, random_state=0, max_epochs=60, augment=None, lr=5e-3
    ).fit(X)
    model = rep.net_.module_
    rows, _ = rep._rows(X)[:]
    with torch.inference_mode():
        points = model.space(rows)
        v = points.var(0)
        for ratio in (0.3, 1.0, 3.0):
            t = model.sde.time_at(torch.full((2000,), ratio))
            alpha, sigma = model.alpha_sigma(t, points)
            draws = generator(0, Stream.SCORE)
            x_t = alpha * points + sigma * torch.randn(points.shape, generator=draws)
            z = model.null_code.expand(2000, -1)
            error = (model.denoised(x_t, t, z) - points).square().mean()
            best = (v * ratio**2 / (v + ratio**2)).mean()
            assert error == pytest.approx(float(best), rel=0.12)


def test_loss_of_the_denoiser_equals_the_loss_without_a_code(table):
    X, _ = table
    rep = quick(DenoiserFeatures, augment=None).fit(X)
    model = rep.net_.module_
    rows, _ = rep._rows(X)[:]
    with torch.inference_mode():
        (loss,) = model(rows, rows, generator(0, Stream.STEP)).values()
        mean = np.mean(
            [
                model(rows, rows, generator(i, Stream.STEP))["denoising"]
                for i in range(9)
            ]
        )
    assert float(loss) == pytest.approx(float(mean), rel=0.2)
    assert rep.history_.filter(like="train_").columns.tolist() == [
        "train_loss",
        "train_denoising",
        "train_loss_best",
    ]
