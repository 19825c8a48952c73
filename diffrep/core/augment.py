"""Random views of a batch.

A view is a function ``augment(x, generator)`` of a batch ``(n, *data_shape)`` of
standardised data. It returns a new batch of the same shape and draws all random
numbers from `generator`, independently for each row. The encoder sees a view of the
row that is denoised, so the code holds what views of a row have in common.

Since data are standardised, changes of colour are in standard deviations of the data,
and areas that are cut out become 0, the mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "AUGMENTATIONS",
    "Chain",
    "blur",
    "check_like",
    "check_view",
    "color_jitter",
    "corrupt_features",
    "crop",
    "cutout",
    "deform",
    "drop_channels",
    "flip",
    "gaussian_noise",
    "mixup",
    "rescale",
    "warp_time",
]


def deform(
    x: Tensor,
    generator: torch.Generator,
    rotation: float = 15.0,
    scale: float = 0.15,
    shear: float = 0.15,
    shift: float = 0.05,
    bending: float = 0.04,
) -> Tensor:
    """Apply small random affine maps and smooth displacements to images.

    Parameters
    ----------
    x : Tensor of shape (n, C, H, W)
    generator : torch.Generator
    rotation : float
        Largest angle, in degrees.
    scale : float
        Largest change of the logarithm of the size.
    shear : float
        Largest shear.
    shift : float
        Largest shift, as a share of the side.
    bending : float
        Standard deviation of the displacements, as a share of the side: sums of
        the 4 x 4 lowest cosines.

    Returns
    -------
    view : Tensor of shape (n, C, H, W)

    References
    ----------
    Simard, Steinkraus and Platt, "Best Practices for Convolutional Neural
    Networks Applied to Visual Document Analysis", 2003.
    """
    angle = _uniform(x, generator, math.radians(rotation))
    size = _uniform(x, generator, scale).exp()
    cos, sin = size * angle.cos(), size * angle.sin()
    theta = x.new_empty(len(x), 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = cos, _uniform(x, generator, shear) - sin
    theta[:, 1, 0], theta[:, 1, 1] = sin, cos
    theta[:, :, 2] = _uniform(x, generator, 2 * shift, 2)  # a side is 2 long
    waves = torch.randn(len(x), 2, 4, 4, generator=generator, device=x.device)
    along_rows, along_columns = (_cosines(n, 4, x.device) for n in x.shape[2:])
    bent = 2 * bending * (along_rows @ waves @ along_columns.T)
    return _resampled(x, theta, bent)


def crop(
    x: Tensor,
    generator: torch.Generator,
    smallest: float = 0.3,
    aspect: float = 4 / 3,
) -> Tensor:
    """Cut out a random rectangle of every image and stretch it to full size.

    Parameters
    ----------
    x : Tensor of shape (n, C, H, W)
    generator : torch.Generator
    smallest : float
        Smallest share of the area that is kept; the share is uniform up to 1.
    aspect : float
        Largest ratio of the sides, relative to that of the image.

    Returns
    -------
    view : Tensor of shape (n, C, H, W)
    """
    area = smallest + (1 - smallest) * _share(x, generator)
    # A share above 1 / aspect leaves less room: no side is longer than the image's.
    bound = area.log().neg().clamp(max=math.log(aspect)) / 2
    ratio = (bound * _uniform(x, generator, 1.0)).exp()
    sides = torch.stack([area.sqrt() * ratio, area.sqrt() / ratio], dim=1)
    theta = x.new_zeros(len(x), 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = sides.T
    theta[:, :, 2] = (1 - sides) * _uniform(x, generator, 1.0, 2)
    return _resampled(x, theta)


def flip(x: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror half of the images left to right, at random.

    Parameters
    ----------
    x : Tensor of shape (n, C, H, W)
    generator : torch.Generator

    Returns
    -------
    view : Tensor of shape (n, C, H, W)
    """
    return torch.where(_maps(_share(x, generator)) < 0.5, x.flip(3), x)


