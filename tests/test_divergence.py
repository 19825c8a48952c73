"""Recovery from divergence, and fits to unusual numbers."""

import pickle

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch import nn

from diffrep import DiffusionRepresentation, VariationalDiffusionRepresentation
from diffrep.baselines import AutoencoderRepresentation, SimCLRRepresentation
from diffrep.core.loop import EXPLOSION, MAX_HALVINGS, N_SNAPSHOT_STEPS
from diffrep.core.rows import Rows
from diffrep.core.standardizer import Standardizer
from diffrep.core.training import RepresentationNet
from diffrep.exceptions import DivergenceError, DivergenceWarning

SMALL = {"n_components": 4, "max_epochs": 8, "batch_size": 32, "random_state": 0}
X = np.random.default_rng(0).normal(size=(90, 8))

# For fits that diverge on purpose; other tests here check the warning.
to_diverge = pytest.mark.filterwarnings("ignore::diffrep.exceptions.DivergenceWarning")


def same_training(a, b):
    """Whether two nets have the same weights, optimizers and histories."""
    for one, other in zip(
        (a.module_.state_dict(), *a.optimizer_.state.values()),
        (b.module_.state_dict(), *b.optimizer_.state.values()),
        strict=True,
    ):
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert torch.equal(value, other[name]), name
    for column in ("train_loss", "lr"):
        assert a.history[:, column] == b.history[:, column]
    return True


@pytest.mark.parametrize("early_stopping", [False, True])
def test_restart_equals_training_at_the_lower_learning_rate(early_stopping):
    options = {**SMALL, "early_stopping": early_stopping, "n_iter_no_change": 3}
    with pytest.warns(DivergenceWarning) as warned:
        rep = AutoencoderRepresentation(**options, lr=10 * 2.0**-2).fit(X)
    n = len(warned)
    assert 0 < n <= MAX_HALVINGS
    assert "from the initial weights with lr=1.25" in str(warned[0].message)
    slower = AutoencoderRepresentation(**options, lr=10 * 2.0 ** -(2 + n)).fit(X)
    assert same_training(rep.net_, slower.net_)
    assert np.isfinite(rep.transform(X)).all()


class Mean(nn.Module):
    """Model that learns the mean of the rows, plus random noise."""

    def __init__(self):
        super().__init__()
        self.centre = nn.Parameter(torch.zeros(2))

    def forward(self, x0, x, generator):
        noise = torch.randn(x0.shape, generator=generator)
        return {"distance": (self.centre - x0 - 0.1 * noise).square().mean()}


class Poison(Callback):
    """Callback that sets weights to NaN after a step, until lr was halved `n` times."""

    def __init__(self, step, n=1):
        self.step, self.n = step, n

    def on_batch_end(self, net, training, **kwargs):
        if training and net.step_ == self.step and net.run_.n_halvings < self.n:
            with torch.no_grad():
                net.module_.centre.fill_(torch.nan)
                net.optimizer_.state[net.module_.centre]["average"].fill_(torch.nan)


ROWS = Rows(
    np.random.default_rng(0).normal(1, 1, (50, 2)),
    Standardizer(np.zeros(2), np.ones(2)),
    (2,),
    (2,),
    "cpu",
)
N_STEPS = 7  # of an epoch


def net(epochs, callbacks=None):
    """Return an untrained net with a constant learning rate after the warm-up."""
    net = RepresentationNet(
        Mean, seed=3, lr=0.05, max_epochs=epochs, batch_size=8, callbacks=callbacks
    ).initialize()
    net.set_schedule(None)
    return net


