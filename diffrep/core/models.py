"""Models, which combine encoder, noise, score network and objective."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from diffrep.core.augment import mixup
from diffrep.core.closed_form import ViewedRows, in_blocks
from diffrep.core.codes import PointCode
from diffrep.core.kinds import kind_of
from diffrep.core.objectives import squared_error
from diffrep.core.readout import NOISE_RATIOS, Readout
from diffrep.core.score_networks import MLPDecoder
from diffrep.core.spaces import DataSpace
from diffrep.core.time_sampling import stratified

__all__ = [
    "DiffusionModel",
    "EncoderModel",
    "require_shape",
]


class EncoderModel(nn.Module):
    """Base class of models with an encoder E(x) or E(x, t); subclasses define the loss.

    Parameters
    ----------
    data_shape : tuple of int
        Shape of one row.
    n_components : int
        Length of the code.
    n_columns : int or None
        Number of columns of `transform` per time; None is `n_components`.
    encoder : callable
        ``encoder(data_shape, n_outputs, time_conditioned)``.
    time_conditioned : bool
        Whether t is an input of E.
    times : TimeSampling
        Density of the training times.
    augment : callable or None
        ``augment(x, generator)``, the view that the encoder sees.
    space : callable
        ``space(data_shape)``, the space of the targets.
    code : PointCode or GaussianCode
        Interpretation of the outputs of the encoder.
    """

    def __init__(
        self,
        data_shape,
        n_components,
        encoder,
        time_conditioned,
        times,
        augment,
        space=DataSpace,
        n_columns=None,
        code=PointCode(),
    ):
        super().__init__()
        self.data_shape = tuple(data_shape)
        self.space = space(self.data_shape)
        self.n_components = n_components
        self.time_conditioned = time_conditioned
        self.code = code
        self.n_outputs = code.outputs_per_component * n_components
        self.encoder = required_module(
            "encoder", encoder(self.data_shape, self.n_outputs, time_conditioned)
        )
        self.times = times
        self.augment = augment
        self.n_columns = n_columns or n_components
        n_fits = kind_of(self.data_shape).n_readout_fits
        self.readout = Readout(n_components, self.n_columns, n_fits)

    def initialize(self, rows: ViewedRows) -> None:
        """Fit the space to rows. Encoders are fitted separately."""
        self.space.initialize(rows)

    def train(self, mode: bool = True):
        """Set the mode; an encoder without trained weights is always in evaluation.

        Otherwise dropout and batch statistics would change codes of a fixed encoder.
        """
        super().train(mode)
        if not any(weight.requires_grad for weight in self.encoder.parameters()):
            self.encoder.eval()
        return self

    @property
    def target_space(self) -> nn.Module:
        """Space of the x0 that `forward` receives."""
        return self.space

    def view(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return the view of `x` that the encoder sees in training."""
        return x if self.augment is None else self.augment(x, generator)

    def outputs(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the outputs of the encoder for `x` at times `t` of shape ``(n,)``."""
        return self.encoder(x, t) if self.time_conditioned else self.encoder(x)

    def curve(self, x: Tensor, times: Tensor) -> Tensor:
        """Codes of rows `x` at `times` ``(T,)``: ``(n, T, n_components)``.

        A static encoder has one code, ``(n, 1, n_components)``.
        """
        if not self.time_conditioned:
            codes = [self.encoder(x)]
        else:
            codes = [self.outputs(x, t.expand(x.shape[0])) for t in times]
        return torch.stack(codes, dim=1)[:, :, : self.n_components]

    def codes(self, x: Tensor, times: Tensor) -> Tensor:
        """Codes of rows `x` after the read-out, ``(n, T, n_columns)``."""
        return self.readout(self.curve(x, times), times)

    @torch.no_grad()
    def fit_readout(self, rows: ViewedRows, as_trained: bool) -> None:
        """Fit the read-out to rows.

        Parameters
        ----------
        rows : ViewedRows
            Standardised data.
        as_trained : bool
            Whether codes are returned as they were trained: static ones at t = 1,
            others at all times.
        """

        def code(x, t):
            return self.curve(x, t[None])[:, 0]

        last = torch.ones((), device=rows.X.device)
        if not self.time_conditioned:
            codes = rows.through(lambda x: code(x, last))
            ratios = rows.X.new_tensor(NOISE_RATIOS)
            lowest, highest = self.times.ratio_range(ratios.dtype)
            ratios = ratios.clamp(float(lowest), float(0.9 * highest))
            self.readout.times[:-1] = self.times.sde.time_at(ratios)
            noise = torch.randn(
                rows.X.shape, generator=rows.generator, device=rows.X.device
            )
            noisy = []
            for ratio in ratios:
                x = (rows.X + ratio * noise) / (1 + ratio**2).sqrt()
                noisy.append(in_blocks(lambda x: code(x, last), x))
            self.readout.fit_static(codes, noisy, as_trained)
        elif not as_trained:
            n = len(self.readout.times)
            times = self.times.ppf((torch.arange(n, device=last.device) + 0.5) / n)
            curves = [rows.through(lambda x, t=t: code(x, t)) for t in times]
            self.readout.fit_curves(times, curves)

    def check_shapes(self, x: Tensor) -> None:
        """Raise ValueError if the output of a network has the wrong shape."""
        t = torch.full((len(x),), 0.5, device=x.device)
        outputs = self.outputs(x, t)
        require_shape("encoder", self.encoder, outputs, len(x), self.n_outputs)


class DiffusionModel(EncoderModel):
    """Denoising score matching with a code: DRL, and VDRL with a `GaussianCode`.

    With ``x_t = alpha x0 + sigma eps`` and ``z`` drawn from ``E(view of x0)`` or
    ``E(view of x0, t)``, minimises

        || F(x_t, t, z) - target ||^2 / D + penalty of the code

    over encoder E and score network F (Mittal et al., 2023, equation of DRL). For a
    share `code_dropout` of the rows, z is replaced by a learned null code.

    With mixup the encoder sees ``a x0 + (1 - a) x0'``, where x0' is another row of the
    batch and ``a ~ U[0, 1]``, and the error of the row is multiplied by 2 a. With a
    reconstruction weight v, ``v || dec(z) - x0 ||^2 / D`` is added to the loss, where
    dec is a separate decoder. Both follow the code of Mittal et al.

    Parameters
    ----------
    score_network : callable
        ``score_network(shape, n_components)``, for points of this shape.
    preconditioning : type
        `EDM` or `Plain`, of `diffrep.core.preconditioning`.
    code_dropout : float
        Share of rows that are denoised with the null code.
    mixup : bool
        Whether the encoder sees mixtures of two rows.
    reconstruction_weight : float
        Weight v of the reconstruction; 0 has no decoder.
    **shared
        Parameters of :class:`EncoderModel`.
    """

    def __init__(
        self,
        *,
        score_network,
        preconditioning,
        code_dropout=0.0,
        mixup=False,
        reconstruction_weight=0.0,
        **shared,
    ):
        super().__init__(**shared)
        self.score_network = required_module(
            "score_network", score_network(self.space.shape, self.n_components)
        )
        self.null_code = nn.Parameter(torch.zeros(self.n_components))
        self.preconditioning = preconditioning
        self.code_dropout = code_dropout
        self.mixup = mixup
        self.reconstruction_weight = reconstruction_weight
        if reconstruction_weight:
            self.decoder = MLPDecoder(self.n_components, self.space.shape)

    def forward(
        self, x0: Tensor, x: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch, as means over its rows.

        Parameters
        ----------
        x0 : Tensor of shape (n, *space.shape)
            Rows to denoise, in the noise space.
        x : Tensor of shape (n, ...)
            The rows, of which the encoder sees a view.
        generator : torch.Generator
            Source of times, noise, views and dropped codes.
        """
        t = self.times.ppf(stratified(len(x0), generator))
        eps = torch.randn(x0.shape, generator=generator, device=x0.device)
        x, weight = self.view(x, generator), x0.new_ones(len(x0))
        if self.mixup:
            x, weight = mixup(x, generator)
        z, losses = self.code.draw(self.outputs(x, t), generator, x0[0].numel())
        if self.reconstruction_weight:
            error = weight * squared_error(self.decoder(z), x0)
            losses["reconstruction"] = self.reconstruction_weight * error.mean()
        u = torch.rand(len(x0), 1, generator=generator, device=x0.device)
        z = torch.where(u < self.code_dropout, self.null_code, z)
        error = weight * self.denoising_error(x0, eps, t, z)
        return {"denoising": self.times.mean_weight * error.mean(), **losses}

    def denoising_error(self, x0: Tensor, eps: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """Squared error of F for each row; shape ``(n,)``."""
        alpha, sigma = self.alpha_sigma(t, x0)
        x_t = self.perturbed(x0, t, eps)
        shown = self.preconditioning.network_input(x_t, alpha, sigma)
        target = self.preconditioning.target(x0, eps, alpha, sigma)
        return squared_error(self.score_network(shown, t, z), target)

    def perturbed(self, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """Noisy points ``x_t = alpha x0 + sigma eps``."""
        alpha, sigma = self.alpha_sigma(t, x0)
        return alpha * x0 + sigma * eps

    def noise_in(self, x_t: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """Estimate of eps from `x_t`."""
        alpha, sigma = self.alpha_sigma(t, x_t)
        return (x_t - alpha * self.denoised(x_t, t, z)) / sigma

    def denoised(self, x_t: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """Estimate of x0 from `x_t`, both in the noise space."""
        alpha, sigma = self.alpha_sigma(t, x_t)
        shown = self.preconditioning.network_input(x_t, alpha, sigma)
        F = self.score_network(shown, t, z)
        return self.preconditioning.denoised(x_t, F, alpha, sigma)

    def estimate(self, y: Tensor, t: Tensor, z: Tensor, guidance: float = 1.0):
        """Estimate of x0 from ``y = x_t / alpha``, for samplers.

        Parameters
        ----------
        y : Tensor of shape (n, *shape)
            Points of the noise space, like the estimate.
        t : Tensor of shape (1,)
            Time of all points.
        z : Tensor of shape (n, n_components)
        guidance : float
            Weight of the code: the estimate is ``D0 + guidance (Dz - D0)``, where D0
            is the one with the null code (Ho and Salimans, "Classifier-Free Diffusion
            Guidance", 2022).
        """
        t = t.expand(len(y))
        x_t = self.alpha_sigma(t, y)[0] * y
        estimate = self.denoised(x_t, t, z)
        if guidance == 1:
            return estimate
        without = self.denoised(x_t, t, self.null_code.expand_as(z))
        return without + guidance * (estimate - without)

    def time_of(self, nu: float, device=None) -> Tensor:
        """Time ``(1,)`` at a noise-to-signal ratio, clipped to [t_min, 1]."""
        t = self.sde.time_at(torch.tensor([nu], device=device))
        return t.clamp(self.sde.t_min, 1)

    @property
    def sde(self):
        """Noise process of the training times."""
        return self.times.sde

    def alpha_sigma(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return alpha(t) and sigma(t), shaped to broadcast over rows of `like`."""
        shape = (-1, *[1] * (like.ndim - 1))
        return self.sde.alpha(t).view(shape), self.sde.sigma(t).view(shape)

    def check_shapes(self, x: Tensor) -> None:
        super().check_shapes(x)
        x0 = self.space(x)
        t = torch.full((len(x0),), 0.5, device=x0.device)
        z = x0.new_zeros(len(x0), self.n_components)
        F = self.score_network(x0, t, z)
        require_shape("score_network", self.score_network, F, *x0.shape)


def required_module(name: str, network: Any) -> Any:
    """Return a network; raise TypeError if it is not an ``nn.Module``."""
    if not isinstance(network, nn.Module):
        raise TypeError(
            f"{name} returned {network!r:.200}; a factory must return an nn.Module."
        )
    return network


def require_shape(name: str, network: nn.Module, output: Tensor, *shape: int) -> None:
    """Raise ValueError if the output of a network has another shape or type."""
    returned = f"{name} {type(network).__name__} returned"
    if not isinstance(output, Tensor) or output.dtype != torch.float32:
        kind = getattr(output, "dtype", type(output).__name__)
        raise ValueError(f"{returned} {kind}; expected a tensor of float32.")
    if tuple(output.shape) != shape:
        raise ValueError(
            f"{returned} an output of shape {tuple(output.shape)} for a batch of "
            f"{shape[0]} rows; expected {shape}."
        )
