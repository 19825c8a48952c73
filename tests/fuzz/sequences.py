"""Random sequences of calls of estimators with random parameters.

A call must succeed or raise a documented error, and an error must leave the codes
unchanged. Fits must be equal to those of a clone, and pickles and files to what was
stored.
"""

import pickle
import tempfile
import warnings
from pathlib import Path

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import diffrep
from diffrep import DiffusionRepresentation, VariationalDiffusionRepresentation
from diffrep.baselines import (
    AutoencoderRepresentation,
    SimCLRRepresentation,
    VariationalAutoencoderRepresentation,
)
from diffrep.exceptions import (
    CodeCollapseWarning,
    DivergenceError,
    DivergenceWarning,
)

ESTIMATORS = [
    DiffusionRepresentation,
    VariationalDiffusionRepresentation,
    AutoencoderRepresentation,
    VariationalAutoencoderRepresentation,
    SimCLRRepresentation,
]
NORMAL = np.random.default_rng(0).normal(size=(40, 1100))

#: Rows, and parameters that describe them.
DATA = [
    (NORMAL[:, :6], {}),
    (NORMAL, {}),  # reduced to principal components
    (np.exp(2 * NORMAL[:, :4]), {}),  # skewed columns
    (np.repeat(NORMAL[:2, :6], 20, axis=0), {}),  # two different rows
    (NORMAL[:, :36], {"image_shape": (1, 6, 6)}),
    (np.uint8(50 * NORMAL[:, :75]), {"image_shape": (3, 5, 5)}),
    (NORMAL[:, :40], {"signal_shape": (2, 20)}),
]
PARAMETERS = {
    "n_components": [1, 2, 8],
    "t_grid": [None, 2, [0.2, 0.9]],
    "max_epochs": [0, 1, 2],
    "augment": ["auto", "gaussian"],
    "init": ["closed_form", "random"],
    "time_conditioning": ["readout", "full"],
    "noise_space": ["auto", "pca", "data", "features"],
    "sde": ["ve", "vp", "subvp"],
    "preconditioning": ["edm", "none"],
    "loss_weighting": ["edm", "eps"],
    "time_sampling": ["log_normal", "uniform", 0.5],
    "code_dropout": [0, 0.2],
    "mixup": [False, True],
    "reconstruction_weight": [0, 0.5],
    "early_stopping": [False, True],
    "warm_start": [False, True],
    "batch_size": [7, 128],
    "network_size": ["small", 0.1],
    "score_network": ["mlp", "unet"],
    "encoder": ["auto", "mlp"],
    "random_state": [0, 1],
}


class WrongOutcomeError(Exception):
    """A call gave what it must not give."""


def require(condition, message):
    if not condition:
        raise WrongOutcomeError(message)


def codes_of(estimator, X):
    """Codes, or None before `fit`."""
    return estimator.transform(X) if hasattr(estimator, "net_") else None


def drawn(cls, rng, **given):
    """An estimator with some random parameters."""
    known = [name for name in PARAMETERS if name in cls._parameter_constraints]
    names = rng.choice(known, rng.integers(7), replace=False)
    chosen = {name: choice(PARAMETERS[name], rng) for name in names}
    return cls(**{"max_epochs": 1, "random_state": 0} | chosen | given)


def choice(values, rng):
    return values[rng.integers(len(values))]


def fit(estimator, X, rng):
    is_new = not (estimator.warm_start and hasattr(estimator, "net_"))
    estimator.fit(X)
    if is_new and rng.random() < 0.3:
        expected = clone(estimator).fit(X).transform(X)
        equal = np.array_equal(estimator.transform(X), expected)
        require(equal, "fit depends on what was fitted before")
    return estimator


def set_params(estimator, X, rng):
    names = [name for name in estimator.get_params() if name in PARAMETERS]
    name = choice(names, rng)
    return estimator.set_params(**{name: choice(PARAMETERS[name], rng)})


def fit_decoder(estimator, X, rng):
    codes = codes_of(estimator, X)
    estimator.fit_decoder(X, max_epochs=1)
    require(np.array_equal(estimator.transform(X), codes), "fit_decoder changes codes")
    return estimator


def sample(estimator, X, rng):
    codes = estimator.transform(X[:3])
    method = choice(["reverse_sde", "predictor_corrector", "probability_flow"], rng)
    rows = estimator.sample(codes, n_steps=2, method=method, random_state=0)
    require(np.isfinite(rows).all(), "samples are not finite")
    return estimator


def measure(estimator, X, rng):
    codes, names = estimator.encode(X, [0, 0.3, 1]), estimator.get_feature_names_out()
    require(np.isfinite(codes).all(), "codes are not finite")
    require(len(names) == estimator.transform(X[:1]).shape[1], "not a name per column")
    require(np.isfinite(estimator.score(X)), "the score is not finite")
    return estimator


def through_pickle(estimator, X, rng):
    loaded, before = pickle.loads(pickle.dumps(estimator)), joblib.hash(estimator)
    require(joblib.hash(loaded) == before, "a pickle has another hash")
    equal = np.array_equal(codes_of(loaded, X), codes_of(estimator, X))
    require(equal, "a pickle has other codes")
    return loaded


def through_file(estimator, X, rng):
    with tempfile.TemporaryDirectory() as folder:
        estimator.save(Path(folder) / "model")
        loaded = diffrep.load(Path(folder) / "model")
    require(np.array_equal(loaded.transform(X), estimator.transform(X)), "file differs")
    return loaded


def partial_fit(estimator, X, rng):
    return estimator.partial_fit(X[: rng.integers(2, 41)])


def fit_batches(estimator, X, rng):
    return estimator.fit_batches([X[:20], X[20:]])


def cloned(estimator, X, rng):
    return clone(estimator)


METHODS = [
    *(fit, fit, partial_fit, fit_batches, fit_decoder, set_params, sample, measure),
    *(through_pickle, through_file, cloned),
]

#: Methods that not all estimators have.
ABSENT = {"fit_decoder", "sample", "score"}


def sequence(rng):
    """Call some methods; raise WrongOutcomeError, or an error that is not expected."""
    X, shape = choice(DATA, rng)
    estimator, calls = drawn(choice(ESTIMATORS, rng), rng, **shape), []
    for _ in range(rng.integers(2, 9)):
        method, before = choice(METHODS, rng), codes_of(estimator, X)
        calls.append(method.__name__)
        try:
            estimator = method(estimator, X, rng)
        except (ValueError, NotFittedError, DivergenceError):
            equal = np.array_equal(before, codes_of(estimator, X))
            require(equal, f"{calls}: an error changes the codes")
        except AttributeError as error:
            require(error.name in ABSENT, f"{calls}: {error!r}")
        except Exception as error:  # no other is documented
            raise WrongOutcomeError(f"{calls}: {error!r} of {estimator!r}") from error


def sequences(n, seed=0):
    """Results of `n` sequences: what, tried, failed."""
    n_failed = 0
    for i in range(n):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CodeCollapseWarning)
            warnings.simplefilter("ignore", DivergenceWarning)
            try:
                sequence(np.random.default_rng([seed, i]))
            except WrongOutcomeError as error:
                n_failed += 1
                print(f"sequence {i}: {error}"[:500], flush=True)
    return [("sequences of calls", n, n_failed)]