def color_jitter(
    x: Tensor,
    generator: torch.Generator,
    brightness: float = 0.8,
    contrast: float = 0.5,
    saturation: float = 0.5,
    hue: float = 0.1,
    share: float = 0.8,
    grey: float = 0.1,
) -> Tensor:
    """Change brightness, contrast, saturation and hue of images.

    Parameters
    ----------
    x : Tensor of shape (n, C, H, W)
    generator : torch.Generator
    brightness : float
        Largest shift of all values, in standard deviations of the data.
    contrast, saturation : float
        Largest change of the logarithm of the distance of a pixel from the
        mean of its image, and from the mean of its channels.
    hue : float
        Largest rotation of the colour circle, in whole turns; for images with three
        channels only.
    share : float
        Share of the images that are changed.
    grey : float
        Share of the images that are converted to greyscale.

    Returns
    -------
    view : Tensor of shape (n, C, H, W)
    """
    # All changes together are one affine map of the channels of each image.
    n_channels = x.shape[1]
    grey_part = x.new_full((n_channels, n_channels), 1 / n_channels)
    identity = torch.eye(n_channels, device=x.device)
    color_part = identity - grey_part
    scale = _uniform(x, generator, saturation).exp()
    scale = torch.where(_share(x, generator) < grey, 0.0, scale)[:, None, None]
    angle = _uniform(x, generator, 2 * math.pi * hue)[:, None, None]
    if n_channels == 3:
        across = (color_part.roll(1, 0) - color_part.roll(-1, 0)) / math.sqrt(3)
        color_part = angle.cos() * color_part + angle.sin() * across
    stretch = _uniform(x, generator, contrast).exp()[:, None, None]
    mean = x.mean((1, 2, 3))[:, None, None]
    shift = (1 - stretch) * mean + _uniform(x, generator, brightness)[:, None, None]
    matrix = stretch * (grey_part + scale * color_part)
    changed = (_share(x, generator) < share)[:, None, None]
    view = torch.where(changed, matrix, identity) @ x.flatten(2)
    return view.add_(shift * changed).to(x.dtype).view_as(x)  # autocast rounds


def blur(
    x: Tensor, generator: torch.Generator, largest: float = 1.0, share: float = 0.5
) -> Tensor:
    """Blur images by Gaussians of random width.

    Parameters
    ----------
    x : Tensor of shape (n, C, H, W)
    generator : torch.Generator
    largest : float
        Largest standard deviation of the Gaussian, in pixels.
    share : float
        Share of the images that are blurred.

    Returns
    -------
    view : Tensor of shape (n, C, H, W)
    """
    reach = math.ceil(2 * largest)
    std = largest * _share(x, generator)
    # Other images are blurred by a width near 0. To select the chosen ones, the CPU
    # would have to wait for the GPU.
    std = torch.where(_share(x, generator) < share, std, 0.0).clamp(min=1e-6)
    offsets = torch.arange(-reach, reach + 1, device=x.device)
    weights = (-((offsets / std[:, None]) ** 2) / 2).softmax(1)
    # For each image, one matrix averages over columns and one over rows.
    down, across = (
        _averages(weights, offsets, n_pixels)[:, None].to(x.dtype)
        for n_pixels in x.shape[2:]
    )
    return (down @ x @ across.mT).to(x.dtype)  # autocast rounds


def cutout(x: Tensor, generator: torch.Generator, largest: float = 0.5) -> Tensor:
    """Set a random square of every image to 0.

    Parameters
    ----------
    x : Tensor of shape (n, C, H, W)
    generator : torch.Generator
    largest : float
        Largest side of the square, as a share of each side of the image; its
        centre is uniform over the image.

    Returns
    -------
    view : Tensor of shape (n, C, H, W)

    References
    ----------
    DeVries and Taylor, "Improved Regularization of Convolutional Neural
    Networks with Cutout", 2017.
    """
    half = largest * _share(x, generator) / 2
    inside = []
    for n_pixels in x.shape[2:]:
        middle = (torch.arange(n_pixels, device=x.device) + 0.5) / n_pixels
        centre = _share(x, generator)
        inside.append((middle - centre[:, None]).abs() < half[:, None])
    rows, columns = inside
    return x.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)


