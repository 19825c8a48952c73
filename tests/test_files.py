"""Model files: loaded estimators are equal, and invalid files are rejected."""

import gzip
import json
import pickle
import resource
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors
import scipy.stats
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import diffrep
from diffrep import (
    SDE,
    DiffusionRepresentation,
    SubVP,
    VariationalDiffusionRepresentation,
    load,
)
from diffrep.baselines import (
    AutoencoderRepresentation,
    DenoiserFeatures,
    RandomEncoderRepresentation,
    SimCLRRepresentation,
    VariationalAutoencoderRepresentation,
)
from diffrep.core.augment import flip
from diffrep.core.standardizer import Standardizer
from diffrep.exceptions import ModelFileError
from diffrep.semi_supervised import LaplaceNetClassifier
from diffrep.trajectory import TrajectoryClassifier
from tests.fuzz.files import (
    changed_bytes,
    changed_parts,
    outcome,
    parsed,
    rebuilt,
)

QUICK = {"max_epochs": 1, "random_state": 0}
X = np.random.default_rng(0).normal(size=(40, 6))
Y = np.array(["a", "bb", "ccc"])[np.arange(40) % 3]
IMAGES = {"image_shape": (1, 2, 3)}
SIGNALS = {"signal_shape": (2, 3)}


class Linear(nn.Module):
    """Small user-defined encoder."""

    def __init__(self, data_shape, n_outputs, time_conditioned):
        super().__init__()
        self.map = nn.Linear(data_shape[0], n_outputs)

    def forward(self, x):
        return self.map(x)


class Score(nn.Module):
    """Small user-defined score network."""

    def __init__(self, data_shape, n_components):
        super().__init__()
        self.map = nn.Linear(data_shape[0] + n_components + 1, data_shape[0])

    def forward(self, x_t, t, z):
        return self.map(torch.cat([x_t, t[:, None], z], dim=1))


class Cosine(SDE):
    def alpha(self, t):
        return torch.cos(1.5 * t)

    def sigma(self, t):
        return torch.sin(1.5 * t)


REPRESENTATIONS = {
    "drl": DiffusionRepresentation(2, code_dropout=0.1, **QUICK),
    "drl over t": DiffusionRepresentation(2, t_grid=3, **QUICK),
    "drl on images": DiffusionRepresentation(2, **IMAGES, **QUICK),
    "unet": DiffusionRepresentation(2, score_network="unet", **IMAGES, **QUICK),
    "deep": DiffusionRepresentation(
        2, encoder="deep_conv", network_size=0.25, **IMAGES, **QUICK
    ),
    "drl on signals": DiffusionRepresentation(2, **SIGNALS, **QUICK),
    "vdrl on signals": VariationalDiffusionRepresentation(
        2, score_network="unet", noise_space="data", **SIGNALS, **QUICK
    ),
    "full": DiffusionRepresentation(
        2,
        t_grid=np.array([0.3, 0.8]),
        time_conditioning="full",
        sde=SubVP(beta_max=10.0),
        time_sampling="high_noise",
        preconditioning="none",
        loss_weighting="eps",
        noise_space="data",
        reconstruction_weight=0.5,
        early_stopping=True,
        max_epochs=3,
        random_state=0,
    ),
    "bf16": DiffusionRepresentation(2, precision="bf16", time_sampling=0.5, **QUICK),
    "vdrl": VariationalDiffusionRepresentation(2, sde="vp", **QUICK),
    "autoencoder": AutoencoderRepresentation(2, reconstruction_loss="bce", **QUICK),
    "vae": VariationalAutoencoderRepresentation(2, t_grid=2, **QUICK),
    "simclr": SimCLRRepresentation(2, callbacks=[], **QUICK),
    "random": RandomEncoderRepresentation(2, random_state=0),
    "ddae": DenoiserFeatures(4, t_grid=2, **QUICK),
}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("files") / "model.safetensors"


@pytest.fixture(scope="module")
def small():
    """Small fitted estimator."""
    return DenoiserFeatures(4, **QUICK).fit(X)


@pytest.fixture(scope="module")
def saved(small, path):
    """Bytes of the file of `small`."""
    small.save(path)
    return path.read_bytes()


def refused(path, data, match):
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match=match) as caught:
        load(path)
    assert str(path) in str(caught.value)


