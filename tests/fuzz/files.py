"""Model files with random changes are rejected or work.

In half of them bytes are changed; in the others values are changed and the file is
rebuilt consistently. Each must raise `ModelFileError` or give an estimator that works,
within a second and the documented memory. Anything else is a failure, and the file is
kept in a folder.
"""

import copy
import json
import struct
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from sklearn.base import clone

import diffrep
from diffrep import VP, DiffusionRepresentation
from diffrep.baselines import (
    AutoencoderRepresentation,
    DenoiserFeatures,
    RandomEncoderRepresentation,
)
from diffrep.exceptions import ModelFileError
from diffrep.trajectory import TrajectoryClassifier

N_FEATURES = 4
X = np.random.default_rng(0).normal(size=(30, N_FEATURES))
LABELS = np.array(["one", "two", "three"])[np.arange(30) % 3]

#: Number of files for which memory is measured.
N_WATCHED = 500

#: Values that replace others in the JSON of a file.
HOSTILE = [
    *(None, True, False, 0, -1, 1, 2, 3, 10**12, 10**400, -(10**12), 0.5, 1e308, -0.1),
    *("", "x", "auto", "meta", "cuda:77", "os.system", "VE", "class", "../../etc"),
    *([], {}, [1], [[[]]], [0.2, 0.7], ["a"], {"tuple": [1, 2, 2]}, {"float": "nan"}),
    *({"float": "inf"}, {"sde": "VP", "fields": {}}, {"array": "mean_"}, {"tensor": 1}),
    *(
        {"sde": "SDE", "fields": {}},
        {"texts": ["a", "b"], "object": True},
        {"dict": {}},
    ),
    *({"estimator": ""}, {"frozen": {"estimator": ""}}, {"dict": {"a": None}}),
]


def model_files(folder):
    """Bytes of small model files of several kinds."""
    quick = {"max_epochs": 1, "random_state": 0}
    rep = DenoiserFeatures(4, **quick).fit(X)
    fitted = [
        rep,
        RandomEncoderRepresentation(2, t_grid=[0.2, 0.7], random_state=0).fit(X),
        DiffusionRepresentation(
            2, t_grid=2, sde=VP(0.2), image_shape=(1, 2, 2), **quick
        ).fit(X),
        AutoencoderRepresentation(2, **quick).fit(X),
        TrajectoryClassifier(rep, head="concat", **quick).fit(X, LABELS),
    ]
    path, found = Path(folder) / "model", []
    for estimator in fitted:
        estimator.save(path)
        found.append(path.read_bytes())
    return found


def parsed(data):
    """Parse a file: model in JSON, tensors (name, dtype, shape, bytes), format."""
    (n,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8 : 8 + n]), data[8 + n :]
    metadata = header.pop("__metadata__")
    tensors = [
        (name, entry["dtype"], entry["shape"], body[slice(*entry["data_offsets"])])
        for name, entry in header.items()
    ]
    return metadata["diffrep_model"], tensors, metadata["diffrep_format"]


def rebuilt(model, tensors, number):
    """Build the bytes of a file from its parts."""
    header, start = {}, 0
    metadata = {"diffrep_format": number, "diffrep_model": model}
    header["__metadata__"] = metadata
    for name, dtype, shape, values in tensors:
        offsets = [start, start + len(values)]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        start += len(values)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(t[3] for t in tensors)


def changed_bytes(data, rng):
    """Change some bytes, mostly in the header."""
    data = bytearray(data)
    (n,) = struct.unpack("<Q", data[:8])
    end = 8 + n if rng.random() < 0.8 else len(data)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(end))
        match rng.integers(5):
            case 0:
                data[at] ^= 1 << int(rng.integers(8))
            case 1:
                data[at] = int(rng.integers(256))
            case 2:
                del data[at : at + int(rng.integers(1, 9))]
            case 3:
                data[at:at] = rng.bytes(rng.integers(1, 9))
            case 4:
                del data[at:]
        end = max(1, min(end, len(data)))
        if not data:
            break
    return bytes(data)


def changed_parts(parts, rng):
    """Change values of a file and rebuild it consistently."""
    model, tensors, number = parts
    model, tensors = json.loads(model), [list(tensor) for tensor in tensors]
    for _ in range(rng.integers(1, 3)):
        if rng.random() < 0.6:
            change_value(model, HOSTILE, rng)
        else:
            change_tensors(tensors, rng)
    return rebuilt(json.dumps(model), tensors, number)