def warp_time(
    x: Tensor,
    generator: torch.Generator,
    shift: float = 0.1,
    stretch: float = 0.1,
    bending: float = 0.1,
) -> Tensor:
    """Shift, stretch and smoothly warp signals in time.

    Parameters
    ----------
    x : Tensor of shape (n, C, L)
    generator : torch.Generator
    shift : float
        Largest shift, as a share of the length. The first and the last value are
        repeated at the ends.
    stretch : float
        Largest relative change of the length.
    bending : float
        Three sine waves, of one, two and three half waves, are added to time. This is
        the largest amplitude of the first, as a share of half the length; those of the
        others are a half and a third of it.

    Returns
    -------
    view : Tensor of shape (n, C, L)
    """
    length = x.shape[2]
    time = (2 * torch.arange(length, device=x.device) + 1) / length - 1
    k = torch.arange(1, 4, device=x.device)
    waves = torch.sin(math.pi * k[:, None] * (time + 1) / 2)
    # A signal is an image of height one, which is not changed.
    theta, bent = x.new_zeros(len(x), 2, 3), x.new_zeros(len(x), 2, 1, length)
    bent[:, 0, 0] = (_uniform(x, generator, bending, 3) / k) @ waves
    theta[:, 0, 0] = 1 + _uniform(x, generator, stretch)
    theta[:, 0, 2] = _uniform(x, generator, 2 * shift)
    return _resampled(x[:, :, None], theta, bent)[:, :, 0]


def rescale(x: Tensor, generator: torch.Generator, largest: float = 0.1) -> Tensor:
    """Multiply every channel of every signal by a random factor near 1.

    Parameters
    ----------
    x : Tensor of shape (n, C, L)
    generator : torch.Generator
    largest : float
        Largest logarithm of the factor.

    Returns
    -------
    view : Tensor of shape (n, C, L)
    """
    return x * _uniform(x, generator, largest, x.shape[1], 1).exp()


def drop_channels(x: Tensor, generator: torch.Generator, share: float = 0.1) -> Tensor:
    """Set a random share of the channels of every signal to 0; a single one is kept.

    Parameters
    ----------
    x : Tensor of shape (n, C, L)
    generator : torch.Generator
    share : float
        Share of the channels that are dropped.

    Returns
    -------
    view : Tensor of shape (n, C, L)
    """
    n_channels = x.shape[1]
    if n_channels == 1:
        return x
    u = torch.rand(len(x), n_channels, 1, generator=generator, device=x.device)
    return x * (u >= share)


def gaussian_noise(x: Tensor, generator: torch.Generator, std: float = 1.0) -> Tensor:
    """Add Gaussian noise.

    Parameters
    ----------
    x : Tensor of shape (n, ...)
    generator : torch.Generator
    std : float
        Standard deviation, in units of the standardised data.

    Returns
    -------
    view : Tensor of shape (n, ...)
    """
    noise = torch.randn(x.shape, generator=generator, device=x.device)
    return x + std * noise


def corrupt_features(
    x: Tensor, generator: torch.Generator, share: float = 0.3
) -> Tensor:
    """Replace a random share of entries by those of other rows.

    Each replaced entry comes from the same feature of a random row of the
    batch, so it follows the feature's own distribution.

    Parameters
    ----------
    x : Tensor of shape (n, n_features)
    generator : torch.Generator
    share : float
        Share of the entries that are replaced.

    Returns
    -------
    view : Tensor of shape (n, n_features)

    References
    ----------
    Bahri et al., "SCARF: Self-Supervised Contrastive Learning using Random
    Feature Corruption", 2022.
    """
    u = torch.rand(x.shape, generator=generator, device=x.device)
    donor = torch.randint(len(x), x.shape, generator=generator, device=x.device)
    return torch.where(u < share, x.gather(0, donor), x)


