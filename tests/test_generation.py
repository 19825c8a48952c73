"""Samples and reconstructions from codes."""

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import KNeighborsClassifier

from diffrep import DiffusionRepresentation, VariationalDiffusionRepresentation

SHAPE = {"image_shape": (1, 8, 8)}
IMAGES = {**SHAPE, "random_state": 0}


@pytest.fixture(scope="module")
def images():
    """Training rows and test rows of digits, with labels."""
    X, y = load_digits(return_X_y=True)
    return X[:1200], X[1200:1500], y[:1200], y[1200:1500]


@pytest.fixture(scope="module")
def fitted(images):
    """Estimator that supports all methods: noise on pixels, a null code."""
    return DiffusionRepresentation(
        32, noise_space="data", code_dropout=0.1, max_epochs=80, **IMAGES
    ).fit(images[0])


def small(estimator=DiffusionRepresentation, **parameters):
    return estimator(4, max_epochs=2, random_state=0, **parameters)


def mean_square(rows):
    return float(np.square(rows).mean())


@pytest.mark.parametrize(
    "method", ["reverse_sde", "predictor_corrector", "probability_flow"]
)
def test_samples_are_classified_as_the_digit_of_their_code(fitted, images, method):
    X, X_test, y, y_test = images
    judge = KNeighborsClassifier(5).fit(X, y)
    assert judge.score(X_test, y_test) > 0.94
    codes = fitted.transform(X_test)
    drawn = fitted.sample(codes, method=method, random_state=1)
    assert judge.score(drawn, y_test) > 0.85
    assert judge.score(fitted.inverse_transform(codes), y_test) > 0.9
    # without a code they are random digits
    any_digit = np.repeat(fitted.null_code_, len(X_test), axis=0)
    anything = fitted.sample(any_digit, method=method, random_state=1)
    assert judge.score(anything, y_test) < 0.3


def test_samples_have_the_spread_of_the_data(fitted, images):
    nothing = np.repeat(fitted.null_code_, 300, axis=0)
    drawn = fitted.sample(nothing, random_state=0)
    np.testing.assert_allclose(drawn.mean(), images[0].mean(), rtol=0.1)
    np.testing.assert_allclose(drawn.std(), images[0].std(), rtol=0.15)


def test_seed_determines_the_samples(fitted, images):
    codes = fitted.transform(images[1][:5])
    first, second, third = (
        fitted.sample(codes, random_state=seed, n_steps=5) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, second)
    assert mean_square(first - third) > 0.1
    np.testing.assert_array_equal(
        fitted.inverse_transform(codes), fitted.inverse_transform(codes)
    )


def test_samples_are_in_units_of_the_data(images):
    X = images[0][:200].astype(np.float32)
    rep, scaled = (small(**SHAPE).fit(rows) for rows in (X, 100 * X - 30))
    codes = rep.transform(X[:10])
    np.testing.assert_allclose(
        scaled.sample(codes, random_state=0),
        100 * rep.sample(codes, random_state=0) - 30,
        rtol=1e-3,
        atol=1.6,  # a thousandth of the range
    )


def test_reconstructions_improve_with_components_and_with_steps(images):
    X, X_test, *_ = images
    errors = []
    for n_components in (2, 8, 32):
        rep = DiffusionRepresentation(
            n_components, noise_space="data", augment=None, max_epochs=15, **IMAGES
        ).fit(X)
        found = rep.inverse_transform(rep.transform(X_test))
        errors.append(mean_square(found - X_test) / X_test.var())
    assert errors[0] > 1.2 * errors[1] > 1.44 * errors[2]
    codes = rep.transform(X_test)
    exact = rep.inverse_transform(codes, n_steps=200)
    by_steps = [
        mean_square(rep.inverse_transform(codes, n_steps=n) - exact) for n in (2, 8, 32)
    ]
    assert by_steps[0] > 2 * by_steps[1] > 4 * by_steps[2]


def test_start_rows_are_kept_at_low_noise(fitted, images):
    X_test = images[1]
    other = fitted.transform(np.roll(X_test, 1, axis=0))
    errors = [
        mean_square(fitted.sample(other, start=X_test, t=t, random_state=0) - X_test)
        for t in (0.0, 0.3, 0.5, 0.7)
    ]
    assert errors[0] < 0.05
    assert np.all(np.diff(errors) > 0)
    # at high noise the code determines the row
    won = fitted.sample(other, start=X_test, t=0.8, random_state=0)
    assert mean_square(won - np.roll(X_test, 1, axis=0)) < mean_square(won - X_test) / 2


