"""Codes at several times: selection, votes, classifiers of curves."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    LeaveOneOut,
    cross_val_predict,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelBinarizer

from diffrep import DiffusionRepresentation, VariationalDiffusionRepresentation
from diffrep.core.heads import HEADS
from diffrep.trajectory import (
    TimeSelector,
    TimeVotingClassifier,
    TrajectoryClassifier,
)

REP = {"n_components": 4, "t_grid": 3, "max_epochs": 2, "random_state": 0}
ALL_HEADS = pytest.mark.parametrize("head", sorted(HEADS))


@pytest.fixture(scope="module")
def curves():
    """Curves of 5 times and 2 components; the fourth time contains the class."""
    rng = np.random.default_rng(0)
    y = np.arange(300) % 2
    curves = rng.normal(size=(300, 5, 2))
    curves[:, 3, 0] = 3 * (2 * y - 1) + rng.normal(size=300)
    return curves.reshape(300, 10), y


@pytest.fixture(scope="module")
def attentive(curves):
    """Attention over five times, of which the fourth contains the class."""
    return trained("attention", n_times=5).fit(*curves)


def trained(head, **parameters):
    parameters = {"lr": 1e-2, "max_epochs": 50, "random_state": 0} | parameters
    return TrajectoryClassifier(head=head, **parameters)


@ALL_HEADS
def test_heads_learn_from_one_informative_time(curves, head):
    X, y = curves
    classifier = trained(head, n_times=5).fit(X[:200], y[:200])
    bayes = np.mean((X[200:, 6] > 0) == y[200:])
    assert bayes > 0.9
    assert classifier.score(X[200:], y[200:]) > bayes - 0.06


def test_attention_is_on_the_informative_time(curves, attentive):
    (X, y), classifier = curves, attentive
    # For one class this is enough; the other may attend to any time.
    assert (classifier.attention_.idxmax(axis=1) == 3).any()
    gap = (classifier.attention_.loc[0] - classifier.attention_.loc[1]).abs()
    assert gap.idxmax() == 3 or (classifier.attention_.idxmax(axis=1) == 3).all()
    weights = classifier.attention(X)
    assert weights.shape == (300, 5)
    assert (weights.sum(axis=1) <= 1 + 1e-6).all()
    for c in (0, 1):
        np.testing.assert_allclose(
            weights[y == c].mean(axis=0), classifier.attention_.loc[c], rtol=1e-5
        )


def test_masking_the_informative_time_removes_the_accuracy(curves, attentive):
    (X, y), classifier = curves, attentive
    order = np.random.default_rng(0).permutation(len(X))
    width = X.shape[1] // 5
    for time in range(5):
        shuffled, columns = X.copy(), slice(time * width, (time + 1) * width)
        shuffled[:, columns] = X[order, columns]
        score = classifier.score(shuffled, y)
        assert abs(score - 0.5) < 0.1 if time == 3 else score > 0.9


def test_attention_with_a_mask(curves, attentive):
    X, classifier = curves[0], attentive
    only = classifier.attention(X, mask=[False, True, False, False, False, False])
    np.testing.assert_allclose(only, np.eye(5)[[1] * 300])
    hidden = classifier.attention(X, mask=[True, True, True, False, True, True])
    assert (hidden[:, 3] == 0).all()


@pytest.mark.parametrize("mask", [[True] * 5, [False] * 6, [[True] * 6]])
def test_invalid_masks_are_rejected(curves, mask):
    X, y = curves
    classifier = trained("attention", n_times=5, max_epochs=1).fit(X, y)
    with pytest.raises(ValueError, match="must have 6 entries"):
        classifier.attention(X, mask=mask)


def test_other_heads_have_no_attention(curves):
    X, y = curves
    classifier = trained("concat", n_times=5, max_epochs=1).fit(X, y)
    assert not hasattr(classifier, "attention_")
    with pytest.raises(ValueError, match="has no attention"):
        classifier.attention(X)


def test_representation_inside_equals_a_step_before(table):
    """Curves from a step of a Pipeline or from a wrapped representation are equal."""
    X, y = table
    rep = DiffusionRepresentation(**REP).fit(X)
    inside = trained("gru", max_epochs=5, representation=rep).fit(X, y)
    before = trained("gru", max_epochs=5, n_times=3).fit(rep.transform(X), y)
    np.testing.assert_array_equal(
        inside.predict_proba(X), before.predict_proba(rep.transform(X))
    )
    np.testing.assert_array_equal(inside.t_grid_, rep.t_grid_)


@pytest.mark.parametrize("wrap", [lambda rep: rep, FrozenEstimator])
def test_fitted_representation_is_used_unchanged(table, wrap):
    X, y = table
    rep = DiffusionRepresentation(**REP).fit(X)
    weights = [w.clone() for w in rep.net_.module_.parameters()]
    for fine_tune in (False, True):
        classifier = trained(
            "concat", representation=wrap(rep), fine_tune=fine_tune, max_epochs=2
        ).fit(X, y)
        assert classifier.representation_ is rep
    for before, after in zip(weights, rep.net_.module_.parameters(), strict=True):
        assert torch.equal(before, after)


def test_unfitted_representation_is_cloned(table):
    X, y = table
    rep = VariationalDiffusionRepresentation(**REP)
    classifier = trained("concat", representation=rep, max_epochs=2).fit(X, y)
    assert not hasattr(rep, "net_")
    np.testing.assert_array_equal(
        classifier.representation_.transform(X), rep.fit(X).transform(X)
    )


def test_fine_tuning_trains_the_encoder(table):
    X, y = table
    rep = DiffusionRepresentation(**REP).fit(X)
    parameters = {"representation": rep, "max_epochs": 30, "augment": None}
    tuned = trained("concat", fine_tune=True, **parameters).fit(X, y)
    frozen = trained("concat", **parameters).fit(X, y)
    assert (
        tuned.history_["train_loss"].iloc[-1] < frozen.history_["train_loss"].iloc[-1]
    )
    encoder = tuned.net_.module_.reader.model.encoder
    assert not all(
        torch.equal(a, b)
        for a, b in zip(
            encoder.parameters(),
            rep.net_.module_.encoder.parameters(),
            strict=True,
        )
    )


def test_fine_tuning_starts_from_the_codes(table):
    X, y = table
    rep = DiffusionRepresentation(**REP).fit(X)
    tuned = trained(
        "concat", representation=rep, fine_tune=True, lr=1e-12, max_epochs=1
    )
    tuned.fit(X, y)
    curves = tuned.net_.evaluate(tuned.net_.module_.reader, tuned._rows(X))
    np.testing.assert_allclose(
        curves.reshape(90, -1), rep.transform(X), rtol=1e-4, atol=1e-5
    )


def test_trajectory_classifier_in_a_pipeline(table):
    X, y = table
    pipe = make_pipeline(
        DiffusionRepresentation(**REP), trained("attention", n_times=3, max_epochs=20)
    )
    assert cross_val_score(pipe, X, y, cv=3).mean() > 0.7


def test_trajectory_classifier_is_reproducible_and_pickled(curves):
    X, y = curves
    first = trained("gru", n_times=5, max_epochs=3).fit(X, y)
    second = pickle.loads(
        pickle.dumps(trained("gru", n_times=5, max_epochs=3).fit(X, y))
    )
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))
    np.testing.assert_array_equal(
        first.predict_proba(X[7:8])[0], first.predict_proba(X)[7]
    )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_times": 3}, "10 columns, which is not a multiple of n_times=3"),
        ({"fine_tune": True}, "fine_tune=True trains the encoder"),
        (
            {"n_times": 2, "representation": DiffusionRepresentation(**REP)},
            "n_times=2 is for curves in X",
        ),
    ],
)
def test_contradictory_parameters_are_rejected(curves, parameters, message):
    X, y = curves
    with pytest.raises(ValueError, match=message):
        TrajectoryClassifier(**parameters).fit(X, y)


def stacked(n=60, seed=0):
    """Codes at three times, of which only the second contains the class."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    curves = rng.normal(size=(n, 3, 4))
    curves[np.arange(n), 1, y] += 3
    return curves.reshape(n, 12), y


