"""The skorch net and what it trains with."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch import nn

from diffrep.core.rows import Rows
from diffrep.core.training import AveragedAdamW, RepresentationNet, warmup_cosine
from diffrep.exceptions import DivergenceError


def weight(value):
    return nn.Parameter(torch.tensor(value))


def take_steps(optimizer, parameter, n=15):
    history = []
    for k in range(n):
        optimizer.zero_grad()
        ((parameter - k) ** 2).sum().backward()
        optimizer.step()
        history.append(parameter.detach().clone())
    return history


def test_weights_are_those_of_adamw_and_averages_their_moving_average():
    a, b = weight([0.5, -1.0]), weight([0.5, -1.0])
    averaged = AveragedAdamW([a], lr=0.1, decay=0.6)
    path = take_steps(averaged, a)
    torch.testing.assert_close(path, take_steps(torch.optim.AdamW([b], lr=0.1), b))
    average = path[0]
    for n, step in enumerate(path):
        decay = min(0.6, (1 + n) / (10 + n))
        average = decay * average + (1 - decay) * step
    torch.testing.assert_close(averaged.state[a]["average"], average)

    state = averaged.state_dict()
    averaged.swap_averages()
    torch.testing.assert_close(a.detach(), average)
    averaged.swap_averages()
    torch.testing.assert_close(a.detach(), path[-1])

    c = weight([0.0, 0.0])
    restored = AveragedAdamW([c], lr=0.1)
    restored.load_state_dict(pickle.loads(pickle.dumps(state)))
    torch.testing.assert_close(restored.state[c]["average"], average)
    assert restored.param_groups[0]["n_updates"] == 15


def test_learning_rate_warms_up_and_decays():
    factors = [warmup_cosine(step, 2000) for step in range(2001)]
    assert factors[0] == pytest.approx(0.01)
    assert factors[99] == factors[100] == 1
    assert factors[1050] == pytest.approx(0.5)
    assert factors[2000] == 0
    assert all(np.diff(factors[:100]) > 0)
    assert all(np.diff(factors[100:]) <= 0)
    assert warmup_cosine(3, None) == pytest.approx(0.04)
    assert warmup_cosine(10**6, None) == 1


class Mean(nn.Module):
    """Learns the mean of the rows; noise of its generator on top."""

    n_components = 2

    def __init__(self, fails_at=None):
        super().__init__()
        self.centre = nn.Parameter(torch.zeros(2))
        self.fails_at = fails_at
        self.calls = 0

    def forward(self, x0, seen, generator):
        self.calls += 1
        if self.calls == self.fails_at:
            raise KeyboardInterrupt
        noise = torch.randn(x0.shape, generator=generator)
        return {"distance": (self.centre - x0 - 0.1 * noise).square().mean()}

    def curve(self, x, times):
        return (x - self.centre)[:, None].expand(-1, len(times), -1)


class Flat(Mean):
    def forward(self, x0, seen, generator):
        return {"distance": self.centre.sum() * torch.nan}


def rows(n=50):
    X = np.random.default_rng(0).normal(1.0, 1.0, (n, 2))
    return Rows(X, np.zeros(2), np.ones(2), (2,), "cpu")


def trained(module=Mean, callbacks=None, epochs=20, **options):
    net = RepresentationNet(
        module, seed=3, lr=0.05, max_epochs=epochs, batch_size=8, callbacks=callbacks,
        **options,
    ).initialize()  # fmt: skip
    net.set_schedule(None)
    return net.partial_fit((rows(), rows(10)))


def test_learns_and_says_what():
    net = trained()
    torch.testing.assert_close(
        net.module_.centre.detach(), torch.from_numpy(rows().X.mean(0)).float(),
        atol=0.1, rtol=0,
    )  # fmt: skip
    assert net.history[-1, "train_loss"] == net.history[-1, "train_distance"]
    losses = net.history[:, "valid_loss"]
    assert losses[-1] < losses[0] / 1.2


def test_same_seed_same_bits():
    assert torch.equal(trained().module_.centre, trained().module_.centre)


def test_module_holds_the_averages_between_epochs():
    class Seen(Callback):
        def on_batch_end(self, net, training, **kwargs):
            if training:
                self.raw = net.module_.centre.detach().clone()

        def on_epoch_end(self, net, **kwargs):
            self.between = net.module_.centre.detach().clone()

    seen = Seen()
    net = trained(callbacks=[seen])
    (parameter,) = net.module_.parameters()
    # in the state of the optimizer they have changed places by now
    assert torch.equal(net.optimizer_.state[parameter]["average"], seen.raw)
    assert torch.equal(net.module_.centre, seen.between)
    assert not torch.equal(seen.raw, seen.between)


def test_an_interrupt_by_the_user_is_raised():
    with pytest.raises(KeyboardInterrupt):
        trained(lambda: Mean(fails_at=30))


def test_an_interrupt_by_a_callback_ends_training():
    class Enough(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 4:
                raise KeyboardInterrupt

    assert len(trained(callbacks=[Enough()]).history) == 4


def test_a_loss_that_is_no_number_is_refused():
    with pytest.raises(DivergenceError, match=r"train_loss became nan in epoch 1 with"):
        trained(Flat)


def test_pickle_goes_on_where_it_stopped():
    net = trained()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        copy = pickle.loads(pickle.dumps(net))
    for one in (net, copy):
        one.partial_fit((rows(), None))
    assert torch.equal(net.module_.centre, copy.module_.centre)
    codes = net.curves(rows(300), [0.1, 0.2])
    assert codes.shape == (300, 2, 2)
    np.testing.assert_array_equal(codes, copy.curves(rows(300), [0.1, 0.2]))
