"""From codes back to rows: sampling, denoising, a decoder for codes that stay."""

from __future__ import annotations

import copy
from functools import partial
from numbers import Integral, Real

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.utils import check_consistent_length, gen_batches
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from diffrep._base import BaseRepresentation, check_is_trained
from diffrep._parts import NOISE_CONSTRAINTS
from diffrep._validation import (
    Interval,
    StrOptions,
    check_codes,
    check_rows,
    draw_seed,
    restored_on_error,
    validate_params,
)
from diffrep.core.device import Stream, generator
from diffrep.core.samplers import (
    SAMPLERS,
    descend,
    noise_levels,
    probability_flow_step,
)
from diffrep.core.spaces import FeatureSpace

__all__ = ["BaseGenerative"]

#: Rows that are sampled at a time.
BLOCK = 256

N_STEPS = {
    "n_steps": [Interval(Integral, 1, None, closed="left")],
    "guidance": [Interval(Real, 0, None, closed="left")],
}
TIME = {"t": [Interval(Real, 0, 1, closed="both")]}
SEED = {"random_state": ["random_state"]}


class BaseGenerative(BaseRepresentation):
    """Sampling and denoising with a diffusion model.

    It uses the codes as they were trained, the least-squares solution for the
    columns that `transform` gives. With ``time_conditioning="full"`` a sampler uses
    the code of the time it has reached, interpolated linearly between the times of
    `t_grid_` and constant beyond them.
    """

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
        """Draw rows that have the given codes, one for each.

        Parameters
        ----------
        codes : array-like of shape (n, n_columns)
            As `transform` gives them.
        start : array-like of shape (n, n_features), default=None
            Rows to begin with, noised to time `t`: what they show survives as
            far as the noise lets it. None begins with noise alone.
        t : float, default=1.0
            Time to begin at, in [0, 1].
        n_steps : int, default=50
            Number of noise levels on the way down.
        method : {"reverse_sde", "predictor_corrector", "probability_flow"}, \
                default="reverse_sde"
            "reverse_sde" adds noise on the way, "predictor_corrector" lets a
            step of Langevin dynamics follow each, at twice the cost;
            "probability_flow" adds none and takes Heun's steps, at twice the
            cost, so that the result follows from the noise it begins with.
        guidance : float, default=1.0
            Weight of the code against the null code: above 1 exaggerates what
            is particular to a code, 0 ignores it. Other values than 1 need an
            estimator that was trained with `code_dropout`.
        random_state : int, RandomState instance or None, default=None
            Of the noise.

        Returns
        -------
        X : ndarray of shape (n, n_features)
            float32, in units of the data.

        Raises
        ------
        ValueError
            On codes of another length, on rows that do not match, on guidance
            without a null code, or on codes so far from those of `transform`
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

    @validate_params({**N_STEPS}, prefer_skip_nested_validation=True)
    def inverse_transform(self, codes, *, n_steps=32, guidance=1.0):
        """Return the row at the centre of those that have a code.

        The probability flow from the mean of all noise, so nothing is random.
        If rows given their code were Gaussian, it would be their mean.

        Parameters
        ----------
        codes : array-like of shape (n, n_columns)
            As `transform` gives them.
        n_steps, guidance : optional
            As for `sample`.

        Returns
        -------
        X : ndarray of shape (n, n_features)
            float32, in units of the data.
        """
        check_is_trained(self)
        curves = self._checked_codes(codes)
        levels = self._levels(1.0, n_steps)

        def begin(block, draw):
            return 0 * draw()

        return self._descend(curves, probability_flow_step, levels, begin, guidance, 0)

    @validate_params({**TIME}, prefer_skip_nested_validation=True)
    def denoise(self, X, t, codes):
        """Estimate rows from noisy ones, in one step: the mean given noise and code.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            Rows as `perturb` gives them: standardised, they are
            ``alpha(t) x0 + sigma(t) eps`` of standardised x0.
        t : float
            Time, in [0, 1].
        codes : array-like of shape (n, n_columns)
            As `transform` gives them.

        Returns
        -------
        X : ndarray of shape (n, n_features)
            float32, in units of the data.

        Raises
        ------
        ValueError
            With ``noise_space="features"``: noise is added to features of a row
            there, and noisy features are those of no row.
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
            with np.errstate(over="ignore"):  # _data_units refuses what comes of it
                x = torch.tensor(x.astype(np.float32), device=self.net_.device)
            points = model.space(x.view(-1, *model.data_shape))
            return points / model.sde.alpha(model.time_of(nu, points.device))

        return self._descend(curves, probability_flow_step, [nu, 0.0], begin, 1.0, 0)

    @validate_params({**TIME, **SEED}, prefer_skip_nested_validation=True)
    def perturb(self, X, t, *, random_state=None):
        """Add to rows the noise of a time, as in training.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        t : float
            Time, in [0, 1].
        random_state : int, RandomState instance or None, default=None

        Returns
        -------
        X_noisy : ndarray of shape (n, n_features)
            float32, in units of the data. Noise that was added in components
            of the data, or of features, is shown as the row of
            these components.
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
                alpha, sigma = model.alpha_sigma(time, x0)
                parts.append(self._data_units(alpha * x0 + sigma * eps))
        return np.concatenate(parts)

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
    @restored_on_error
    def fit_decoder(self, X, y=None, *, time_sampling="log_normal", max_epochs="auto"):
        """Train the score network on, for codes that stay as they are.

        An encoder that was trained at one time, or on high noise, leaves a
        score network that knows no other times, and an encoder that was shown
        views leaves one that does not know what views change. Both are needed
        to sample: this trains the score network over all times on the codes
        that `transform` gives, while the encoder is frozen.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,), optional
            Ignored, except with ``encoder="class"``.
        time_sampling, max_epochs : optional
            As in the constructor.

        Returns
        -------
        self : object
            With the epochs added to `history_` and `n_iter_`.

        References
        ----------
        The code of Mittal, Abstreiter, Bauer, Schoelkopf, Mehrjou, "Diffusion
        Based Representation Learning", 2023.
        """
        check_is_fitted(self)
        X, y = self._check_fit_data(X, y, reset=False)
        self.net_ = copy.deepcopy(self.net_)
        model = self.net_.module_
        view, model.augment = model.augment, None
        model.times = self._density(time_sampling)
        model.encoder.requires_grad_(False)
        self.net_.initialize_optimizer()  # that of the encoder holds its averages
        self._train(X, y, self._schedule(len(X), max_epochs))
        model.encoder.requires_grad_(True)
        model.augment = view
        return self

    @property
    def null_code_(self):
        """Code of no row in particular, of shape (1, n_columns).

        It exists after `fit` with `code_dropout` above 0, and is what `sample`
        and `denoise` take in order to ignore codes.
        """
        check_is_fitted(self)
        model = self.net_.module_
        if model.code_dropout == 0:
            raise AttributeError("null_code_ exists after fit with code_dropout only.")
        with torch.inference_mode():
            codes = model.readout(model.null_code[None, None], self._tensor_times())
        return codes.flatten(1).cpu().numpy()

    def _checked_codes(self, codes):
        """Codes as trained, a tensor ``(n, T or 1, width)`` on the device."""
        codes = check_codes(codes)
        model, times = self.net_.module_, self._tensor_times()
        if codes.shape[1] != len(times) * model.n_columns:
            raise ValueError(
                f"codes have {codes.shape[1]} columns; transform gives "
                f"{len(times)} x {model.n_columns}. Pass codes of this estimator."
            )
        codes = torch.tensor(codes, device=self.net_.device)
        codes = codes.view(len(codes), len(times), -1)
        return model.readout.inverse(codes, times, not model.time_conditioned)

    def _levels(self, t, n_steps):
        """Noise levels of a descent from time `t`."""
        sde = self.net_.module_.sde
        times = torch.tensor([max(t, sde.t_min), sde.t_min])
        highest, lowest = sde.noise_to_signal(times).tolist()
        return noise_levels(highest, lowest, n_steps)

    def _descend(self, curves, step, levels, begin, guidance, seed):
        """Rows at the end of a descent, in units of the data."""
        model, device, parts = self.net_.module_, self.net_.device, []
        if guidance != 1 and model.code_dropout == 0:
            raise ValueError(
                f"guidance={guidance:g} needs a null code, but this estimator was "
                "fitted with code_dropout=0. Fit it with code_dropout=0.1, or leave "
                "this out."
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
        """Codes ``(n, n_components)`` at one time, between those of `t_grid_`."""
        if curves.shape[1] == 1:
            return curves[:, 0]
        order = np.argsort(self.t_grid_)
        place = np.interp(t, self.t_grid_[order], np.arange(len(order)))
        before, after = order[int(place)], order[int(np.ceil(place))]
        return torch.lerp(curves[:, before], curves[:, after], float(place % 1))

    def _data_units(self, points):
        x = self.net_.module_.space.inverse(points.float())
        if x.shape[1:] != self._given_shape:
            x = F.interpolate(x, self._given_shape[1:], mode="bilinear")
        x = x.flatten(1).cpu().numpy()
        with np.errstate(over="ignore"):  # an error says so below
            rows = self.standardizer_.inverse(x).astype(np.float32)
        if not np.isfinite(rows).all():
            raise ValueError(
                "Rows became infinite or NaN in float32: the codes, or the rows to "
                "begin with, are far from those that the estimator was fitted to. "
                "Pass codes as transform gives them, and rescale enormous features."
            )
        return rows