def test_informative_time_is_selected():
    X, y = stacked()
    selector = TimeSelector(n_times=3).fit(X, y)
    assert selector.index_ == 1
    np.testing.assert_array_equal(selector.transform(X), X[:, 4:8])
    number = X[:, 9] + 0.1 * X[:, 0]
    assert TimeSelector(n_times=3).fit(X, number).index_ == 2
    assert TimeSelector(n_times=3).fit(X, np.column_stack([number, y])).index_ in (1, 2)


def test_scores_equal_leave_one_out():
    X, y = stacked()
    targets = LabelBinarizer().fit_transform(y)
    for codes, score in zip(
        np.split(X, 3, axis=1), TimeSelector(n_times=3).fit(X, y).scores_, strict=True
    ):
        codes = codes - codes.mean(axis=0)
        codes /= np.sqrt(np.square(codes).sum(axis=1).mean())
        errors = [
            np.square(
                targets
                - cross_val_predict(Ridge(alpha), codes, targets, cv=LeaveOneOut())
            ).mean()
            for alpha in np.geomspace(1e-4, 10, 8)
        ]
        assert score == pytest.approx(-min(errors), rel=1e-6)


def test_last_time_is_kept_unless_another_is_clearly_better():
    rng = np.random.default_rng(0)
    X, y = (
        rng.normal(size=(40, 12)),
        rng.integers(0, 2, 40),
    )  # no time contains the class
    selector = TimeSelector(n_times=3).fit(X, y)
    assert selector.index_ == 2
    assert TimeSelector(n_times=3).fit(X[:, ::-1], y).index_ == 2
    assert selector.scores_.argmax() == 1  # by chance


