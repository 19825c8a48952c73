"""What DRL and VDRL share: noise, a score network, and how well it denoises."""

from __future__ import annotations

import math
import warnings
from numbers import Real

import numpy as np
import pandas as pd
import torch
from sklearn.utils import gen_batches

from diffrep._base import check_is_trained
from diffrep._generation import BaseGenerative
from diffrep._parts import (
    NOISE_CONSTRAINTS,
    noise_process,
    score_network_factory,
    space_class,
    time_density,
    weighted,
)
from diffrep._validation import Interval, StrOptions, check_rows, check_times
from diffrep.core.device import Stream, generator
from diffrep.core.optimizers import N_WARMUP_STEPS
from diffrep.core.preconditioning import LOSS_WEIGHTINGS, PRECONDITIONINGS
from diffrep.core.score_networks import SCORE_NETWORKS
from diffrep.core.spaces import SPACES
from diffrep.exceptions import CodeCollapseWarning

__all__ = ["BaseDiffusion"]

#: Noise-to-signal ratios sigma / alpha at which `score` denoises.
SCORE_RATIOS = np.geomspace(0.1, 10, 8, dtype=np.float32)
SCORE_BATCH = 256

#: A code is called collapsed if the codes of other rows are worse by less than
#: this share of the loss, on this many rows.
LEAST_GAIN = 0.005
N_COLLAPSE_ROWS = 1000

#: Codes are said not to depend on t if their variance over t is a smaller share of
#: that over rows.
LEAST_CHANGE = 1e-3


