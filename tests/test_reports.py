"""Problems that users of similar packages reported."""

import hashlib
import io
import os
import pickle
import re
import sys
import threading
from typing import ClassVar

import joblib
import matplotlib as mpl
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.ensemble import StackingClassifier
from sklearn.feature_selection import SequentialFeatureSelector
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    LRScheduler,
)

from diffrep import (
    SDE,
    VE,
    VP,
    DiffusionRepresentation,
    VariationalDiffusionRepresentation,
    load,
)
from diffrep.baselines import (
    AutoencoderRepresentation,
    DenoiserFeatures,
    RandomEncoderRepresentation,
    SimCLRRepresentation,
)
from diffrep.core.loop import TrainingLoop
from diffrep.core.optimizers import AveragedAdamW
from diffrep.core.score_networks import MLPScoreNetwork
from diffrep.display import (
    CodeSwapDisplay,
    InformationProfileDisplay,
    LatentDisplay,
    LossOverTimeDisplay,
    ReconstructionDisplay,
    TimeProbeDisplay,
    TrainingDisplay,
)
from diffrep.evaluation import (
    compare,
    information_profile,
    probe_over_time,
    sample_diversity,
)
from diffrep.exceptions import CheckpointError
from diffrep.selection import RepresentationSelector
from diffrep.semi_supervised import LaplaceNetClassifier, SemiSupervisedKFold
from diffrep.trajectory import (
    TimeSelector,
    TimeVotingClassifier,
    TrajectoryClassifier,
)

mpl.use("Agg")

X = np.random.default_rng(0).normal(size=(60, 6))
Y = (X[:, 0] > 0).astype(int)
PARTIAL = np.where(np.arange(60) < 30, Y, -1)
QUICK = {"n_components": 4, "max_epochs": 2, "random_state": 0}
KINDS = {
    "DRL": DiffusionRepresentation(**QUICK),
    "VDRL": VariationalDiffusionRepresentation(**QUICK),
    "autoencoder": AutoencoderRepresentation(**QUICK),
    "simCLR": SimCLRRepresentation(**QUICK),
    "DDAE": DenoiserFeatures(16, max_epochs=2, random_state=0),
}
EACH = pytest.mark.parametrize("kind", KINDS)


def drl(**parameters):
    return DiffusionRepresentation(**QUICK | parameters)


def laplace(**parameters):
    return LaplaceNetClassifier(**{"max_epochs": 2, "random_state": 0} | parameters)


# Labels


@pytest.mark.parametrize("make", [list, lambda y: np.array(y, dtype=object), pd.Series])
def test_minus_one_among_text_marks_unlabelled_rows(make):
    y = make(["a", "b"] * 10 + [-1] * 40)
    assert laplace().fit(X, y).classes_.tolist() == ["a", "b"]
    tests = [test for _, test in SemiSupervisedKFold(2).split(X, y)]
    assert sorted(np.concatenate(tests)) == list(range(20))


@pytest.mark.parametrize(
    ("y", "match"),
    [
        (np.array(["a", "b"] * 10 + [-1] * 40), "the text '-1'"),
        (pd.Series(["a", "b"] * 10 + ["-1"] * 40), "the text '-1'"),
        (np.r_[np.nan, np.ones(29), np.zeros(30)], "NaN|missing labels"),
        (np.array([None] + [1] * 29 + [0] * 30, dtype=object), "NaN|missing labels"),
        (X[:, 0], "continuous"),
    ],
)
def test_invalid_labels_are_rejected(y, match):
    with pytest.raises(ValueError, match=match):
        laplace().fit(X, y)
    with pytest.raises(ValueError, match=match):
        next(SemiSupervisedKFold(2).split(X, y))


