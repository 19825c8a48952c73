"""Devices, seeds, generators."""

import pytest
import torch

from diffrep.core.device import Stream, choose_device, forked_rng, generator, seed_for


def test_streams_and_steps_are_independent():
    seeds = {
        seed_for(seed, stream, step)
        for seed in (0, 1, 2**31 - 1)
        for stream in Stream
        for step in range(100)
    }
    assert len(seeds) == 3 * len(Stream) * 100
    a, b = (torch.rand(5, generator=generator(1, Stream.STEP, 7)) for _ in range(2))
    assert torch.equal(a, b)
    assert not torch.equal(a, torch.rand(5, generator=generator(1, Stream.STEP, 8)))


def test_forked_block_is_seeded_and_restores_generators():
    state = torch.get_rng_state()
    draws = []
    for seed in (5, 5, 6):
        with forked_rng(seed):
            draws.append(torch.rand(3))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_failing_forked_block_restores_generators():
    state = torch.get_rng_state()

    def fails():
        with forked_rng(5):
            return torch.rand(3) / (0 // 0)

    with pytest.raises(ZeroDivisionError):
        fails()
    assert torch.equal(torch.get_rng_state(), state)
    with forked_rng(5):  # the next block need not wait
        pass


def test_environment_variable_selects_the_device(monkeypatch):
    monkeypatch.setenv("DIFFREP_DEVICE", "cpu")
    assert choose_device() == torch.device("cpu")
    monkeypatch.setenv("DIFFREP_DEVICE", "cpu:0")
    assert choose_device("auto") == torch.device("cpu:0")
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("device", ["nonsense", "cuda:99"])
def test_missing_device_is_rejected(device, monkeypatch):
    with pytest.raises(ValueError, match=f"device='{device}' cannot be used.*'cpu'"):
        choose_device(device)
    monkeypatch.setenv("DIFFREP_DEVICE", device)
    with pytest.raises(ValueError, match=f"device='{device}' cannot be used"):
        choose_device()
