"""Results that must not depend on the device: repeated fits, files, codes.

The tests also run on a CPU, but are meant for `--device cuda`. On a GPU, results are
reproducible if torch is asked for it, and the rounding of kernels depends on the number
of rows.
"""

import os
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch.callbacks import Callback
from torch.utils._python_dispatch import TorchDispatchMode

from diffrep import (
    DiffusionRepresentation,
    VariationalDiffusionRepresentation,
    load,
)
from diffrep.baselines import AutoencoderRepresentation, SimCLRRepresentation
from diffrep.core import checkpoint
from diffrep.core.device import choose_device
from diffrep.semi_supervised import LaplaceNetClassifier

SHARED = {"n_components": 8, "max_epochs": 2, "batch_size": 64, "random_state": 0}
IMAGES = {"image_shape": (1, 8, 8), **SHARED}
UNET = {
    "encoder": "wide_resnet",
    "score_network": "unet",
    "noise_space": "data",
    **IMAGES,
}
REPRESENTATIONS = {
    "images": DiffusionRepresentation(**IMAGES),
    "table": DiffusionRepresentation(**SHARED),
    "over time": VariationalDiffusionRepresentation(t_grid=3, **IMAGES),
    "full": DiffusionRepresentation(t_grid=3, time_conditioning="full", **IMAGES),
    "unet": DiffusionRepresentation(**UNET),
    "autoencoder": AutoencoderRepresentation(**IMAGES),
    "simclr": SimCLRRepresentation(**IMAGES),
    "signals": DiffusionRepresentation(signal_shape=(2, 32), **SHARED),
}


@pytest.fixture(scope="module", autouse=True)
def same_bits():
    """Ask torch for reproducible results, as users do."""
    on_cuda = choose_device().type == "cuda"
    torch.use_deterministic_algorithms(on_cuda)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="module")
def digits(digits):
    """200 digits of scikit-learn and their labels."""
    return tuple(values[:200] for values in digits)


@pytest.fixture(scope="module", params=REPRESENTATIONS)
def fitted(request, digits):
    return REPRESENTATIONS[request.param].fit(digits[0])


def test_networks_are_on_the_device(fitted):
    device = choose_device()
    assert {w.device.type for w in fitted.net_.module_.parameters()} == {device.type}


def test_repeated_fit_has_the_same_bits(fitted, digits):
    codes = fitted.transform(digits[0])
    again = pickle.loads(pickle.dumps(fitted)).fit(digits[0])
    np.testing.assert_array_equal(again.transform(digits[0]), codes)


def test_codes_agree_with_the_cpu(fitted, digits, tmp_path):
    fitted.save(tmp_path / "model.safetensors")
    on_cpu = load(tmp_path / "model.safetensors", device="cpu")
    codes, expected = fitted.transform(digits[0]), on_cpu.transform(digits[0])
    np.testing.assert_allclose(codes, expected, atol=1e-3 * expected.std())


def test_code_does_not_depend_on_other_rows(fitted, digits, rounding):
    codes = fitted.transform(digits[0])
    atol = rounding * codes.std()
    for part in (slice(0, 1), *(slice(17, 17 + n) for n in (1, 31, 32, 33, 100, 300))):
        found = fitted.transform(digits[0][part])
        np.testing.assert_allclose(found, codes[part], rtol=0, atol=atol)


def test_pickle_is_restored_on_the_device(fitted, digits):
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(
        copy.transform(digits[0]), fitted.transform(digits[0])
    )


@pytest.mark.parametrize("name", ["images", "unet"])
def test_samples_are_finite_and_reproducible(name, digits):
    rep = REPRESENTATIONS[name].fit(digits[0])
    codes = rep.transform(digits[0][:20])
    rows = rep.sample(codes, n_steps=4, random_state=1)
    assert np.isfinite(rows).all()
    np.testing.assert_array_equal(rep.sample(codes, n_steps=4, random_state=1), rows)


