"""Selection of a representation by the labelled rows."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, LeaveOneOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    PolynomialFeatures,
    StandardScaler,
)
from sklearn.utils import estimator_html_repr

from diffrep import DiffusionRepresentation
from diffrep.selection import RepresentationSelector
from diffrep.trajectory import TimeSelector


@pytest.fixture(scope="module")
def ring():
    """Rows of two columns; the class is whether they are far from the origin."""
    X = np.random.default_rng(0).normal(size=(200, 2))
    return X, (np.square(X).sum(axis=1) > 1.5).astype(int)


def selector_of(**transformers):
    return RepresentationSelector(list(transformers.items()))


def test_best_transformer_is_selected(ring):
    X, y = ring
    squares, columns = PolynomialFeatures(2), StandardScaler()
    selector = selector_of(squares=squares, columns=columns).fit(X, y)
    assert selector.index_ == 0
    np.testing.assert_array_equal(selector.transform(X), squares.fit_transform(X))
    assert list(selector.get_feature_names_out())[-1] == "x1^2"
    linear = (X[:, 0] > 0).astype(int)
    assert selector_of(squares=squares, columns=columns).fit(X, linear).index_ == 1
    assert selector_of(first=PCA(1), both=columns).fit(X, X @ [1.0, 2.0]).index_ == 1


def test_scores_equal_leave_one_out(ring):
    X, y = ring
    texts = np.array(["near", "far"])[y]
    selector = selector_of(squares=PolynomialFeatures(2), pca=PCA(2)).fit(X, texts)
    targets = (texts[:, None] == ["far", "near"]).astype(float)
    for (_, transformer), score in zip(
        selector.transformers_, selector.scores_, strict=True
    ):
        codes = transformer.transform(X)
        codes = codes - codes.mean(axis=0)
        codes /= np.sqrt(np.square(codes).sum(axis=1).mean())
        found = [
            cross_val_predict(Ridge(alpha), codes, targets, cv=LeaveOneOut())
            for alpha in np.geomspace(1e-4, 10, 8)
        ]
        best = min(found, key=lambda found: np.square(found - targets).mean())
        wrong = best.argmax(axis=1) != targets.argmax(axis=1)
        assert score == pytest.approx(-wrong.mean())


def test_numbers_have_squared_errors(ring):
    X, y = ring
    numbers = y + 0.5
    columns, pca = StandardScaler().fit_transform(X), PCA(2).fit_transform(X)
    times = TimeSelector(n_times=2).fit(np.hstack([columns, pca]), numbers)
    selector = selector_of(columns=StandardScaler(), pca=PCA(2)).fit(X, numbers)
    np.testing.assert_allclose(selector.scores_, times.scores_)


@pytest.mark.parametrize("dtype", ["float64", "Float64", "int64", "Int64"])
def test_integers_are_numbers_as_floats_or_with_target_type(dtype):
    X, y = load_diabetes(return_X_y=True)
    assert np.array_equal(y, y.round())
    target = pd.Series(y).astype(dtype)
    kind = "auto" if "loat" in dtype else "continuous"
    selector = selector_of(bmi=FunctionTransformer(lambda X: X[:, [2]]), all=PCA())
    scores = selector.set_params(target_type=kind).fit(X, target).scores_
    codes = [np.hstack([X[:, [2]], np.zeros((442, 9))]), X]
    times = TimeSelector(2, target_type=kind).fit(np.hstack(codes), target)
    np.testing.assert_allclose(times.scores_, scores)
    assert 2000 < -scores[1] < -scores[0] < y.var()  # the residual variance is 2,860
    assert selector.index_ == times.index_ == 1


def test_target_type_multiclass(ring):
    X, y = ring
    selector = selector_of(squares=PolynomialFeatures(2), columns=StandardScaler())
    scores = selector.fit(X, y).scores_
    for dtype in ("Int64", "boolean", "category", "string"):
        selector.fit(X, pd.Series(y).astype(dtype))
        np.testing.assert_array_equal(selector.scores_, scores)
    selector.set_params(target_type="multiclass").fit(X, y.astype(float))
    np.testing.assert_array_equal(selector.scores_, scores)
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        selector.fit(X, y + 0.5)
    with pytest.raises(ValueError, match="could not convert string to float"):
        selector.set_params(target_type="continuous").fit(X, np.array(["a", "b"])[y])


def test_labels_decide_between_codes_and_columns():
    """Codes are selected for curved boundaries, columns for linear ones."""
    X = np.random.default_rng(0).normal(size=(600, 3))
    rep = DiffusionRepresentation(max_epochs=0, random_state=0).fit(X)
    chosen = {}
    for name, y in {"bent": X[:, 0] * X[:, 1] > 0, "straight": X[:, 0] > 0}.items():
        selector = selector_of(codes=FrozenEstimator(rep), columns=StandardScaler())
        pipeline = make_pipeline(selector, LogisticRegression(max_iter=1000))
        pipeline.fit(X[:100], y[:100])
        assert pipeline.score(X[400:], y[400:]) > 0.8
        chosen[name] = pipeline[0].index_
    assert chosen == {"bent": 0, "straight": 1}


def test_parameters_of_transformers_can_be_searched(ring):
    X, y = ring
    selector = selector_of(power=PolynomialFeatures(1), columns=StandardScaler())
    pipeline = make_pipeline(selector, LogisticRegression())
    grid = {"representationselector__power__degree": [1, 2]}
    search = GridSearchCV(pipeline, grid, cv=3).fit(X, y)
    assert search.best_params_ == {"representationselector__power__degree": 2}
    assert search.best_score_ > 0.9


def test_html_diagram_shows_the_transformers(ring):
    selector = selector_of(squares=PolynomialFeatures(2), columns=StandardScaler())
    pipeline = make_pipeline(selector, LogisticRegression())
    for shown in (pipeline, pipeline.fit(*ring)):
        diagram = estimator_html_repr(shown)
        assert "squares" in diagram
        assert "sk-parallel-item" in diagram


def test_invalid_transformers_are_rejected(ring):
    X, y = ring
    with pytest.raises(ValueError, match="empty list"):
        RepresentationSelector([]).fit(X, y)
    twice = RepresentationSelector([("a", PCA(1)), ("a", PCA(2))])
    with pytest.raises(ValueError, match="not unique"):
        twice.fit(X, y)
    with pytest.raises(TypeError, match="'raw' is 'passthrough'; expected"):
        selector_of(pca=PCA(1), raw="passthrough").fit(X, y)
    with pytest.raises(TypeError, match=r"contains PCA\(\); expected pairs"):
        RepresentationSelector([PCA()]).fit(X, y)
    with pytest.raises(ValueError, match="Input y contains NaN"):
        selector_of(pca=PCA(1)).fit(X, np.where(y, 1.0, np.nan))
    with pytest.raises(ValueError, match="missing labels"):
        selector_of(pca=PCA(1)).fit(X, np.array([None, "near"] * 100))
    with pytest.raises(TypeError, match="Sparse data"):
        selector_of(sparse=OneHotEncoder(), columns=StandardScaler()).fit(X, y)


def test_failed_fit_keeps_the_selector(ring):
    X, y = ring
    fails = {"squares": PolynomialFeatures(3), "columns": OneHotEncoder()}
    selector = selector_of(squares=PolynomialFeatures(2), columns=StandardScaler())
    before = selector.fit(X, y).transform(X)
    with pytest.raises(TypeError, match="Sparse data"):
        selector.set_params(**fails).fit(X, y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        selector.fit(X, y[:10])
    np.testing.assert_array_equal(selector.transform(X), before)
    unfitted = selector_of(**fails)
    with pytest.raises(TypeError, match="Sparse data"):
        unfitted.fit(X, y)
    with pytest.raises(NotFittedError):
        unfitted.transform(X)