class BaseDiffusion(BaseGenerative):
    """What DRL and VDRL share: noise, score network, score."""

    _parameter_constraints: dict = {
        **BaseGenerative._parameter_constraints,
        "score_network": [StrOptions(set(SCORE_NETWORKS)), callable],
        "noise_space": [StrOptions({"auto", *SPACES})],
        **NOISE_CONSTRAINTS,
        "preconditioning": [StrOptions(set(PRECONDITIONINGS))],
        "loss_weighting": [StrOptions(set(LOSS_WEIGHTINGS))],
        "code_dropout": [Interval(Real, 0, 1, closed="both")],
        "mixup": ["boolean"],
        "reconstruction_weight": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        n_components,
        *,
        score_network,
        noise_space,
        sde,
        preconditioning,
        loss_weighting,
        time_sampling,
        code_dropout,
        mixup,
        reconstruction_weight,
        **shared,
    ):
        super().__init__(n_components, **shared)
        self.score_network = score_network
        self.noise_space = noise_space
        self.sde = sde
        self.preconditioning = preconditioning
        self.loss_weighting = loss_weighting
        self.time_sampling = time_sampling
        self.code_dropout = code_dropout
        self.mixup = mixup
        self.reconstruction_weight = reconstruction_weight

    def score(self, X, y=None):
        """How well rows are denoised with their codes; higher is better.

        The mean squared error of the estimate of x0 in `noise_space`, where
        the mean variance is 1, negated, over eight signal-to-noise ratios from
        100 to 0.01 with fixed noise. For one `noise_space` it is the same
        measure whatever `sde`, `preconditioning`, `time_sampling` and
        `augment`, so that searches can compare these. It favours more
        components and says little about downstream accuracy.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,), optional
            Ignored, except with ``encoder="class"``.

        Returns
        -------
        score : float
            Between minus infinity and 0; about -0.5 for white noise denoised
            without a code.
        """
        rows, ratios = self._checked_rows(X, y), torch.tensor(SCORE_RATIOS)
        times = self.net_.module_.sde.time_at(ratios).numpy()
        (losses,) = self._score_losses(rows, times, _own_curve)
        return -float(np.mean(losses * SCORE_RATIOS**2)) / self._n_coordinates()

    def loss_over_time(self, X, y=None, *, times=None):
        """How well noise is told from data at each time, with codes and without.

        The squared error of the noise, ``|| (x_t - alpha x0hat) / sigma - eps ||^2``,
        summed over the coordinates of `noise_space`: the score loss with
        weight ``sigma^2``. Without a code it is between 0 and the number of
        coordinates, and falls as the noise grows. The noise is fixed.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,), optional
            Ignored, except with ``encoder="class"``.
        times : array-like of shape (T,), default=None
            Times in [0, 1]. None is 33 of them, from the first to the last
            hundredth of the training times, evenly spaced in the logarithm of
            ``sigma / alpha``.

        Returns
        -------
        losses : DataFrame
            Columns t, alpha, sigma, loss_with_code, and loss_of_other_code:
            with the code of another row; loss_without_code: with the null
            code, nan unless the estimator was fitted with `code_dropout`.
        """
        rows, model = self._checked_rows(X, y), self.net_.module_
        if times is None:
            times = self._spread_times()
        times = check_times(times, model.sde.t_min, "times")
        t = torch.from_numpy(times)
        curves = [_own_curve, _next_curve]
        if model.code_dropout > 0:
            curves.append(self._null_curve)
        own, other, *null = self._score_losses(rows, times, *curves)
        return pd.DataFrame(
            {
                "t": times,
                "alpha": model.sde.alpha(t).numpy(),
                "sigma": model.sde.sigma(t).numpy(),
                "loss_with_code": own,
                "loss_without_code": null[0] if null else np.nan,
                "loss_of_other_code": other,
            }
        )

    def _warn_of_collapse(self, X, y):
        """Warn if codes are worth next to nothing, or ignore the t they are read at."""
        if self.code_dropout == 1 or self.net_.step_ < N_WARMUP_STEPS:
            return
        rows = self._rows(X, y, index=np.arange(min(len(X), N_COLLAPSE_ROWS)))
        times = self.net_.module_.times.ppf((torch.arange(8) + 0.5) / 8).numpy()
        losses = self._score_losses(rows, times, _own_curve, _next_curve)
        own, other = losses.sum(axis=1)
        if own > (1 - LEAST_GAIN) * other:
            warnings.warn(
                f"The code carries next to nothing: rows are denoised as well (loss "
                f"{own:.4g}) with the codes of other rows ({other:.4g}). Lower "
                "l1_weight or kl_weight, train longer, or train at more noise.",
                CodeCollapseWarning,
                stacklevel=2,
            )
        model = self.net_.module_
        if not model.time_conditioned or self.t_grid_ is None:
            return
        with torch.inference_mode(), self.net_.autocast():
            times = torch.tensor(times, device=self.net_.device)
            curves = model.curve(rows[: len(rows)][1], times).float()
        over_t, over_rows = (curves.var(i).mean() for i in (1, 0))
        if over_t < LEAST_CHANGE * over_rows:
            warnings.warn(
                "Codes do not depend on t: their variance over the training times is "
                f"{float(over_t / over_rows):.1g} of that over rows. Train longer, use "
                "loss_weighting='edm', or time_conditioning='readout', which reads "
                "different codes at different t whatever was trained.",
                CodeCollapseWarning,
                stacklevel=2,
            )

    def _checked_rows(self, X, y):
        check_is_trained(self)
        X = check_rows(self, X, reset=False)
        return self._rows(X, self._class_numbers(X, y))

    def _score_losses(self, rows, times, *curves):
        """Losses of ways to change the codes at times, a mean over rows.

        Returns ``(len(curves), T)``; each of `curves` maps codes
        ``(n, T, n_components)`` to those that a batch is denoised with.
        """
        model = self.net_.module_
        draws = generator(0, Stream.SCORE, device=self.net_.device)
        times = torch.tensor(times, dtype=torch.float32, device=self.net_.device)
        losses = np.zeros((len(curves), len(times)))
        with torch.inference_mode(), self.net_.autocast():
            for batch in gen_batches(len(rows), SCORE_BATCH):
                x0, seen = rows[batch]
                x0 = model.space(x0)
                eps = torch.randn(x0.shape, generator=draws, device=x0.device)
                own = model.curve(seen, times).expand(-1, len(times), -1)
                changed = [change(own) for change in curves]
                for i, t in enumerate(times):
                    t = t.expand(len(x0))
                    alpha, sigma = model.alpha_sigma(t, x0)
                    x_t = alpha * x0 + sigma * eps
                    for j, curve in enumerate(changed):
                        x0hat = model.denoised(x_t, t, curve[:, i])
                        epshat = (x_t - alpha * x0hat) / sigma
                        losses[j, i] += float((epshat - eps).square().sum())
        return losses / len(rows)

    def _null_curve(self, curve):
        return self.net_.module_.null_code.expand_as(curve)

    def _spread_times(self):
        """Space times evenly in the logarithm of the noise-to-signal ratio."""
        model = self.net_.module_
        ends = model.times.ppf(torch.tensor([0.01, 0.99], dtype=torch.float64))
        low, high = model.sde.noise_to_signal(ends).log()
        ratios = torch.linspace(low, high, 33, dtype=torch.float64).exp()
        return model.sde.time_at(ratios).clamp(0, 1).numpy()

    def _n_coordinates(self):
        return math.prod(self.net_.module_.space.shape)

    def _times(self):
        return self._density(self.time_sampling)

    def _density(self, time_sampling):
        return weighted(
            time_density(time_sampling, noise_process(self.sde)),
            self.loss_weighting,
            PRECONDITIONINGS[self.preconditioning].loss_weighting,
        )

    def _diffusion_arguments(self, data_shape):
        """Arguments of a diffusion model but for the weight of its penalty."""
        if self.mixup and self.encoder == "class":
            raise ValueError(
                "mixup=True mixes rows, but encoder='class' sees labels. Use mixup="
                "False, or another encoder."
            )
        space = space_class(
            "noise_space", self.noise_space, self.score_network, data_shape
        )
        return {
            "space": space,
            "score_network": score_network_factory(
                self.score_network, space, data_shape
            ),
            "sde": noise_process(self.sde),
            "preconditioning": PRECONDITIONINGS[self.preconditioning],
            "code_dropout": self.code_dropout,
            "mixup": self.mixup,
            "reconstruction_weight": self.reconstruction_weight,
        }


def _own_curve(curve):
    """Leave every row its codes."""
    return curve


def _next_curve(curve):
    """Give every row of a batch the codes of the next one."""
    return curve.roll(1, 0)
