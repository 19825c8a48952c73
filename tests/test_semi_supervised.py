"""LaplaceNet, and folds of partially labelled rows."""

import pickle
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsTransformer
from sklearn.preprocessing import StandardScaler
from sklearn.utils import shuffle
from sklearn.utils.estimator_checks import check_classifiers_predictions

from diffrep import DiffusionRepresentation, VariationalDiffusionRepresentation
from diffrep.baselines import AutoencoderRepresentation, DenoiserFeatures
from diffrep.core.rows import MixedBatches
from diffrep.semi_supervised import LaplaceNetClassifier, SemiSupervisedKFold

QUICK = {"supervised_epochs": 5, "max_epochs": 2, "random_state": 0}
REP = {"n_components": 4, "max_epochs": 2, "random_state": 0}


@pytest.fixture
def few(table):
    """The table with three labels of each class."""
    X, y = table
    return X, y, np.where(np.arange(90) < 9, y, -1)


def test_laplacenet_beats_a_supervised_classifier():
    X, y = shuffle(*load_digits(return_X_y=True), random_state=0)
    few = np.full(len(y), -1)
    few[:50] = y[:50]
    classifier = LaplaceNetClassifier(image_shape=(1, 8, 8), random_state=0)
    train, test = np.arange(1200), np.arange(1200, 1797)
    classifier.fit(X[train], few[train])
    supervised = LogisticRegression(max_iter=1000).fit(X[:50], y[:50])
    accuracy = classifier.score(X[test], y[test])
    assert accuracy > supervised.score(X[test], y[test]) + 0.08
    assert accuracy > 0.9
    called = classifier.transduction_
    np.testing.assert_array_equal(called[:50], y[:50])
    assert np.mean(called[50:] == y[50:1200]) > 0.9


def test_fitted_attributes(few, rounding):
    X, _, labels = few
    classifier = LaplaceNetClassifier(**QUICK).fit(X, labels)
    assert classifier.n_iter_ == len(classifier.history_) == 7
    F = classifier.label_distributions_
    np.testing.assert_allclose(F.sum(axis=1), 1)
    np.testing.assert_array_equal(
        classifier.classes_[F.argmax(1)], classifier.transduction_
    )
    probabilities = classifier.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(classifier.predict(X), probabilities.argmax(axis=1))
    alone = classifier.predict_proba(X[40:41])
    np.testing.assert_allclose(alone, probabilities[40:41], rtol=0, atol=rounding)


def test_text_and_unlabelled_rows(few):
    X, y, labels = few
    names = np.array(["a", "b", "c"])
    text = names[y].astype(object)
    text[labels < 0] = -1
    numbers = LaplaceNetClassifier(**QUICK).fit(X, labels)
    named = LaplaceNetClassifier(**QUICK).fit(X, text)
    np.testing.assert_array_equal(named.predict(X), names[numbers.predict(X)])
    all_of_it = LaplaceNetClassifier(**QUICK).fit(X, names[y])
    np.testing.assert_array_equal(all_of_it.transduction_, names[y])


@pytest.mark.parametrize("names", [["one", "two", "three"], [0, 1], ["a", "b"]])
def test_predictions_are_names_of_classes(names):
    """As `check_classifiers_classes`, without -1 as a class."""
    X, y = make_blobs(n_samples=30, random_state=0, cluster_std=0.1)
    X, y = StandardScaler().fit_transform(X), y % len(names)
    classifier = LaplaceNetClassifier(max_epochs=10, random_state=0)
    check_classifiers_predictions(
        X, np.array(names)[y], "LaplaceNetClassifier", classifier
    )


def test_neighbours_of_a_transformer(few):
    X, _, labels = few
    given, number = (
        LaplaceNetClassifier(n_neighbors=n, **QUICK).fit(X, labels)
        for n in (KNeighborsTransformer(n_neighbors=10), 10)
    )
    np.testing.assert_array_equal(given.transduction_, number.transduction_)


def test_class_shares(few):
    X, _, labels = few
    share = {}
    for prior in ([1 / 3] * 3, [0.5, 0.25, 0.25]):
        classifier = LaplaceNetClassifier(class_prior=prior, **QUICK).fit(X, labels)
        share[prior[0]] = np.mean(classifier.transduction_ == 0)
    assert share[0.5] > share[1 / 3] + 0.05
    for prior in ([0.5, 0.5], [0.5, 0.8, -0.3]):
        with pytest.raises(ValueError, match="must be 3 shares that sum to 1"):
            LaplaceNetClassifier(class_prior=prior).fit(X, labels)
    with pytest.raises(TypeError, match="Pass an array, one share for each class"):
        LaplaceNetClassifier(class_prior={0: 0.5, 1: 0.3, 2: 0.2}).fit(X, labels)


