"""Baselines with the encoders, views and training of the diffusion estimators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import torch
from numpy.typing import ArrayLike
from sklearn.utils import gen_batches

from diffrep._parts import (
    NOISE_CONSTRAINTS,
    noise_process,
    space_class,
    time_density,
)
from diffrep._validation import Interval, StrOptions, check_rows
from diffrep.base import (
    BaseRepresentation,
    TrainedRepresentation,
    check_is_trained,
)
from diffrep.core.augment import AUGMENTATIONS
from diffrep.core.baseline_models import (
    AutoencoderModel,
    ContrastiveModel,
    DenoiserModel,
    no_encoder,
)
from diffrep.core.codes import GaussianCode
from diffrep.core.device import in_usual_state
from diffrep.core.models import EncoderModel
from diffrep.core.preconditioning import EDM
from diffrep.core.score_networks import MLPScoreNetwork
from diffrep.core.sde import SDE
from diffrep.core.spaces import SPACES

__all__ = [
    "AutoencoderRepresentation",
    "DenoiserFeatures",
    "RandomEncoderRepresentation",
    "SimCLRRepresentation",
    "VariationalAutoencoderRepresentation",
]

SCORE_BATCH = 256


def _without(constraints, *names):
    """Remove the constraints of names that are not parameters of a class."""
    return {name: c for name, c in constraints.items() if name not in names}


@dataclass(eq=False, kw_only=True, repr=False, match_args=False)
class _BaseAutoencoder(TrainedRepresentation):
    """Base class of the two autoencoders."""

    reconstruction_loss: str = "squared_error"
    target_space: str = "data"

    _parameter_constraints: ClassVar[dict] = {
        **TrainedRepresentation._parameter_constraints,
        "reconstruction_loss": [StrOptions({"squared_error", "bce"})],
        "target_space": [StrOptions(set(SPACES))],
    }

    def _reconstruction_arguments(self, data_shape):
        if self.reconstruction_loss == "bce" and self.target_space != "data":
            raise ValueError(
                f"reconstruction_loss='bce' is for data, not for target_space="
                f"{self.target_space!r}. Use target_space='data', or reconstruction_"
                "loss='squared_error'."
            )
        return {
            "cross_entropy": self.reconstruction_loss == "bce",
            "space": space_class("target_space", self.target_space, "mlp", data_shape),
        }

    @in_usual_state
    def score(self, X, y=None):
        """Measure how well rows are reconstructed from codes; higher is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : None
            Ignored.

        Returns
        -------
        score : float
            Negative mean of the reconstruction loss over rows, coordinates and, with
            ``time_conditioning="full"``, the times of `t_grid_`: squared error in
            `target_space`, of standardised data, or cross-entropy in nats.
        """
        check_is_trained(self)
        X = check_rows(self, X, reset=False)
        rows, model = self._rows(X), self.net_.module_
        times = self._tensor_times()
        total = 0.0
        with torch.inference_mode(), self.net_.autocast():
            for batch in gen_batches(len(X), SCORE_BATCH):
                x, _ = rows[batch]
                points = model.space(x)
                curves = model.curve(x, times)
                for z in curves.unbind(1):
                    error = model.reconstruction_error(points, z)
                    total += float(error.sum()) / curves.shape[1]
        return -total / len(X)


class AutoencoderRepresentation(_BaseAutoencoder):
    """Codes from which rows can be reconstructed: an autoencoder.

    The encoder sees a view of the row that is reconstructed.
    ``augment=None, init="random"`` gives the plain autoencoder of the paper.

    Parameters
    ----------
    n_components : int, default=128
        Length of the code.
    reconstruction_loss : {"squared_error", "bce"}, default="squared_error"
        Squared error of standardised data, or binary cross-entropy of data scaled to
        [0, 1] by the smallest and largest value of each feature, or of each channel of
        images.
    target_space : {"data", "pca", "features"}, default="data"
        Space in which rows are reconstructed, as for the parameter `noise_space` of
        :class:`diffrep.DiffusionRepresentation`.

    See Also
    --------
    VariationalAutoencoderRepresentation : The same with a probabilistic code.
    diffrep.DiffusionRepresentation : All other parameters, and the attributes
        after `fit`, are described there. With ``time_conditioning="full"``, t is
        only an input of the encoder here, and drawn uniformly in training.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from diffrep.baselines import AutoencoderRepresentation
    >>> X, _ = load_wine(return_X_y=True)
    >>> rep = AutoencoderRepresentation(n_components=4, max_epochs=2, random_state=0)
    >>> rep.fit_transform(X).shape
    (178, 4)
    """

    def make_model(self, data_shape):
        return AutoencoderModel, self._reconstruction_arguments(data_shape)


@dataclass(eq=False, kw_only=True, repr=False, match_args=False)
class VariationalAutoencoderRepresentation(_BaseAutoencoder):
    """Autoencoder with a Gaussian code that is regularised towards N(0, I).

    As :class:`AutoencoderRepresentation`; `transform` returns the mean.

    Parameters
    ----------
    n_components : int, default=128
        Length of the code.
    kl_weight : float, default=0.1
        Weight of ``KL(E(z | x0) || N(0, I))``. With 1 the loss is the negative evidence
        lower bound, for a decoder of unit variance if the reconstruction loss is the
        squared error.
    target_space : {"data", "pca", "features"}, default="data"
        Space in which rows are reconstructed, as for
        :class:`AutoencoderRepresentation`.

    See Also
    --------
    AutoencoderRepresentation : The same with a deterministic code; all other
        parameters are described there.

    References
    ----------
    Kingma and Welling, "Auto-Encoding Variational Bayes", 2014; for weights
    other than 1, Higgins et al., "beta-VAE", 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from diffrep.baselines import VariationalAutoencoderRepresentation
    >>> X, _ = load_wine(return_X_y=True)
    >>> rep = VariationalAutoencoderRepresentation(
    ...     n_components=4, max_epochs=2, random_state=0
    ... )
    >>> rep.fit_transform(X).shape
    (178, 4)
    """

    kl_weight: float = 0.1

    _parameter_constraints: ClassVar[dict] = {
        **_BaseAutoencoder._parameter_constraints,
        "kl_weight": [Interval(Real, 0, None, closed="left")],
    }

    _changeable: ClassVar[set[str]] = {*TrainedRepresentation._changeable, "kl_weight"}

    def make_model(self, data_shape):
        arguments = self._reconstruction_arguments(data_shape)
        # A Gaussian of unit variance has half the squared error in its exponent.
        weight = self.kl_weight * (1 if arguments["cross_entropy"] else 2)
        return AutoencoderModel, {**arguments, "code": GaussianCode(weight)}


@dataclass(eq=False, kw_only=True, repr=False, match_args=False)
class SimCLRRepresentation(TrainedRepresentation):
    """Codes that distinguish the views of a row from those of other rows: simCLR.

    The contrastive loss is applied to the outputs of a projection head, which
    `transform` does not use. ``augment="gaussian"`` is simCLR-Gauss, and
    ``augment="table"`` uses the views of SCARF.

    Parameters
    ----------
    n_components : int, default=128
        Length of the code.
    augment : str or callable, default="auto"
        The random views. None raises ValueError, since simCLR needs views.
    temperature : float, default=0.2
        Divisor of the cosines before the softmax.

    See Also
    --------
    diffrep.DiffusionRepresentation : All other parameters, and the attributes
        after `fit`, are described there. With ``time_conditioning="full"``, t is
        only an input of the encoder here, and drawn uniformly in training.

    References
    ----------
    Chen, Kornblith, Norouzi and Hinton, "A Simple Framework for Contrastive
    Learning of Visual Representations", 2020. Bahri et al., "SCARF", 2022.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from diffrep.baselines import SimCLRRepresentation
    >>> X, _ = load_wine(return_X_y=True)
    >>> rep = SimCLRRepresentation(n_components=4, max_epochs=2, random_state=0)
    >>> rep.fit_transform(X).shape
    (178, 4)
    """

    augment: str | Callable = "auto"
    batch_size: int = 256
    temperature: float = 0.2

    _parameter_constraints: ClassVar[dict] = {
        **TrainedRepresentation._parameter_constraints,
        "augment": [StrOptions({"auto", *AUGMENTATIONS}), callable],
        "batch_size": [Interval(Integral, 2, None, closed="left")],  # others to repel
        "temperature": [Interval(Real, 0, None, closed="neither")],
    }

    _changeable: ClassVar[set[str]] = {
        *TrainedRepresentation._changeable,
        "temperature",
    }

    def make_model(self, data_shape):
        return ContrastiveModel, {"temperature": self.temperature}


@dataclass(eq=False, kw_only=True, repr=False, match_args=False)
class RandomEncoderRepresentation(BaseRepresentation):
    """Codes of a random encoder that is not trained, as a lower bound.

    Parameters
    ----------
    n_components : int, default=128
        Length of the code.

    See Also
    --------
    diffrep.DiffusionRepresentation : All other parameters are described there;
        ``max_epochs=0`` gives the codes of its closed-form initialisation.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from diffrep.baselines import RandomEncoderRepresentation
    >>> X, _ = load_wine(return_X_y=True)
    >>> rep = RandomEncoderRepresentation(n_components=4, random_state=0)
    >>> rep.fit_transform(X).shape
    (178, 4)
    """

    # Constants instead of parameters, which mypy does not support.
    init: ClassVar[str] = "random"  # type: ignore[misc]
    augment: ClassVar[None] = None  # type: ignore[misc]

    _parameter_constraints: ClassVar[dict] = _without(
        BaseRepresentation._parameter_constraints, "init", "augment"
    )

    def make_model(self, data_shape):
        return EncoderModel, {}


@dataclass(eq=False, repr=False, match_args=False)
class DenoiserFeatures(TrainedRepresentation):
    """Hidden states of a score network without a code (DDAE).

    The network denoises views of rows, in the same space as
    :class:`diffrep.DiffusionRepresentation`. The code of a row at time t is a hidden
    state of the network for the input ``alpha(t) x0``, the mean of x_t.

    Parameters
    ----------
    n_components : int, default=256
        Width of the score network, and so the length of the code.
    t_grid : int or array-like of shape (T,), default=1
        Times of the codes; an int T means the (i - 1/2)/T quantiles of the density of
        training times.
    layer : int, default=1
        Hidden state to use: 0 is before the first residual block, 1 after it, 2 after
        the second and last.
    sde, time_sampling : optional
        As in :class:`diffrep.DiffusionRepresentation`.

    See Also
    --------
    diffrep.DiffusionRepresentation : All other parameters, and the attributes
        after `fit`, are described there.

    References
    ----------
    Xiang, Yang, Huang and Wang, "Denoising Diffusion Autoencoders are Unified
    Self-supervised Learners", 2023.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from diffrep.baselines import DenoiserFeatures
    >>> X, _ = load_wine(return_X_y=True)
    >>> rep = DenoiserFeatures(n_components=16, max_epochs=2, random_state=0)
    >>> rep.fit_transform(X).shape
    (178, 16)
    """

    n_components: int = 256
    _: KW_ONLY
    t_grid: int | ArrayLike = 1
    # Constants instead of parameters, which mypy does not support.
    encoder: ClassVar[str] = "auto"  # type: ignore[misc]
    network_size: ClassVar[str] = "base"  # type: ignore[misc]
    init: ClassVar[str] = "random"  # type: ignore[misc]
    time_conditioning: ClassVar[str] = "full"  # type: ignore[misc]
    layer: int = 1
    sde: str | SDE = "ve"
    time_sampling: Any = "log_normal"

    _parameter_constraints: ClassVar[dict] = {
        **_without(
            TrainedRepresentation._parameter_constraints,
            "encoder",
            "network_size",
            "init",
            "time_conditioning",
        ),
        "t_grid": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "max_epochs": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "layer": [Interval(Integral, -3, 2, closed="both")],
        **NOISE_CONSTRAINTS,
    }

    _changeable: ClassVar[set[str]] = {
        *TrainedRepresentation._changeable,
        "time_sampling",
    }

    def _times(self):
        return self._density(self.time_sampling)

    def _density(self, time_sampling):
        return time_density(time_sampling, noise_process(self.sde))

    def make_model(self, data_shape):
        return DenoiserModel, {
            "encoder": no_encoder,
            "layer": self.layer,
            "space": space_class("noise_space", "auto", "mlp", data_shape),
            "score_network": partial(MLPScoreNetwork, width=self.n_components),
            "preconditioning": EDM,
        }
