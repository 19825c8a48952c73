"""Options and fixtures of all tests."""

import os

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn.functional import linear

from diffrep import DiffusionRepresentation, VariationalDiffusionRepresentation
from diffrep.baselines import (
    AutoencoderRepresentation,
    SimCLRRepresentation,
    VariationalAutoencoderRepresentation,
)
from diffrep.core.device import choose_device
from diffrep.testing import ROUNDING

WITHOUT_VIEWS = [
    DiffusionRepresentation,
    VariationalDiffusionRepresentation,
    AutoencoderRepresentation,
    VariationalAutoencoderRepresentation,
]


def pytest_addoption(parser):
    parser.addoption(
        "--device",
        default="cpu",
        help="device on which estimators train: cpu, cuda, cuda:1, mps, auto",
    )
    parser.addoption(
        "--trials",
        type=int,
        default=0,
        help="trials of each kind for tests/fuzz/test_long.py",
    )
    parser.addoption(
        "--site",
        help="folder of the built documentation, which tests/test_site.py looks at",
    )


def pytest_configure(config):
    # Worker processes and scripts that tests start inherit it.
    os.environ["DIFFREP_DEVICE"] = config.getoption("--device")
    # torch reads it once, before the first product on a GPU; for reproducible bits.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@pytest.fixture(autouse=True)
def global_generators_untouched():
    """Check that no test uses the global generators of torch and numpy."""
    torch_state = torch.get_rng_state()
    # NPY002 forbids numpy's global generator, which is checked here.
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002
    yield
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


@pytest.fixture(scope="session")
def rounding():
    """Largest difference between codes of a row in different batches, in their spread.

    It is 0 if the rounding of matrix products does not depend on the number of rows:
    on one thread of a processor with AVX-512, with Intel's MKL.
    """
    rng = torch.Generator().manual_seed(0)
    for n_columns, n_outputs in [(25, 36), (64, 3), (64, 128), (256, 8)]:
        x = torch.randn(384, n_columns, generator=rng)
        W = torch.randn(n_outputs, n_columns, generator=rng)
        for n in (32, 64, 320):
            if not torch.equal(linear(x[:n], W), linear(x, W)[:n]):
                return ROUNDING
    exact = choose_device().type == "cpu" and torch.get_num_threads() == 1
    return 0.0 if exact else ROUNDING


@pytest.fixture(params=[*WITHOUT_VIEWS, SimCLRRepresentation])
def estimator(request):
    """Class of each representation with a trained encoder."""
    return request.param


@pytest.fixture(params=WITHOUT_VIEWS)
def estimator_without_views(request):
    """Class of each of them that can be trained without views."""
    return request.param


@pytest.fixture(scope="session")
def digits():
    """400 digits of scikit-learn and their labels."""
    X, y = load_digits(return_X_y=True)
    return X[:400], y[:400]


@pytest.fixture
def table():
    """Ninety rows of eight features in three classes."""
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    return rng.normal(size=(90, 8)) + 2 * y[:, None], y


@pytest.fixture
def figures():
    """Draw figures without a screen and close them after the test."""
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    yield
    plt.close("all")