def with_model(saved, **changes):
    """Return the file with replaced values, at dotted paths of its model."""
    model, tensors, number = parsed(saved)
    model = json.loads(model)
    for place, value in changes.items():
        *way, last = place.split("__")
        holder = model["estimator"]
        for key in way:
            holder = holder[key]
        holder[last] = value
    return rebuilt(json.dumps(model), tensors, number)


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_loaded_estimator_equals_the_saved_one(name, path):
    rep = clone(REPRESENTATIONS[name]).fit(pd.DataFrame(X, columns=list("abcdef")), Y)
    rep.save(path)
    loaded = load(path)
    assert repr(loaded.get_params()) == repr(rep.get_params())
    assert set(vars(loaded)) == set(vars(rep))
    names = loaded.get_feature_names_out(list("abcdef"))
    np.testing.assert_array_equal(names, rep.get_feature_names_out())
    frame = pd.DataFrame(X, columns=list("abcdef"))
    codes = rep.transform(frame)
    np.testing.assert_array_equal(loaded.transform(frame), codes)
    if name != "random":
        pd.testing.assert_frame_equal(loaded.history_, rep.history_)
    if hasattr(rep, "sample") and name != "ddae":
        options = {"n_steps": 2, "random_state": 0}
        rows = rep.sample(codes[:3], **options)
        np.testing.assert_array_equal(loaded.sample(codes[:3], **options), rows)
        losses = rep.loss_over_time(frame)
        pd.testing.assert_frame_equal(loaded.loss_over_time(frame), losses)
    again = pickle.loads(pickle.dumps(loaded))
    np.testing.assert_array_equal(again.transform(frame), codes)