READERS = {
    "LaplaceNet": laplace().fit,
    "trajectories": TrajectoryClassifier(max_epochs=1).fit,
    "votes": TimeVotingClassifier().fit,
    "times": TimeSelector().fit,
    "selector": RepresentationSelector([("columns", StandardScaler())]).fit,
    "folds": lambda X, y: next(SemiSupervisedKFold(2).split(X, y)),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("labels", [["a", 1], [1, "a"], ["a", True], [1.0, "a"]])
def test_text_and_numbers_as_classes_are_rejected(reader, labels):
    with pytest.raises(ValueError, match="texts and labels that are not texts"):
        READERS[reader](X, np.array(labels * 30, dtype=object))


@pytest.mark.parametrize("dtype", [">i4", ">f8", np.longdouble, np.int8])
def test_labels_of_all_numeric_types(dtype):
    expected = laplace().fit(X, PARTIAL).predict(X)
    found = laplace().fit(X, PARTIAL.astype(dtype)).predict(X)
    np.testing.assert_array_equal(found, expected)


def test_stacking_with_semi_supervised_kfold():
    stack = StackingClassifier([("a", LogisticRegression())], cv=SemiSupervisedKFold(2))
    assert stack.fit(X, Y).score(X, Y) > 0.8


# Columns


def test_columns_in_another_order_are_rejected():
    frame = pd.DataFrame(X, columns=list("abcdef"))
    turned = frame[list("fedcba")]
    rep = drl().fit(frame)
    for classifier in (laplace(representation=rep), TrajectoryClassifier(rep)):
        with pytest.raises(ValueError, match="feature names should match"):
            classifier.fit(turned, PARTIAL)


IMAGES = np.random.default_rng(1).integers(0, 256, (30, 3, 8, 6), dtype=np.uint8)


@pytest.mark.parametrize("order", ["first", "last"])
@pytest.mark.parametrize("method", ["transform", "score", "predict"])
def test_images_with_channels_first_or_last_are_equal(order, method):
    rows = IMAGES.reshape(30, -1)
    images = IMAGES if order == "first" else np.moveaxis(IMAGES, 1, -1)
    rep = drl(image_shape=(3, 8, 6))
    y = np.arange(30) % 2
    if method == "predict":
        rep = TrajectoryClassifier(rep, max_epochs=1, random_state=0)
    expected = getattr(clone(rep).fit(rows, y), method)(rows)
    np.testing.assert_array_equal(getattr(rep.fit(images, y), method)(images), expected)
    np.testing.assert_array_equal(getattr(rep, method)(rows), expected)


def test_image_arrays_in_searches_comparisons_and_figures():
    images, y = np.moveaxis(IMAGES, 1, -1), np.arange(30) % 2
    rep = drl(image_shape=(3, 8, 6), max_epochs=1, code_dropout=0.1)
    rows = IMAGES.reshape(30, -1)
    pipeline = make_pipeline(rep, LogisticRegression())
    np.testing.assert_array_equal(
        cross_val_score(pipeline, images, y, cv=2),
        cross_val_score(pipeline, rows, y, cv=2),
    )
    found, expected = (
        compare({"DRL": rep}, X, y, cv=2, n_labels=["all"])["accuracy"]
        for X in (images, rows)
    )
    np.testing.assert_array_equal(found, expected)
    rep.fit(rows)
    for display in (ReconstructionDisplay, CodeSwapDisplay):
        found, expected = (
            display.from_estimator(rep, X).images for X in (images[:4], rows[:4])
        )
        np.testing.assert_array_equal(found, expected)
    pd.testing.assert_frame_equal(
        information_profile(rep, images), information_profile(rep, rows)
    )


@pytest.mark.parametrize(
    "collected", [list, tuple, pd.Series, lambda rows: list(map(Image.fromarray, rows))]
)
def test_images_may_be_a_list(collected):
    images = np.moveaxis(IMAGES, 1, -1)
    rep = drl(image_shape=(3, 8, 6))
    expected = rep.fit_transform(images)
    several = collected(list(images))
    np.testing.assert_array_equal(rep.fit(several).transform(several), expected)


def test_channel_axis_of_grey_images_is_optional():
    rep = drl(image_shape=np.array([1, 8, 6])).fit(IMAGES[:, 0])
    assert rep.transform(IMAGES[:, 0]).shape == (30, 4)
    assert rep.transform(IMAGES[:, 0, :, :, None]).shape == (30, 4)


@pytest.mark.parametrize(
    ("image_shape", "images", "match"),
    [
        (None, IMAGES, "Give image_shape="),
        ((3, 8, 6), IMAGES[:, :, :7], "does not fit image_shape"),
        ((3, 8, 6), IMAGES[:, 0], "does not fit image_shape"),
        ((3, 3, 3), IMAGES[:, :, :3, :3], "first and with channels last"),
        ((8, 6, 3), IMAGES.reshape(30, -1), "channels last"),
    ],
)
def test_ambiguous_image_arrays_are_rejected(image_shape, images, match):
    with pytest.raises(ValueError, match=match):
        drl(image_shape=image_shape).fit(images)


def test_dates_among_numbers_are_rejected():
    frame = pd.DataFrame({"a": pd.date_range("2020", periods=60), "b": X[:, 0]})
    with pytest.raises(TypeError, match="Turn dates into numbers"):
        drl().fit(frame)


# Callbacks


@pytest.mark.parametrize(
    "callback",
    [
        LRScheduler("StepLR", step_size=1),
        LRScheduler,
        EpochScoring("roc_auc"),
        BatchScoring("accuracy"),
    ],
)
def test_callbacks_without_effect_are_rejected(callback):
    for estimator in (drl(), TrajectoryClassifier(n_times=2)):
        with pytest.raises(ValueError, match=r"callbacks contains.*(effect|losses)"):
            estimator.set_params(callbacks=[callback]).fit(X, Y)


@pytest.mark.parametrize("callback", [EarlyStopping, Checkpoint])
def test_callbacks_that_watch_a_missing_validation_loss_are_rejected(
    callback, tmp_path
):
    where = {"dirname": tmp_path} if callback is Checkpoint else {}
    for estimator in (drl(), TrajectoryClassifier(n_times=2)):
        estimator.set_params(callbacks=[callback(**where)])
        with pytest.raises(ValueError, match="no rows are held out") as error:
            estimator.fit(X, Y)
    # both remedies of the message work
    monitor = re.search("Use monitor='(.*?)'", str(error.value))[1]
    drl(callbacks=[callback(monitor=monitor, **where)]).fit(X)
    drl(callbacks=[callback(**where)], early_stopping=True).fit(X)


def test_functions_can_score_epochs():
    half = EpochScoring(lambda net, X, y: len(X) / 2, name="half", use_caching=False)
    rep = drl(callbacks=[half], early_stopping=True).fit(X)
    assert (rep.history_["half"] == 0.1 * len(X) / 2).all()


def test_callbacks_stop_all_estimators():
    stop = EarlyStopping(monitor="train_loss", patience=1, threshold=10)
    rep = drl(callbacks=[stop], max_epochs=9).fit(X)
    assert rep.n_iter_ == 2
    classifier = laplace(representation=rep, callbacks=[stop], max_epochs=9)
    assert classifier.fit(X, PARTIAL).n_iter_ == 2


class Locked(Callback):
    """Callback that cannot be copied, such as one with a connection."""

    def __init__(self):
        self.lock, self.n = threading.Lock(), 0

    def on_epoch_end(self, net, **kwargs):
        self.n += 1


def test_callbacks_that_cannot_be_copied_are_shared():
    locked = Locked()
    rep = drl(callbacks=[locked], warm_start=True).fit(X)
    assert locked.n == 2
    rep.fit(X).partial_fit(X)
    assert locked.n == 5


def test_checkpoint_callback_of_skorch_works(tmp_path):
    saved = Checkpoint(dirname=tmp_path)
    drl(callbacks=[saved], early_stopping=True).fit(X)
    assert (tmp_path / "params.pt").exists()


class Failing(Callback):
    def on_batch_end(self, net, **kwargs):
        raise RuntimeError("no room")


@pytest.mark.parametrize(
    ("parameters", "error"),
    [({"lr": 1e30}, "diverged"), ({"callbacks": [Failing()]}, "no room")],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit", "fit_batches"])
# One of the fits diverges; the warning is checked in test_divergence.
@pytest.mark.filterwarnings("ignore::diffrep.exceptions.DivergenceWarning")
def test_estimator_is_unchanged_after_a_failure(method, parameters, error):
    rep = drl(warm_start=True).fit(X)
    codes, history = rep.transform(X), rep.history_
    rep.set_params(**parameters)
    with pytest.raises(RuntimeError, match=error):
        getattr(rep, method)([X] if method == "fit_batches" else X)
    np.testing.assert_array_equal(rep.transform(X), codes)
    assert rep.history_ is history


# Parameters that change between fits


@pytest.mark.parametrize(
    "change",
    [
        {"n_components": 7},
        {"t_grid": 3},
        {"sde": "vp"},
        {"preconditioning": "none"},
        {"noise_space": "data"},
        {"encoder": "mlp"},
        {"image_shape": (1, 2, 3)},
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_parameters_of_the_net_cannot_change(change, method):
    rep = drl(warm_start=True).fit(X).set_params(**change)
    with pytest.raises(ValueError, match=f"{next(iter(change))} from"):
        getattr(rep, method)(X)


def test_equal_values_in_another_container_are_accepted():
    rep = drl(warm_start=True, image_shape=(1, 2, 3), t_grid=[0.2, 1.0]).fit(X)
    codes = clone(rep).fit(X).fit(X).transform(X)
    rep.set_params(image_shape=[1, 2, 3], t_grid=np.array([0.2, 1.0])).fit(X)
    np.testing.assert_array_equal(rep.transform(X), codes)


@pytest.mark.parametrize(
    ("name", "change", "attribute"),
    [
        ("DRL", {"l1_weight": 1.0}, "code"),
        ("DRL", {"code_dropout": 0.5}, "code_dropout"),
        ("DRL", {"mixup": True}, "mixup"),
        ("DRL", {"augment": None}, "augment"),
        ("DRL", {"time_sampling": "uniform"}, "times"),
        ("DRL", {"loss_weighting": "eps"}, "times"),
        ("VDRL", {"kl_weight": 0.5}, "code"),
        ("simCLR", {"temperature": 0.7}, "temperature"),
    ],
)
def test_weights_of_penalties_apply_in_a_warm_start(name, change, attribute):
    rep = clone(KINDS[name]).set_params(warm_start=True).fit(X)
    plain = clone(rep).fit(X).fit(X).transform(X)
    before = getattr(rep.net_.module_, attribute)
    rep.set_params(**change).fit(X)
    assert getattr(rep.net_.module_, attribute) != before
    fresh = clone(rep).fit(X)
    assert getattr(rep.net_.module_, attribute) == getattr(
        fresh.net_.module_, attribute
    )
    assert not np.allclose(rep.transform(X), plain, atol=1e-6)


class Recording(MLPScoreNetwork):
    seen: ClassVar[list] = []

    def forward(self, x_t, t, z):
        self.seen.append(z.detach())
        return super().forward(x_t, t, z)


@pytest.mark.parametrize("rep", [drl(mixup=True), KINDS["VDRL"]], ids=["mixup", "VDRL"])
def test_fit_decoder_trains_on_the_codes_of_transform(rep):
    rep = clone(rep).set_params(score_network=Recording).fit(X)
    Recording.seen.clear()
    model = rep.fit_decoder(X, max_epochs=1).net_.module_
    with torch.inference_mode():
        codes = model.curve(rep._rows(X)[:][0], torch.ones(1))[:, 0]
    differences = torch.cat(Recording.seen)[:, None] - codes
    assert len(differences) == len(X)
    assert differences.abs().amax(2).amin(1).max() < 1e-5


# Modes of the caller


@pytest.mark.parametrize(
    "mode",
    [
        torch.inference_mode,
        torch.no_grad,
        lambda: torch.autocast("cpu", torch.bfloat16),
        lambda: torch.device("meta"),
        lambda: np.errstate(all="raise"),
        lambda: sklearn.config_context(array_api_dispatch=True),
    ],
    ids=["inference", "no_grad", "autocast", "meta", "errstate", "dispatch"],
)
@EACH
def test_modes_of_the_caller_have_no_effect(kind, mode, tmp_path):
    rows = X.copy()
    rows[:, 0] *= 1e-310  # denormal numbers
    rep = clone(KINDS[kind]).fit(rows)
    codes = rep.transform(rows)
    rep.save(tmp_path / "model")
    with mode():
        np.testing.assert_array_equal(rep.transform(rows), codes)
        np.testing.assert_array_equal(clone(rep).fit(rows).transform(rows), codes)
        np.testing.assert_array_equal(load(tmp_path / "model").transform(rows), codes)


@pytest.mark.parametrize(
    "mode", [torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16)]
)
def test_modes_of_the_caller_have_no_effect_on_classifiers(mode):
    expected = laplace().fit(X, PARTIAL).predict_proba(X)
    with mode():
        found = laplace().fit(X, PARTIAL).predict_proba(X)
    np.testing.assert_array_equal(found, expected)


def test_other_default_dtype_is_rejected():
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(RuntimeError, match="set_default_dtype"):
            drl().fit(X)
    finally:
        torch.set_default_dtype(torch.float32)


def test_tensors_are_accepted_as_rows():
    with sklearn.config_context(array_api_dispatch=True):
        codes = drl().fit(torch.tensor(X)).transform(torch.tensor(X))
    np.testing.assert_array_equal(codes, drl().fit(X).transform(X))


def test_masks_of_any_memory_layout():
    classifier = TrajectoryClassifier(max_epochs=1, n_times=2, head="attention")
    classifier.fit(X, Y)
    mask = np.array([True, False, True])
    mask.flags.writeable = False
    np.testing.assert_array_equal(
        classifier.attention(X, mask=mask), classifier.attention(X, mask=mask[::-1])
    )


def test_empty_batches_are_skipped():
    rep = drl().fit_batches([X[:0], X[:30], X[:0], X[30:]])
    shapes = [codes.shape for codes in rep.transform_batches([X[:0], X[:3]])]
    assert shapes == [(0, 4), (3, 4)]


# Infinite values


def test_infinite_codes_are_rejected():
    rep = drl().fit(X)
    with torch.no_grad():
        for weight in rep.net_.module_.encoder.parameters():
            weight.fill_(3e38)
    with pytest.raises(ValueError, match="infinite values or NaN"):
        rep.transform(X)


@pytest.mark.parametrize("sde", [VP(1e-300, 1e-299), VE(1e-60, 1e-50)])
def test_noise_process_without_noise_is_rejected(sde):
    with pytest.raises(ValueError, match="noise-to-signal ratios"):
        drl(sde=sde).fit(X)


class Process(SDE):
    def __init__(self, alpha, sigma):
        self.alpha, self.sigma = alpha, sigma

    alpha = sigma = None


@pytest.mark.parametrize(
    "alpha",
    [
        lambda t: 1.0,
        lambda t: torch.tensor(1.0),
        lambda t: np.ones(t.shape),
        lambda t: torch.ones(len(t), 1),
        lambda t: torch.ones_like(t).double(),
        lambda t: None,
        lambda t: t["first"],
    ],
)
def test_functions_of_a_noise_process_must_return_tensors_like_t(alpha):
    with pytest.raises(
        ValueError, match=r"alpha\(t\) of sde=.* (returns|raises).*ones_like"
    ):
        drl(sde=Process(alpha, lambda t: t + 0.01)).fit(X)


def test_first_time_of_a_noise_process_must_be_a_number():
    process = Process(torch.ones_like, lambda t: t + 0.01)
    for process.t_min in (-0.1, 1.0, "first"):
        with pytest.raises(ValueError, match=r"t_min=.* in \[0, 1\)"):
            drl(sde=process).fit(X)


class Times:
    def __init__(self, ppf):
        self.ppf = ppf


@pytest.mark.parametrize("ppf", [lambda u: 0.5, lambda u: u[:, None], lambda u: u[:1]])
def test_times_of_wrong_shape_are_rejected(ppf):
    with pytest.raises(ValueError, match="ppf must give one time for each"):
        drl(time_sampling=Times(ppf)).fit(X)


@pytest.mark.parametrize("ppf", [lambda u: "late", lambda u: u.late])
def test_errors_of_a_density_of_times_are_reported(ppf):
    with pytest.raises(ValueError, match=r"ppf of time_sampling=.* raised"):
        drl(time_sampling=Times(ppf)).fit(X)


def test_identical_rows_are_classified():
    rows = np.ones((20, 4))
    classifier = laplace().fit(rows, [0, 1] * 5 + [-1] * 10)
    assert np.isfinite(classifier.predict_proba(rows)).all()


# Files


def test_progress_bars_are_not_saved(tmp_path):
    rep = drl().fit(X).set_params(verbose=1)
    rep.save(tmp_path / "model")
    assert load(tmp_path / "model").verbose == 0


def test_tilde_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    rep = drl(checkpoint="~/checkpoints").fit(X)
    rep.save("~/model")
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoints", "model"}
    np.testing.assert_array_equal(load("~/model").transform(X), rep.transform(X))


def test_error_names_a_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"folder .*missing does not exist"):
        drl().fit(X).save(tmp_path / "missing" / "model")


def test_links_and_permissions_are_kept(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"")
    target.chmod(0o600)
    link.symlink_to(target)
    rep = drl().fit(X)
    rep.save(link)
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o600
    np.testing.assert_array_equal(load(target).transform(X), rep.transform(X))


def test_paths_that_are_not_files_are_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="not a regular file"):
        drl().fit(X).save(pipe)
    assert pipe.is_fifo()
    with pytest.raises(OSError, match="not a regular file"):
        drl().fit(X).save(tmp_path)


def test_paths_that_are_not_files_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(OSError, match="not a regular file"):
            load(path)


def test_other_files_in_a_checkpoint_folder_are_skipped(tmp_path):
    rep = drl(checkpoint=tmp_path).fit(X)
    (folder,) = tmp_path.iterdir()
    (own,) = folder.iterdir()
    (folder / "00000002 (copy).ckpt").write_bytes(own.read_bytes())
    (folder / "00000008.ckpt").mkdir()
    os.mkfifo(folder / "00000009.ckpt")
    again = clone(rep).fit(X)
    np.testing.assert_array_equal(again.transform(X), rep.transform(X))
    pd.testing.assert_frame_equal(again.history_, rep.history_)  # seconds included


@pytest.mark.parametrize(
    "change",
    [
        lambda state: [],
        lambda state: state | {"more": 1},
        lambda state: state | {"run": {}},
        lambda state: state | {"history": [1]},
        lambda state: state | {"now": state["now"] | {"step": "one"}},
        lambda state: state | {"now": state["now"] | {"module": {}}},
        lambda state: state | {"now": state["now"] | {"optimizer": {"state": 1}}},
    ],
)
def test_checkpoints_of_wrong_form_are_rejected(change, tmp_path):
    rep = drl(checkpoint=tmp_path).fit(X)
    (path,) = tmp_path.glob("*/*.ckpt")
    line, payload = path.read_bytes()[32:].split(b"\n", 1)
    state = torch.load(io.BytesIO(payload), weights_only=True)
    changed = io.BytesIO()
    torch.save(change(state), changed)
    body = line + b"\n" + changed.getvalue()
    path.write_bytes(hashlib.sha256(body).digest() + body)
    with pytest.raises(CheckpointError):
        clone(rep).fit(X)


def test_checkpoints_cannot_replace_methods_of_callbacks(tmp_path):
    rep = drl(checkpoint=tmp_path, callbacks=[EarlyStopping("train_loss")]).fit(X)
    (path,) = tmp_path.glob("*/*.ckpt")
    line, payload = path.read_bytes()[32:].split(b"\n", 1)
    state = torch.load(io.BytesIO(payload), weights_only=True)
    (own,) = state["now"]["callbacks"].values()
    own["on_train_end"] = "text"
    changed = io.BytesIO()
    torch.save(state, changed)
    body = line + b"\n" + changed.getvalue()
    path.write_bytes(hashlib.sha256(body).digest() + body)
    clone(rep).fit(X)  # would call a string


def test_second_interrupt_writes_consistent_weights(tmp_path, monkeypatch):
    parameters = {"batch_size": 16, "max_epochs": 4}
    expected = drl(**parameters).fit(X).transform(X)
    rep = drl(**parameters, checkpoint=tmp_path)
    swap, done = AveragedAdamW.swap_averages, TrainingLoop._batch_done

    def torn(self):
        weights = self.param_groups[0]["params"]
        kept = [weight.detach().clone() for weight in weights[1:]]
        swap(self)
        with torch.no_grad():
            for weight, before in zip(weights[1:], kept, strict=True):
                weight.copy_(before)
        raise KeyboardInterrupt

    def interrupted(self, loss):
        done(self, loss)
        if self.step_ == 2:
            monkeypatch.setattr(AveragedAdamW, "swap_averages", torn)
            raise KeyboardInterrupt

    monkeypatch.setattr(TrainingLoop, "_batch_done", interrupted)
    with pytest.raises(KeyboardInterrupt):
        rep.fit(X)
    monkeypatch.undo()
    np.testing.assert_array_equal(clone(rep).fit(X).transform(X), expected)


class Arrays(Callback):
    def on_epoch_end(self, net, **kwargs):
        net.history.record("array", np.ones(3))


def test_arrays_in_the_history_can_be_written(tmp_path):
    rep = drl(checkpoint=tmp_path, callbacks=[Arrays()])
    codes = rep.fit(X).transform(X)
    np.testing.assert_array_equal(clone(rep).fit(X).transform(X), codes)


def test_names_of_modules_as_device_import_nothing():
    with pytest.raises(ValueError, match="none of cpu, cuda"):
        drl(device="hpu").fit(X)
    assert "torch.hpu" not in sys.modules


# Figures, names


def test_unlabelled_points_are_drawn():
    y = np.array([None] * 20 + ["a"] * 20 + ["b"] * 20, dtype=object)
    display = LatentDisplay.from_estimator(drl(n_components=2).fit(X), X, y)
    assert [s.get_label() for s in display.scatters_] == ["no label", "a", "b"]
    assert [len(s.get_offsets()) for s in display.scatters_] == [20, 20, 20]


@pytest.mark.parametrize(
    ("display", "missing"),
    [
        (TimeProbeDisplay, "t, probe, stacked"),
        (LossOverTimeDisplay, "t, loss_without_code"),
        (InformationProfileDisplay, "sigma, nats"),
        (TrainingDisplay, "epoch"),
    ],
)
def test_displays_reject_frames_of_other_results(display, missing):
    with pytest.raises(ValueError, match=f"lacks the columns {missing}"):
        display.from_results(pd.DataFrame({"accuracy": [0.5]}))


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_draws", 0), ("n_draws", 2.5), ("probe", PCA()), ("cv", 0), ("cv", None)],
)
def test_invalid_parameters_of_compare_are_rejected(name, value):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of compare must be"):
        compare({"PCA": PCA(2)}, X, Y, n_labels=[20], **{name: value})
    with pytest.raises(ValueError, match="cv has no splits"):
        compare({"PCA": PCA(2)}, X, Y, n_labels=[20], cv=[])
    with pytest.raises(ValueError, match="Expected `cv` as an integer"):
        compare({"PCA": PCA(2)}, X, Y, n_labels=[20], cv="5-fold")
    with pytest.raises(ValueError, match="probes is an empty dict"):
        probe_over_time(PCA(2).fit(X), X, Y, X, Y, probes={})


