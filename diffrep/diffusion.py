"""DRL and VDRL: codes that help to denoise, and sampling of rows from codes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.utils import check_consistent_length, gen_batches
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from diffrep._parts import (
    NOISE_CONSTRAINTS,
    noise_process,
    score_network_factory,
    space_class,
    time_density,
    weighted,
)
from diffrep._validation import (
    Interval,
    StrOptions,
    all_or_nothing,
    check_codes,
    check_rows,
    check_times,
    draw_seed,
    validate_params,
)
from diffrep.base import TrainedRepresentation, check_is_trained
from diffrep.core.codes import FixedCode, GaussianCode, PointCode
from diffrep.core.device import Stream, generator, in_usual_state
from diffrep.core.kinds import kind_of
from diffrep.core.models import DiffusionModel
from diffrep.core.objectives import collapse_limit
from diffrep.core.optimizers import N_WARMUP_STEPS
from diffrep.core.preconditioning import LOSS_WEIGHTINGS, PRECONDITIONINGS
from diffrep.core.samplers import (
    SAMPLERS,
    descend,
    noise_levels,
    probability_flow_step,
)
from diffrep.core.score_networks import SCORE_NETWORKS
from diffrep.core.sde import SDE
from diffrep.core.spaces import SPACES, FeatureSpace
from diffrep.core.training import copied_net
from diffrep.exceptions import CodeCollapseWarning

__all__ = [
    "PAPER_SETTING",
    "BaseDiffusion",
    "DiffusionRepresentation",
    "VariationalDiffusionRepresentation",
]


PAPER_SETTING = MappingProxyType(
    {
        "time_conditioning": "full",
        "init": "random",
        "augment": None,
        "noise_space": "data",
        "loss_weighting": "eps",
        "time_sampling": "uniform",
    }
)
"""Parameters of Mittal et al. (2023): ``DiffusionRepresentation(**PAPER_SETTING)``.