CLASSIFIERS = {
    "laplace": LaplaceNetClassifier(supervised_epochs=1, **QUICK),
    "laplace on codes": LaplaceNetClassifier(
        DiffusionRepresentation(2, **QUICK), **QUICK
    ),
    "curves": TrajectoryClassifier(n_times=3, **QUICK),
    "fitted": TrajectoryClassifier(
        FrozenEstimator(DiffusionRepresentation(2, t_grid=2, **QUICK).fit(X)),
        head="gru",
        **QUICK,
    ),
    "fine-tuned": TrajectoryClassifier(
        DenoiserFeatures(4, **QUICK), fine_tune=True, head="concat", **QUICK
    ),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_loaded_classifier_equals_the_saved_one(name, path):
    classifier = CLASSIFIERS[name].fit(X, Y)
    classifier.save(path)
    loaded = load(path)
    assert repr(loaded.get_params()) == repr(classifier.get_params())
    assert set(vars(loaded)) == set(vars(classifier))
    probabilities = classifier.predict_proba(X)
    np.testing.assert_array_equal(loaded.predict_proba(X), probabilities)
    np.testing.assert_array_equal(loaded.predict(X), classifier.predict(X))
    pd.testing.assert_frame_equal(loaded.history_, classifier.history_)
    if name == "curves":
        pd.testing.assert_frame_equal(loaded.attention_, classifier.attention_)
    if name == "fitted":
        assert loaded.representation.estimator is loaded.representation_
    if name == "laplace":
        np.testing.assert_array_equal(loaded.transduction_, classifier.transduction_)


@pytest.mark.parametrize("n_times", [1, 3])
@pytest.mark.parametrize("y", [[0] * 12, [0, 1, 2]], ids=["one class", "one row each"])
def test_attention_of_few_classes_and_times_is_saved(y, n_times, path):
    classifier = TrajectoryClassifier(n_times=n_times, max_epochs=1, random_state=0)
    classifier.fit(X[: len(y)], y).save(path)
    attention = load(path).attention_
    assert attention.to_numpy().dtype == np.float32
    pd.testing.assert_frame_equal(attention, classifier.attention_)


def test_training_continues_from_loaded_weights(small, path):
    rep = pickle.loads(pickle.dumps(small))
    rep.save(path)
    loaded = load(path).partial_fit(X)
    # Equal, bit for bit, to training with a new optimizer.
    rep.net_.initialize_optimizer()
    np.testing.assert_array_equal(loaded.transform(X), rep.partial_fit(X).transform(X))
    assert loaded.n_iter_ == rep.n_iter_ == 2
    warm = load(path).set_params(warm_start=True).fit(X)
    assert warm.n_iter_ == 2
    assert clone(loaded).fit(X).n_iter_ == 1
    assert make_pipeline(StandardScaler(), loaded).fit_transform(X).shape == (40, 4)


def test_parameters_set_after_fit_are_kept_apart(small, path):
    rep = pickle.loads(pickle.dumps(small)).set_params(n_components=9, lr=0.1)
    rep.save(path)
    loaded = load(path)
    assert loaded.get_params() == rep.get_params()
    np.testing.assert_array_equal(loaded.transform(X), small.transform(X))


def test_paths_are_not_saved(small, path, tmp_path):
    rep = pickle.loads(pickle.dumps(small)).set_params(checkpoint=tmp_path / "folder")
    rep.save(path)
    assert b"checkpoint" not in path.read_bytes()
    assert load(path).checkpoint is None


@pytest.mark.parametrize("times", ["uniform", 0.3])
@pytest.mark.parametrize("weighting", [{}, {"loss_weighting": "eps"}])
def test_times_of_fit_decoder_are_saved(path, times, weighting):
    rep = DiffusionRepresentation(2, time_sampling=0.5, **weighting, **QUICK).fit(X)
    rep.fit_decoder(X, time_sampling=times, max_epochs=1).save(path)
    loaded = load(path)
    assert loaded.net_.module_.times == rep.net_.module_.times
    losses = rep.loss_over_time(X)
    pd.testing.assert_frame_equal(loaded.loss_over_time(X), losses)


OWN = {
    "encoder": Linear,
    "score_network": Score,
    "sde": Cosine(),
    "augment": flip,
    "time_sampling": scipy.stats.beta(2, 2),
    "random_state": np.random.RandomState(0),
    "callbacks": [("printer", pickle)],
}


def test_load_asks_for_user_defined_objects(path):
    own = OWN | {"augment": lambda x, generator: x, "callbacks": None}
    rep = DiffusionRepresentation(2, noise_space="data", max_epochs=1, **own).fit(X)
    rep.save(path)
    assert "Linear" not in path.read_bytes().decode("latin1")
    del own["callbacks"]
    for name in own:
        given = {key: value for key, value in own.items() if key != name}
        with pytest.raises(
            ModelFileError, match=rf"{name} of Diff.*load\(path, {name}="
        ):
            load(path, **given)
    with pytest.raises(ModelFileError, match="does not need lr"):
        load(path, lr=0.1, **own)
    with pytest.raises(ModelFileError, match=r"encoder.*must be"):
        load(path, **own | {"encoder": 3})
    with pytest.raises(ModelFileError, match="Score"):
        load(path, **own | {"encoder": Score})
    loaded = load(path, **own)
    codes = rep.transform(X)
    np.testing.assert_array_equal(loaded.transform(X), codes)
    rows = rep.sample(codes, n_steps=2, random_state=1)
    np.testing.assert_array_equal(loaded.sample(codes, n_steps=2, random_state=1), rows)
    assert loaded.get_params() == rep.get_params()


class Tied(Linear):
    """Encoder with one layer under two names."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.again = next(self.children())


def test_tied_weights_are_restored(path):
    rep = DiffusionRepresentation(2, encoder=Tied, **QUICK).fit(X)
    rep.save(path)
    loaded = load(path, encoder=Tied)
    np.testing.assert_array_equal(loaded.transform(X), rep.transform(X))
    encoder = loaded.partial_fit(X).net_.module_.encoder
    assert encoder.again is encoder.map


def test_load_asks_for_objects_inside_a_classifier(path):
    rep = DiffusionRepresentation(2, encoder=Linear, **QUICK)
    classifier = TrajectoryClassifier(rep, head="concat", **QUICK).fit(X, Y)
    classifier.save(path)
    with pytest.raises(ModelFileError, match="representation__encoder="):
        load(path)
    loaded = load(path, representation__encoder=Linear)
    np.testing.assert_array_equal(loaded.predict(X), classifier.predict(X))


def test_estimators_that_cannot_be_saved(path):
    rep = DiffusionRepresentation(2, **QUICK).fit(X)
    rep.fit_decoder(X, time_sampling=scipy.stats.beta(2, 2), max_epochs=1)
    with pytest.raises(TypeError, match="cannot contain time_sampling="):
        rep.save(path)

    class Mine(DenoiserFeatures):
        pass

    with pytest.raises(NotFittedError):
        DenoiserFeatures().save(path)
    with pytest.raises(TypeError, match=r"Mine is a class of your own.*pickle"):
        Mine(4, **QUICK).fit(X).save(path)
    days = np.repeat(np.arange(2).astype("datetime64[D]"), 20)
    classifier = TrajectoryClassifier(
        DiffusionRepresentation(2, t_grid=2, **QUICK), max_epochs=1
    )
    with pytest.raises(TypeError, match="classes_, an array of datetime64"):
        classifier.fit(X, days).save(path)


def test_file_is_complete_or_absent(small, saved, path, tmp_path, monkeypatch):
    def broken(*arguments):
        raise OSError("disk full")

    target = tmp_path / "model"
    target.write_bytes(b"old")
    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(OSError, match="disk full"):
        small.save(target)
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    assert target.read_bytes() == b"old"
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing")


def test_file_is_valid_safetensors(small, saved, path):
    path.write_bytes(saved)
    with safetensors.safe_open(path, "numpy") as file:
        np.testing.assert_array_equal(
            file.get_tensor("standardizer.mean"), small.standardizer_.mean
        )
        model = json.loads(file.metadata()["diffrep_model"])
    assert model["versions"]["torch"] == torch.__version__


def test_truncated_files_are_rejected(saved, path):
    (n,) = struct.unpack("<Q", saved[:8])
    for end in (0, 4, 8, 9, 8 + n // 2, 8 + n, 9 + n, len(saved) - 1):
        refused(path, saved[:end], "Cannot load")
    refused(path, saved + b"x", "Cannot load")
    refused(path, struct.pack("<Q", 2**63) + saved[8:], "ends within its header")
    refused(path, pickle.dumps(X), "Cannot load")


HUGE = {
    "components": ({"parameters__n_components": 10**12}, "do not define a net"),
    "features": ({"state__n_features_in_": 10**12}, r"mean must be"),
    "digits": ({"parameters__n_components": 10**400}, "Cannot load"),
    "image": ({"parameters__image_shape": [1, 10**6, 10**6]}, "image_shape"),
}
WRONG = HUGE | {
    "class": ({"class": "SVC"}, "'SVC' is not an estimator of diffrep"),
    "import": ({"class": "os.system"}, "'os.system' is not an estimator"),
    "dunder": ({"class": "__class__"}, "is not an estimator"),
    "constraint": ({"parameters__lr": -1.0}, "'lr' parameter.*Got -1.0"),
    "nan": ({"parameters__lr": {"float": "nan"}}, "'lr' parameter"),
    "device": ({"parameters__device": "meta"}, "device='meta' cannot be used"),
    "no class": ({"class": ["DenoiserFeatures"]}, "Cannot load"),
    "sde": ({"parameters__sde": {"sde": "SDE", "fields": {}}}, "not an SDE"),
    "field": (
        {"parameters__sde": {"sde": "VE", "fields": {"sigma_min": "1"}}},
        "must be numbers",
    ),
    "range": ({"parameters__sde": {"sde": "VE", "fields": {"sigma_min": 99}}}, "0 < "),
    "other fields": ({"parameters__sde": {"sde": "VE", "fields": {"x": 1}}}, "Cannot"),
    "tag": ({"parameters__augment": {"eval": "1"}}, "unknown form"),
    "no tensor": ({"state__standardizer__dict__mean": {"array": "x"}}, "no tensor 'x'"),
    "unused": (
        {"state__standardizer__dict__mean": {"array": "standardizer.scale"}},
        "mean.*not used",
    ),
    "number": ({"state__standardizer__dict__mean": 3.0}, "mean must be"),
    "static": ({"state__t_grid_": None}, "t_grid_ must be that of"),
    "seed": ({"state__net__dict__seed": -1}, "seed"),
    "schedule": ({"state__net__dict__schedule": [1]}, "schedule"),
    "epochs": ({"state__net__dict__epochs": [{"dict": {"a": []}}]}, "epochs"),
    "parameter": ({"parameters__eval": 1}, "parameters of DenoiserFeatures are"),
    "folder": ({"parameters__checkpoint": "/tmp"}, "parameters of DenoiserFeatures"),
    "folder then": ({"built__checkpoint": "/tmp"}, "built must be of the parameters"),
    "itself": ({"parameters__augment": {"estimator": ""}}, "Cannot load"),
    "long texts": (
        {
            "state__feature_names_in_": {
                "texts": [""] * 999 + ["x" * 10**5],
                "object": False,
            }
        },
        "texts are too long",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_inconsistent_files_are_rejected(name, saved, path):
    changes, message = WRONG[name]
    refused(path, with_model(saved, **changes), message)


def test_huge_shapes_allocate_nothing(saved, path):
    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    path.write_bytes(with_model(saved, parameters__n_components=20_000))
    before = peak()
    with pytest.raises(ModelFileError, match=r"not torch.float32 of shape \(20000"):
        load(path)  # one of its matrices would take 1.6 GB
    assert peak() < before + 100


def test_computed_buffers_stay_small(path):
    rep = DiffusionRepresentation(2, t_grid=2, **QUICK)
    classifier = TrajectoryClassifier(rep, head="attention", max_epochs=1).fit(X, Y)
    classifier.save(path)
    load(path)
    # Positions of times on a curve are computed: some hundred numbers each.
    n_times, n_columns = 300_000, 600_000
    classifier.representation_.t_grid_ = np.linspace(0.1, 1, n_times)
    standardizer = Standardizer(np.zeros(n_columns), np.ones(n_columns))
    classifier._scaling = standardizer, (n_columns,), (n_columns,)
    classifier.net_.module_.centre = torch.zeros(n_times, 2)
    classifier.save(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with pytest.raises(ModelFileError, match="bytes of buffers"):
        load(path)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    assert after < before + 100


def test_tensors_of_wrong_shape_are_rejected(saved, path):
    model, tensors, number = parsed(saved)
    where = next(i for i, t in enumerate(tensors) if t[0].endswith("null_code"))
    name, _, _, values = tensors[where]

    def changed(*tensor):
        return rebuilt(model, [*tensors[:where], tensor, *tensors[where + 1 :]], number)

    refused(path, changed(name, "I32", [4], values), "not torch.float32")
    refused(path, changed(name, "F32", [2, 2], values), r"of shape \(2, 2\), not")
    refused(path, changed(name, "F32", [5], values), "Cannot load")
    refused(path, changed(name, "F32", [10**18, 10**18], values), "Cannot load")
    refused(path, changed(name, "F32", [4], b"\xff" * 16), "not finite")
    refused(path, changed(name + "x", "F32", [4], values), "no tensor")
    extra = [*tensors, ("more", "F32", [1], b"\0" * 4)]
    refused(path, rebuilt(model, extra, number), r"tensors.*more.*not used")


def test_invalid_json_is_rejected(saved, path):
    model, tensors, number = parsed(saved)
    for text, message in {
        model.replace('"lr":0.002', '"lr":NaN'): "JSON has a NaN",
        model.replace('"lr":0.002', '"lr":-Infinity'): "JSON has a -Infinity",
        model.replace('"lr":0.002', '"lr":1e999'): "lr has an unknown form: inf",
        model.replace('"lr":0.002', '"lr":0.002,"lr":0.1'): "a key twice",
        model.replace('"lr":0.002', '"lr":' + "[" * 10**5 + "]" * 10**5): "Recursion",
        model.replace('"lr":0.002', '"lr":' + "[" * 400 + "]" * 400): "Cannot load",
        model.replace('"lr":0.002', '"lr":' + "9" * 5000): "Cannot load",
        model[:-1]: "Cannot load",
        "[]": "the model must be an object",
        "": "Cannot load",
    }.items():
        assert text != model
        refused(path, rebuilt(text, tensors, number), message)
    header = saved[8:].replace(b'"diffrep_format":"2"', b'"diffrep_format":2  ', 1)
    refused(path, saved[:8] + header, "Cannot load")
    twice = saved[8:].replace(b'"standardizer.mean":{', b'"standardizer.scale":{', 1)
    n = struct.unpack("<Q", saved[:8])[0] + 1
    refused(path, struct.pack("<Q", n) + twice, "a key twice")


def test_other_formats_are_rejected(saved, path):
    model, tensors, _ = parsed(saved)
    refused(path, rebuilt(model, tensors, "3"), "format 3.*newer.*Update diffrep")
    older = model.replace(f'"{diffrep.__version__}"', '"0.1.0"')
    assert older != model
    refused(path, rebuilt(older, tensors, "1"), "format 1, written by diffrep 0.1.0")
    for number in ("0", "", "-1", "one", "1.0", "\u0661"):
        refused(path, rebuilt(model, tensors, number), "not a model file of diffrep")


@pytest.mark.parametrize("kind", ["bytes", "parts"])
def test_modified_files_are_rejected_or_work(kind, saved, path):
    parts = parsed(saved)
    for i in range(200):
        rng = np.random.default_rng([1, i])
        data = (
            changed_bytes(saved, rng) if kind == "bytes" else changed_parts(parts, rng)
        )
        assert outcome(data, path) in {"refused", "works"}


FIXTURES = sorted((Path(__file__).parent / "files").glob("*.safetensors.gz"))


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda p: p.name)
def test_older_files_are_read(fixture, path):
    """The files were written by an earlier `tests/files/write.py`."""
    path.write_bytes(gzip.decompress(fixture.read_bytes()))
    codes = np.array(
        json.loads(fixture.with_suffix("").with_suffix(".json").read_text())
    )
    rows = np.linspace(-2, 2, 20).reshape(5, 4) ** 3
    found = load(path).transform(rows)
    np.testing.assert_allclose(found, codes, rtol=1e-5, atol=1e-6)


def test_older_files_exist():
    assert len(FIXTURES) >= 3
