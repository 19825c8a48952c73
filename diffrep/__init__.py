"""Representations learned by denoising, as scikit-learn estimators.

>>> from diffrep import DiffusionRepresentation

``diffrep.diffusion``
    the estimators DRL and VDRL
``diffrep.baselines``
    autoencoders, simCLR and other baselines with the same networks
``diffrep.semi_supervised``, ``diffrep.trajectory``
    semi-supervised classification, and classifiers of codes at several times
``diffrep.selection``
    selection of a representation, or of the columns themselves, by the labelled rows
``diffrep.evaluation``, ``diffrep.display``, ``diffrep.datasets``
    comparisons of representations, figures, data sets
``diffrep.load``
    loading of model files
``diffrep.show_versions``
    versions for bug reports
``diffrep.data_parallel``
    training on several processes or GPUs
``diffrep.exceptions``
    errors and warnings
``diffrep.base``, ``diffrep.testing``
    base class and checks for your own estimators
``diffrep.core``
    the torch code
"""

import importlib

from diffrep._load import load
from diffrep._version import __version__, show_versions
from diffrep.core.distributed import data_parallel
from diffrep.core.sde import SDE, VE, VP, SubVP
from diffrep.diffusion import (
    PAPER_SETTING,
    DiffusionRepresentation,
    VariationalDiffusionRepresentation,
)

_MODULES = {
    *("base", "baselines", "core", "datasets", "diffusion", "display", "evaluation"),
    *("exceptions", "selection", "semi_supervised", "testing", "trajectory"),
}

__all__ = [
    "PAPER_SETTING",
    "SDE",
    "VE",
    "VP",
    "DiffusionRepresentation",
    "SubVP",
    "VariationalDiffusionRepresentation",
    "__version__",
    "data_parallel",
    "load",
    "show_versions",
]


def __getattr__(name):
    if name in _MODULES:
        return importlib.import_module(f"diffrep.{name}")
    raise AttributeError(f"module 'diffrep' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_MODULES})
