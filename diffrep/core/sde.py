r"""Noise processes.

A process is defined by two functions of the time t in [0, 1],

    x_t = alpha(t) x0 + sigma(t) eps,    eps ~ N(0, I),

and solves ``dx = f(x, t) dt + g(t) dw`` with

    f(x, t) = (d ln alpha / dt) x,    g(t)^2 = -sigma(t)^2 d ln gamma / dt,

where ``gamma = alpha^2 / sigma^2`` is the signal-to-noise ratio. Your own
process needs only ``alpha`` and ``sigma``; see :class:`SDE`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import log

import torch
from torch import Tensor

__all__ = ["SDE", "SDES", "VE", "VP", "SubVP"]


class SDE(ABC):
    """Base class of noise processes; `t` is a tensor of any shape, in [0, 1].

    Subclasses define `alpha` and `sigma`. The other methods are computed from them by
    differentiation and bisection; override them if a closed form is known.

    Attributes
    ----------
    t_min : float
        Smallest time that is used; smaller ones are replaced by `t_min`.

    References
    ----------
    Song et al., "Score-Based Generative Modeling through Stochastic
    Differential Equations", 2021, equations 5 and 6.
    """

    t_min: float = 1e-3

    @abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """Return the factor of x0 in the mean of x_t.

        Parameters
        ----------
        t : Tensor of any shape
            Times in [0, 1].

        Returns
        -------
        alpha : Tensor of the shape of `t`
        """

    @abstractmethod
    def sigma(self, t: Tensor) -> Tensor:
        """Return the standard deviation of x_t given x0.

        Parameters
        ----------
        t : Tensor of any shape
            Times in [0, 1].

        Returns
        -------
        sigma : Tensor of the shape of `t`
            In units of the standardised data.
        """

    def noise_to_signal(self, t: Tensor) -> Tensor:
        """Return sigma(t) / alpha(t), which grows with t.

        Parameters
        ----------
        t : Tensor of any shape
            Times in [0, 1].

        Returns
        -------
        noise_to_signal : Tensor of the shape of `t`
        """
        return self.sigma(t) / self.alpha(t)

    def time_at(self, noise_to_signal: Tensor) -> Tensor:
        """Return the time at which ``sigma / alpha`` has the given values.

        Parameters
        ----------
        noise_to_signal : Tensor of any shape
            Values of ``sigma / alpha``.

        Returns
        -------
        t : Tensor of the shape of `noise_to_signal`
        """
        low = torch.full_like(noise_to_signal, self.t_min)
        high = torch.ones_like(noise_to_signal)
        for _ in range(40):
            middle = (low + high) / 2
            below = self.noise_to_signal(middle) < noise_to_signal
            low = torch.where(below, middle, low)
            high = torch.where(below, high, middle)
        return (low + high) / 2

    def drift(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the drift f(x, t).

        Parameters
        ----------
        x : Tensor of shape (n, ...)
        t : Tensor of shape (n,)

        Returns
        -------
        f : Tensor of shape (n, ...)
        """
        rate = _log_derivative(self.alpha, t)
        return x * rate.view(-1, *[1] * (x.ndim - 1))

    def diffusion(self, t: Tensor) -> Tensor:
        """Return the diffusion g(t).

        Parameters
        ----------
        t : Tensor of any shape
            Times in [0, 1].

        Returns
        -------
        g : Tensor of the shape of `t`
        """
        growth = 2 * _log_derivative(self.noise_to_signal, t)  # -d ln gamma / dt
        return self.sigma(t) * growth.sqrt()


def _log_derivative(function, t: Tensor) -> Tensor:
    """Return d ln function(t) / dt, also where gradients are switched off."""
    with torch.inference_mode(False), torch.enable_grad():
        t = t.detach().clone().requires_grad_()
        value = torch.log(function(t)) + 0 * t  # 0 t: a constant has slope 0
        return torch.autograd.grad(value.sum(), t)[0]