def mixup(x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mix every row with another row of the batch, in random shares.

    Returns
    -------
    mixed : Tensor of shape (n, *data_shape)
        ``a x + (1 - a) x'`` with ``a ~ U[0, 1]``.
    weight : Tensor of shape (n,)
        Weight ``2 a`` of the error of the row.
    """
    a = _share(x, generator)
    others = x[torch.randperm(len(x), generator=generator, device=x.device)]
    shares = a.view(-1, *[1] * (x.ndim - 1))
    return shares * x + (1 - shares) * others, 2 * a


class Chain:
    """Composition of views: ``Chain(crop, flip)(x, generator)`` crops, then flips.

    Parameters
    ----------
    *augments : callable
        Views ``augment(x, generator)``.
    """

    def __init__(self, *augments: Callable[[Tensor, torch.Generator], Tensor]):
        self.augments = augments

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        for augment in self.augments:
            x = augment(x, generator)
        return x

    def __repr__(self):
        names = [getattr(f, "__name__", repr(f)) for f in self.augments]
        return f"Chain({', '.join(names)})"


def check_view(augment, x: Tensor, generator: torch.Generator) -> None:
    """Raise an error unless ``augment(x, generator)`` is a view of a batch.

    Parameters
    ----------
    augment : callable or None
    x : Tensor of shape (n, ...)
    generator : torch.Generator

    Raises
    ------
    ValueError
        If `augment` raises an error, or returns something else than finite numbers of
        the shape and type of `x`.
    """
    if augment is not None:
        check_like(
            x,
            lambda: augment(x, generator),
            f"augment={augment!r}",
            f"for a batch of shape {tuple(x.shape)}. It must accept (x, generator) and "
            "return finite numbers of the shape and type of x.",
        )


def check_like(x: Tensor, call: Callable[[], Any], name: str, advice: str) -> None:
    """Raise ValueError unless ``call()``, of the user, returns finite numbers like `x`.

    The message consists of `name`, what is wrong, and `advice`.
    """
    fault, cause = "", None
    try:
        found = call()
        if not isinstance(found, Tensor):
            fault = f"returns an object of type {type(found).__name__}"
        elif (found.shape, found.dtype) != (x.shape, x.dtype):
            kind = f"shape {tuple(found.shape)} and type {found.dtype}"
            fault = f"returns a tensor of {kind}"
        elif not found.isfinite().all():
            fault = "returns infinite values or NaN"
    except Exception as error:
        fault, cause = f"raises {type(error).__name__} ({error})", error
    if fault:
        raise ValueError(f"{name} {fault} {advice}") from cause


def _share(x, generator):
    """Draw one number in [0, 1) per row."""
    return torch.rand(len(x), generator=generator, device=x.device)


def _uniform(x, generator, bound, *shape):
    """Draw numbers of this shape in [-bound, bound) per row."""
    u = torch.rand(len(x), *shape, generator=generator, device=x.device)
    return bound * (2 * u - 1)


def _maps(values):
    """Reshape values ``(n,)`` to broadcast against ``(n, C, H, W)``."""
    return values[:, None, None, None]


def _averages(weights, offsets, n_pixels):
    """Matrices of averages over `offsets` of a pixel, with repeated border pixels."""
    pixels = torch.arange(n_pixels, device=offsets.device)
    sources = (pixels[:, None] + offsets).clamp(0, n_pixels - 1)
    # Not F.one_hot, which reads the sources.
    identity = torch.eye(n_pixels, device=offsets.device)
    return torch.einsum("nk,ikj->nij", weights, identity[sources])


def _cosines(n_pixels, n_waves, device):
    """Cosines ``(n_pixels, n_waves)``, with a mean square near 1 in each pixel."""
    k = torch.arange(n_waves, device=device)
    place = (torch.arange(n_pixels, device=device) + 0.5) / n_pixels
    amplitudes = torch.where(k == 0, 1 / n_waves, 2 / n_waves).sqrt()
    return amplitudes * torch.cos(math.pi * k * place[:, None])


def _resampled(x, theta, displacement=0.0):
    """Images at ``theta (x, y, 1) + displacement``, with repeated border pixels.

    `theta` has shape ``(n, 2, 3)``, and `displacement` has shape ``(n, 2, H, W)``;
    positions are from -1 to 1.
    """
    y, x_ = ((2 * torch.arange(n, device=x.device) + 1) / n - 1 for n in x.shape[2:])
    a, b, shift = (part[:, :, None] for part in theta.unbind(2))
    grid = (a * x_)[:, :, None] + (b * y + shift)[:, :, :, None] + displacement
    grid = grid.permute(0, 2, 3, 1)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


#: Names that the estimators accept for their parameter ``augment``.
AUGMENTATIONS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "image": deform,
    "photo": Chain(crop, flip, color_jitter, blur),
    "signal": Chain(
        warp_time, rescale, drop_channels, partial(gaussian_noise, std=0.1)
    ),
    "gaussian": gaussian_noise,
    "table": corrupt_features,
}
