"""Evaluation: known accuracies, no test rows in fit, intervals as in scipy."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.stats import ortho_group
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from diffrep import DiffusionRepresentation
from diffrep.evaluation import (
    accuracy_over_splits,
    accuracy_table,
    class_silhouette,
    code_similarity,
    compare,
    label_efficiency,
    paired_difference,
    probe_over_time,
    sample_diversity,
)
from diffrep.evaluation._probing import draw_labelled

IDENTITY = FunctionTransformer()


def one_hot(X):
    """Codes are the label, which is in the first column."""
    return np.eye(10)[X[:, 0].astype(int)]


def noise(X):
    """Codes that do not depend on the row."""
    return np.random.default_rng(len(X)).normal(size=(len(X), 5))


class Recorder(TransformerMixin, BaseEstimator):
    """Stores the rows it is fitted to and its seed."""

    seen = []

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y=None):
        self.seen.append((np.asarray(X)[:, 0], y, self.random_state))
        self.fitted_ = True
        return self

    def transform(self, X):
        return X


class RecordingProbe(LogisticRegression):
    """Stores the numbers of the rows that it is trained on."""

    seen = []

    def fit(self, X, y):
        self.seen.append(np.round(X[:, -2], 6))
        return super().fit(X, y)


class Curve:
    """Codes are a function of rows and one time; no fit is needed."""

    t_grid_ = np.array([0.5])

    def __init__(self, code):
        self.code = code

    def encode(self, X, times):
        return np.stack([self.code(X, t) for t in times], axis=1)


@pytest.fixture
def labelled():
    """Rows (label, number of the row, 1) of ten classes; a third is for testing."""
    y = np.arange(300) % 10
    X = np.column_stack([y, np.arange(300.0), np.ones(300)])
    return X[:200], y[:200], X[200:], y[200:]


def frame(accuracies):
    """Results of `compare` with given accuracies by name, n_labels, split, draw."""
    return pd.DataFrame(
        [
            (name, split, n, draw, a, 1.5 + split, 1000.0, 7)
            for name, by_n in accuracies.items()
            for n, by_split in by_n.items()
            for split, draws in enumerate(by_split)
            for draw, a in enumerate(draws)
        ],
        columns=[
            *["representation", "split", "n_labels", "draw", "accuracy"],
            *["fit_seconds", "rows_per_second", "n_columns"],
        ],
    )


# --- label_efficiency -------------------------------------------------------


def test_codes_equal_to_the_label_have_accuracy_one(labelled):
    results = label_efficiency(
        FunctionTransformer(one_hot), *labelled, n_labels=[10, 50, "all"], n_draws=3
    )
    assert results["n_labels"].tolist() == [10] * 3 + [50] * 3 + ["all"]
    assert results["draw"].tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert (results["accuracy"] == 1).all()


def test_codes_of_noise_have_chance_accuracy(labelled):
    results = label_efficiency(
        FunctionTransformer(noise), *labelled, n_labels=[50], n_draws=20
    )
    # The standard error of 20 x 100 guesses with p = 0.1 is below 0.01.
    assert results["accuracy"].mean() == pytest.approx(0.1, abs=0.04)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_accuracy_with_all_labels_equals_scikit_learn(digits, dtype):
    X, y = digits[0].astype(dtype), digits[1]
    results = label_efficiency(
        IDENTITY, X[:250], y[:250], X[250:], y[250:], n_labels="all"
    )
    mean, variance = X[:250].mean(0), X[:250].astype(float).var(0).sum()
    codes = 4 * (X - mean) / np.sqrt(variance)  # of mean squared length 16
    expected = LogisticRegression(tol=3e-4, max_iter=2000)
    expected.fit(codes[:250], y[:250])
    score = expected.score(codes[250:], y[250:])
    assert results["accuracy"].item() == pytest.approx(score, abs=1 / 50)


def test_default_probe_has_converged(digits):
    X, y = digits
    data = (X[:250], y[:250], X[250:], y[250:])
    precise = LogisticRegression(tol=1e-7, max_iter=10_000)
    fast, slow = (
        label_efficiency(IDENTITY, *data, n_labels=[20, "all"], n_draws=3, probe=probe)
        for probe in (None, precise)
    )
    np.testing.assert_allclose(fast["accuracy"], slow["accuracy"], atol=0.011)


def test_scale_of_the_codes_does_not_matter(digits):
    X, y = digits
    data = (X[:250], y[:250], X[250:], y[250:])
    accuracies = [
        label_efficiency(FunctionTransformer(f), *data, n_labels=[20])["accuracy"]
        for f in (None, lambda X: 1024 * X)
    ]
    np.testing.assert_array_equal(*accuracies)


def test_constant_codes_predict_the_largest_class(labelled):
    X, _, X_test, _ = labelled
    y, y_test = np.arange(200) % 5 == 0, np.arange(100) % 5 == 0
    collapsed = FunctionTransformer(lambda X: np.ones((len(X), 3)))
    results = label_efficiency(collapsed, X, y, X_test, y_test, n_labels=[20, "all"])
    np.testing.assert_allclose(results["accuracy"], 0.8)


@pytest.mark.parametrize("n", [10, 17, 195])
def test_every_representation_gets_the_same_draws(labelled, n):
    RecordingProbe.seen = []
    other = FunctionTransformer(lambda X: 8 * np.c_[X[:, -3::-1], X[:, -2:]] + 1)
    for representation in (IDENTITY, other):
        label_efficiency(
            representation, *labelled, n_labels=[n], n_draws=3, probe=RecordingProbe()
        )
    first, second = RecordingProbe.seen[:3], RecordingProbe.seen[3:]
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(np.sort(first[0]), np.sort(first[1]))


def test_random_state_determines_the_draws(labelled):
    def draws(random_state):
        RecordingProbe.seen = []
        label_efficiency(
            IDENTITY,
            *labelled,
            n_labels=[50],
            n_draws=2,
            probe=RecordingProbe(),
            random_state=random_state,
        )
        return np.stack(RecordingProbe.seen)

    np.testing.assert_array_equal(draws(3), draws(3))
    same = (draws(np.random.RandomState(3)) for _ in range(2))
    np.testing.assert_array_equal(*same)
    assert not np.array_equal(draws(3), draws(4))
    assert not np.array_equal(draws(None), draws(None))


@pytest.mark.parametrize("seed", range(5))
def test_draws_are_stratified_or_have_all_classes(seed):
    y = np.repeat([0, 1, 2], [300, 90, 10])
    drawn = [draw_labelled(y, n, (0, seed)) for n in (3, 8, 20, 40, 399)]
    counts = [np.bincount(y[rows], minlength=3).tolist() for rows in drawn]
    assert counts[0] == [1, 1, 1]
    assert sorted(counts[1]) == [2, 3, 3]
    assert sorted(counts[2]) == [6, 7, 7]
    assert counts[3] == [30, 9, 1]
    assert sum(counts[4]) == 399
    assert min(counts[4]) >= 1
    assert all(len(np.unique(rows)) == len(rows) for rows in drawn)


def test_too_large_numbers_of_labels_are_skipped(labelled):
    results = label_efficiency(
        IDENTITY, *labelled, n_labels=(2, 9, 10, 199, 200, 1000), n_draws=1
    )
    assert results["n_labels"].tolist() == [10, 199]
    assert results["n_labels"].dtype == object


@pytest.mark.parametrize("wrong", [[0.5], "many", ["all", None]])
def test_invalid_numbers_of_labels_are_rejected(labelled, wrong):
    with pytest.raises(ValueError, match="expected integers and 'all'"):
        label_efficiency(IDENTITY, *labelled, n_labels=wrong)


def test_error_if_no_number_of_labels_remains(labelled):
    with pytest.raises(ValueError, match="between the 10 classes and the 200 rows"):
        label_efficiency(IDENTITY, *labelled, n_labels=[5, 500])


def test_frames_sparse_codes_and_text_labels(labelled):
    X, y, X_test, y_test = labelled
    names = np.array(list("abcdefghij"))
    encoder = OneHotEncoder().fit(X[:, :1])
    results = label_efficiency(
        encoder, X[:, :1], names[y], X_test[:, :1], names[y_test], n_labels=[20]
    )
    assert (results["accuracy"] == 1).all()


def test_lengths_must_match(labelled):
    X, y, X_test, y_test = labelled
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        label_efficiency(IDENTITY, X, y[1:], X_test, y_test)


# --- compare ----------------------------------------------------------------


@pytest.mark.parametrize("container", [np.asarray, pd.DataFrame, np.ndarray.tolist])
def test_fit_never_sees_test_rows(labelled, container):
    X, y = np.vstack(labelled[::2]), np.concatenate(labelled[1::2])
    splits = list(KFold(3, shuffle=True, random_state=0).split(X))
    X[:, 0] = np.arange(300)
    Recorder.seen = []
    compare({"it": Recorder()}, container(X), y, cv=iter(splits), n_labels=["all"])
    assert len(Recorder.seen) == 3
    for (train, _), (rows, y_seen, _) in zip(splits, Recorder.seen, strict=True):
        assert y_seen is None
        np.testing.assert_array_equal(rows, train)


def test_repeated_split_has_different_seeds(labelled):
    X, y = labelled[:2]
    Recorder.seen = []
    representations = {
        "alone": Recorder(random_state=5),
        "in a pipeline": make_pipeline(IDENTITY, Recorder()),
    }
    split = np.arange(150), np.arange(150, 200)
    results = compare(
        representations, X, y, cv=[split] * 3, n_labels=["all"], random_state=7
    )
    assert [seed for *_, seed in Recorder.seen] == [7, 8, 9] * 2
    assert results["split"].tolist() == [0, 1, 2] * 2
    assert representations["alone"].random_state == 5
    assert not hasattr(representations["alone"], "fitted_")


def test_default_splits_are_stratified_thirds(labelled):
    X, y = labelled[:2]
    Recorder.seen = []
    compare({"it": Recorder()}, X, y, n_labels=["all"])
    for labels, _, _ in Recorder.seen:  # the first column is the label
        counts = np.bincount(labels.astype(int))
        assert counts.sum() == 133
        assert set(counts) <= {13, 14}
    assert len({tuple(labels) for labels, _, _ in Recorder.seen}) == 3


def test_compare_is_label_efficiency_on_each_split(digits):
    X, y = digits
    splits = list(KFold(2).split(X))
    options = {"n_labels": [20, "all"], "n_draws": 2}
    results = compare({"pca": PCA(8, svd_solver="full")}, X, y, cv=KFold(2), **options)
    expected = [
        label_efficiency(
            PCA(8, svd_solver="full").fit(X[train]),
            *(X[train], y[train], X[test], y[test]),
            **options,
            random_state=i,
        )
        for i, (train, test) in enumerate(splits)
    ]
    columns = ["n_labels", "draw", "accuracy"]
    pd.testing.assert_frame_equal(
        results[columns], pd.concat(expected, ignore_index=True)
    )
    assert results["split"].tolist() == [0] * 3 + [1] * 3
    assert (results["n_columns"] == 8).all()


def test_results_do_not_depend_on_n_jobs(digits):
    X, y = digits
    representations = {"raw": IDENTITY, "pca": PCA(8)}
    one, two = (
        compare(representations, X, y, n_labels=[20], n_draws=2, cv=2, n_jobs=n_jobs)
        for n_jobs in (None, 2)
    )
    times = ["fit_seconds", "rows_per_second"]
    pd.testing.assert_frame_equal(one.drop(columns=times), two.drop(columns=times))
    assert (two[times] >= 0).all(axis=None)


def test_seconds_of_fit_and_rows_of_transform(labelled):
    X, y = labelled[:2]

    class Slow(Recorder):
        def fit(self, X, y=None):
            sum(range(5_000_000))
            return super().fit(X)

    results = compare({"slow": Slow(), "quick": Recorder()}, X, y, n_labels=["all"])
    slow, quick = results.groupby("representation", sort=False)["fit_seconds"].min()
    assert slow > 0.01 > quick
    assert (results["rows_per_second"] > 1000).all()


@pytest.mark.parametrize("wrong", [PCA(2), [PCA(2)], {}])
def test_representations_must_be_a_dict(labelled, wrong):
    X, y = labelled[:2]
    match = "must be a dict from names to transformers"
    with pytest.raises(TypeError, match=match):
        compare(wrong, X, y)
    with pytest.raises(TypeError, match=match):
        class_silhouette(wrong, X, y)
    with pytest.raises(TypeError, match=match):
        sample_diversity(wrong, X)


@pytest.mark.parametrize("wrong", [None, "passthrough", PCA, LogisticRegression()])
def test_compared_objects_must_be_transformers(labelled, wrong):
    X, y = labelled[:2]
    with pytest.raises(TypeError, match=r"'raw'(.|\n)*expected a transformer"):
        compare({"PCA": PCA(2), "raw": wrong}, X, y)


def test_frozen_representations_are_compared_as_they_are(labelled):
    X, y, X_test, y_test = labelled
    rep = DiffusionRepresentation(2, max_epochs=0, random_state=0).fit(X[::2])
    split = [(np.arange(200), np.arange(200, 300))]
    found = compare(
        {"frozen": FrozenEstimator(rep)},
        np.concatenate([X, X_test]),
        np.concatenate([y, y_test]),
        cv=split,
        n_labels=["all"],
    )
    expected = label_efficiency(rep, X, y, X_test, y_test, n_labels=["all"])
    assert found["accuracy"].tolist() == expected["accuracy"].tolist()


def test_samples_are_needed_for_their_diversity(labelled):
    X = labelled[0]
    pipeline = make_pipeline(PCA(2)).fit(X)
    with pytest.raises(TypeError, match=r"has no sample.*of a pipeline"):
        sample_diversity({"PCA": pipeline}, X)


@pytest.mark.parametrize("function", [label_efficiency, probe_over_time])
def test_representations_must_transform(function, labelled):
    for wrong in ({"PCA": PCA(2)}, PCA, LogisticRegression(), None):
        with pytest.raises(TypeError, match=r"has no transform\. Pass"):
            function(wrong, *labelled)


WRONG_LABELS = {
    "NaN": (lambda y: np.where(y, y, np.nan), "missing labels"),
    "None": (lambda y: np.where(y, y.astype(object), None), "missing labels"),
    "NA": (lambda y: pd.Series(y, dtype="Int64").mask(y == 3), "missing labels"),
    "numbers": (lambda y: y + 0.5, "Unknown label type: continuous"),
    "mixed": (
        lambda y: np.where(y, y.astype(object), "0"),
        "texts and labels that are not",
    ),
    "one": (np.zeros_like, "one class, .*0.*; accuracies need at least 2"),
}


@pytest.mark.parametrize("kind", WRONG_LABELS)
def test_invalid_labels_are_rejected_before_a_fit(labelled, kind):
    X, y, X_test, y_test = labelled
    wrong, match = WRONG_LABELS[kind]
    never = FunctionTransformer(lambda X: pytest.fail("fitted"), validate=True)
    with pytest.raises(ValueError, match=match):
        compare({"a": never}, X, wrong(y), n_labels=[50])
    with pytest.raises(ValueError, match=match):
        label_efficiency(IDENTITY, X, wrong(y), X_test, y_test)
    with pytest.raises(ValueError, match="between the 10 classes and the"):
        compare({"a": never}, X, y, n_labels=[5, 5000])


# --- tables and differences -------------------------------------------------


def test_table_averages_draws_before_splits():
    results = frame(
        {
            "b": {10: [[0.1, 0.3], [0.4, 0.8]], "all": [[0.9], [0.7]]},
            "a": {10: [[0.5, 0.5], [0.5, 0.5]], "all": [[1.0], [1.0]]},
        }
    )
    table = accuracy_table(results)
    # Means over draws are 0.2 and 0.6; their standard deviation is 0.4 / sqrt 2.
    assert table.loc["b", 10] == "0.400 ±0.283"
    assert table.loc["b", "all"] == "0.800 ±0.141"
    assert table.loc["a", "all"] == "1.000 ±0.000"
    assert table.index.tolist() == ["b", "a"]
    assert table.columns.tolist() == [10, "all", "CPU s", "rows/s", "columns"]
    assert table.loc["a", ["CPU s", "rows/s", "columns"]].tolist() == [
        *["2.0", "1,000", "7"]
    ]


def test_table_of_one_split_has_no_standard_deviation():
    table = accuracy_table(frame({"a": {10: [[0.25, 0.75]]}}))
    assert table.loc["a", 10] == "0.500"


def test_accuracy_over_splits_ignores_the_number_of_draws():
    accuracy = accuracy_over_splits(frame({"a": {10: [[0.0] * 9, [1.0]]}}))
    assert accuracy.loc[("a", 10), "mean"] == 0.5


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_paired_difference_equals_the_t_test(level):
    rng = np.random.default_rng(0)
    first, second = rng.uniform(size=(2, 2, 5, 3))
    results = frame(
        {
            "second": {100: second[0], "all": second[1][:, :1]},
            "first": {100: first[0], "all": first[1][:, :1]},
        }
    )
    results = results.sample(frac=1, random_state=0)
    differences = paired_difference(results, "first", "second", level=level)
    differences = differences.set_index("n_labels")
    for n, a, b in [
        (100, first[0].mean(1), second[0].mean(1)),
        ("all", first[1][:, 0], second[1][:, 0]),
    ]:
        low, high = stats.ttest_rel(a, b).confidence_interval(level)
        expected = [(a - b).mean(), low, high, 5]
        np.testing.assert_allclose(differences.loc[n].astype(float), expected)


def test_paired_difference_of_equal_results_is_zero():
    results = frame({"a": {10: [[0.5], [0.6], [0.9]]}})
    difference = paired_difference(results, "a", "a")
    assert difference[["difference", "low", "high"]].to_numpy().tolist() == [[0, 0, 0]]


def test_paired_difference_of_one_split_has_no_interval():
    results = frame({"a": {10: [[0.5]]}, "b": {10: [[0.25]]}})
    difference = paired_difference(results, "a", "b")
    assert difference["difference"].item() == 0.25
    assert difference[["low", "high"]].isna().all(axis=None)


def test_paired_difference_uses_common_splits():
    results = frame({"a": {10: [[0.5], [0.7]]}, "b": {"all": [[1.0]], 10: [[0.4]]}})
    difference = paired_difference(results, "a", "b")
    assert difference["n_labels"].tolist() == [10]
    assert difference["n_splits"].item() == 1
    assert difference["difference"].item() == pytest.approx(0.1)


def test_paired_difference_lists_valid_names():
    with pytest.raises(ValueError, match=r"no representation 'c'.*\['a'\]"):
        paired_difference(frame({"a": {10: [[0.5]]}}), "a", "c")


def test_frames_of_other_results_are_rejected():
    other = pd.DataFrame({"representation": ["a"]})
    for function in (
        accuracy_over_splits,
        accuracy_table,
        lambda results: paired_difference(results, "a", "a"),
    ):
        with pytest.raises(ValueError, match="results lacks the columns n_labels"):
            function(other)


@pytest.mark.parametrize("level", [0, 1, 95])
def test_level_must_be_between_zero_and_one(level):
    with pytest.raises(ValueError, match=f"level={level} must be between 0 and 1"):
        paired_difference(frame({"a": {10: [[0.5]]}}), "a", "a", level=level)


# --- codes over time --------------------------------------------------------


def test_probe_over_time_uses_the_code_of_each_time(labelled):
    def code(X, t):
        """The label at t = 0, its parity between, and nothing at t = 1."""
        values = {0: X[:, 0], 0.5: X[:, 0] % 2, 1: 0 * X[:, 0]}[t]
        return np.eye(10)[values.astype(int)]

    results = probe_over_time(
        Curve(code), *labelled, times=[0, 0.5, 1], probes={"lr": LogisticRegression()}
    )
    assert results.columns.tolist() == ["probe", "t", "stacked", "draw", "accuracy"]
    np.testing.assert_array_equal(results["t"], [0, 0.5, 1, np.nan])
    np.testing.assert_allclose(results["accuracy"], [1, 0.2, 0.1, 1])
    assert results["stacked"].tolist() == [False, False, False, True]


def test_stack_combines_information_of_all_times(labelled):
    def code(X, t):
        """The two digits of the label in base 4, each at its own time."""
        digit = X[:, 0] // 4 if t < 0.5 else X[:, 0] % 4
        return np.eye(4)[digit.astype(int)]

    knn = {"knn": KNeighborsClassifier(1)}
    results = probe_over_time(Curve(code), *labelled, times=[0.2, 0.8], probes=knn)
    apart, stack = results["accuracy"][:2], results["accuracy"].iloc[2]
    assert (apart < 0.5).all()
    assert stack == 1


def test_probe_over_time_of_an_estimator(digits):
    X, y = digits
    options = {"n_components": 6, "max_epochs": 2, "random_state": 0}
    rep = DiffusionRepresentation(**options, t_grid=2).fit(X)
    data = (X[:250], y[:250], X[250:], y[250:])
    results = probe_over_time(rep, *data, times=rep.t_grid_, n_labels=50, n_draws=2)
    assert results["probe"].unique().tolist() == ["linear", "mlp", "svm", "knn"]
    assert len(results) == 4 * 3 * 2
    stack = results[results["stacked"] & (results["probe"] == "linear")]
    # transform has the same times side by side.
    expected = label_efficiency(rep, *data, n_labels=[50], n_draws=2)
    np.testing.assert_array_equal(stack["accuracy"], expected["accuracy"])


def test_static_representation_has_constant_accuracy(digits):
    X, y = digits
    data = (X[:250], y[:250], X[250:], y[250:])
    probes = {"lr": None}
    results = probe_over_time(IDENTITY, *data, probes=probes, n_labels=50, n_draws=3)
    assert results["t"].isna().all()
    assert not results["stacked"].any()
    expected = label_efficiency(IDENTITY, *data, n_labels=[50], n_draws=3)
    np.testing.assert_array_equal(results["accuracy"], expected["accuracy"])


def test_default_times_cover_all_noise_levels(labelled):
    seen = []
    curve = Curve(lambda X, t: seen.append(t) or X + t)
    code_similarity(curve, labelled[0])
    np.testing.assert_allclose(seen, np.arange(11) / 10)


def test_rotated_scaled_and_shifted_codes_are_similar(labelled):
    rotations = {0.0: np.eye(4), 1.0: ortho_group.rvs(4, random_state=0)}
    X = np.random.default_rng(0).normal(size=(50, 4)) * [1, 2, 3, 4]
    curve = Curve(lambda X, t: (1 + t) * X @ rotations[t] + 5 * t)
    similarity = code_similarity(curve, X, times=[0, 1])
    np.testing.assert_allclose(similarity, 1)
    assert similarity.index.tolist() == similarity.columns.tolist() == [0, 1]


def test_similarity_equals_that_of_gram_matrices():
    codes = np.random.default_rng(0).normal(size=(2, 30, 4))
    codes[1] += codes[0]
    similarity = code_similarity(Curve(lambda X, t: codes[int(t)]), codes[0], [0, 1])
    centre = np.eye(30) - 1 / 30
    K, L = (centre @ z @ z.T @ centre for z in codes)
    hsic = np.trace(K @ L) / np.sqrt(np.trace(K @ K) * np.trace(L @ L))
    np.testing.assert_allclose(similarity, [[1, hsic], [hsic, 1]])


def test_similarity_of_uncorrelated_and_of_constant_codes():
    signs = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    codes = {0: signs[:, :1], 1: signs[:, 1:], 2: np.ones((4, 1))}
    curve = Curve(lambda X, t: codes[t])
    similarity = code_similarity(curve, signs, times=[0, 1, 2])
    expected = [[1, 0, np.nan], [0, 1, np.nan], [np.nan] * 3]
    np.testing.assert_array_equal(similarity, expected)


def test_similarity_needs_codes_over_time(digits):
    with pytest.raises(ValueError, match=r"same code at all times .*t_grid"):
        code_similarity(PCA(2).fit(digits[0]), digits[0])