@pytest.mark.parametrize("name", ["images", "unet"])
def test_bfloat16_is_close_to_float32(name, digits):
    # Only one step each, since training amplifies rounding.
    one = {"max_epochs": 1, "batch_size": 200}
    losses = [
        REPRESENTATIONS[name]
        .set_params(**one, precision=precision)
        .fit(digits[0])
        .history_["train_loss"][0]
        for precision in ("float32", "bf16")
    ]
    REPRESENTATIONS[name].set_params(max_epochs=2, batch_size=64, precision="float32")
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_killed_fit_ends_with_the_same_bits(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "PERIOD", 0.0)
    rep = DiffusionRepresentation(**IMAGES)
    expected = rep.fit(digits[0]).transform(digits[0])
    rep.set_params(checkpoint=str(tmp_path))

    class Killed(BaseException):
        pass

    steps = []

    def killed(self, batch, **kwargs):
        steps.append(batch)
        if len(steps) == 6:
            raise Killed
        return train_step(self, batch, **kwargs)

    from diffrep.core.training import RepresentationNet

    train_step = RepresentationNet.train_step
    with monkeypatch.context() as patch:
        patch.setattr(RepresentationNet, "train_step", killed)
        with pytest.raises(Killed):
            rep.fit(digits[0])
    np.testing.assert_array_equal(rep.fit(digits[0]).transform(digits[0]), expected)


def test_laplacenet_on_the_device(digits):
    X, y = digits[0], np.where(np.arange(200) < 50, digits[1], -1)
    classifier = LaplaceNetClassifier(
        DiffusionRepresentation(**IMAGES), max_epochs=4, random_state=0
    )
    found = classifier.fit(X, y).predict(X)
    assert np.mean(found == digits[1]) > 0.5


TRAINED = [
    *((name, "auto") for name in ("images", "table", "unet", "simclr", "signals")),
    *((name, "photo") for name in ("images", "unet", "simclr")),
]


class Reads(TorchDispatchMode):
    """Counts operations whose values the CPU reads, for which it waits for a GPU."""

    n = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        by_mask = name in {"index", "index_put", "index_put_"} and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        self.n += by_mask or name in {
            "_local_scalar_dense",
            "_unique2",
            "equal",
            "is_nonzero",
            "masked_select",
            "nonzero",
        }
        return func(*args, **(kwargs or {}))


def n_reads_of_steps(rep, X):
    """Number of reads in four steps, minus those in one."""
    n = []
    for batch_size in (32, 128):
        with Reads() as reads:
            clone(rep).set_params(batch_size=batch_size, max_epochs=1).fit(X[:128])
        n.append(reads.n)
    return n[0] - n[1]


@pytest.mark.parametrize(("name", "augment"), TRAINED)
def test_no_step_reads_values(name, augment, digits):
    rep = clone(REPRESENTATIONS[name]).set_params(augment=augment)
    assert n_reads_of_steps(rep, digits[0]) == 0


@pytest.mark.parametrize(
    "read",
    [lambda x: x * x.mean().item(), lambda x: x.index_put((x < 0,), x.new_zeros(()))],
    ids=["number", "mask"],
)
def test_reads_of_a_view_are_counted(read, digits):
    rep = DiffusionRepresentation(augment=lambda x, generator: read(x), **SHARED)
    assert n_reads_of_steps(rep, digits[0]) == 4 - 1


needs_a_gpu = pytest.mark.skipif(
    os.environ.get("DIFFREP_DEVICE", "cpu") != "cuda", reason="needs a GPU"
)


class NoWaits(Callback):
    """Raises an error if the CPU waits for the GPU after the second batch."""

    def on_batch_begin(self, net, training=False, **kwargs):
        n_done = net.run_.position
        torch.cuda.set_sync_debug_mode("error" if 0 < n_done < 3 else "default")


@needs_a_gpu
@pytest.mark.parametrize(("name", "augment"), TRAINED)
def test_no_step_waits_for_the_gpu(name, augment, digits):
    # 200 rows are four batches of 50.
    rep = clone(REPRESENTATIONS[name])
    try:
        rep.set_params(augment=augment, callbacks=[NoWaits()]).fit(digits[0])
    finally:  # a wait is an error in the middle of an epoch
        torch.cuda.set_sync_debug_mode("default")


@needs_a_gpu
def test_rows_are_moved_to_the_gpu_once(digits):
    before = torch.cuda.memory_allocated()
    rep = DiffusionRepresentation(**IMAGES).fit(digits[0])
    assert torch.cuda.memory_allocated() > before
    assert rep.net_.module_.null_code.is_cuda