def test_denoising_reduces_the_error_and_codes_help(fitted, images):
    X_test, codes = images[1], fitted.transform(images[1])
    nothing = np.repeat(fitted.null_code_, len(X_test), axis=0)
    clean = fitted.denoise(X_test, 0.0, codes)
    assert mean_square(clean - X_test) < 0.05
    for t in (0.4, 0.55):
        noisy = fitted.perturb(X_test, t, random_state=0)
        sigma = float(fitted.net_.module_.sde.sigma(torch.tensor(t)))
        expected = (sigma * fitted.standardizer_.scale[0]) ** 2
        np.testing.assert_allclose(mean_square(noisy - X_test), expected, rtol=0.03)
        with_code = mean_square(fitted.denoise(noisy, t, codes) - X_test)
        without = mean_square(fitted.denoise(noisy, t, nothing) - X_test)
        assert with_code < 0.9 * without < 0.8 * expected


def test_noise_on_components_is_denoised(table):
    X, _ = table
    rep = small().fit(X)
    codes, noisy = rep.transform(X), rep.perturb(X, 0.0, random_state=0)
    np.testing.assert_allclose(noisy, X, atol=0.2)
    np.testing.assert_allclose(rep.denoise(noisy, 0.0, codes), X, atol=0.2)


def test_guidance_scales_the_effect_of_the_code(fitted, images):
    codes = fitted.transform(images[1][:50])
    nothing = np.repeat(fitted.null_code_, 50, axis=0)
    ignored = fitted.sample(codes, guidance=0.0, random_state=0)
    np.testing.assert_allclose(
        ignored, fitted.sample(nothing, random_state=0), atol=0.02
    )
    plain, guided = (
        fitted.inverse_transform(codes, guidance=weight) for weight in (1.0, 2.0)
    )
    without = fitted.inverse_transform(nothing)
    assert mean_square(guided - without) > 1.1 * mean_square(plain - without)


def test_stacked_codes_are_interpolated_in_t(images):
    X = images[0][:100]
    rep = small(t_grid=[0.6, 0.3], **SHAPE).fit(X)
    curves = torch.arange(2 * 2 * 4.0).view(2, 2, 4)  # rows, times, components
    late, early = curves.unbind(1)
    for t, expected in [
        (0.3, early),
        (0.6, late),
        (0.4, early + (late - early) / 3),
        (0.1, early),
        (1.0, late),
    ]:
        torch.testing.assert_close(rep._code_at(curves, t), expected)
    assert rep.sample(rep.transform(X), n_steps=3).shape == X.shape


