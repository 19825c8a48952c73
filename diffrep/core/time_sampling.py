"""Densities of the training time t, each given by its quantile function.

The density of t determines the level of detail of the code: at high noise x_t shows
nothing and the code has to hold the coarse content, at low noise only fine detail is
missing (Mittal et al., 2023, section 3).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffrep.core.sde import SDE

__all__ = [
    "TIME_SAMPLINGS",
    "HighNoise",
    "LogNormal",
    "Quantiles",
    "SingleTime",
    "TimeSampling",
    "Uniform",
    "Weighted",
    "stratified",
]


#: Quantiles of a density at which a weight is looked at.
N_WEIGHTS = 4096


@dataclass(frozen=True)
class TimeSampling(ABC):
    """A density of t over the range of an SDE."""

    sde: SDE

    @property
    def t_min(self) -> float:
        """Smallest time that is trained on or read."""
        return self.sde.t_min

    @property
    def mean_weight(self) -> float:
        """What the mean loss of the times drawn is multiplied by."""
        return 1.0

    @abstractmethod
    def ppf(self, u: Tensor) -> Tensor:
        """Time below which a share `u` of the draws lies; the shape of `u`."""

    def ratio_range(self, like: Tensor) -> Tensor:
        """Return the smallest and largest sigma / alpha, as a tensor ``(2,)``."""
        return self.sde.noise_to_signal(like.new_tensor([self.t_min, 1.0]))


class Uniform(TimeSampling):
    """Every time alike, ``t ~ U[t_min, 1]``."""

    def ppf(self, u):
        return self.t_min + u * (1 - self.t_min)


class HighNoise(TimeSampling):
    """Noise-to-signal ratio sigma / alpha uniform over the range of the SDE.

    For VE this is the paper's "focus on high noise", sigma ~ U[0.01, 50].
    """

    def ppf(self, u):
        low, high = self.ratio_range(u)
        return self.sde.time_at(low + u * (high - low)).clamp(self.t_min, 1)


@dataclass(frozen=True)
class LogNormal(TimeSampling):
    """Logarithm of sigma / alpha normal, cut at the range of the SDE.

    References
    ----------
    Karras et al., "Elucidating the Design Space of Diffusion-Based Generative
    Models", 2022, table 1; here centred at the standard deviation of the data.
    """

    mean: float = 0.0
    std: float = 1.2

    def ppf(self, u):
        ends = (self.ratio_range(u).log() - self.mean) / self.std
        low, high = torch.special.ndtr(ends)
        log_ratio = self.mean + self.std * torch.special.ndtri(low + u * (high - low))
        return self.sde.time_at(log_ratio.exp()).clamp(self.t_min, 1)


@dataclass(frozen=True)
class SingleTime(TimeSampling):
    """All training at one time."""

    time: float

    def ppf(self, u):
        return torch.full_like(u, max(self.time, self.t_min))


@dataclass(frozen=True)
class Quantiles(TimeSampling):
    """Times from any object with a ``ppf``, such as ``scipy.stats.beta(3, 1)``."""

    distribution: Any

    def ppf(self, u):
        quantiles = u.double().cpu().numpy()
        t = np.asarray(self.distribution.ppf(quantiles), dtype=float)
        if t.shape != quantiles.shape:
            raise ValueError(
                f"time_sampling={self.distribution!r} gave times of shape {t.shape} "
                f"for quantiles of shape {quantiles.shape}; its ppf must give one time "
                "for each."
            )
        if not np.all((t >= 0) & (t <= 1)):
            raise ValueError(
                f"time_sampling={self.distribution!r} gave times from {t.min():.4g} "
                f"to {t.max():.4g}; its ppf must map (0, 1) into [0, 1]."
            )
        return u.new_tensor(t).clamp(min=self.t_min)


@dataclass(frozen=True)
class Weighted(TimeSampling):
    """Draws times by density times weight, in place of weighing the loss.

    The mean of a loss over these times, times `mean_weight`, is the mean of the
    weighted loss over those of `density`; no row is drawn for a weight of 0.

    Parameters
    ----------
    density : TimeSampling
        Of the same `sde`.
    weight : callable
        Weight at each signal-to-noise ratio ``alpha^2 / sigma^2``, of the same
        shape.
    """

    density: TimeSampling
    weight: Callable[[Tensor], Tensor]

    @cached_property
    def mean_weight(self):
        return float(self._weights.mean())

    def ppf(self, u):
        shares = self._shares.to(u.device)
        v = u.double()
        i = torch.searchsorted(shares, v).clamp(max=len(shares) - 1)
        before = torch.where(i > 0, shares[i - 1], 0.0)
        passed = (v - before) / (shares[i] - before)
        return self.density.ppf(((i + passed) / len(shares)).to(u))

    @cached_property
    def _weights(self):
        """Weights at evenly spaced quantiles of the density."""
        u = (torch.arange(N_WEIGHTS, dtype=torch.float64) + 0.5) / N_WEIGHTS
        return self.weight(self.sde.noise_to_signal(self.density.ppf(u)) ** -2)

    @cached_property
    def _shares(self):
        """Shares of the draws below the ends of the intervals of `_weights`."""
        return self._weights.cumsum(0) / self._weights.sum()


def stratified(n: int, generator: torch.Generator) -> Tensor:
    """Draw n uniform numbers, one in each of n equal intervals; shape ``(n,)``."""
    device = generator.device
    jitter = torch.rand(n, generator=generator, device=device)
    return (torch.arange(n, device=device) + jitter) / n


#: Names that the estimators accept for their parameter ``time_sampling``.
TIME_SAMPLINGS: dict[str, Callable[[SDE], TimeSampling]] = {
    "uniform": Uniform,
    "high_noise": HighNoise,
    "log_normal": LogNormal,
}
