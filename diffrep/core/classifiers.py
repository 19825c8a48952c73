"""Modules and nets of classifiers of codes."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffrep.core.closed_form import in_blocks
from diffrep.core.rows import MixedBatches, Rows
from diffrep.core.training import SeededNet

__all__ = [
    "ClassifierModel",
    "ClassifierNet",
    "CurveReader",
    "LearnedTimeReader",
    "SemiSupervisedNet",
    "StackReader",
]

#: Root mean squared length of the centred codes that a head receives.
LENGTH = 4.0


class StackReader(nn.Module):
    """Rows that already are curves: concatenated codes of several times.

    Parameters
    ----------
    n_times, n_components : int
    """

    def __init__(self, n_times, n_components):
        super().__init__()
        self.shape = (n_times, n_components)

    def forward(self, x: Tensor) -> Tensor:
        """Curves ``(n, n_times, n_components)`` of rows with time-major columns."""
        return x.view(-1, *self.shape)


class CurveReader(nn.Module):
    """Curves of codes at fixed times, from a copy of a trained model.

    Parameters
    ----------
    model : EncoderModel
    times : Tensor of shape (T,)
    """

    times: Tensor

    def __init__(self, model, times):
        super().__init__()
        self.model = copy.deepcopy(model)
        self.shape = (len(times), model.n_columns)
        self.register_buffer("times", times)

    def forward(self, x: Tensor) -> Tensor:
        """Curves ``(n, T, n_components)`` of rows."""
        return self.model.codes(x, self.times)


class LearnedTimeReader(nn.Module):
    """Codes at a learned time, initially 1/2, from a copy of a trained model.

    Parameters
    ----------
    model : EncoderModel
    """

    def __init__(self, model):
        super().__init__()
        self.model = copy.deepcopy(model)
        self.shape = (1, model.n_columns)
        self.logit_t = nn.Parameter(torch.zeros(()))

    @property
    def t(self) -> Tensor:
        return torch.sigmoid(self.logit_t)

    def forward(self, x: Tensor) -> Tensor:
        """Curves ``(n, 1, n_components)`` of rows."""
        return self.model.codes(x, self.t[None])


class ClassifierModel(nn.Module):
    """Classifier of curves of codes, trained by cross-entropy on views of rows.

    Parameters
    ----------
    reader : nn.Module
        Maps rows to curves ``(n, *reader.shape)``.
    head : callable
        ``head(n_times, n_components, n_classes)``.
    n_classes : int
    augment : callable or None
        ``augment(x, generator)``, the view; None uses the rows themselves.
    n_views : int
        Number of views of a row in one step.
    mixup : bool
        Whether to mix rows: ``a x + (1 - a) x'`` with ``a ~ U[0, 1]`` and x' another
        row of the batch, the same for all views in a step.
    """

    centre: Tensor
    length: Tensor

    def __init__(
        self, *, reader, head, n_classes, augment=None, n_views=1, mixup=False
    ):
        super().__init__()
        self.reader = reader
        self.head = head(*reader.shape, n_classes)
        self.n_classes = n_classes
        self.augment, self.n_views, self.mixup = augment, n_views, mixup
        self.register_buffer("centre", torch.zeros(reader.shape))
        self.register_buffer("length", torch.ones(()))

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Set centre and length by which codes are standardised, from rows `x`."""
        curves = in_blocks(self.reader, x)
        self.centre.copy_(curves.mean(0))
        size = (curves - self.centre).square().sum(2).mean().sqrt()
        if size > 1e-5 * curves.abs().max():  # otherwise they differ by rounding only
            self.length.copy_(size / LENGTH)

    def curve(self, x: Tensor) -> Tensor:
        """Standardised curves ``(n, T, n_components)``, the input of the head."""
        return (self.reader(x) - self.centre) / self.length

    def logits(self, x: Tensor) -> Tensor:
        """Logits ``(n, n_classes)`` of rows."""
        return self.head(self.curve(x))

    def forward(
        self, x0: Tensor, y: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Loss of a batch of rows and their class indices ``(n,)``."""
        target = F.one_hot(y, self.n_classes).to(x0.dtype)
        views = [self._view(x0, generator) for _ in range(self.n_views)]
        if self.mixup:
            a = torch.rand((), generator=generator, device=x0.device)
            other = torch.randperm(len(x0), generator=generator, device=x0.device)
            views = [a * x + (1 - a) * x[other] for x in views]
            target = a * target + (1 - a) * target[other]
        logits = self.logits(torch.cat(views))
        loss = F.cross_entropy(logits, target.repeat(self.n_views, 1))
        return {"cross_entropy": loss}

    def _view(self, x, generator):
        return x if self.augment is None else self.augment(x, generator)


class ClassifierNet(SeededNet):
    """Net of a `ClassifierModel`; only the weights of its head are drawn."""

    def undrawn(self):
        return self.module_.head


class PseudoLabelledRows(Rows):
    """Rows whose classes are computed before each epoch.

    Parameters
    ----------
    X, standardizer, data_shape, given_shape, device
        As for :class:`Rows`.
    propagate : callable
        Returns the class indices ``(n,)`` of all rows.
    """

    def __init__(self, X, standardizer, data_shape, given_shape, device, propagate):
        super().__init__(X, standardizer, data_shape, given_shape, device)
        self.propagate = propagate


class SemiSupervisedNet(ClassifierNet):
    """Net whose batches hold a fixed number of labelled rows.

    Parameters
    ----------
    module : callable
    labelled : ndarray of bool
        Mask of the rows with a label.
    n_labelled : int
        Number of labelled rows in a batch.
    **kwargs
        Parameters of :class:`SeededNet`.
    """

    def __init__(self, module, *, labelled, n_labelled, **kwargs):
        super().__init__(module, **kwargs)
        self.labelled, self.n_labelled = labelled, n_labelled

    def on_epoch_begin(self, net, dataset_train=None, **kwargs):
        """Compute pseudo-labels with the current weights."""
        super().on_epoch_begin(net, dataset_train=dataset_train, **kwargs)
        if isinstance(dataset_train, PseudoLabelledRows):
            self.module_.eval()
            dataset_train.y = dataset_train.propagate()

    def get_iterator(self, dataset, training=False):
        if len(dataset) < len(self.labelled) or self.labelled.all():
            return super().get_iterator(dataset, training)
        return MixedBatches(
            dataset, self.batch_size, self.labelled, self.n_labelled, self._shuffled
        )