def test_missing_labels_are_rejected_with_a_remedy(few):
    X, _, labels = few
    missing = np.where(labels < 0, np.nan, labels)
    texts = pd.Series(missing).map(str).where(labels >= 0).astype("category")
    for y in (missing, pd.Series(missing).astype("Int64"), texts):
        with pytest.raises(ValueError, match=r"contains NaN.*takes -1 as the label"):
            LaplaceNetClassifier().fit(X, y)
    with pytest.raises(TypeError, match=r"NA is ambiguous.*takes -1 as the label"):
        LaplaceNetClassifier().fit(X, np.where(labels < 0, pd.NA, labels))


def test_dates_are_classes(few):
    X, _, labels = few
    dates = np.datetime64("2020-01-01") + labels
    folds = SemiSupervisedKFold(2).split(X, dates)
    expected = SemiSupervisedKFold(2).split(X, labels + 1)
    for found, right in zip(folds, expected, strict=True):
        np.testing.assert_array_equal(found[1], right[1])


def test_rows_without_labels_are_rejected(few):
    X, _, labels = few
    nothing = np.full_like(labels, -1)
    with pytest.raises(ValueError, match="All entries of y are -1"):
        LaplaceNetClassifier().fit(X, nothing)
    with pytest.raises(ValueError, match="All entries of y are -1"):
        next(SemiSupervisedKFold(2).split(X, nothing))


