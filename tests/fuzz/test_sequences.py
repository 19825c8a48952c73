"""Random sequences of calls, a few of them; `--trials` runs thousands."""

import pytest

from tests.fuzz.sequences import sequences


@pytest.mark.parametrize("seed", range(4))
def test_sequences_of_calls(seed):
    assert all(n_failed == 0 for _, _, n_failed in sequences(6, seed))
