"""ONNX graphs give the codes of `transform`."""

import os
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from diffrep import DiffusionRepresentation, VariationalDiffusionRepresentation
from diffrep.baselines import RandomEncoderRepresentation

X = np.random.default_rng(0).normal(size=(40, 32)).astype(np.float32)
X[0] *= 100  # beyond the limit of standardised rows
PIXELS = np.random.default_rng(0).integers(0, 256, X.shape, dtype=np.uint8)
QUICK = {"max_epochs": 1, "random_state": 0}
IMAGES = {"image_shape": (2, 2, 8)}


# torch's exporter uses a deprecated function of torch.
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")


class Sorted(nn.Linear):
    """Encoder that branches on values, which cannot be exported."""

    def __init__(self, data_shape, n_outputs, time_conditioned):
        super().__init__(data_shape[0], n_outputs)

    def forward(self, x):
        return super().forward(x.sort(dim=1).values if x.sum() > 0 else x)


ESTIMATORS = {
    "table": VariationalDiffusionRepresentation(3, t_grid=[0.9, 0.2], **QUICK),
    "full": RandomEncoderRepresentation(
        20, t_grid=2, time_conditioning="full", random_state=0, **IMAGES
    ),
    "images": DiffusionRepresentation(4, **IMAGES, **QUICK),
    "signals": DiffusionRepresentation(4, signal_shape=(2, 16), **QUICK),
}
ESTIMATORS["long signals"] = DiffusionRepresentation(
    4, signal_shape=(1, 1100), max_epochs=0, random_state=0
)  # the encoder sees averages
LONG = np.random.default_rng(0).normal(size=(40, 1100)).astype(np.float32)
INPUTS = {**dict.fromkeys(ESTIMATORS, X), "images": PIXELS, "long signals": LONG}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_onnx_codes_equal_transform(name, tmp_path):
    X = INPUTS[name]
    rep = ESTIMATORS[name].fit(X)
    rep.to_onnx(tmp_path / "codes.onnx", dtype=X.dtype.name)
    onnx.checker.check_model(tmp_path / "codes.onnx", full_check=True)
    session = onnxruntime.InferenceSession(
        tmp_path / "codes.onnx", providers=["CPUExecutionProvider"]
    )
    codes = rep.transform(X)
    for n in (1, 2, 40):
        (found,) = session.run(["codes"], {"X": X[:n]})
        np.testing.assert_allclose(found, codes[:n], rtol=0, atol=1e-5 * codes.std())


def test_graphs_are_written_like_model_files(tmp_path, monkeypatch):
    graph = SimpleNamespace(SerializeToString=lambda: b"graph")
    program = SimpleNamespace(model_proto=graph)
    monkeypatch.setattr(torch.onnx, "export", lambda *args, **kwargs: program)
    monkeypatch.setenv("HOME", str(tmp_path))
    rep = RandomEncoderRepresentation(4).fit(X)
    rep.to_onnx("~/codes.onnx")
    assert (tmp_path / "codes.onnx").read_bytes() == b"graph"
    with pytest.raises(FileNotFoundError, match=r"folder .*missing does not exist"):
        rep.to_onnx(tmp_path / "missing" / "codes.onnx")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        rep.to_onnx(tmp_path / "pipe")


def test_networks_that_cannot_be_exported(tmp_path):
    path = tmp_path / "codes.onnx"
    rep = RandomEncoderRepresentation(4, encoder=Sorted).fit(X)
    with pytest.raises(torch.onnx.OnnxExporterError, match="Failed to export"):
        rep.to_onnx(path)
    assert not path.exists()
    with pytest.raises(ValueError, match="The 'dtype' parameter"):
        rep.to_onnx(path, dtype="float64")
