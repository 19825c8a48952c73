"""Label propagation, compared with closed forms and scikit-learn."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import make_moons
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import KNeighborsTransformer
from sklearn.preprocessing import FunctionTransformer
from sklearn.semi_supervised import LabelSpreading

from diffrep._graph import (
    PROPAGATIONS,
    aligned,
    class_shares,
    neighbor_graph,
    propagated,
)

BOTH = pytest.mark.parametrize("kind", sorted(PROPAGATIONS))


def test_edges_are_the_cubed_cosines_of_neighbours():
    codes = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    cosines = cosine_similarity(codes)
    np.fill_diagonal(cosines, -np.inf)
    near = np.zeros((30, 30), bool)
    np.put_along_axis(near, np.argsort(-cosines, axis=1)[:, :3], True, axis=1)
    expected = np.where(near | near.T, np.clip(cosines, 0, None) ** 3, 0)
    W = neighbor_graph(codes, 3).toarray()
    np.testing.assert_allclose(W, expected, atol=1e-5)
    np.testing.assert_array_equal(W, W.T)
    assert not W.diagonal().any()


@pytest.mark.parametrize("n_neighbors", [3, 5])
def test_neighbours_from_any_transformer(n_neighbors):
    codes = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    # The transformer includes the row itself.
    given = KNeighborsTransformer(n_neighbors=n_neighbors)
    np.testing.assert_allclose(
        neighbor_graph(codes, given).toarray(),
        neighbor_graph(codes, n_neighbors).toarray(),
        atol=1e-6,
    )
    assert not hasattr(given, "n_samples_fit_")


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (csr_array((3, 3)), r"shape \(3, 3\) for 30 rows"),
        (csr_array(np.full((30, 30), np.nan)), "graph contains NaN"),
        (csr_array(np.full((30, 30), -1.0)), "Negative values"),
        (None, "Expected 2D array"),
    ],
)
def test_invalid_graphs_are_rejected(graph, message):
    given = FunctionTransformer(lambda codes: graph)
    with pytest.raises(ValueError, match=message):
        neighbor_graph(np.ones((30, 4), np.float32), given)


def weights():
    """Graph of three overlapping clusters."""
    codes = np.random.default_rng(0).normal(size=(60, 3)) + 1.2 * np.eye(3)[CLOUD]
    return neighbor_graph(codes, 6)


CLOUD = np.arange(60) % 3
LABELS = np.where(np.arange(60) < 15, CLOUD, -1)
FREE = LABELS < 0
Y = np.eye(3)[LABELS] * ~FREE[:, None]
EQUAL = np.full(3, 1 / 3)  # with five labels of each class


def test_laplace_propagation_solves_its_linear_system():
    W = weights()
    degrees = W.sum(axis=1)
    normal = W.toarray() / np.sqrt(np.outer(degrees, degrees))
    F = np.linalg.solve(np.eye(60) - 0.99 * normal, Y)
    expected = F / F.sum(axis=1, keepdims=True)
    found = propagated(W, LABELS, EQUAL, "laplace")
    np.testing.assert_allclose(found[FREE], expected[FREE], atol=5e-3)
    np.testing.assert_array_equal(found[~FREE], Y[~FREE])


def test_laplace_propagation_agrees_with_label_spreading():
    W = weights()
    peer = LabelSpreading(
        kernel=lambda *_: W.toarray(), alpha=0.99, max_iter=5000, tol=1e-9
    )
    peer.fit(np.arange(60.0)[:, None], LABELS)
    found = propagated(W, LABELS, EQUAL, "laplace").argmax(axis=1)
    np.testing.assert_array_equal(found[FREE], peer.transduction_[FREE])
    assert len(np.unique(found[FREE])) == 3


def test_poisson_learning_is_the_pseudo_inverse_of_the_laplacian():
    W = weights()
    degrees = W.sum(axis=1)
    laplacian = np.diag(degrees) - W.toarray()
    B = np.where(FREE[:, None], 0, Y - Y[~FREE].mean(axis=0))
    F = np.linalg.pinv(laplacian) @ B
    F -= degrees @ F / degrees.sum()  # the free constant, as in Calder et al.
    F = np.clip(F, 0, None)
    expected = F / F.sum(axis=1, keepdims=True)
    found = propagated(W, LABELS, EQUAL, "poisson")
    np.testing.assert_allclose(found[FREE], expected[FREE], atol=5e-3)


@BOTH
def test_scores_sum_to_one(kind):
    F = propagated(weights(), LABELS, EQUAL, kind)
    assert (F >= 0).all()
    np.testing.assert_allclose(F.sum(axis=1), 1)


@BOTH
def test_rows_without_a_path_to_labels_are_uniform(kind):
    W = np.zeros((6, 6))
    W[0, 1] = W[1, 0] = W[2, 3] = W[3, 2] = W[4, 5] = W[5, 4] = 1.0
    F = propagated(
        csr_array(W), np.array([0, -1, 1, -1, -1, -1]), np.full(2, 0.5), kind
    )
    assert F[1].argmax() == 0
    assert F[3].argmax() == 1
    np.testing.assert_allclose(F[4:], 0.5)


def test_poisson_needs_fewer_labels():
    X, y = make_moons(600, noise=0.08, random_state=0)
    X = np.column_stack([X, np.ones(600)])  # neighbours by angle, with a distant origin
    W = neighbor_graph(X - X.mean(axis=0) + [0, 0, 3], 10)
    draws = np.random.default_rng(0)
    accuracy = dict.fromkeys(PROPAGATIONS, 0.0)
    for _ in range(10):
        labels = np.full(600, -1)
        for c in (0, 1):
            labels[draws.choice(np.flatnonzero(y == c))] = c
        for kind in PROPAGATIONS:
            accuracy[kind] += (
                propagated(W, labels, np.full(2, 0.5), kind).argmax(1) == y
            ).mean() / 10
    assert accuracy["poisson"] > accuracy["laplace"]


def biased_scores():
    """Scores of 400 rows, 80 % of which are assigned to class 0."""
    rng = np.random.default_rng(0)
    share = rng.uniform(0.45, 0.575, size=400)
    return np.column_stack([share, 1 - share])


def test_alignment_brings_shares_within_bounds():
    F, labels = biased_scores(), np.full(400, -1)
    for bounds in ([0.5, 0.5], [0.25, 0.25], [0.3, 0.4], [0, 1]):
        low, high = (
            np.array([bounds[0], 1 - bounds[1]]),
            np.array([bounds[1], 1 - bounds[0]]),
        )
        found = aligned(F, labels, low, high)
        share = np.mean(found.argmax(axis=1) == 0)
        assert bounds[0] - 0.02 <= share <= bounds[1] + 0.02
        # The order of rows stays; only the threshold between classes moves.
        np.testing.assert_array_equal(np.argsort(found[:, 0]), np.argsort(F[:, 0]))
    np.testing.assert_allclose(found, F, rtol=1e-4)  # with the widest bounds


def test_alignment_keeps_labelled_rows():
    F, labels = biased_scores(), np.full(400, -1)
    F[:2], labels[:2] = np.eye(2), [0, 1]
    found = aligned(F, labels, np.full(2, 0.5), np.full(2, 0.5))
    np.testing.assert_array_equal(found[:2], np.eye(2))
    np.testing.assert_array_equal(aligned(F[:2], labels[:2], 0, 1), F[:2])


@BOTH
def test_number_of_labels_of_a_class_has_no_effect(kind):
    """Ten labels of one cluster and one of each other; the shares decide."""
    cloud = np.arange(300) % 3
    labels = np.full(300, -1)
    labels[np.r_[np.arange(0, 30, 3), 1, 2]] = np.r_[np.zeros(10, int), 1, 2]
    free = labels < 0
    correct = {"equal": [], "counted": []}
    for seed in range(10):
        codes = np.random.default_rng(seed).normal(size=(300, 3))
        W = neighbor_graph(codes + 2.5 * np.eye(3)[cloud], 10)
        for name, counts in {"equal": [1, 1, 1], "counted": [10, 1, 1]}.items():
            called = propagated(W, labels, np.array(counts) / sum(counts), kind)
            correct[name].append(np.mean(called.argmax(1)[free] == cloud[free]))
    assert np.mean(correct["equal"]) > np.mean(correct["counted"])


def estimated_and_counted(shares):
    """Mean squared errors of both estimates from thirty random labels."""
    rng, estimated, counted = np.random.default_rng(0), [], []
    for _ in range(500):
        labels = rng.choice(len(shares), size=30, p=shares)
        counts = np.bincount(labels) / 30
        if len(counts) == len(shares) and counts.all():
            estimated.append(np.square(class_shares(labels)[0] - shares).sum())
            counted.append(np.square(counts - shares).sum())
    return np.mean(estimated), np.mean(counted)


def test_estimated_shares_have_lower_error_than_counts():
    estimated, counted = estimated_and_counted(np.full(5, 0.2))
    assert estimated < counted / 3
    estimated, counted = estimated_and_counted(np.array([0.7, 0.2, 0.1]))
    assert estimated < counted * 1.5


def test_balanced_labels_give_equal_shares():
    shares, tolerance = class_shares(np.array([0, 1, 2, 2, 1, 0, -1]))
    np.testing.assert_allclose(shares, 1 / 3)
    np.testing.assert_allclose(tolerance, 1 / 30)


def test_many_labels_determine_the_shares():
    labels = np.repeat([0, 1], [9000, 1000])
    shares, tolerance = class_shares(labels)
    np.testing.assert_allclose(shares, [0.9, 0.1], atol=1e-3)
    errors = (tolerance - 0.1 * shares) / 2
    np.testing.assert_allclose(errors, np.sqrt(0.09 / 10_000), rtol=0.01)