def change_value(holder, values, rng):
    """Replace, remove or rename a value at a random place of nested dicts and lists."""
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        if not keys:
            return
        key = keys[rng.integers(len(keys))]
        inner = holder[key]
        if not (isinstance(inner, dict | list) and inner and rng.random() < 0.85):
            break
        holder = inner
    value = copy.deepcopy(values[rng.integers(len(values))])
    if isinstance(holder, list) or rng.random() < 0.7:
        holder[key] = value
    elif rng.random() < 0.5:
        del holder[key]
    else:
        holder[f"{key}x"] = holder.pop(key)


def change_tensors(tensors, rng):
    """Change the type, shape, values or name of a tensor, remove it or add one."""
    i = int(rng.integers(len(tensors)))
    name, dtype, shape, values = tensors[i]
    match rng.integers(7):
        case 0:
            tensors[i][1] = {"F32": "I32", "F64": "I64"}.get(dtype, "U8")
        case 1:
            tensors[i][2] = [1, *shape]
        case 2:
            tensors[i][2:] = [[0], b""]
        case 3:
            filling = [np.nan, np.inf, 1e30, 0.0, -1.0][rng.integers(5)]
            size = {"F32": 4, "F64": 8}.get(dtype, 1)
            numbers = np.full(len(values) // size, filling, f"f{max(size, 4)}")
            tensors[i][3] = numbers.tobytes()[: len(values)]
        case 4:
            tensors[i][0] = f"{name}x"
        case 5:
            del tensors[i]
        case 6:
            tensors.append([f"{name}y", dtype, shape, values])


def outcome(data, path):
    """Load a file and use the estimator; return "refused" or "works".

    Finite weights may give infinite codes, which `transform` rejects.
    """
    path.write_bytes(data)
    try:
        estimator = diffrep.load(path, device="cpu")
    except ModelFileError:
        return "refused"
    try:
        return use(estimator)
    except ValueError as error:
        if "infinite values or NaN" in str(error):
            return "refused"
        raise


def use(estimator):
    """Clone an estimator and transform rows; raise if the shape is wrong."""
    rows = np.resize(X, (5, estimator.n_features_in_))
    clone(estimator)
    if isinstance(estimator, TrajectoryClassifier):
        found, n_columns = estimator.predict_proba(rows), len(estimator.classes_)
    else:
        found = estimator.transform(rows)
        n_columns = len(estimator.get_feature_names_out())
    if found.shape != (5, n_columns):
        raise ValueError(f"codes of shape {found.shape} in place of 5 x {n_columns}")
    return "works"


@contextmanager
def within_budget(n_bytes, watches_memory):
    """Raise if loading a file takes too much time or memory for its size.

    The peak of the memory is available on Linux only, and slow to reset.
    """
    clear, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    watches_memory = watches_memory and clear.exists()

    def peak():
        (line,) = (s for s in status.read_text().splitlines() if s.startswith("VmHWM"))
        return 1024 * int(line.split()[1])

    if watches_memory:
        clear.write_text("5")
        before = peak()
    start = time.monotonic()
    yield
    seconds = time.monotonic() - start
    if seconds > 1 + n_bytes / 2**20:
        raise TimeoutError(f"{seconds:.1f} seconds for {n_bytes} bytes")
    if watches_memory and peak() - before > 2**26 + 8 * n_bytes:
        raise MemoryError(f"{peak() - before} bytes for {n_bytes}")


def files(n, seed=0):
    """Results of `n` changed files: what, tried, failed."""
    kept = Path(tempfile.mkdtemp(prefix="diffrep-files-"))
    originals = model_files(kept)
    parts = [parsed(data) for data in originals]
    for i, data in enumerate(originals):
        if outcome(data, kept / "model") != "works":
            raise ValueError(f"file {i} is rejected before any change")
    counts, n_failed = Counter(), 0
    for i in range(n):
        rng = np.random.default_rng([seed, i])
        which = i // 2 % len(originals)
        if i % 2:
            data = changed_parts(parts[which], rng)
        else:
            data = changed_bytes(originals[which], rng)
        try:
            with within_budget(len(data), watches_memory=i < N_WATCHED):
                counts[outcome(data, kept / "model")] += 1
        except Exception as error:  # any error other than the documented one
            n_failed += 1
            (kept / f"failed-{i}").write_bytes(data)
            print(f"{kept}/failed-{i}: {error!r}"[:300], flush=True)
    said = f"{counts['refused']:,} refused, {counts['works']:,} work"
    return [(f"changed model files: {said}", n, n_failed)]