@dataclass(frozen=True)
class VE(SDE):
    """Variance exploding: ``alpha = 1``, sigma geometric in t.

    Parameters
    ----------
    sigma_min, sigma_max : float
        Noise at t = 0 and t = 1, in units of the standardised data. As in the code of
        the paper, sigma(t) is the standard deviation of the kernel, without the small
        correction ``sigma(t)^2 - sigma(0)^2``.
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    t_min = 1e-5

    def __post_init__(self):
        if not 0 < self.sigma_min < self.sigma_max:
            raise ValueError(
                "VE needs 0 < sigma_min < sigma_max, got "
                f"sigma_min={self.sigma_min!r}, sigma_max={self.sigma_max!r}."
            )

    def alpha(self, t):
        return torch.ones_like(t)

    def sigma(self, t):
        return self.sigma_min * torch.exp(self._log_range * t)

    def time_at(self, noise_to_signal):
        return torch.log(noise_to_signal / self.sigma_min) / self._log_range

    def drift(self, x, t):
        return torch.zeros_like(x)

    def diffusion(self, t):
        return self.sigma(t) * (2 * self._log_range) ** 0.5

    @property
    def _log_range(self):
        return log(self.sigma_max / self.sigma_min)


@dataclass(frozen=True)
class VP(SDE):
    """Variance preserving: ``alpha^2 + sigma^2 = 1``, noise rate linear in t.

    Parameters
    ----------
    beta_min, beta_max : float
        ``beta(t) = beta_min + t (beta_max - beta_min)``.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self):
        if not 0 < self.beta_min < self.beta_max:
            raise ValueError(
                f"{type(self).__name__} needs 0 < beta_min < beta_max, got "
                f"beta_min={self.beta_min!r}, beta_max={self.beta_max!r}."
            )

    def beta(self, t: Tensor) -> Tensor:
        """Noise rate.

        Parameters
        ----------
        t : Tensor of any shape
            Times in [0, 1].

        Returns
        -------
        beta : Tensor of the shape of `t`
        """
        return self.beta_min + t * (self.beta_max - self.beta_min)

    def integrated_beta(self, t: Tensor) -> Tensor:
        """Return B(t), the integral of beta from 0 to t.

        Parameters
        ----------
        t : Tensor of any shape
            Times in [0, 1].

        Returns
        -------
        integral : Tensor of the shape of `t`
        """
        return self.beta_min * t + (self.beta_max - self.beta_min) * t**2 / 2

    def alpha(self, t):
        return torch.exp(-self.integrated_beta(t) / 2)

    def sigma(self, t):
        return torch.sqrt(-torch.expm1(-self.integrated_beta(t)))

    def time_at(self, noise_to_signal):
        # sigma^2 / alpha^2 = exp(B) - 1
        return self._time_at_integral(torch.log1p(noise_to_signal**2))

    def drift(self, x, t):
        return -self.beta(t).view(-1, *[1] * (x.ndim - 1)) * x / 2

    def diffusion(self, t):
        return torch.sqrt(self.beta(t))

    def _time_at_integral(self, B):
        slope = self.beta_max - self.beta_min
        return 2 * B / (self.beta_min + torch.sqrt(self.beta_min**2 + 2 * slope * B))


@dataclass(frozen=True)
class SubVP(VP):
    """Sub-VP: the drift of :class:`VP` with less noise at each time.

    Parameters
    ----------
    beta_min, beta_max : float
        As for :class:`VP`.
    """

    def sigma(self, t):
        return -torch.expm1(-self.integrated_beta(t))

    def time_at(self, noise_to_signal):
        # sigma / alpha = exp(B/2) - exp(-B/2)
        return self._time_at_integral(2 * torch.asinh(noise_to_signal / 2))

    def diffusion(self, t):
        return torch.sqrt(self.beta(t) * -torch.expm1(-2 * self.integrated_beta(t)))


#: Names that the estimators accept for their parameter ``sde``.
SDES: dict[str, Callable[[], SDE]] = {"ve": VE, "vp": VP, "subvp": SubVP}
