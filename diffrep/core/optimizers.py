"""Optimizers with averages of the weights, and the learning rate schedule."""

from __future__ import annotations

import math
from collections.abc import Callable
from inspect import unwrap

import torch
from torch.optim import SGD, AdamW, Optimizer

__all__ = ["N_WARMUP_STEPS", "AveragedAdamW", "AveragedSGD", "warmup_cosine"]

N_WARMUP_STEPS = 100


def warmup_cosine(step: int, n_steps: int | None) -> float:
    """Factor of the learning rate: linear warm-up, then a cosine decay to 0.

    Parameters
    ----------
    step : int
        Index of the step, from 0.
    n_steps : int or None
        Number of steps of the training. With None the factor stays at 1 after warm-up.
    """
    if n_steps is None:
        return min(1.0, (step + 1) / N_WARMUP_STEPS)
    n_warmup = min(N_WARMUP_STEPS, max(1, n_steps // 10))
    if step < n_warmup:
        return (step + 1) / n_warmup
    passed = (step - n_warmup) / max(1, n_steps - n_warmup)
    return (1 + math.cos(math.pi * min(1.0, passed))) / 2


class _Averaged(Optimizer):
    """Optimizer that also keeps an exponential moving average of the weights.

    Subclasses define `update`, the step of the optimizer without averages.

    The decay at update n is ``min(decay, (1 + n) / (10 + n))``, so that the initial
    weights are soon forgotten. The averages are part of the state of the optimizer.

    Parameters
    ----------
    params : iterable of Parameter
    decay : float
        Decay of the average per step.
    **kwargs
        Parameters of the optimizer of torch.
    """

    # torch wraps these methods to exclude them from compilation, and the wrappers
    # import its compiler, which takes two seconds in every new process.
    add_param_group = unwrap(Optimizer.add_param_group)
    zero_grad = unwrap(Optimizer.zero_grad)
    state_dict = unwrap(Optimizer.state_dict)
    load_state_dict = unwrap(Optimizer.load_state_dict)
    update: Callable

    def __init__(self, params, decay=0.999, **kwargs):
        super().__init__(params, **kwargs)
        for group in self.param_groups:
            group["decay"] = decay
            group["n_updates"] = 0

    @torch.no_grad()
    def step(self, closure=None):
        loss = self.update(closure)
        for group in self.param_groups:
            weights, averages = self._weights_and_averages(group)
            n = group["n_updates"]
            decay = min(group["decay"], (1 + n) / (10 + n))
            torch._foreach_lerp_(averages, weights, 1 - decay)
            group["n_updates"] += 1
        return loss

    @torch.no_grad()
    def swap_averages(self):
        """Exchange the weights of the network and their averages."""
        for group in self.param_groups:
            for weight, average in zip(*self._weights_and_averages(group), strict=True):
                kept = weight.clone()
                weight.copy_(average)
                average.copy_(kept)

    def _weights_and_averages(self, group):
        trained = [weight for weight in group["params"] if self.state[weight]]
        for weight in trained:
            if "average" not in self.state[weight]:
                self.state[weight]["average"] = weight.detach().clone()
        return trained, [self.state[weight]["average"] for weight in trained]


class AveragedAdamW(_Averaged, AdamW):
    """AdamW with averages of the weights, whose decay is `decay`."""

    update = unwrap(AdamW.step)

    @staticmethod
    def moments(weight):
        """Return an example of the state of a weight."""
        names = ("exp_avg", "exp_avg_sq", "average")
        return {"step": torch.zeros(()), **dict.fromkeys(names, weight.detach())}


class AveragedSGD(_Averaged, SGD):
    """SGD with momentum and averages of the weights, whose decay is `decay`."""

    update = unwrap(SGD.step)