@pytest.mark.parametrize("n_draws", [0, 1])
def test_sample_diversity_needs_two_samples(n_draws):
    with pytest.raises(ValueError, match="The 'n_draws' parameter of sample_diversity"):
        sample_diversity({"DRL": drl().fit(X)}, X, n_draws=n_draws)
    with pytest.raises(ValueError, match="All rows of X are equal"):
        sample_diversity({"DRL": drl().fit(X)}, X[:1])


def test_random_encoders_are_pickled_and_cloned():
    rep = RandomEncoderRepresentation(4, random_state=0).fit(X)
    again = pickle.loads(pickle.dumps(rep))
    np.testing.assert_array_equal(again.transform(X), rep.transform(X))
    assert clone(rep).get_params() == rep.get_params()


def test_estimator_loaded_with_mmap_mode_trains_further(tmp_path):
    rep = drl().fit(X)
    joblib.dump(rep, tmp_path / "rep.pkl")
    mapped = joblib.load(tmp_path / "rep.pkl", mmap_mode="r")
    np.testing.assert_array_equal(mapped.transform(X), rep.transform(X))
    mapped.partial_fit(X)
    np.testing.assert_array_equal(mapped.transform(X), rep.partial_fit(X).transform(X))


def test_columns_are_selected_by_name():
    frame = pd.DataFrame(X, columns=list("abcdef"))
    pipe = make_pipeline(drl(max_epochs=0), LogisticRegression())
    search = SequentialFeatureSelector(pipe, n_features_to_select=2, cv=2)
    assert "a" in search.fit(frame, X[:, 0] > 0).get_feature_names_out()


def test_unusual_names_of_polars_columns():
    frame = pl.DataFrame({"": X[:, 0], "self": X[:, 1]})
    assert drl().fit(frame).transform(frame).shape == (60, 4)
    with pytest.raises(ValueError, match="collect one that is lazy"):
        drl().fit(frame.lazy())
