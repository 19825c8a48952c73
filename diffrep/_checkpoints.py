"""Identification of the fit that a checkpoint belongs to."""

from __future__ import annotations

import os
from numbers import Number

import numpy as np
import torch

from diffrep._version import __version__
from diffrep.core.checkpoint import Checkpoints, digest
from diffrep.core.distributed import peers

__all__ = ["CHECKPOINT_CONSTRAINTS", "check_repeatable", "fit_checkpoints"]

CHECKPOINT_CONSTRAINTS = {"checkpoint": [None, str, os.PathLike]}

#: Parameters that do not affect the weights, or are represented by the seed.
NOT_RECORDED = {"checkpoint", "device", "random_state", "verbose", "warm_start"}

#: Quantiles that identify a density of training times: objects of scipy contain the
#: state of a generator, so their pickles are not reproducible.
QUANTILES = (np.arange(1000) + 0.5) / 1000


def check_repeatable(estimator):
    """Raise ValueError if checkpoints are to be written without a known seed."""
    if estimator.checkpoint is not None and estimator.random_state is None:
        raise ValueError(
            f"checkpoint={estimator.checkpoint!r} needs random_state, since with None "
            "each call of fit uses another seed. Pass an integer, such as "
            "random_state=0."
        )


def fit_checkpoints(estimator, X, continued):
    """Return the checkpoints of the fit, or None if none are to be written.

    Parameters
    ----------
    estimator : BaseRepresentation
        Training starts from its `net_`.
    X : ndarray of shape (n, n_features)
    continued : bool
        Whether training continues from trained weights, instead of initial ones that
        depend only on seed, data and parameters.

    Returns
    -------
    checkpoints : Checkpoints or None
    """
    if estimator.checkpoint is None:
        return None
    net, kind = estimator.net_, type(estimator)
    parameters = estimator.get_params(deep=False)
    training = {
        "estimator": f"{kind.__module__}.{kind.__qualname__}",
        "data": digest(X)[:32],
        "seed": str(net.seed),
        "start": digest(net.snapshot())[:32] if continued else "new",
        **{
            name: _described(value)
            for name, value in parameters.items()
            if name not in NOT_RECORDED
        },
    }
    versions = {  # on which the weights depend, besides data and parameters
        "diffrep": __version__,
        "numpy": np.__version__,
        "torch": str(torch.__version__),
        "device": str(net.device),
        "processes": str(peers().n),
    }
    return Checkpoints(estimator.checkpoint, training, versions)


def _described(value):
    """Return text for a value: its repr if it is simple, else a digest."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (str, bool, Number)):
        return repr(value)
    if hasattr(value, "ppf"):
        value = np.asarray(value.ppf(QUANTILES))
    return digest(value)[:32]
