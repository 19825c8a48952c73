"""Behaviour of the two diffusion estimators."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.stats
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from skorch.callbacks import Callback
from torch import nn

from diffrep import (
    PAPER_SETTING,
    SDE,
    VE,
    DiffusionRepresentation,
    SubVP,
    VariationalDiffusionRepresentation,
)
from diffrep._validation import check_rows
from diffrep.core.augment import AUGMENTATIONS
from diffrep.exceptions import CodeCollapseWarning

BOTH = pytest.mark.parametrize(
    "estimator", [DiffusionRepresentation, VariationalDiffusionRepresentation]
)
QUICK = {"n_components": 4, "max_epochs": 3, "random_state": 0}


def weights(rep):
    return list(rep.net_.module_.parameters())


def same_weights(rep, other):
    pairs = zip(weights(rep), weights(other), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@BOTH
def test_learns_more_than_raw_pixels_from_few_labels(estimator):
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.4, random_state=0)
    rep = estimator(image_shape=(1, 8, 8), random_state=0, max_epochs=30).fit(X)

    def accuracy(features, features_test):
        classifier, scale = LogisticRegression(max_iter=5000), features.std()
        scores = [
            classifier.fit(features[i] / scale, y[i]).score(
                features_test / scale, y_test
            )
            for i in np.split(np.arange(1000), 20)  # 50 labels each
        ]
        return np.mean(scores)

    codes, codes_test = rep.transform(X), rep.transform(X_test)
    assert accuracy(codes, codes_test) > accuracy(X, X_test) + 0.02


@BOTH
def test_grid_does_not_influence_training(estimator, table):
    X, _ = table
    reps = [estimator(**QUICK, t_grid=grid).fit(X) for grid in (1, 5, [0.1, 0.9])]
    assert same_weights(reps[0], reps[1])
    assert same_weights(reps[0], reps[2])
    assert not same_weights(reps[0], clone(reps[0]).set_params(random_state=1).fit(X))


FULL = QUICK | {"time_conditioning": "full"}


def test_integer_grid_reads_quantiles_of_the_training_density(table):
    X, _ = table
    beta = scipy.stats.beta(3, 1)
    rep = DiffusionRepresentation(**FULL, time_sampling=beta, t_grid=4).fit(X)
    np.testing.assert_allclose(rep.t_grid_, beta.ppf([1 / 8, 3 / 8, 5 / 8, 7 / 8]))
    rep = DiffusionRepresentation(**FULL, time_sampling="high_noise", t_grid=2).fit(X)
    sigma = VE().sigma(torch.from_numpy(rep.t_grid_))
    np.testing.assert_allclose(sigma, [0.01 + 49.99 / 4, 0.01 + 49.99 * 3 / 4])


def test_transform_concatenates_the_codes_of_encode(table):
    X, _ = table
    rep = DiffusionRepresentation(**QUICK, t_grid=[0.2, 0.8]).fit(X)
    curve = rep.encode(X, [0.2, 0.5, 0.8])
    assert curve.shape == (90, 3, 4)
    assert curve.dtype == np.float32
    stacked = np.hstack([curve[:, 0], curve[:, 2]])
    np.testing.assert_array_equal(rep.transform(X), stacked)
    assert not np.allclose(curve[:, 0], curve[:, 2])
    np.testing.assert_array_equal(rep.encode(X, 0.5), curve[:, 1:2])


def test_times_below_t_min_are_replaced_by_it(table):
    X, _ = table
    rep = DiffusionRepresentation(**QUICK, t_grid=[0.0, 1.0]).fit(X)
    assert rep.t_grid_.tolist() == [1e-5, 1.0]
    np.testing.assert_array_equal(rep.encode(X, 0.0), rep.encode(X, 1e-5))
    assert rep.set_params(sde="vp").fit(X).t_grid_.tolist() == [1e-3, 1.0]


def test_new_grid_takes_effect_at_the_next_fit(table):
    X, _ = table
    rep = DiffusionRepresentation(**QUICK, t_grid=2).fit(X)
    codes = rep.transform(X)
    rep.set_params(t_grid=[0.5])
    np.testing.assert_array_equal(rep.transform(X), codes)
    assert rep.fit(X).transform(X).shape == (90, 4)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"t_grid": 3},
        {"image_shape": (1, 2, 4), "encoder": "conv"},
        {"image_shape": (1, 2, 4), "encoder": "wide_resnet", "t_grid": 2},
        {"signal_shape": (2, 4)},
        {"signal_shape": (1, 8), "time_conditioning": "full", "t_grid": 2},
        {"time_conditioning": "full", "t_grid": 2},
        {"precision": "bf16"},
    ],
    ids=str,
)
def test_code_of_a_row_depends_on_that_row_alone(table, parameters, rounding):
    X, _ = table
    X = np.vstack([X, X + 1, X - 1])
    rep = DiffusionRepresentation(**QUICK | {"max_epochs": 1}, **parameters).fit(X)
    codes = rep.transform(X)
    order = np.random.default_rng(0).permutation(len(X))
    for index in (order, [0], [255], [256], [269]):
        found, expected = rep.transform(X[index]), codes[index]
        np.testing.assert_allclose(found, expected, rtol=0, atol=rounding * codes.std())


@BOTH
def test_same_seed_same_bits(estimator, table):
    X, _ = table
    rep = estimator(**QUICK, t_grid=2, early_stopping=True)
    first = rep.fit(X).transform(X)
    np.testing.assert_array_equal(clone(rep).fit(X).transform(X), first)
    np.testing.assert_array_equal(rep.fit(X).transform(X), first)
    drawn = clone(rep).set_params(random_state=np.random.RandomState(3))
    assert not np.array_equal(drawn.fit(X).transform(X), drawn.fit(X).transform(X))


def test_score_does_not_depend_on_the_noise_process():
    # White noise, denoised without a code: the error at each ratio r is
    # r^2 / (1 + r^2), and the eight ratios are symmetric about 1.
    X = np.random.default_rng(0).normal(size=(1000, 6))
    blind = {"code_dropout": 1.0, "random_state": 0, "batch_size": 250, "lr": 5e-3}
    for parameters in (
        {"sde": "ve"},
        {"sde": "vp"},
        {"sde": "subvp", "augment": None, "time_sampling": "uniform"},
    ):
        rep = DiffusionRepresentation(1, max_epochs=20, **blind, **parameters).fit(X)
        rep.net_.module_.null_code.data.zero_()
        score = rep.score(X)
        assert score == rep.score(X)
        assert score == pytest.approx(-0.5, abs=0.05)


def test_score_increases_with_the_number_of_components(table):
    X, _ = table
    parameters = {"random_state": 0, "max_epochs": 150, "augment": None}
    narrow, wide = (
        DiffusionRepresentation(c, **parameters).fit(X).score(X) for c in (1, 8)
    )
    assert narrow < wide - 0.03 < 0


def test_early_stopping_keeps_the_best_weights(table):
    X, _ = table
    parameters = {"early_stopping": True, "n_iter_no_change": 3, "lr": 0.01}
    rep = DiffusionRepresentation(
        random_state=0, max_epochs=400, callbacks=[Recorder()], **parameters
    ).fit(X)
    losses = rep.history_["valid_loss"]
    best = int(losses.argmin())
    assert rep.n_iter_ == len(losses) < 400
    # skorch regards an epoch as better if the relative gain is at least 1e-4
    assert rep.n_iter_ - 1 - best <= 3
    _, recorder = rep.net_.callbacks_[1]
    recorded = recorder.weights[best]
    assert all(torch.equal(a, b) for a, b in zip(recorded, weights(rep), strict=True))


class Recorder(Callback):
    """Callback that stores the weights of each epoch."""

    def initialize(self):
        self.weights = []
        return self

    def on_epoch_end(self, net, **kwargs):
        parameters = net.module_.parameters()
        self.weights.append([weight.detach().clone() for weight in parameters])


class StopAfter(Callback):
    """Callback that ends the training."""

    def __init__(self, epochs):
        self.epochs = epochs

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.epochs:
            raise KeyboardInterrupt


def test_callbacks_are_copied_and_run(table):
    X, _ = table
    callback = StopAfter(2)
    rep = DiffusionRepresentation(max_epochs=9, callbacks=[callback]).fit(X)
    assert rep.n_iter_ == 2
    assert vars(callback) == {"epochs": 2}


def test_warm_start_continues_training(table):
    X, _ = table
    cold = DiffusionRepresentation(random_state=0, max_epochs=40).fit(X)
    warm = clone(cold).set_params(warm_start=True).fit(X)
    assert same_weights(cold, warm)
    warm.fit(X)
    assert warm.n_iter_ == 80
    losses = warm.history_["train_loss"]
    assert losses[-10:].mean() < losses[30:40].mean()


def test_partial_fit_trains_for_one_epoch(table):
    X, _ = table
    rep = DiffusionRepresentation(16, random_state=0)
    for _ in range(40):
        rep.partial_fit(X)
    losses = rep.history_["train_loss"]
    assert rep.n_iter_ == 40
    assert losses[-5:].mean() < 0.8 * losses[:5].mean()
    mean = rep.standardizer_.mean.copy()
    rep.partial_fit(X + 5)
    np.testing.assert_array_equal(rep.standardizer_.mean, mean)


@pytest.mark.parametrize(
    "estimator", [DiffusionRepresentation, VariationalDiffusionRepresentation]
)
def test_paper_setting_has_the_loss_of_the_noise(estimator, table):
    X, _ = table
    rep = estimator(4, random_state=0, max_epochs=1, lr=1e-12, **PAPER_SETTING).fit(X)
    model = rep.net_.module_
    model.score_network.output.weight.data.zero_()
    model.score_network.output.bias.data.zero_()
    x = rep._rows(X)[:][0].repeat(40, 1)
    draws = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        found = float(model(x, x, draws)["denoising"])
    # A network that returns 0 predicts the mean of noise and data. For white data of
    # unit variance || eps - (x_t sigma) / (1 + sigma^2) ||^2 = 1 / (1 + sigma^2).
    sigma = model.sde.sigma(torch.linspace(0, 1, 10_001))
    expected = float((1 / (1 + sigma**2)).mean())
    assert found == pytest.approx(expected, rel=0.03)


def test_l1_weight_shrinks_the_code(table):
    X, _ = table
    free, priced = (
        DiffusionRepresentation(**QUICK | {"max_epochs": 80}, l1_weight=w)
        .fit(X)
        .transform(X)
        for w in (0.0, 1.0)
    )
    assert np.abs(priced).mean() < 0.3 * np.abs(free).mean()


def test_readout_keeps_the_mean_variance_of_codes(table):
    X, _ = table
    rep = DiffusionRepresentation(**QUICK).fit(X)
    x = torch.from_numpy(rep.standardizer_.transform(X)).float()
    with torch.inference_mode():
        trained = rep.net_.module_.encoder(x).numpy()
    read = rep.transform(X)
    assert not np.allclose(read, trained, atol=0.05)
    np.testing.assert_allclose(
        read.var(axis=0).mean(), trained.var(axis=0).mean(), rtol=1e-4
    )


def test_kl_weight_above_its_limit_collapses_the_code():
    X = np.random.default_rng(0).normal(size=(500, 4))  # white, unit variance
    parameters = {"random_state": 0, "max_epochs": 40, "augment": None, "lr": 5e-3}
    alive = VariationalDiffusionRepresentation(4, kl_weight=0.05, **parameters).fit(X)
    rep = VariationalDiffusionRepresentation(4, kl_weight=1.2, **parameters)
    with pytest.warns(CodeCollapseWarning) as said:
        dead = rep.fit(X)
    before, after = (str(warning.message) for warning in said)
    assert before.startswith("kl_weight=1.2")
    assert after.startswith("The code contains almost no information")
    assert dead.transform(X).std(axis=0).max() < 0.1
    assert alive.transform(X).std(axis=0).min() > 0.5


class Timeless(nn.Module):
    """Encoder that receives t and ignores it."""

    def __init__(self, data_shape, n_outputs, time_conditioned):
        super().__init__()
        self.map = nn.Linear(data_shape[0], n_outputs)

    def forward(self, x, t):
        return self.map(x)


def test_codes_that_ignore_t_cause_a_warning(table):
    X, _ = table
    rep = DiffusionRepresentation(
        4,
        t_grid=[0.4, 0.7],
        time_conditioning="full",
        encoder=Timeless,
        augment=None,
        max_epochs=200,
        random_state=0,
    )
    with pytest.warns(CodeCollapseWarning, match="do not depend on t"):
        rep.fit(X)
    rep.set_params(encoder="auto").fit(X)  # depends on t: any warning is an error


def test_code_dropout_of_one_trains_no_encoder(table):
    X, _ = table
    parameters = {"code_dropout": 1.0, "random_state": 0, "l1_weight": 0.0}
    rep = DiffusionRepresentation(max_epochs=1, **parameters).fit(X)
    longer = DiffusionRepresentation(max_epochs=20, **parameters).fit(X)
    # only weight decay acts on it
    a, b = (r.net_.module_.encoder.backbone.input.weight for r in (rep, longer))
    assert torch.allclose(a, b, rtol=1e-2, atol=1e-4)
    a, b = (r.net_.module_.score_network.output.weight for r in (rep, longer))
    assert not torch.allclose(a, b, rtol=1e-1, atol=1e-3)


class LabelEncoder(nn.Module):
    """Encoder that uses only the last ten columns: conditional score matching."""

    def __init__(self, data_shape, n_outputs, time_conditioned):
        super().__init__()
        self.map = nn.Linear(10, n_outputs)

    def forward(self, x):
        return self.map(x[:, -10:])


def test_encoder_of_labels_gives_conditional_score_matching(digits):
    X, y = digits
    rows = np.hstack([X, np.eye(10)[y]])
    rep = DiffusionRepresentation(
        encoder=LabelEncoder,
        noise_space="data",
        augment=None,
        max_epochs=60,
        random_state=0,
    )
    codes = rep.fit(rows).transform(rows)
    noisy = rep.perturb(rows, 0.7, random_state=0)

    def error(codes):
        return np.square((rep.denoise(noisy, 0.7, codes) - rows)[:, :64]).mean()

    # Labels reduce the error, and labels of other rows increase it.
    assert error(codes) < 0.7 * error(np.roll(codes, 1, axis=0))
    # Samples from the code of a label look like that label.
    chosen = [np.flatnonzero(y == k)[0] for k in range(10)]
    drawn = rep.sample(np.repeat(codes[chosen], 20, axis=0), random_state=0)
    judge = KNeighborsClassifier(5).fit(X, y)
    assert judge.score(drawn[:, :64], np.repeat(np.arange(10), 20)) > 0.8


class Cosine(SDE):
    """User-defined noise process: only alpha and sigma."""

    def alpha(self, t):
        return torch.cos(1.5 * t)

    def sigma(self, t):
        return torch.sin(1.5 * t)


@pytest.mark.parametrize(
    "sde", [Cosine(), VE(sigma_max=10.0), SubVP()], ids=["own", "ve", "subvp"]
)
@pytest.mark.parametrize("time_sampling", ["uniform", "high_noise", "log_normal", 0.4])
def test_any_process_trains_with_any_times(table, sde, time_sampling):
    X, _ = table
    rep = DiffusionRepresentation(
        **QUICK | {"max_epochs": 60}, sde=sde, time_sampling=time_sampling, t_grid=1
    ).fit(X)
    losses = rep.history_["train_denoising"]
    assert losses.iloc[-5:].mean() < losses.iloc[:5].mean()


class Linear(nn.Module):
    """User-defined encoder, initialised from the data."""

    def __init__(self, data_shape, n_outputs, time_conditioned):
        super().__init__()
        self.map = nn.Linear(data_shape[0] + time_conditioned, n_outputs)

    def forward(self, x, t=None):
        return self.map(x if t is None else torch.cat([x, t[:, None]], dim=1))

    def initialize(self, rows):
        self.seen = rows.views[0].shape
        with torch.no_grad():
            self.map.weight.normal_(generator=rows.generator)


class Bilinear(nn.Module):
    """User-defined score network."""

    def __init__(self, data_shape, n_components):
        super().__init__()
        self.map = nn.Linear(data_shape[0] + n_components + 1, data_shape[0])

    def forward(self, x_t, t, z):
        return self.map(torch.cat([x_t, t[:, None], z], dim=1))


@BOTH
@pytest.mark.parametrize("t_grid", [None, 3])
def test_user_defined_networks(estimator, t_grid, table):
    X, _ = table
    rep = estimator(**QUICK, encoder=Linear, score_network=Bilinear, t_grid=t_grid)
    codes = rep.fit(X).transform(X)
    assert rep.net_.module_.encoder.seen == (90, 8)
    assert codes.shape == (90, 4 if t_grid is None else 12)
    np.testing.assert_array_equal(clone(rep).fit(X).transform(X), codes)


def test_memory_map_is_not_copied_whole(tmp_path):
    rows = np.random.default_rng(0).integers(0, 256, (3000, 3 * 8 * 8), dtype=np.uint8)
    rows.tofile(tmp_path / "rows")
    X = np.memmap(tmp_path / "rows", np.uint8, "r", shape=rows.shape)
    rep = DiffusionRepresentation(
        **QUICK | {"max_epochs": 1}, image_shape=(3, 8, 8)
    ).fit(X)
    np.testing.assert_array_equal(rep.transform(X), rep.transform(rows))
    channels = rows.reshape(3000, 3, 64).astype(float)
    np.testing.assert_allclose(rep.standardizer_.mean[::64], channels.mean((0, 2)))
    np.testing.assert_allclose(rep.standardizer_.scale[::64], channels.std((0, 2)))


def test_float16_is_checked_in_batches(tmp_path):
    # the sum overflows, in which case scikit-learn checks all elements at once
    X = np.memmap(tmp_path / "rows", np.float16, "w+", shape=(200_000, 100))
    X[:] = 100
    rep = DiffusionRepresentation(**QUICK)
    tracemalloc.start()
    check_rows(rep, X, reset=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.1 * X.nbytes
    for value in (np.inf, np.nan):
        X[-1, -1] = value
        with pytest.raises(ValueError, match=r"infinity|NaN"):
            check_rows(rep, X, reset=True)


def test_progress_bars_are_shown_only_if_verbose(table, capsys):
    X, _ = table
    DiffusionRepresentation(**QUICK).fit_transform(X)
    assert capsys.readouterr() == ("", "")
    DiffusionRepresentation(**QUICK, verbose=1).fit_transform(X)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "fit" in shown.err
    assert "transform" in shown.err


def test_fits_in_threads_do_not_disturb_each_other(table):
    X, _ = table
    reps = [
        DiffusionRepresentation(4, max_epochs=20, random_state=seed, **networks)
        for seed in (0, 1)
        for networks in ({}, {"encoder": Linear, "score_network": Bilinear})
    ]
    alone = [rep.fit(X).transform(X) for rep in reps]
    with ThreadPoolExecutor(4) as pool:
        fitted = list(pool.map(lambda rep: clone(rep).fit(X), reps))
        beside = list(pool.map(lambda rep: rep.transform(X), fitted))
    for a, b in zip(alone, beside, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ({}, "table"),
        ({"image_shape": (3, 4, 4)}, "photo"),
        ({"image_shape": (1, 6, 8)}, "image"),
        ({"image_shape": (2, 4, 6)}, "image"),
        ({"image_shape": (4, 3, 4)}, "image"),
        ({"signal_shape": (3, 16)}, "signal"),
    ],
)
def test_auto_views_depend_on_the_kind_of_data(shape, name):
    X = np.random.default_rng(0).normal(size=(40, 48))
    rep = DiffusionRepresentation(**QUICK | {"max_epochs": 1}, **shape)
    rep.fit(X)
    assert rep.augment == "auto"
    assert rep.net_.module_.augment is AUGMENTATIONS[name]
