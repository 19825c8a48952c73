"""Densities of the training time t, defined by their quantile functions.

The density of t determines the level of detail of the code (Mittal et al., 2023,
section 3). At high noise, x_t contains no information and the code has to hold the
coarse content. At low noise, only fine details are missing in x_t.
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


#: Number of quantiles of a density at which a weight is evaluated.
N_WEIGHTS = 4096


@dataclass(frozen=True)
class TimeSampling(ABC):
    """A density of t over the range of an SDE."""

    sde: SDE

    @property
    def t_min(self) -> float:
        """Smallest time of training and of `transform`."""
        return self.sde.t_min

    @property
    def mean_weight(self) -> float:
        """Factor by which the mean loss is multiplied."""
        return 1.0

    @abstractmethod
    def ppf(self, u: Tensor) -> Tensor:
        """Quantiles of t at the levels `u`, with the shape of `u`."""

    def ratio_range(self, dtype: torch.dtype) -> Tensor:
        """Return the smallest and largest sigma / alpha, as a tensor ``(2,)``.

        It is on the CPU, from where numbers go to a GPU without waiting for it.
        """
        return self.sde.noise_to_signal(torch.tensor([self.t_min, 1.0], dtype=dtype))


class Uniform(TimeSampling):
    """``t ~ U[t_min, 1]``."""

    def ppf(self, u):
        return self.t_min + u * (1 - self.t_min)


class HighNoise(TimeSampling):
    """Noise-to-signal ratio sigma / alpha uniform over the range of the SDE.

    For VE this is the paper's "focus on high noise", sigma ~ U[0.01, 50].
    """

    def ppf(self, u):
        low, high = self.ratio_range(u.dtype)
        return self.sde.time_at(low + u * (high - low)).clamp(self.t_min, 1)


@dataclass(frozen=True)
class LogNormal(TimeSampling):
    """Logarithm of sigma / alpha normal, truncated to the range of the SDE.

    References
    ----------
    Karras et al., "Elucidating the Design Space of Diffusion-Based Generative
    Models", 2022, table 1. Unlike there, the median is the standard deviation of the
    data.
    """

    mean: float = 0.0
    std: float = 1.2

    def ppf(self, u):
        ends = (self.ratio_range(u.dtype).log() - self.mean) / self.std
        low, high = torch.special.ndtr(ends)
        log_ratio = self.mean + self.std * torch.special.ndtri(low + u * (high - low))
        return self.sde.time_at(log_ratio.exp()).clamp(self.t_min, 1)


@dataclass(frozen=True)
class SingleTime(TimeSampling):
    """The same time in each step."""

    time: float

    def ppf(self, u):
        return torch.full_like(u, max(self.time, self.t_min))


@dataclass(frozen=True)
class Quantiles(TimeSampling):
    """Density of an object with a ``ppf``, such as ``scipy.stats.beta(3, 1)``."""

    distribution: Any

    def ppf(self, u):
        quantiles = u.double().cpu().numpy()
        try:
            t = np.asarray(self.distribution.ppf(quantiles), dtype=float)
        except Exception as error:  # of any class, raised by a method of the user
            raise ValueError(
                f"The ppf of time_sampling={self.distribution!r} raised {error!r}; it "
                "must map arrays of numbers in (0, 1) into [0, 1]."
            ) from error
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
    """Product of a density and a weight, normalised.

    The mean loss over these times, multiplied by `mean_weight`, is equal to the mean
    weighted loss over times of `density`, but no step is spent on weights near 0.

    Parameters
    ----------
    density : TimeSampling
        With the same `sde`.
    weight : callable
        Weight as a function of the signal-to-noise ratio ``alpha^2 / sigma^2``.
    """

    density: TimeSampling
    weight: Callable[[Tensor], Tensor]

    def __getstate__(self):
        # Pickles of tensors contain addresses, which would change the hash of a net.
        return {"sde": self.sde, "density": self.density, "weight": self.weight}

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
        """Weights at equidistant quantiles of the density."""
        u = (torch.arange(N_WEIGHTS, dtype=torch.float64) + 0.5) / N_WEIGHTS
        return self.weight(self.sde.noise_to_signal(self.density.ppf(u)) ** -2)

    @cached_property
    def _shares(self):
        """Cumulative sums of `_weights`, as shares of the total."""
        return self._weights.cumsum(0) / self._weights.sum()


def stratified(n: int, generator: torch.Generator) -> Tensor:
    """Draw uniform numbers ``(n,)``, one in each of n equal intervals of [0, 1]."""
    device = generator.device
    jitter = torch.rand(n, generator=generator, device=device)
    return (torch.arange(n, device=device) + jitter) / n


#: Names that the estimators accept for their parameter ``time_sampling``.
TIME_SAMPLINGS: dict[str, Callable[[SDE], TimeSampling]] = {
    "uniform": Uniform,
    "high_noise": HighNoise,
    "log_normal": LogNormal,
}
