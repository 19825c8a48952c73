"""The skorch net, its optimizers and schedule."""

import pickle

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch import nn

from diffrep.core.device import Stream, generator
from diffrep.core.layers import Linear, init_weights
from diffrep.core.loop import Progress
from diffrep.core.optimizers import AveragedAdamW, AveragedSGD, warmup_cosine
from diffrep.core.rows import Rows
from diffrep.core.standardizer import Standardizer
from diffrep.core.training import (
    BLOCK,
    RepresentationNet,
)


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


@pytest.mark.parametrize(
    ("averaging", "plain", "options"),
    [
        (AveragedAdamW, torch.optim.AdamW, {}),
        (AveragedSGD, torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    ],
)
def test_averaged_optimizers_equal_torch_with_moving_averages(
    averaging, plain, options
):
    a, b = weight([0.5, -1.0]), weight([0.5, -1.0])
    averaged = averaging([a], lr=0.1, decay=0.6, **options)
    path = take_steps(averaged, a)
    torch.testing.assert_close(path, take_steps(plain([b], lr=0.1, **options), b))
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
    restored = averaging([c], lr=0.1, **options)
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
    short = [warmup_cosine(step, 30) for step in range(4)]
    assert short == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert warmup_cosine(0, 1) == 1
    assert warmup_cosine(3, None) == pytest.approx(0.04)
    assert warmup_cosine(10**6, None) == 1


class Mean(nn.Module):
    """Model that learns the mean of the rows, plus random noise."""

    n_components = 2

    def __init__(self, fails_at=None):
        super().__init__()
        self.centre = nn.Parameter(torch.zeros(2))
        self.fails_at = fails_at
        self.calls = 0
        self.block_sizes = set()

    def forward(self, x0, x, generator):
        self.calls += 1
        if self.calls == self.fails_at:
            raise KeyboardInterrupt
        noise = torch.randn(x0.shape, generator=generator)
        return {"distance": (self.centre - x0 - 0.1 * noise).square().mean()}

    def codes(self, x, times):
        self.block_sizes.add(len(x))
        return (x - self.centre)[:, None].expand(-1, len(times), -1)


def rows(n=50):
    X = np.random.default_rng(0).normal(1.0, 1.0, (n, 2))
    return Rows(X, Standardizer(np.zeros(2), np.ones(2)), (2,), (2,), "cpu")


def untrained(module=Mean, callbacks=None, epochs=20, lr=0.05, **options):
    net = RepresentationNet(
        module,
        seed=3,
        lr=lr,
        max_epochs=epochs,
        batch_size=8,
        callbacks=callbacks,
        **options,
    ).initialize()
    net.set_schedule(None)
    return net


def trained(*arguments, **options):
    return untrained(*arguments, **options).partial_fit((rows(), rows(10)))


def test_history_contains_the_losses():
    net = trained()
    torch.testing.assert_close(
        net.module_.centre.detach(),
        torch.from_numpy(rows().X.mean(0)).float(),
        atol=0.1,
        rtol=0,
    )
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
    # by now they are exchanged in the state of the optimizer
    assert torch.equal(net.optimizer_.state[parameter]["average"], seen.raw)
    assert torch.equal(net.module_.centre, seen.between)
    assert not torch.equal(seen.raw, seen.between)


class Watch(Callback):
    """Callback that records each batch."""

    def __init__(self, stop_at=None):
        self.stop_at = stop_at
        self.epochs, self.norms, self.modes = [], [], set()

    def on_epoch_begin(self, net, **kwargs):
        self.epochs.append([])

    def on_batch_end(self, net, batch, training, **kwargs):
        self.modes.add((training, net.module_.training))
        if training:
            self.epochs[-1] += batch[0][:, 0].tolist()
            self.norms.append(float(net.module_.centre.grad.norm()))
            self.raw = net.module_.centre.detach().clone()
            if len(self.norms) == self.stop_at:
                raise KeyboardInterrupt


def test_epochs_are_shuffled_and_gradients_clipped():
    watch = Watch()
    trained(callbacks=[watch], epochs=3)
    a, b, c = watch.epochs
    as_they_come = rows()[:][0][:, 0].tolist()
    assert sorted(a) == sorted(b) == sorted(c) == sorted(as_they_come)
    assert a != b != c != a
    assert as_they_come not in (a, b, c)
    assert max(watch.norms) == pytest.approx(1, abs=1e-5)
    assert watch.modes == {(True, True), (False, False)}


def test_learning_rate_schedule_of_each_training():
    net = untrained(epochs=4)
    for _ in range(2):
        net.set_schedule(4 * 7)
        net.partial_fit((rows(), None))
    expected = [0.05 * warmup_cosine(7 * epoch + 6, 28) for epoch in range(4)]
    assert net.history[:, "lr"] == pytest.approx(2 * expected)


def test_validation_noise_is_fixed():
    history = trained(lr=0.0, epochs=3).history
    assert len(set(history[:, "valid_loss"])) == 1
    assert len(set(history[:, "train_loss"])) == 3
    # means over rows, plus noise of variance 0.01
    expected = (rows().X ** 2).mean() + 0.01
    assert history[:, "train_loss"] == pytest.approx([expected] * 3, rel=0.1)
    expected = (rows(10).X ** 2).mean() + 0.01
    assert history[0, "valid_loss"] == pytest.approx(expected, rel=0.2)


class Layered(Mean):
    def __init__(self):
        super().__init__()
        self.layer = Linear(40, 2)


class Drawn(Mean):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(40, 2)


def test_seed_determines_the_initial_weights():
    expected = Linear(40, 2)
    init_weights(expected, generator(3, Stream.START))
    assert torch.equal(untrained(Layered).module_.layer.weight, expected.weight)


def test_weights_of_user_defined_layers_are_seeded():
    # a fixture checks that the global generator does not change
    one, same = (untrained(Drawn, fork_rng=True).module_.layer for _ in range(2))
    assert torch.equal(one.weight, same.weight)


def test_keyboard_interrupt_is_raised():
    net = untrained(lambda: Mean(fails_at=30))
    with pytest.raises(KeyboardInterrupt):
        net.partial_fit((rows(), rows(10)))


def test_training_stopped_within_an_epoch_keeps_the_averages():
    watch = Watch(stop_at=10)  # without an error: callbacks end a training like this
    net = trained(callbacks=[watch])
    assert net.step_ == len(watch.norms) == 10
    assert torch.equal(net.optimizer_.state[net.module_.centre]["average"], watch.raw)
    assert not torch.equal(net.module_.centre, watch.raw)


def test_keyboard_interrupt_in_a_callback_ends_training():
    class Enough(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 4:
                raise KeyboardInterrupt

    assert len(trained(callbacks=[Enough()]).history) == 4


def test_unpickled_net_continues_training():
    net = trained()
    copy = pickle.loads(pickle.dumps(net))
    for one in (net, copy):
        one.partial_fit((rows(), None))
    assert torch.equal(net.module_.centre, copy.module_.centre)
    codes = net.curves(rows(430), [0.1, 0.2])
    expected = rows(430)[:][0] - net.module_.centre.detach()
    np.testing.assert_allclose(codes, np.stack([expected, expected], 1), rtol=1e-6)
    # one block, and 46 rows padded to a multiple of 32
    assert net.module_.block_sizes == {BLOCK["cpu"], 64}
    assert codes.shape == (430, 2, 2)
    np.testing.assert_array_equal(codes, copy.curves(rows(430), [0.1, 0.2]))


def test_progress_counts_epochs(capsys):
    trained(callbacks=[Progress()], epochs=3)
    shown = capsys.readouterr().err
    assert "3/3" in shown
    assert "loss=" in shown
