"""Kinds of data, tables, signals and images, with the defaults of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from diffrep.core.banks import ImageBank, RowBank, SignalBank

__all__ = ["KINDS", "Kind", "kind_of"]


@dataclass(frozen=True)
class Kind:
    """A kind of data.

    Parameters
    ----------
    name : str
        Name of its rows in error messages.
    shape : str
        Parameter for the shape of a row.
    bank : callable
        ``bank(data_shape)``, features that are fitted in closed form.
    encoder, noise_space : str
        Defaults of the parameters of these names.
    view : callable
        Default of `augment`, as a function of the shape of a row.
    takes : set of str
        Names of encoders, score networks and views that are for some kinds only.
    n_readout_fits : int
        Number of fits of stable components in the read-out. Two fits improve codes of
        images with few labels; on tables and signals they make codes worse with many.
    shares_scale : bool
        Whether the columns of a channel share one mean and scale.
    n_places : int or None
        Number of pixels or samples to which larger images and longer signals are
        averaged down, for networks of size 1.
    interpolation : str
        Mode of torch's `interpolate` by which they are enlarged again.
    """

    name: str
    shape: str
    bank: Callable
    encoder: str
    noise_space: str
    view: Callable[[tuple[int, ...]], str]
    takes: frozenset[str]
    n_readout_fits: int
    shares_scale: bool
    n_places: int | None = None
    interpolation: str = "nearest"


def _view_of_images(data_shape):
    # Images without colour are often writing, whose meaning changes if mirrored.
    return "photo" if data_shape[0] == 3 else "image"


_TABLE = Kind(
    name="table",
    shape="no shape",
    bank=RowBank,
    encoder="mlp",
    noise_space="pca",
    view=lambda data_shape: "table",
    takes=frozenset(),
    n_readout_fits=1,
    shares_scale=False,
)
_SIGNAL = Kind(
    name="signals",
    shape="signal_shape=(channels, length)",
    bank=SignalBank,
    encoder="windows",
    noise_space="features",
    view=lambda data_shape: "signal",
    takes=frozenset({"windows", "unet", "signal"}),
    n_readout_fits=0,
    shares_scale=True,
    n_places=512,
    interpolation="linear",
)
_IMAGE = Kind(
    name="images",
    shape="image_shape=(channels, height, width)",
    bank=ImageBank,
    encoder="conv",
    noise_space="features",
    view=_view_of_images,
    takes=frozenset({"conv", "deep_conv", "wide_resnet", "unet", "image", "photo"}),
    n_readout_fits=2,
    shares_scale=True,
    n_places=48 * 48,
    interpolation="bilinear",
)

#: By the number of sides of a row: (n_features,), (channels, length) and (channels,
#: height, width).
KINDS = (_TABLE, _SIGNAL, _IMAGE)


def kind_of(data_shape: tuple[int, ...]) -> Kind:
    """Return the kind of rows of a shape."""
    return KINDS[len(data_shape) - 1]