@pytest.mark.parametrize("random_state", [0, 1])
def test_seed_determines_the_predictions(few, random_state):
    X, _, labels = few
    parameters = {**QUICK, "random_state": random_state}
    first, second = (
        LaplaceNetClassifier(**parameters).fit(X, labels).predict_proba(X)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
    other = LaplaceNetClassifier(**{**QUICK, "random_state": 7}).fit(X, labels)
    assert not np.array_equal(first, other.predict_proba(X))


# Initialisation of the network.


def codes_at_the_start(classifier, X, labels):
    """Codes of the network before the first step, and the representation."""
    classifier.set_params(lr=1e-12, supervised_epochs=0, max_epochs=1).fit(X, labels)
    model = classifier.net_.module_
    codes = classifier.net_.evaluate(model.reader, classifier._rows(X))[:, 0]
    return codes, classifier.representation_


@pytest.mark.parametrize(
    "estimator",
    [
        DiffusionRepresentation,
        VariationalDiffusionRepresentation,
        AutoencoderRepresentation,
        DenoiserFeatures,
    ],
)
def test_network_starts_with_the_codes_of_the_representation(few, estimator):
    X, _, labels = few
    rep = estimator(**REP).fit(X)
    weights = [w.clone() for w in rep.net_.module_.parameters()]
    classifier = LaplaceNetClassifier(rep, random_state=0)
    codes, used = codes_at_the_start(classifier, X, labels)
    assert used is rep
    if estimator is not DenoiserFeatures:  # which has a single time
        np.testing.assert_allclose(codes, rep.transform(X), atol=1e-4)
    LaplaceNetClassifier(rep, **QUICK).fit(X, labels)
    for before, after in zip(weights, rep.net_.module_.parameters(), strict=True):
        assert torch.equal(before, after)  # the representation is not trained


def test_unfitted_representation_is_cloned_and_fitted_on_all_rows(few):
    X, _, labels = few
    rep = DiffusionRepresentation(**REP)
    with patch.object(
        DiffusionRepresentation,
        "fit",
        autospec=True,
        side_effect=DiffusionRepresentation.fit,
    ) as fit:
        codes, used = codes_at_the_start(LaplaceNetClassifier(rep), X, labels)
    assert fit.call_count == 1
    assert fit.call_args.args[1].shape == X.shape
    assert used is not rep
    with pytest.raises(NotFittedError):
        rep.transform(X)
    np.testing.assert_allclose(codes, clone(rep).fit(X).transform(X), atol=1e-4)


def test_frozen_representation_is_kept_in_a_search(few):
    X, y, labels = few
    rep = DiffusionRepresentation(8, max_epochs=2, random_state=0).fit(X)
    search = GridSearchCV(
        LaplaceNetClassifier(FrozenEstimator(rep), **QUICK | {"max_epochs": 5}),
        {"propagation": ["laplace", "poisson"]},
        cv=SemiSupervisedKFold(3),
    )
    with patch.object(DiffusionRepresentation, "fit") as fit:
        search.fit(X, labels)
    assert not fit.called
    assert search.best_estimator_.representation_ is rep
    assert search.score(X, y) > 0.8


def test_rows_of_wrong_width_are_rejected(few):
    X, _, labels = few
    rep = DiffusionRepresentation(**REP).fit(X[:, :5])
    with pytest.raises(ValueError, match=r"X has 8 features.*expecting 5"):
        LaplaceNetClassifier(rep).fit(X, labels)


def test_time_of_a_code_is_trained_from_one_half(few):
    X, _, labels = few
    rep = DiffusionRepresentation(**REP, t_grid=[0.3, 0.6]).fit(X)
    codes, _ = codes_at_the_start(LaplaceNetClassifier(rep), X, labels)
    np.testing.assert_allclose(codes, rep.encode(X, 0.5)[:, 0], atol=1e-4)
    classifier = LaplaceNetClassifier(rep, **QUICK).fit(X, labels)
    assert classifier.t_ != 0.5
    assert 0 < classifier.t_ < 1
    assert LaplaceNetClassifier(**QUICK).fit(X, labels).t_ is None


def test_representation_with_a_single_time(few):
    X, _, labels = few
    rep = DiffusionRepresentation(**REP, t_grid=[0.4]).fit(X)
    codes, _ = codes_at_the_start(LaplaceNetClassifier(rep), X, labels)
    np.testing.assert_allclose(codes, rep.transform(X), atol=1e-4)
    assert LaplaceNetClassifier(rep, **QUICK).fit(X, labels).t_ == 0.4


def test_progress_bar_of_laplacenet(few, capsys):
    X, _, labels = few
    LaplaceNetClassifier(**QUICK).fit(X, labels)
    assert capsys.readouterr().err == ""
    LaplaceNetClassifier(verbose=1, **QUICK).fit(X, labels)
    shown = capsys.readouterr().err
    assert "5/5" in shown  # epochs on the labels
    assert "2/2" in shown  # epochs with a graph


def test_laplacenet_can_be_pickled(few):
    X, _, labels = few
    classifier = LaplaceNetClassifier(DiffusionRepresentation(**REP), **QUICK)
    classifier.fit(X, labels)
    copy = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(copy.predict_proba(X), classifier.predict_proba(X))


# Batches and folds.


def test_batches_repeat_labelled_rows():
    labelled = np.arange(100) < 3
    rows = np.arange(100)
    batches = list(MixedBatches(rows, 20, labelled, 5, np.arange))
    assert len(batches) == 7
    for batch in batches:
        assert np.count_nonzero(labelled[batch]) == 5
        assert len(batch) <= 20
    everything = np.concatenate(batches)
    counts = np.bincount(everything)
    assert (counts[3:] == 1).all()
    np.testing.assert_array_equal(counts[:3], [12, 12, 11])


def test_training_sees_labelled_rows_in_each_batch(few):
    X, _, labels = few
    seen = []
    original = MixedBatches.__iter__

    def watched(self):
        for x, y in original(self):
            seen.append(len(x))
            yield x, y

    with patch.object(MixedBatches, "__iter__", watched):
        LaplaceNetClassifier(batch_size=32, labelled_fraction=0.25, **QUICK).fit(
            X, labels
        )
    assert len(seen) == 2 * 4  # 81 rows, 24 of them in a batch
    assert max(seen) <= 32


@pytest.mark.parametrize("dtype", [int, object])
def test_folds_test_labelled_rows_only(dtype):
    y = np.repeat([-1, 0, 1], [50, 12, 6]).astype(dtype)
    folds = list(SemiSupervisedKFold(3, shuffle=True, random_state=0).split(y, y))
    assert SemiSupervisedKFold(3).get_n_splits() == len(folds) == 3
    tested = np.concatenate([test for _, test in folds])
    np.testing.assert_array_equal(np.sort(tested), np.arange(50, 68))
    for train, test in folds:
        assert set(range(50)) <= set(train)
        assert not set(train) & set(test)
        assert [np.count_nonzero(y[test] == c) for c in (0, 1)] == [4, 2]


def test_cross_validation_scores_labelled_rows(few):
    X, _, labels = few
    scores = cross_val_score(
        LaplaceNetClassifier(max_epochs=10, random_state=0),
        X,
        labels,
        cv=SemiSupervisedKFold(3),
    )
    assert scores.shape == (3,)
    assert set(scores) <= {0, 1 / 3, 2 / 3, 1}  # three labelled rows
    assert scores.mean() > 0.7