t is an input of every block of the encoder, which has random initial weights and no
views. Noise is added to the data at uniform t, with the loss weight ``lambda =
sigma^2``. Two parameters are not those of the paper: `preconditioning`, since its plain
network does not train in minutes, and the sizes of the networks.
"""


#: Noise-to-signal ratios sigma / alpha of `score`.
SCORE_RATIOS = np.geomspace(0.1, 10, 8, dtype=np.float32)
SCORE_BATCH = 256

#: A code has collapsed if the codes of other rows increase the loss by less than this
#: share, estimated from this number of rows.
LEAST_GAIN = 0.005
N_COLLAPSE_ROWS = 1000

#: Codes do not depend on t if their variance over t is less than this share of their
#: variance over rows.
LEAST_CHANGE = 1e-3

#: Number of rows that are sampled at once.
BLOCK = 256

N_STEPS = {
    "n_steps": [Interval(Integral, 1, None, closed="left")],
    "guidance": [Interval(Real, 0, None, closed="left")],
}
TIME = {"t": [Interval(Real, 0, 1, closed="both")]}
SEED = {"random_state": ["random_state"]}


@dataclass(eq=False, kw_only=True, repr=False, match_args=False)
class BaseDiffusion(TrainedRepresentation):
    """Base class of DRL and VDRL: noise, a score network, and sampling.

    Samplers use the trained code, which is recovered from the columns of `transform` by
    least squares. With ``time_conditioning="full"`` a sampler uses the code of its
    current time, interpolated linearly between the times of `t_grid_` and constant
    beyond them.
    """

    score_network: str | Callable = "mlp"
    noise_space: str = "auto"
    sde: str | SDE = "ve"
    preconditioning: str = "edm"
    loss_weighting: str = "edm"
    time_sampling: Any = "log_normal"
    code_dropout: float = 0.0
    mixup: bool = False
    reconstruction_weight: float = 0.0

    _parameter_constraints: ClassVar[dict] = {
        **TrainedRepresentation._parameter_constraints,
        "score_network": [StrOptions(set(SCORE_NETWORKS)), callable],
        "noise_space": [StrOptions({"auto", *SPACES})],
        **NOISE_CONSTRAINTS,
        "preconditioning": [StrOptions(set(PRECONDITIONINGS))],
        "loss_weighting": [StrOptions(set(LOSS_WEIGHTINGS))],
        "code_dropout": [Interval(Real, 0, 1, closed="both")],
        "mixup": ["boolean"],
        "reconstruction_weight": [Interval(Real, 0, None, closed="left")],
    }

    _changeable: ClassVar[set[str]] = {
        *TrainedRepresentation._changeable,
        *("time_sampling", "loss_weighting", "code_dropout", "mixup"),
    }

    @in_usual_state
    def score(self, X, y=None):
        """Measure how well rows are denoised with their codes; higher is better.

        This is the negative mean squared error of the estimate of x0 in `noise_space`,
        where the mean variance is 1, over eight signal-to-noise ratios from 100 to 0.01
        with fixed noise. It is the same measure for all values of `sde`,
        `preconditioning`, `time_sampling` and `augment`, so searches can compare these,
        but not different values of `noise_space`. It favours more components and says
        little about the accuracy of a classifier.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : None
            Ignored.

        Returns
        -------
        score : float
            At most 0; about -0.5 for white noise denoised without a code.
        """
        rows, ratios = self._checked_rows(X), torch.tensor(SCORE_RATIOS)
        times = self.net_.module_.sde.time_at(ratios).numpy()
        (losses,) = self._score_losses(rows, times, _own_curve)
        return -float(np.mean(losses * SCORE_RATIOS**2)) / self._n_coordinates()

    @in_usual_state
    def loss_over_time(self, X, y=None, *, times=None):
        """Compute the denoising loss at each time, with codes and without.

        The loss is ``|| (x_t - alpha x0hat) / sigma - eps ||^2``, summed over the
        coordinates of `noise_space`, which is the score loss with weight ``sigma^2``.
        Without a code it is between 0 and the number of coordinates and decreases with
        the noise. The noise is fixed.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : None
            Ignored.
        times : array-like of shape (T,), default=None
            Times in [0, 1]. None is 33 times from the first to the last percentile of
            the training times, evenly spaced in the logarithm of ``sigma / alpha``.

        Returns
        -------
        losses : DataFrame
            Columns t, alpha, sigma, loss_with_code, loss_of_other_code (with the code
            of another row) and loss_without_code (with the null code; nan unless the
            estimator was fitted with `code_dropout`).
        """
        rows, model = self._checked_rows(X), self.net_.module_
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

    def _warn_of_collapse(self, X):
        """Warn if codes contain almost no information, or do not depend on t."""
        if self.code_dropout == 1 or self.net_.step_ < N_WARMUP_STEPS:
            return
        rows = self._rows(X, index=np.arange(min(len(X), N_COLLAPSE_ROWS)))
        times = self.net_.module_.times.ppf((torch.arange(8) + 0.5) / 8).numpy()
        losses = self._score_losses(rows, times, _own_curve, _next_curve)
        own, other = losses.sum(axis=1)
        if own > (1 - LEAST_GAIN) * other:
            warnings.warn(
                "The code contains almost no information: with the codes of other rows "
                f"the loss is {other:.4g}, compared to {own:.4g}. Lower l1_weight or "
                "kl_weight, train longer, or train at more noise.",
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
                "loss_weighting='edm', or time_conditioning='readout', where codes "
                "always depend on t.",
                CodeCollapseWarning,
                stacklevel=2,
            )

    @in_usual_state
    @validate_params(
        {**N_STEPS, **TIME, **SEED, "method": [StrOptions(set(SAMPLERS))]},
        prefer_skip_nested_validation=True,
    )
    def sample(
        self,
        codes,
        *,
        start=None,
        t=1.0,
        n_steps=50,
        method="reverse_sde",
        guidance=1.0,
        random_state=None,
    ):
        """Sample a row for each of the given codes.

        Parameters
        ----------
        codes : array-like of shape (n_samples, n_columns)
            Codes as returned by `transform`.
        start : array-like of shape (n_samples, n_features), default=None
            Rows to start from, which are noised to time `t`. None starts from noise
            only.
        t : float, default=1.0
            Time to start at, in [0, 1].
        n_steps : int, default=50
            Number of noise levels.
        method : {"reverse_sde", "predictor_corrector", "probability_flow"}, \
                default="reverse_sde"
            "reverse_sde" adds noise in each step. "predictor_corrector" adds a step of
            Langevin dynamics after each, at twice the cost. "probability_flow" is
            deterministic given the initial noise and uses Heun steps, at twice the
            cost.
        guidance : float, default=1.0
            Weight of the code relative to the null code: values above 1 amplify the
            code, 0 ignores it. Values other than 1 need an estimator that was trained
            with `code_dropout`.
        random_state : int, RandomState instance or None, default=None
            Seed of the noise.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            float32, in units of the data.

        Raises
        ------
        ValueError
            If codes have the wrong length, if `start` does not match, if guidance is
            used without a null code, or if codes are so far from those of `transform`
            that the rows are not finite.
        """
        check_is_trained(self)
        curves = self._checked_codes(codes)
        model, seed = self.net_.module_, draw_seed(random_state)
        if start is not None:
            start = check_rows(self, start, reset=False)
            check_consistent_length(curves, start)
        step, levels = SAMPLERS[method], self._levels(t, n_steps)

        def begin(block, draw):
            nothing = torch.zeros((), device=self.net_.device)
            x0 = nothing if start is None else model.space(self._rows(start)[block][0])
            return x0 + levels[0] * draw()

        return self._descend(curves, step, levels, begin, guidance, seed)

    @in_usual_state
    @validate_params({**N_STEPS}, prefer_skip_nested_validation=True)
    def inverse_transform(self, codes, *, n_steps=32, guidance=1.0):
        """Reconstruct rows from codes.

        The result is that of the probability flow from zero noise, so it is not random.
        If rows given their code were Gaussian, it would be their mean.

        Parameters
        ----------
        codes : array-like of shape (n_samples, n_columns)
            Codes as returned by `transform`.
        n_steps, guidance : optional
            As for `sample`.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            float32, in units of the data.
        """
        check_is_trained(self)
        curves = self._checked_codes(codes)
        levels = self._levels(1.0, n_steps)

        def begin(block, draw):
            return 0 * draw()

        return self._descend(curves, probability_flow_step, levels, begin, guidance, 0)

    @in_usual_state
    @validate_params({**TIME}, prefer_skip_nested_validation=True)
    def denoise(self, X, t, codes):
        """Denoise rows in one step: estimate the mean of x0 given x_t and the code.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Noisy rows, as returned by `perturb`: standardised, they are
            ``alpha(t) x0 + sigma(t) eps`` of standardised x0.
        t : float
            Time, in [0, 1].
        codes : array-like of shape (n_samples, n_columns)
            Codes as returned by `transform`.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            float32, in units of the data.

        Raises
        ------
        ValueError
            With ``noise_space="features"``: noisy features cannot be represented as a
            row.
        """
        check_is_trained(self)
        model, curves = self.net_.module_, self._checked_codes(codes)
        if isinstance(model.space, FeatureSpace):
            raise ValueError(
                "denoise(X, t, codes) needs noise in the data, but this estimator was "
                "fitted with noise_space='features', where noise is added to features "
                "of rows. Fit it with noise_space='data' or 'pca', "
                "or use sample(codes, start=X, t=t), which adds the noise itself."
            )
        X = check_rows(self, X, reset=False)
        check_consistent_length(X, curves)
        nu = self._levels(t, 1)[0]

        def begin(block, draw):
            x = self.standardizer_.transform(X[block])  # unlike Rows, unclipped
            with np.errstate(over="ignore"):  # _data_units raises an error
                x = torch.tensor(x.astype(np.float32), device=self.net_.device)
            points = model.space(x.view(-1, *model.data_shape))
            return points / model.sde.alpha(model.time_of(nu, points.device))

        return self._descend(curves, probability_flow_step, [nu, 0.0], begin, 1.0, 0)

    @in_usual_state
    @validate_params({**TIME, **SEED}, prefer_skip_nested_validation=True)
    def perturb(self, X, t, *, random_state=None):
        """Add the noise of a time to rows, as in training.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        t : float
            Time, in [0, 1].
        random_state : int, RandomState instance or None, default=None

        Returns
        -------
        X_noisy : ndarray of shape (n_samples, n_features)
            float32, in units of the data. If noise is added to components or features,
            they are mapped back to rows.
        """
        check_is_fitted(self)
        X = check_rows(self, X, reset=False)
        model, seed = self.net_.module_, draw_seed(random_state)
        time = torch.tensor([max(t, model.sde.t_min)], device=self.net_.device)
        parts = []
        with torch.inference_mode():
            for number, block in enumerate(gen_batches(len(X), BLOCK)):
                draws = generator(seed, Stream.SAMPLE, number, self.net_.device)
                x0 = model.space(self._rows(X)[block][0])
                eps = torch.randn(x0.shape, generator=draws, device=x0.device)
                parts.append(self._data_units(model.perturbed(x0, time, eps)))
        return np.concatenate(parts)

    @in_usual_state
    @validate_params(
        {
            "time_sampling": NOISE_CONSTRAINTS["time_sampling"],
            "max_epochs": [
                StrOptions({"auto"}),
                Interval(Integral, 1, None, closed="left"),
            ],
        },
        prefer_skip_nested_validation=True,
    )
    @all_or_nothing
    def fit_decoder(self, X, y=None, *, time_sampling="log_normal", max_epochs="auto"):
        """Continue the training of the score network for fixed codes.

        After training at one time or at high noise, the score network does not know
        other noise levels; after training with views, it does not know what the views
        change. This method trains it over all times for the codes that `transform`
        returns, with a frozen encoder, so that samples improve.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : None
            Ignored.
        time_sampling, max_epochs : optional
            As in the constructor.

        Returns
        -------
        self : object
            The epochs are added to `history_` and `n_iter_`.

        References
        ----------
        The code of Mittal, Abstreiter, Bauer, Schoelkopf, Mehrjou, "Diffusion
        Based Representation Learning", 2023.
        """
        check_is_fitted(self)
        X = self._check_fit_data(X, reset=False)
        self.net_ = copied_net(self.net_)
        model = self.net_.module_
        kept = model.augment, model.mixup, model.code
        model.augment, model.mixup = None, False
        model.code = FixedCode(model.n_components)
        model.times = self._density(time_sampling)
        trained = [w for w in model.encoder.parameters() if w.requires_grad]
        model.encoder.requires_grad_(False)
        self.net_.initialize_optimizer()  # the old one has averages of the encoder
        self._train(X, self._schedule(len(X), max_epochs))
        for weight in trained:
            weight.requires_grad_(True)
        model.augment, model.mixup, model.code = kept
        return self

    @property
    def null_code_(self):
        """Null code, of shape (1, n_columns).

        It exists after `fit` with `code_dropout` above 0. Pass it to `sample` and
        `denoise` to use no code.
        """
        check_is_fitted(self)
        model = self.net_.module_
        if model.code_dropout == 0:
            raise AttributeError("null_code_ exists after fit with code_dropout only.")
        with torch.inference_mode():
            codes = model.readout(model.null_code[None, None], self._tensor_times())
        return codes.flatten(1).cpu().numpy()

    def _checked_codes(self, codes):
        """Return trained codes ``(n, T or 1, width)``, a tensor on the device."""
        codes = check_codes(self, codes)
        model, times = self.net_.module_, self._tensor_times()
        if codes.shape[1] != len(times) * model.n_columns:
            raise ValueError(
                f"codes have {codes.shape[1]} columns; transform returns "
                f"{len(times)} x {model.n_columns}. Pass codes of this estimator."
            )
        codes = torch.tensor(codes, device=self.net_.device)
        codes = codes.view(len(codes), len(times), -1)
        return model.readout.inverse(codes, times, not model.time_conditioned)

    def _levels(self, t, n_steps):
        """Return the noise levels from time `t` down to 0."""
        sde = self.net_.module_.sde
        times = torch.tensor([max(t, sde.t_min), sde.t_min])
        highest, lowest = sde.noise_to_signal(times).tolist()
        return noise_levels(highest, lowest, n_steps)

    def _descend(self, curves, step, levels, begin, guidance, seed):
        """Return rows in units of the data, at the end of the noise levels."""
        model, device, parts = self.net_.module_, self.net_.device, []
        if guidance != 1 and model.code_dropout == 0:
            raise ValueError(
                f"guidance={guidance:g} needs a null code, but this estimator was "
                "fitted with code_dropout=0. Fit it with code_dropout=0.1, or use "
                "guidance=1."
            )
        blocks = list(gen_batches(len(curves), BLOCK))
        total = len(blocks) * (len(levels) - 1)
        with (
            torch.inference_mode(),
            self.net_.autocast(),
            tqdm(desc="sample", total=total, disable=not self.verbose) as bar,
        ):
            for number, block in enumerate(blocks):
                draws = generator(seed, Stream.SAMPLE, number, device)
                z, shape = curves[block], (len(curves[block]), *model.space.shape)
                draw = partial(torch.randn, shape, generator=draws, device=device)

                def denoise(y, nu, z=z):
                    t = model.time_of(nu, device)
                    return model.estimate(y, t, self._code_at(z, float(t)), guidance)

                points = descend(step, denoise, begin(block, draw), levels, draw)
                parts.append(self._data_units(points))
                bar.update(len(levels) - 1)
        return np.concatenate(parts)

    def _code_at(self, curves, t):
        """Return codes ``(n, n_components)`` at `t`, interpolated in `t_grid_`."""
        if curves.shape[1] == 1:
            return curves[:, 0]
        order = np.argsort(self.t_grid_)
        place = np.interp(t, self.t_grid_[order], np.arange(len(order)))
        before, after = order[int(place)], order[int(np.ceil(place))]
        return torch.lerp(curves[:, before], curves[:, after], float(place % 1))

    def _data_units(self, points):
        x = self.net_.module_.space.inverse(points.float())
        if x.shape[1:] != self._given_shape:
            mode = kind_of(self._given_shape).interpolation
            x = F.interpolate(x, self._given_shape[1:], mode=mode)
        x = x.flatten(1).cpu().numpy()
        with np.errstate(over="ignore"):  # checked below
            rows = self.standardizer_.inverse(x).astype(np.float32)
        if not np.isfinite(rows).all():
            raise ValueError(
                "Rows became infinite or NaN in float32, because the codes, or the "
                "rows in `start`, are far from those of the training data. Pass codes "
                "returned by transform, and rescale features with extreme values."
            )
        return rows

    def _checked_rows(self, X):
        check_is_trained(self)
        X = check_rows(self, X, reset=False)
        return self._rows(X)

    def _score_losses(self, rows, times, *curves):
        """Return losses ``(len(curves), T)`` with modified codes, as means over rows.

        Each function in `curves` maps codes ``(n, T, n_components)`` to those with
        which rows are denoised.
        """
        model = self.net_.module_
        draws = generator(0, Stream.SCORE, device=self.net_.device)
        times = torch.tensor(times, dtype=torch.float32, device=self.net_.device)
        losses = np.zeros((len(curves), len(times)))
        with torch.inference_mode(), self.net_.autocast():
            for batch in gen_batches(len(rows), SCORE_BATCH):
                x, _ = rows[batch]
                x0 = model.space(x)
                eps = torch.randn(x0.shape, generator=draws, device=x0.device)
                own = model.curve(x, times).expand(-1, len(times), -1)
                changed = [change(own) for change in curves]
                for i, t in enumerate(times):
                    t = t.expand(len(x0))
                    x_t = model.perturbed(x0, t, eps)
                    for j, curve in enumerate(changed):
                        epshat = model.noise_in(x_t, t, curve[:, i])
                        losses[j, i] += float((epshat - eps).square().sum())
        return losses / len(rows)

    def _null_curve(self, curve):
        return self.net_.module_.null_code.expand_as(curve)

    def _spread_times(self):
        """Return times that are equidistant in the log of the noise-to-signal ratio."""
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
        """Return the arguments of a diffusion model, except for its code."""
        space = space_class(
            "noise_space", self.noise_space, self.score_network, data_shape
        )
        return {
            "space": space,
            "score_network": score_network_factory(
                self.score_network, self.network_size, space, data_shape
            ),
            "preconditioning": PRECONDITIONINGS[self.preconditioning],
            "code_dropout": self.code_dropout,
            "mixup": self.mixup,
            "reconstruction_weight": self.reconstruction_weight,
        }


@dataclass(eq=False, kw_only=True, repr=False, match_args=False)
class DiffusionRepresentation(BaseDiffusion):
    """Codes from denoising: diffusion based representation learning (DRL).

    An encoder and a score network are trained together to denoise

        x_t = alpha(t) x0 + sigma(t) eps,    eps ~ N(0, I),

    given the code ``z = E(x0)`` of the clean row, so the code learns the information
    that the noise removes.

    Parameters
    ----------
    n_components : int, default=128
        Length of the code.
    t_grid : None, int or array-like of shape (T,), default=None
        Times of the codes that `transform` returns side by side; None is t = 1 only. An
        int T selects the times at which the noisy row x_t predicts (T - 1)/T, ..., 1/T
        and 0 of the variance of the code, or with ``time_conditioning="full"`` the
        (i - 1/2)/T quantiles of the density of training times.
    image_shape : tuple (channels, height, width), default=None
        Shape of the images; None for tables. Images may be flattened into rows, or
        be given as (n_samples, channels, height, width), (n_samples, height, width,
        channels) or, with one channel, (n_samples, height, width), also as a list.
    signal_shape : tuple (channels, length), default=None
        Shape of signals: sensor traces, spectra, audio. They may be flattened into
        rows, channel by channel, or be given as (n_samples, channels, length) or
        (n_samples, length, channels).
    encoder : str or callable, default="auto"
        "mlp" is for any rows, "windows" is for signals, and "conv", "wide_resnet" and
        "deep_conv", which combines these two, are for images. "auto" is "conv" for
        images, "windows" for signals and "mlp" for tables. A callable ``(data_shape,
        n_outputs, time_conditioned)`` returns your own ``nn.Module`` with forward
        ``(x)``, or ``(x, t)`` if it is time-conditioned; see the developer guide.
    network_size : {"small", "base", "large"} or float, default="base"
        Factor of the widths of the encoder and the score network, up to 16; "small" is
        0.5, "base" is 1 and "large" is 2. The encoder of images sees up to 48 pixels
        per side, and that of signals 512 samples, times this factor if it is above 1.
    init : {"closed_form", "random"}, default="closed_form"
        Initialisation of the encoder. "closed_form" fits it to the data: the code
        consists of the components of its first stage in which rows differ most and
        views of a row least (principal components, if there are no views). The first
        stage of a table has its columns (512 principal components of more than 1,024
        columns, fewer of more than 8,192) and random rectified features of three
        columns each, that of images a bank of pooled k-means filters and random
        features of these, and that of signals pooled responses to k-means filters at
        several scales. Your own encoder is fitted by its method ``initialize(rows)``,
        if it has one. "random" draws all weights.
    time_conditioning : {"readout", "full"}, default="readout"
        How codes depend on t. "readout" trains one code and applies a linear map for
        each t, fitted after training, that emphasises what the noise of that t removes;
        16 codes take hardly longer than one. "full" trains the encoder E(x0, t) of the
        paper: t is an input of every block, T codes take T passes, and ``t_grid=None``
        means t = 1.
    augment : str, callable or None, default="auto"
        Random views: in training, the encoder sees a view of the row that is denoised.
        "image" shifts, rotates and deforms a little; "photo" crops, mirrors, recolours
        and blurs; "signal" shifts, stretches, rescales and adds a little noise; "table"
        replaces features by those of other rows; "gaussian" adds noise of standard
        deviation 1. "auto" is "photo" for images with three channels, "image" for other
        images, "signal" for signals and "table" for tables. A callable
        ``(x, generator)`` maps a batch ``(n, *data_shape)`` of standardised data to
        another. After training, a linear map of the codes gives less weight to what
        views change, and the same variance to all columns. With None, codes are only
        rotated to the same variance, or with ``init="random"`` returned as trained.
    device : str, default="auto"
        "auto" is the environment variable DIFFREP_DEVICE if it is set, else the first
        available of cuda, mps and cpu.
    precision : {"float32", "bf16"}, default="float32"
        "bf16" runs the networks under torch's autocast.
    verbose : int, default=0
        1 shows progress bars in `fit` and `transform`.
    random_state : int, RandomState instance or None, default=None
        Seed of all random numbers. None draws a fresh seed; the global generators of
        numpy and torch are neither used nor changed.
    max_epochs : int or "auto", default="auto"
        "auto" is about 1,000 steps, at least 2 and at most 500 epochs. With 0, nothing
        is trained and codes are those of the closed-form initialisation; `sample`,
        `denoise` and `score` then raise NotFittedError.
    batch_size : int, default=128
        Largest number of rows in a training step.
    lr : float, default=2e-3
        Largest learning rate of AdamW; linear warm-up, then cosine decay.
    early_stopping : bool, default=False
        Whether to hold out rows, stop when their loss no longer decreases, and keep the
        best weights.
    validation_fraction : float, default=0.1
        Share of rows held out by `early_stopping`.
    n_iter_no_change : int, default=10
        Epochs without improvement after which `early_stopping` stops.
    warm_start : bool, default=False
        Whether `fit` continues from the weights of an earlier `fit`. Parameters that
        the net was built with must not change.
    callbacks : list of skorch callbacks, default=None
        Copied and passed to skorch.
    checkpoint : str or path-like, default=None
        Folder to which `fit` writes a checkpoint every 5 s of training and at its end;
        any number of fits may share it. If `fit` is interrupted and called again with
        the same data and parameters, it resumes from the checkpoint and ends with the
        same weights, bit for bit. Requires `random_state`.
    score_network : {"mlp", "unet"} or callable, default="mlp"
        "unet" is for images and signals. A callable ``(data_shape, n_components)``
        returns your own ``nn.Module`` with forward ``(x_t, t, z)``, where x_t has the
        shape of `noise_space`.
    noise_space : {"auto", "features", "pca", "data"}, default="auto"
        Space in which noise is added. "features": the 256 components of the first stage
        of an encoder in which rows differ most and views of a row least; they do not
        determine an image, so samples are smooth. "pca": the first 128 principal
        components of the data, half whitened. "data": the data themselves. "auto" is
        "data" unless ``score_network="mlp"``; then it is "features" for images and
        signals and "pca" for tables.
    sde : {"ve", "vp", "subvp"} or SDE, default="ve"
        Noise process, in units of the standardised data.
    preconditioning : {"edm", "none"}, default="edm"
        "edm" gives the score network inputs and targets of unit variance at
        every noise level; with "none" it predicts the noise from x_t.
    loss_weighting : {"edm", "eps"}, default="edm"
        Weight of the error at each noise level. "edm" weighs all levels equally for
        data of unit variance, see Karras et al. (2022). "eps" is the mean squared error
        of the noise, the paper's ``lambda = sigma^2``, which almost ignores high noise.
        Weights are applied by drawing times more often, so penalties on codes that
        depend on t are weighted as well.
    time_sampling : str, float or object with ppf, default="log_normal"
        Density of the training times. It determines the level of detail of the code:
        the more noise, the coarser. "uniform" draws t uniformly, "high_noise"
        sigma / alpha uniformly, and "log_normal" sigma / alpha from a log-normal
        density. A float trains at a single time. From an object, such as
        ``scipy.stats.beta(3, 1)``, times are drawn by its method ``ppf``.
    code_dropout : float, default=0.0
        Share of rows that are denoised with a learned null code instead of their own,
        as required for guidance; 1.0 is unconditional score matching.
    mixup : bool, default=False
        Whether the encoder sees a random mixture of the row and another one; the error
        of the row is weighted by its share.
    reconstruction_weight : float, default=0.0
        Weight of the mean squared error of a decoder that reconstructs the row from the
        code alone and is trained in addition to the score network.
    l1_weight : float, default=1e-3
        Weight of the mean absolute value of the code, relative to the mean squared
        error of a coordinate. It keeps codes small. The columns of `transform` are
        rotated by the read-out and not sparse.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained net; ``net_.module_`` holds ``encoder`` and
        ``score_network``, their weights averaged over the training.
    history_ : DataFrame of shape (n_iter_, ...)
        Losses, learning rate and seconds of every epoch.
    n_iter_ : int
        Number of epochs trained.
    t_grid_ : ndarray of shape (T,) or None
        Times of the codes that `transform` returns.
    standardizer_ : object
        Standardisation of the rows: ``mean`` and ``scale`` of shape (n_features,), with
        one value per channel of images, and the columns ``skewed`` of a table, which
        are first transformed by ``asinh((x - center) / width)``. Standardised values
        are clipped at 10.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, if `fit` was given a data frame with text names.

    See Also
    --------
    VariationalDiffusionRepresentation : The same with a probabilistic code.

    References
    ----------
    Mittal, Abstreiter, Bauer, Schoelkopf, Mehrjou, "Diffusion Based
    Representation Learning", ICML 2023, arXiv 2105.14257.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from diffrep import DiffusionRepresentation
    >>> X, _ = load_digits(return_X_y=True)
    >>> rep = DiffusionRepresentation(
    ...     n_components=8, image_shape=(1, 8, 8), max_epochs=2, random_state=0
    ... )
    >>> rep.fit(X).transform(X).shape
    (1797, 8)
    """

    l1_weight: float = 1e-3

    _parameter_constraints: ClassVar[dict] = {
        **BaseDiffusion._parameter_constraints,
        "l1_weight": [Interval(Real, 0, None, closed="left")],
    }

    _changeable: ClassVar[set[str]] = {*BaseDiffusion._changeable, "l1_weight"}

    def make_model(self, data_shape):
        arguments = self._diffusion_arguments(data_shape)
        return DiffusionModel, {**arguments, "code": PointCode(self.l1_weight)}


@dataclass(eq=False, kw_only=True, repr=False, match_args=False)
class VariationalDiffusionRepresentation(BaseDiffusion):
    """Codes from denoising with a probabilistic encoder (VDRL).

    As :class:`DiffusionRepresentation`, but the encoder predicts the mean and variance
    of ``z ~ N(mean, diag(variance))``, and the penalty is ``KL(E(z | x0) || N(0, I))``.
    `transform` returns the mean.

    Parameters
    ----------
    kl_weight : float, default=0.003
        Weight of the KL, relative to the smallest weight at which every code collapses,
        which is computed for white data of unit variance from `sde`, `loss_weighting`
        and `time_sampling`; see
        :func:`diffrep.core.objectives.collapse_limit`. The loss is
        ``mean squared error + kl_weight * limit * KL / d``, KL in nats and d
        the number of coordinates of `noise_space`. Weights of 1 and above give a
        warning.

    See Also
    --------
    DiffusionRepresentation : The same with a deterministic code.

    Notes
    -----
    All other parameters, and the attributes after `fit`, are those of
    :class:`DiffusionRepresentation`. Your own encoder must return ``2 * n_components``
    outputs, first the means, then the logarithms of the variances.

    References
    ----------
    Mittal, Abstreiter, Bauer, Schoelkopf, Mehrjou, "Diffusion Based
    Representation Learning", ICML 2023, arXiv 2105.14257.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from diffrep import VariationalDiffusionRepresentation
    >>> X, _ = load_wine(return_X_y=True)
    >>> rep = VariationalDiffusionRepresentation(
    ...     n_components=4, t_grid=[0.4, 0.6], max_epochs=2, random_state=0
    ... )
    >>> rep.fit_transform(X).shape
    (178, 8)
    """

    kl_weight: float = 0.003

    _parameter_constraints: ClassVar[dict] = {
        **BaseDiffusion._parameter_constraints,
        "kl_weight": [Interval(Real, 0, None, closed="left")],
    }

    _changeable: ClassVar[set[str]] = {*BaseDiffusion._changeable, "kl_weight"}

    def make_model(self, data_shape):
        if self.kl_weight >= 1:
            warnings.warn(
                f"kl_weight={self.kl_weight} is not below 1, the limit above which "
                "codes collapse: expect codes without information. Use a smaller "
                "weight, such as 0.003.",
                CodeCollapseWarning,
                stacklevel=2,
            )
        arguments = self._diffusion_arguments(data_shape)
        limit = collapse_limit(
            arguments["preconditioning"], self._times(), self._is_time_conditioned()
        )
        return DiffusionModel, {
            **arguments,
            "code": GaussianCode(self.kl_weight * limit),
        }

    @in_usual_state
    @validate_params(
        {
            "n_samples": [Interval(Integral, 1, None, closed="left")],
            "random_state": ["random_state"],
        },
        prefer_skip_nested_validation=True,
    )
    def sample_codes(self, n_samples=1, *, random_state=None):
        """Sample codes from the prior N(0, I), in order to sample new rows.

        The smaller `kl_weight` is, the more the codes of rows differ from the prior.

        Parameters
        ----------
        n_samples : int, default=1
        random_state : int, RandomState instance or None, default=None

        Returns
        -------
        codes : ndarray of shape (n_samples, n_columns)
            float32, as returned by `transform`; with a `t_grid`, the same sample at all
            times.
        """
        check_is_fitted(self)
        model = self.net_.module_
        draws = generator(draw_seed(random_state), Stream.SAMPLE)
        z = torch.randn(n_samples, 1, model.n_components, generator=draws)
        with torch.inference_mode():
            codes = model.readout(z.to(self.net_.device), self._tensor_times())
        return codes.flatten(1).cpu().numpy()


def _own_curve(curve):
    """Return codes unchanged."""
    return curve


def _next_curve(curve):
    """Return for each row of a batch the codes of the next row."""
    return curve.roll(1, 0)
