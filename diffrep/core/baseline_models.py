"""Models of the baselines.

They have an encoder and no score network, except for DDAE features, which have a score
network and no encoder.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffrep.core.closed_form import ViewedRows
from diffrep.core.layers import Linear
from diffrep.core.models import DiffusionModel, EncoderModel, require_shape
from diffrep.core.objectives import contrastive_loss, squared_error
from diffrep.core.score_networks import MLPDecoder
from diffrep.core.spaces import DataSpace
from diffrep.core.time_sampling import stratified

__all__ = [
    "AutoencoderModel",
    "ContrastiveModel",
    "DenoiserModel",
    "no_encoder",
]


class AutoencoderModel(EncoderModel):
    """Reconstruction of rows from their codes: AE, and VAE with a `GaussianCode`.

    Minimises the squared error per coordinate, or the binary cross-entropy of rows
    scaled to [0, 1]. A time-conditioned encoder gets a random t, as in the code of
    Mittal et al. (2023).

    Parameters
    ----------
    cross_entropy : bool
        Whether the loss is the cross-entropy, in nats per coordinate.
    **shared
        Parameters of :class:`EncoderModel`.
    """

    low: Tensor
    high: Tensor

    def __init__(self, *, cross_entropy, **shared):
        super().__init__(**shared)
        self.cross_entropy = cross_entropy
        self.decoder = MLPDecoder(self.n_components, self.space.shape)
        for name in ("low", "high"):
            self.register_buffer(name, torch.zeros(self.space.shape))

    def initialize(self, rows: ViewedRows) -> None:
        """Fit the space, and the range of each feature, or channel of images."""
        super().initialize(rows)
        if not self.cross_entropy:
            return
        X = rows.X
        alike = [0, *range(2, X.ndim)]
        self.low.copy_(X.amin(alike, keepdim=True)[0].expand_as(self.low))
        self.high.copy_(X.amax(alike, keepdim=True)[0].expand_as(self.high))

    def forward(self, x0, x, generator):
        """Losses of a batch; arguments as in :meth:`DiffusionModel.forward`."""
        t = self.times.ppf(stratified(len(x0), generator))
        outputs = self.outputs(self.view(x, generator), t)
        z, penalty = self.code.draw(outputs, generator, x0[0].numel())
        return {"reconstruction": self.reconstruction_error(x0, z).mean(), **penalty}

    def reconstruction_error(self, x0: Tensor, z: Tensor) -> Tensor:
        """Error of the reconstruction of each row; shape ``(n,)``."""
        if not self.cross_entropy:
            return squared_error(self.decoder(z), x0)
        target = (x0 - self.low) / (self.high - self.low).clamp(min=1e-6)
        logits, target = self.decoder(z), target.clamp(0, 1)
        error = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return error.flatten(1).mean(1)


class ContrastiveModel(EncoderModel):
    """Contrastive learning of codes from two views of each row (simCLR).

    Parameters
    ----------
    temperature : float
        Temperature of the softmax over cosines.
    n_projected : int
        Number of outputs of the projection head, which is used in training only.
    **shared
        Parameters of :class:`EncoderModel`.

    References
    ----------
    Chen, Kornblith, Norouzi and Hinton, "A Simple Framework for Contrastive
    Learning of Visual Representations", 2020.
    """

    def __init__(self, *, temperature, n_projected=64, **shared):
        super().__init__(**shared)
        self.temperature = temperature
        width = 2 * self.n_components
        self.projection = nn.Sequential(
            Linear(self.n_components, width), nn.ReLU(), Linear(width, n_projected)
        )

    def forward(self, x0, x, generator):
        """Losses of a batch; arguments as in :meth:`DiffusionModel.forward`."""
        t = self.times.ppf(stratified(len(x0), generator))
        first, second = (
            self.projection(self.outputs(self.view(x, generator), t)) for _ in range(2)
        )
        loss = contrastive_loss(first, second, self.temperature)
        return {"contrastive": loss.mean()}


def no_encoder(data_shape, n_outputs, time_conditioned):
    """Return a module in place of an encoder."""
    return nn.Identity()


class DenoiserModel(DiffusionModel):
    """Score matching without a code; codes are hidden states of the score network.

    Parameters
    ----------
    layer : int
        Index of the hidden state in ``score_network.states``.
    **rest
        Parameters of :class:`DiffusionModel`; the encoder is not used.

    References
    ----------
    Xiang, Yang, Huang and Wang, "Denoising Diffusion Autoencoders are Unified
    Self-supervised Learners", 2023.
    """

    def __init__(self, *, layer, **rest):
        super().__init__(**rest)
        self.layer = layer

    @property
    def target_space(self):
        """The data; `forward` maps views of them to the noise space."""
        return DataSpace(self.data_shape)

    def forward(self, x0, x, generator):
        """Losses of a batch of views of `x`."""
        x0 = self.space(self.view(x, generator))
        t = self.times.ppf(stratified(len(x0), generator))
        eps = torch.randn(x0.shape, generator=generator, device=x0.device)
        z = self.null_code.expand(len(x0), -1)
        return {"denoising": self.denoising_error(x0, eps, t, z).mean()}

    def outputs(self, x, t):
        # The mean of x_t instead of a sample, so that codes are deterministic.
        x0 = self.space(x)
        alpha, sigma = self.alpha_sigma(t, x0)
        shown = self.preconditioning.network_input(alpha * x0, alpha, sigma)
        z = self.null_code.expand(x0.shape[0], -1)
        return self.score_network.states(shown, t, z)[self.layer]

    def check_shapes(self, x):
        t = torch.full((len(x),), 0.5, device=x.device)
        found = self.outputs(x, t)
        require_shape("score_network", self.score_network, found, 2, self.n_components)