def test_readout_is_inverted(fitted, images):
    model = fitted.net_.module_
    z = torch.randn(7, 1, 32, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([0.7])
    found = model.readout.inverse(model.readout(z, t), t, is_static=True)
    torch.testing.assert_close(found, z, atol=1e-2, rtol=1e-2)


def test_fit_decoder_keeps_the_codes(images):
    X, X_test, *_ = images
    rep = DiffusionRepresentation(
        16, time_sampling=0.9, noise_space="data", max_epochs=20, **IMAGES
    ).fit(X)
    codes, n_epochs = rep.transform(X_test), rep.n_iter_
    before = rep.inverse_transform(codes)
    assert rep.fit_decoder(X, max_epochs=20) is rep
    np.testing.assert_array_equal(rep.transform(X_test), codes)
    assert rep.n_iter_ == n_epochs + 20 == len(rep.history_)
    after = rep.inverse_transform(codes)
    assert mean_square(after - X_test) < 0.6 * mean_square(before - X_test)
    # a warm start uses the original times again
    rep.set_params(warm_start=True, max_epochs=1).fit(X)
    assert np.abs(rep.transform(X_test) - codes).max() > 0
    assert float(rep.net_.module_.times.ppf(torch.tensor(0.5))) == pytest.approx(0.9)


def test_fit_decoder_keeps_which_weights_are_trained():
    X = np.random.default_rng(0).normal(size=(40, 24))
    rep = small(signal_shape=(1, 24)).fit(X)
    encoder = rep.net_.module_.encoder
    fixed = {k: v.clone() for k, v in encoder.named_parameters() if not v.requires_grad}
    rep.fit_decoder(X, max_epochs=1).partial_fit(X)
    after = dict(rep.net_.module_.encoder.named_parameters())
    assert fixed.keys() == {k for k, v in after.items() if not v.requires_grad} != set()
    for name, weight in fixed.items():
        torch.testing.assert_close(after[name], weight, rtol=0, atol=0)


class Noisy(torch.nn.Sequential):
    """Encoder whose outputs in training depend on chance and on the batch."""

    def __init__(self, data_shape, n_outputs, time_conditioned):
        flat = torch.nn.Flatten(), torch.nn.LazyLinear(n_outputs)
        super().__init__(*flat, torch.nn.BatchNorm1d(n_outputs), torch.nn.Dropout(0.5))


def test_fit_decoder_keeps_codes_of_networks_with_batch_statistics(table):
    X, _ = table
    rep = small(encoder=Noisy).fit(X)
    codes, seen = rep.transform(X), []
    encoder = rep.net_.module_.encoder
    hook = encoder.register_forward_hook(lambda _, x, z: seen.append(z.detach()))
    rep.transform(X)
    rep.fit_decoder(X, max_epochs=1)
    np.testing.assert_array_equal(rep.transform(X), codes)
    expected, *in_training = seen
    nearest = torch.cdist(torch.cat(in_training), expected).amin(1)
    assert float(nearest.max()) < 0.01
    hook.remove()
    assert rep.partial_fit(X) is rep
    assert np.abs(rep.transform(X) - codes).max() > 0


def test_failing_fit_decoder_keeps_the_estimator(table):
    X, _ = table
    rep = small().fit(X)
    codes = rep.transform(X)
    with pytest.raises(ValueError, match="features"):
        rep.fit_decoder(X[:, :3])
    with pytest.raises(ValueError, match="time_sampling"):
        rep.fit_decoder(X, time_sampling="never")
    np.testing.assert_array_equal(rep.transform(X), codes)
    assert rep.net_.module_.augment is not None


def test_prior_of_a_variational_code_is_standard_normal(images):
    rep = small(VariationalDiffusionRepresentation, t_grid=2, **SHAPE)
    rep.fit(images[0][:100])
    codes = rep.sample_codes(5000, random_state=0)
    assert codes.shape == (5000, 8)
    z = rep._checked_codes(codes)[:, 0].numpy()  # eight columns of 128 components
    maps = rep.net_.module_.readout.at(rep._tensor_times())[1]
    seen = np.linalg.qr(maps.permute(1, 0, 2).flatten(1).numpy())[0]
    np.testing.assert_allclose(z.mean(axis=0) @ seen, 0, atol=0.06)
    np.testing.assert_allclose(np.cov((z @ seen).T), np.eye(8), atol=0.08)


def test_progress_bar_of_sampling(table, capsys):
    X, _ = table
    rep = small().fit(X)
    codes = rep.transform(X)
    rep.sample(codes, n_steps=3)
    assert capsys.readouterr().err == ""
    rep.set_params(verbose=1).sample(codes, n_steps=3)
    assert "sample: 100%" in capsys.readouterr().err


def test_public_methods_need_a_fit(table):
    X, _ = table
    rep = small(VariationalDiffusionRepresentation, code_dropout=0.1)
    calls = [
        partial(rep.sample, X),
        partial(rep.inverse_transform, X),
        partial(rep.denoise, X, 0.5, X),
        partial(rep.perturb, X, 0.5),
        partial(rep.fit_decoder, X),
        rep.sample_codes,
        lambda: rep.null_code_,
        partial(rep.loss_over_time, X),
    ]
    for call in calls:
        with pytest.raises(NotFittedError):
            call()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "magic"}, "method"),
        ({"n_steps": 0}, "n_steps"),
        ({"t": 1.5}, "'t'"),
        ({"guidance": -1}, "guidance"),
        ({"guidance": 2.0}, r"guidance=2 needs a null code.*code_dropout=0\.1"),
        ({"start": np.zeros((3, 8))}, "inconsistent numbers of samples"),
    ],
)
def test_sample_rejects_invalid_arguments(table, options, message):
    X, _ = table
    rep = small().fit(X)
    with pytest.raises(ValueError, match=message):
        rep.sample(rep.transform(X), **options)


def test_codes_may_be_a_data_frame_with_columns_in_their_order(table):
    X, _ = table
    rep = small().fit(X)
    codes = rep.set_output(transform="pandas").transform(X)
    expected = rep.inverse_transform(codes.to_numpy())
    np.testing.assert_array_equal(rep.inverse_transform(codes), expected)
    renamed = codes.set_axis(["a", "b", "c", "d"], axis=1)
    np.testing.assert_array_equal(rep.inverse_transform(renamed), expected)
    turned = codes.to_numpy()[:, ::-1]
    back = rep.inverse_transform(turned[:, ::-1])
    np.testing.assert_array_equal(back, expected)
    assert not np.allclose(rep.inverse_transform(turned), expected)
    with pytest.raises(ValueError, match=r"another order.*get_feature_names_out"):
        rep.sample(codes[codes.columns[::-1]])


def test_codes_of_wrong_length_and_denoising_of_features_are_rejected(images, table):
    rep = small().fit(table[0])
    with pytest.raises(ValueError, match=r"3 columns; transform returns 1 x 4"):
        rep.sample(np.zeros((2, 3)))
    assert not hasattr(rep, "null_code_")
    X = images[0][:50]
    rep = small(**SHAPE).fit(X)
    with pytest.raises(ValueError, match=r"noise_space='data' or 'pca'.*start=X, t=t"):
        rep.denoise(X, 0.5, rep.transform(X))
    assert rep.sample(rep.transform(X), start=X, t=0.5, n_steps=3).shape == X.shape
