"""Kinds of data: what is chosen for rows of a kind where nothing else is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from diffrep.core.banks import ImageBank, RowBank

__all__ = ["IMAGE", "TABLE", "Kind", "kind_of"]


@dataclass(frozen=True)
class Kind:
    """A kind of data.

    Parameters
    ----------
    bank : callable
        ``bank(data_shape)``, the features that are fitted in closed form.
    encoder, noise_space : str
        Defaults of the parameters of these names.
    view : callable
        From the shape of a row to the default of `augment`.
    n_readout_fits : int
        How often the read-out fits stable components: a second fit helps codes of
        images where labels are few; on tables it takes from what a classifier on
        many labels needs.
    shares_scale : bool
        Whether the columns of a channel share one mean and scale.
    """

    bank: Callable
    encoder: str
    noise_space: str
    view: Callable[[tuple[int, ...]], str]
    n_readout_fits: int
    shares_scale: bool


def _view_of_images(data_shape):
    # What has no colour is often writing, which means another thing mirrored.
    return "photo" if data_shape[0] == 3 else "image"


TABLE = Kind(
    bank=RowBank,
    encoder="mlp",
    noise_space="pca",
    view=lambda data_shape: "table",
    n_readout_fits=1,
    shares_scale=False,
)
IMAGE = Kind(
    bank=ImageBank,
    encoder="conv",
    noise_space="features",
    view=_view_of_images,
    n_readout_fits=2,
    shares_scale=True,
)


def kind_of(data_shape: tuple[int, ...]) -> Kind:
    """Return the kind of rows of a shape: (n_features,), or that of an image."""
    return IMAGE if len(data_shape) == 3 else TABLE
