"""Thousands of trials: ``pytest tests/fuzz --trials 4000``."""

import pytest
import torch

from tests.fuzz.checkpoints import checkpoints
from tests.fuzz.files import files
from tests.fuzz.inputs import inputs
from tests.fuzz.sequences import sequences
from tests.fuzz.stops import interrupts, kills


@pytest.fixture(autouse=True)
def global_generators_untouched():
    """Disable this fixture: some trials use global generators."""


@pytest.fixture
def n_trials(request):
    n = request.config.getoption("--trials")
    if n == 0:
        pytest.skip("--trials says how many")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield n
    torch.set_num_threads(threads)


# One of the fits diverges on purpose.
@pytest.mark.filterwarnings("ignore::diffrep.exceptions.DivergenceWarning")
@pytest.mark.parametrize(
    "trials", [checkpoints, files, inputs, interrupts, kills, sequences]
)
def test_no_trial_fails(trials, n_trials):
    assert all(n_failed == 0 for _, _, n_failed in trials(n_trials))
