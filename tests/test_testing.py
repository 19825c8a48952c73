from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.decomposition import PCA
from torch import nn

from diffrep import DiffusionRepresentation
from diffrep.base import TrainedRepresentation
from diffrep.baselines import (
    AutoencoderRepresentation,
    DenoiserFeatures,
    RandomEncoderRepresentation,
    SimCLRRepresentation,
)
from diffrep.core.models import EncoderModel
from diffrep.testing import check_representation

QUICK = {"n_components": 4, "max_epochs": 1}


@pytest.mark.parametrize(
    "estimator",
    [
        DiffusionRepresentation(**QUICK, t_grid=2),
        AutoencoderRepresentation(**QUICK),
        SimCLRRepresentation(**QUICK),
        DenoiserFeatures(16, max_epochs=1),
        RandomEncoderRepresentation(4),
    ],
)
def test_representations_pass_the_checks(estimator):
    check_representation(estimator)


class Centred(DiffusionRepresentation):
    def transform(self, X):
        codes = super().transform(X)
        return codes - codes.mean(axis=0)


class Double(DiffusionRepresentation):
    def transform(self, X):
        return super().transform(X).astype(float)


class Drawing(DiffusionRepresentation):
    def transform(self, X):
        torch.rand(1)
        return super().transform(X)


class Unseeded(DiffusionRepresentation):
    def transform(self, X):
        codes = super().transform(X)
        return codes + np.float32(np.random.default_rng().normal())


class Changing(DiffusionRepresentation):
    def fit(self, X, y=None):
        super().fit(X)
        self.n_components = 5
        return self


class Writing(DiffusionRepresentation):
    def fit(self, X, y=None):
        super().fit(X)
        X[0] = 0
        return self


class Fixed(DiffusionRepresentation):
    def fit(self, X, y=None):
        seed, self.random_state = self.random_state, 0
        super().fit(X)
        self.random_state = seed
        return self


class Torn(DiffusionRepresentation):
    def fit(self, X, y=None):
        if np.isnan(X).any():
            with torch.no_grad():
                self.net_.module_.encoder.outputs[0].weight.zero_()
        return super().fit(X)


class Filling(DiffusionRepresentation):
    def fit(self, X, y=None):
        return super().fit(np.nan_to_num(X))


@pytest.mark.parametrize(
    ("broken", "match"),
    [
        (Centred, "depend on the other rows|mixed up"),
        (Double, "float64"),
        (Drawing, "global generator"),
        (Unseeded, "one seed differ"),
        (Changing, "changes parameters"),
        (Writing, "changes the rows"),
        (Fixed, "do not depend on random_state"),
        (Torn, "a fit that failed"),
        (Filling, "NaN is accepted"),
    ],
)
def test_checks_detect_broken_guarantees(broken, match):
    with torch.random.fork_rng(), pytest.raises(AssertionError, match=match):
        check_representation(broken(**QUICK))


def test_number_of_feature_names_is_checked():
    class Padded(DiffusionRepresentation):
        def transform(self, X):
            return np.pad(super().transform(X), [(0, 0), (0, 1)])

    with pytest.raises(AssertionError, match="4 names for 5"):
        check_representation(Padded(**QUICK))


class Mine(nn.Module):
    def __init__(self, data_shape, n_outputs, time_conditioned):
        super().__init__()
        self.map = nn.Linear(data_shape[0], n_outputs)

    def forward(self, x):
        return self.map(x)


def test_user_defined_encoders_pass():
    check_representation(DiffusionRepresentation(32, max_epochs=1, encoder=Mine))


def standardized(z):
    return (z - z.mean(0)) / (z.std(0) + 1e-6)


class BarlowModel(EncoderModel):
    """Zbontar et al., "Barlow Twins", 2021."""

    def __init__(self, *, redundancy, **shared):
        super().__init__(**shared)
        self.redundancy = redundancy

    def forward(self, x0, x, generator):
        views = [self.view(x, generator) for _ in range(2)]
        first, second = (standardized(self.encoder(view)) for view in views)
        C = first.T @ second / len(x0)
        own = (1 - C.diagonal()).square().sum()
        others = C.square().sum() - C.diagonal().square().sum()
        return {"own": own, "others": self.redundancy * others}


@dataclass(eq=False, kw_only=True, repr=False, match_args=False)
class BarlowRepresentation(TrainedRepresentation):
    redundancy: float = 5e-3

    def make_model(self, data_shape):
        return BarlowModel, {"redundancy": self.redundancy}


def test_user_defined_objective_passes():
    check_representation(BarlowRepresentation(**QUICK))


def test_user_defined_objective_is_minimised():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3)) @ rng.normal(size=(3, 16))
    rep = BarlowRepresentation(
        n_components=2, init="random", max_epochs=20, random_state=0
    ).fit(X)
    losses = rep.history_["train_loss"]
    assert losses.iloc[-1] < 0.6 * losses.iloc[0]
    assert {"train_own", "train_others"} <= set(rep.history_)
    signals = clone(rep).set_params(signal_shape=(1, 16))
    assert signals.fit_transform(X.reshape(300, 1, 16)).shape == (300, 2)


def test_other_estimators_are_rejected():
    with pytest.raises(AssertionError):
        check_representation(PCA(2))