def test_divergence_restores_weights_and_halves_the_learning_rate():
    kept = -(-N_SNAPSHOT_STEPS // N_STEPS)
    bad = kept + 3  # an epoch from which it is back to the end of epoch `kept`
    poisoned = net(30, callbacks=[Poison(bad * N_STEPS - 2)])
    said = rf"train_loss became nan in epoch {bad} .*after epoch {kept} with lr=0.025"
    with pytest.warns(DivergenceWarning, match=said):
        poisoned.partial_fit((ROWS, None))
    by_hand = net(kept).partial_fit((ROWS, None))
    by_hand.set_params(max_epochs=30 - kept, lr=0.025).partial_fit((ROWS, None))
    assert same_training(poisoned, by_hand)
    assert len(poisoned.history) == 30


def test_divergence_in_the_last_step_is_detected():
    # No loss is computed afterwards.
    poisoned = net(2, callbacks=[Poison(2 * N_STEPS)])
    with pytest.warns(DivergenceWarning, match="weights became infinite or NaN in ep"):
        poisoned.partial_fit((ROWS, None))
    by_hand = net(2).set_params(lr=0.025).partial_fit((ROWS, None))
    assert same_training(poisoned, by_hand)


@to_diverge
def test_divergence_error_has_the_history():
    poisoned = net(5, callbacks=[Poison(2 * N_STEPS - 1, n=9)])
    with pytest.raises(DivergenceError, match=r"nan in epoch 2 with lr=0\.00625") as e:
        poisoned.partial_fit((ROWS, None))
    for history in (e.value.history, pickle.loads(pickle.dumps(e.value)).history):
        assert history["epoch"].tolist() == 4 * [1, 2]
        assert history["n_halvings"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
        assert np.isfinite(history["train_loss"]).tolist() == 4 * [True, False]
        rates = history["lr"].to_numpy()[::2]
        np.testing.assert_allclose(rates, rates[0] * 0.5 ** np.arange(4))


@to_diverge
@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize(
    "estimator", [DiffusionRepresentation, VariationalDiffusionRepresentation]
)
def test_diverged_fit_keeps_the_fitted_estimator(estimator, warm_start):
    rep = estimator(**SMALL, warm_start=warm_start).fit(X)
    codes = rep.transform(X)
    with pytest.raises(DivergenceError, match=r"halved 3 times.*smaller lr"):
        rep.set_params(lr=1e3).fit(X)
    np.testing.assert_array_equal(rep.transform(X), codes)
    assert rep.n_iter_ == 8


@to_diverge
def test_finite_explosion_is_detected():
    with pytest.raises(DivergenceError, match=r"train_loss became \d.*e\+") as error:
        DiffusionRepresentation(**SMALL, lr=1e3).fit(X)
    assert EXPLOSION < error.value.history["train_loss"].iloc[-1] < np.inf


def test_warm_start_with_a_tiny_loss_does_not_diverge():
    options = {**SMALL, "max_epochs": 100, "augment": None, "warm_start": True}
    constant = np.zeros((90, 8))
    rep = AutoencoderRepresentation(**options).fit(constant)
    before = rep.history_["train_loss"].iloc[-1]
    rep.set_params(max_epochs=3, lr=0.1).fit(constant)  # warnings are errors
    assert rep.history_["train_loss"].iloc[100:].max() > EXPLOSION * before


ODD = {
    "constant": np.full((90, 8), 3.0),
    "constant and huge": np.full((90, 8), 1e30),
    "huge columns": np.column_stack([X, 1e30 * X[:, 0], np.full(90, 1e30)]),
    "near duplicates": np.repeat(X[:3], 30, axis=0) + 1e-12 * X,
    "float16": X.astype(np.float16),
    "two rows": X[:2],
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize(
    "estimator",
    [
        DiffusionRepresentation(**SMALL, early_stopping=True),
        DiffusionRepresentation(**SMALL, preconditioning="none", noise_space="data"),
        DiffusionRepresentation(**SMALL, augment="gaussian", t_grid=2),
        VariationalDiffusionRepresentation(**SMALL, t_grid=2),
        AutoencoderRepresentation(**SMALL),
        SimCLRRepresentation(**SMALL),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_unusual_rows_have_finite_codes(estimator, name):
    codes = estimator.fit(ODD[name]).transform(ODD[name])
    assert np.isfinite(codes).all()
    assert len(codes) == len(ODD[name])


@to_diverge
@pytest.mark.parametrize("max_epochs", [1, 8])
@pytest.mark.parametrize("lr", [1e3, 1e12, 1e30])
@pytest.mark.parametrize("augment", ["auto", None])
def test_codes_are_finite_at_any_learning_rate(lr, augment, max_epochs):
    options = {**SMALL, "max_epochs": max_epochs, "augment": augment, "batch_size": 90}
    rep = DiffusionRepresentation(**options, lr=lr)
    try:
        codes = rep.fit(X).transform(X)
    except DivergenceError as error:
        assert len(error.history) > 0  # noqa: PT017  # either is right
    else:
        assert np.isfinite(codes).all()
