"""Conversion of constructor parameters to torch modules and functions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real

import numpy as np
import torch
from torch import nn

from diffrep._validation import HasMethods, Interval, StrOptions, check_times
from diffrep.core.augment import AUGMENTATIONS, check_like
from diffrep.core.encoders import BACKBONES, Encoder
from diffrep.core.kinds import KINDS, kind_of
from diffrep.core.layers import SIZES
from diffrep.core.preconditioning import LOSS_WEIGHTINGS
from diffrep.core.score_networks import SCORE_NETWORKS
from diffrep.core.sde import SDE, SDES
from diffrep.core.spaces import SPACES, DataSpace, PrincipalSpace
from diffrep.core.time_sampling import (
    TIME_SAMPLINGS,
    Quantiles,
    SingleTime,
    Weighted,
)

__all__ = [
    "NOISE_CONSTRAINTS",
    "encoder_factory",
    "evenly_predicted_times",
    "noise_process",
    "read_out_times",
    "read_shape",
    "score_network_factory",
    "shortest_distinct",
    "space_class",
    "time_density",
    "time_sampling_of",
    "view_function",
    "weighted",
]


#: Constraints on the noise process and the density of times.
NOISE_CONSTRAINTS: dict = {
    "sde": [StrOptions(set(SDES)), SDE],
    "time_sampling": [
        StrOptions(set(TIME_SAMPLINGS)),
        Interval(Real, 0, 1, closed="both"),
        HasMethods("ppf"),
    ],
}

#: Least noise-to-signal ratio at t = 1.
LEAST_NOISE = 1e-3

#: Least decrease, between noise levels, of the share of the code that x_t predicts.
LEAST_FALL = 1e-3

#: Quantiles of the training times to which times are clipped for an encoder.
ENDS = (0.01, 0.99)


def encoder_factory(encoder, network_size, times, data_shape):
    """Return ``encoder(data_shape, n_outputs, time_conditioned) -> nn.Module``."""
    if not isinstance(encoder, str):
        _refuse_instance("encoder", encoder, "data_shape, n_outputs, time_conditioned")
        return encoder
    span = tuple(times.ppf(torch.tensor(ENDS)).tolist())
    if encoder == "auto":
        encoder = kind_of(data_shape).encoder
    _check_kind("encoder", encoder, data_shape, "'mlp'")
    backbone = partial(BACKBONES[encoder], size=_size_factor(network_size))
    return partial(Encoder, backbone, span)


def space_class(name, space, score_network, data_shape):
    """Return ``space(data_shape) -> nn.Module``, for the parameter `name`."""
    if space == "auto" and score_network == "mlp":
        space = kind_of(data_shape).noise_space
    elif space == "auto":
        space = "data"
    return SPACES[space]


def read_shape(encoder, network_size, space, data_shape):
    """Return the shape of the rows that networks receive.

    For the encoders with a bank, large images and long signals are averaged down,
    unless noise is added to their values. Larger networks receive larger ones.
    """
    n_places = kind_of(data_shape).n_places
    if n_places is None or encoder not in {"auto", "conv", "deep_conv", "windows"}:
        return data_shape
    if space in {PrincipalSpace, DataSpace}:
        return data_shape
    channels, *sides = data_shape
    factor = (math.prod(sides) / n_places) ** (1 / len(sides))
    factor = max(1.0, factor / max(1.0, _size_factor(network_size)))
    return (channels, *(max(1, round(side / factor)) for side in sides))


def score_network_factory(score_network, network_size, space, data_shape):
    """Return ``score_network(shape, n_components) -> nn.Module``."""
    if not isinstance(score_network, str):
        _refuse_instance("score_network", score_network, "shape, n_components")
        return score_network
    _check_kind("score_network", score_network, data_shape, "'mlp'")
    if score_network != "mlp" and space is not DataSpace:
        raise ValueError(
            f"score_network={score_network!r} needs noise in the data. Use "
            "noise_space='data', or score_network='mlp'."
        )
    return partial(SCORE_NETWORKS[score_network], size=_size_factor(network_size))


def _size_factor(network_size):
    """Return the factor of widths for a size, which may be given by its name."""
    return SIZES.get(network_size, network_size)


def view_function(augment, data_shape):
    """Return ``augment(x, generator) -> x``, or None."""
    if not isinstance(augment, str):
        return augment
    if augment == "auto":
        augment = kind_of(data_shape).view(data_shape)
    _check_kind("augment", augment, data_shape, "'table', 'gaussian' or None")
    return AUGMENTATIONS[augment]


def noise_process(sde):
    """Return an SDE, which may be given by its name.

    Raises
    ------
    ValueError
        If its functions do not return tensors like t, or its noise is not finite, does
        not grow, or is too small.
    """
    sde = SDES[sde]() if isinstance(sde, str) else sde
    if not (isinstance(sde.t_min, Real) and 0 <= float(sde.t_min) < 1):
        raise ValueError(
            f"sde={sde!r} has t_min={sde.t_min!r}; it must be a number in [0, 1)."
        )
    t = torch.tensor([sde.t_min, 1.0])
    for name in ("alpha", "sigma"):
        check_like(
            t,
            partial(getattr(sde, name), t),
            f"{name}(t) of sde={sde!r}",
            "for two times. It must return finite numbers of the shape and type of t, "
            "for instance torch.ones_like(t).",
        )
    low, high = sde.noise_to_signal(t).tolist()
    if not (0 < low < high < math.inf and high > LEAST_NOISE):
        raise ValueError(
            f"sde={sde!r} has noise-to-signal ratios from {low:g} to {high:g}; they "
            f"must be positive, grow with t, and end above {LEAST_NOISE:g}."
        )
    return sde


def time_density(time_sampling, sde):
    """Return the density of training times as a `TimeSampling`."""
    if isinstance(time_sampling, str):
        return TIME_SAMPLINGS[time_sampling](sde)
    if isinstance(time_sampling, Real):
        return SingleTime(sde, float(time_sampling))
    return Quantiles(sde, time_sampling)


def weighted(density, loss_weighting, native):
    """Return the density of times that converts weighting `native` of a loss."""
    if loss_weighting == native:
        return density
    return Weighted(density.sde, density, _Ratio(loss_weighting, native))


@dataclass(frozen=True)
class _Ratio:
    """Ratio of two loss weightings, as a function of gamma."""

    of: str
    over: str

    def __call__(self, gamma):
        return LOSS_WEIGHTINGS[self.of](gamma) / LOSS_WEIGHTINGS[self.over](gamma)


def time_sampling_of(density):
    """Return the parameter `time_sampling` that results in a density."""
    if isinstance(density, Weighted):
        density = density.density
    if isinstance(density, SingleTime):
        return density.time
    if isinstance(density, Quantiles):
        return density.distribution
    return next(k for k, v in TIME_SAMPLINGS.items() if type(density) is v)


def read_out_times(t_grid, density):
    """Return the times of `t_grid` as float64 ``(T,)``; None for static codes.

    Raises
    ------
    ValueError
        If times are outside [0, 1] or not distinct.
    """
    if t_grid is None:
        return None
    times = t_grid
    if isinstance(t_grid, Integral):
        u = (np.arange(int(t_grid)) + 0.5) / int(t_grid)
        times = density.ppf(torch.from_numpy(u)).numpy()
    times = check_times(times, density.t_min, "t_grid")
    if len(np.unique(times)) < len(times):
        raise ValueError(
            f"t_grid={t_grid!r} contains a time more than once: {times.tolist()}. Use "
            "distinct times, or t_grid=1 if training has a single time."
        )
    return times


def evenly_predicted_times(n_times, model):
    """Return times at which x_t predicts shares (T - 1)/T, ..., 1/T, 0 of the codes.

    Parameters
    ----------
    n_times : int
        T.
    model : EncoderModel
        With static codes.

    Returns
    -------
    times : ndarray of shape (T,), float64
    """
    readout, t_min = model.readout, model.times.t_min
    times = np.append(t_min, readout.times.cpu().double())
    shares = np.append(1.0, readout.told.cpu().double())
    shares[-1] = 0.0
    # Strictly decreasing, so that times are distinct.
    shares = np.minimum.accumulate(shares.clip(0, 1))
    shares -= LEAST_FALL * np.arange(len(shares))
    wanted = np.linspace(shares[0], shares[-1], n_times + 1)[1:]
    return np.interp(-wanted, -shares, times)


def shortest_distinct(times):
    """Format times with as few digits as keep them distinct, at least 3."""
    for digits in range(3, 18):
        texts = [f"{t:.{digits}g}" for t in times]
        if len(set(texts)) == len(times):
            break
    return texts


def _check_kind(name, value, data_shape, instead):
    """Raise ValueError if the value of a parameter is for other kinds of data."""
    kinds = [kind for kind in KINDS if value in kind.takes]
    if kinds and kind_of(data_shape) not in kinds:
        names = " or ".join(kind.name for kind in kinds)
        shapes = " or ".join(kind.shape for kind in kinds)
        raise ValueError(
            f"{name}={value!r} needs {names}. Set {shapes}, or use {name}={instead}."
        )


def _refuse_instance(name, factory, arguments):
    if isinstance(factory, nn.Module):
        raise TypeError(
            f"{name} is an instance of {type(factory).__name__}; pass the class, or a "
            f"factory ({arguments}) -> nn.Module. Each fit constructs new networks, "
            "so that clones and searches do not share trained weights."
        )