def test_votes_are_weighted_by_accuracy():
    X, y = stacked()
    vote = TimeVotingClassifier(n_times=3).fit(X, y)
    errors = -TimeSelector(n_times=3).fit(X, y).scores_
    weights = np.exp(-(errors - errors.min()) / (0.05 * errors.min()))
    np.testing.assert_allclose(vote.weights_, weights / weights.sum())
    assert vote.weights_.argmax() == 1
    votes = [
        LogisticRegression(max_iter=1000).fit(codes, y).predict_proba(codes)
        for codes in np.split(X, 3, axis=1)
    ]
    expected = np.einsum("t,tnc->nc", vote.weights_, votes)
    np.testing.assert_allclose(vote.predict_proba(X), expected, rtol=1e-6)
    assert vote.score(*stacked(seed=1)) > 0.8


@pytest.mark.parametrize("estimator", [TimeSelector, TimeVotingClassifier])
def test_number_of_columns_must_fit_n_times(estimator):
    X, y = stacked()
    with pytest.raises(ValueError, match="12 columns, which is not a multiple"):
        estimator(n_times=5).fit(X, y)


def test_time_selector_in_a_search(digits):
    X, y = digits
    rep = DiffusionRepresentation(
        4, t_grid=3, image_shape=(1, 8, 8), max_epochs=1, random_state=0
    )
    pipeline = make_pipeline(rep, TimeSelector(3), LogisticRegression(max_iter=1000))
    search = GridSearchCV(pipeline, {"logisticregression__C": [0.1, 1.0]}, cv=2)
    assert search.fit(X, y).best_score_ > 0.5
    names = search.best_estimator_[:-1].get_feature_names_out()
    t = search.best_estimator_[0].t_grid_[search.best_estimator_[1].index_]
    assert all(f"t{t:.3g}_" in name for name in names)
