"""Random inputs, a few of each kind; `--trials` runs thousands."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffrep import DiffusionRepresentation
from diffrep.exceptions import DivergenceError
from tests.fuzz.inputs import (
    ARGUMENTS,
    ESTIMATORS,
    FITS,
    PARTS,
    READS,
    READS_CODES,
    WRONG,
    WrongOutcomeError,
    outcome,
    owners,
    try_argument,
    try_parameter,
    try_rows,
)

X = np.random.default_rng(0).normal(size=(20, 4))


@pytest.fixture(autouse=True)
def global_generators_untouched():
    """Disable this fixture: hypothesis seeds numpy's global generator."""


def few(n):
    return settings(max_examples=n, derandomize=True, deadline=None, database=None)


def methods(table):
    pairs = [(name, what) for what in table for name in owners(what)]
    return st.sampled_from(pairs)


rows = st.fixed_dictionaries(
    {
        part: st.one_of(st.just(next(iter(choices))), st.sampled_from(list(choices)))
        for part, choices in PARTS.items()
    }
)
parameters = st.sampled_from(
    [
        (name, parameter)
        for name, estimator in ESTIMATORS.items()
        for parameter in estimator.get_params(deep=False)
    ]
)


@few(150)
@given(methods(READS), rows)
def test_rows_of_any_kind(method, parts):
    try_rows(*method, parts)


@few(60)
@given(methods(READS_CODES), rows)
def test_codes_of_any_kind(method, parts):
    try_rows(*method, parts)


@few(40)
@given(methods(FITS), rows)
def test_fits_to_rows_of_any_kind(method, parts):
    try_rows(*method, parts)


@few(100)
@given(methods(ARGUMENTS), st.sampled_from(list(WRONG)))
def test_arguments_of_any_kind(method, value):
    try_argument(*method, value)


@few(150)
@given(parameters, st.sampled_from(list(WRONG)))
def test_parameters_of_any_kind(parameter, value):
    try_parameter(*parameter, value)


# --- problems that the trials found


REFUSED = {
    "masked entries": (np.ma.masked_greater(X, 1), ValueError, r"masked.*X\.filled"),
    "timedelta": (X.astype("m8[s]"), ValueError, r"timedelta64.*X\.astype\(float\)"),
    "huge integers": ([[10**400] * 4] * 3, ValueError, "."),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("method", ["fit", "transform"])
def test_rejected_rows(name, method):
    data, error, message = REFUSED[name]
    rep = DiffusionRepresentation(2, max_epochs=1, random_state=0).fit(X)
    with pytest.raises(error, match=message):
        getattr(rep, method)(data)


def test_codes_far_from_all_others():
    rep = DiffusionRepresentation(2, max_epochs=1, random_state=0).fit(X)
    with pytest.raises(ValueError, match=r"NaN in float32.*returned by transform"):
        rep.sample(np.full((3, 2), 1e38), n_steps=2, random_state=0)


def test_read_only_codes_are_accepted():
    rep = DiffusionRepresentation(2, max_epochs=1, random_state=0).fit(X)
    codes = rep.transform(X)
    rows = rep.inverse_transform(codes, n_steps=2)
    codes.flags.writeable = False
    np.testing.assert_array_equal(rep.inverse_transform(codes, n_steps=2), rows)


def test_noisy_rows_of_all_precisions():
    rep = DiffusionRepresentation(2, max_epochs=1, random_state=0).fit(X)
    codes = rep.transform(X)
    rows = rep.denoise(X, 0.5, codes)
    for dtype in ("longdouble", ">f8"):
        found = rep.denoise(X.astype(dtype), 0.5, codes)
        np.testing.assert_allclose(found, rows, rtol=1e-5, atol=1e-5)


def test_rows_near_the_end_of_float32():
    rep = DiffusionRepresentation(2, max_epochs=1, random_state=0).fit(0.1 * X)
    wild = (3e38 * np.sign(X)).astype(np.float32)  # beyond it when standardised
    expected = rep.transform(1e6 * np.sign(X))  # clipped in the same way
    np.testing.assert_array_equal(rep.transform(wild), expected)


def test_invalid_callbacks_are_rejected():
    rep = DiffusionRepresentation(2, max_epochs=1, callbacks=["early_stopping"])
    with pytest.raises(TypeError, match=r"callbacks contains 'early_stopping'.*skorch"):
        rep.fit(X)


# --- the oracle


@pytest.mark.parametrize(
    "trouble",
    [
        lambda: np.linalg.inv(np.zeros((2, 2))),  # an error derived from ValueError
        lambda: 1 / 0,
        lambda: np.float64(1) / np.float64(0),  # a warning that is not one of diffrep
        lambda: torch.zeros(3) @ torch.zeros(2),
        lambda: np.nan,
    ],
)
def test_oracle_detects_errors(trouble):
    with pytest.raises(WrongOutcomeError):
        outcome(trouble, lambda found: np.isfinite(found))


@pytest.mark.parametrize("error", [ValueError, TypeError, DivergenceError])
def test_oracle_accepts_documented_errors(error):
    def refuse():
        raise error("in plain words")

    def refuse_without_words():
        raise error("")

    assert outcome(refuse, bool) == "refused"
    with pytest.raises(WrongOutcomeError):
        outcome(refuse_without_words, bool)
