"""
Saving, loading and serving
===========================

A fitted representation can be stored as a model file, as a pickle, or as an ONNX graph
that runs without torch.
"""

# %%
# Loading a pickle can run any code. `save` writes only numbers and parameters, and
# `load` never runs code from the file.
import tempfile
import timeit
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import onnxruntime
from sklearn.datasets import load_digits

import diffrep
from diffrep import DiffusionRepresentation

X, _ = load_digits(return_X_y=True)
rep = DiffusionRepresentation(
    n_components=32, image_shape=(1, 8, 8), max_epochs=5, random_state=0
).fit(X[:1200])
folder = tempfile.TemporaryDirectory()
path = Path(folder.name)

rep.save(path / "digits.safetensors")
loaded = diffrep.load(path / "digits.safetensors")
print("same bits:", np.array_equal(loaded.transform(X), rep.transform(X)))
print(loaded)

# %%
# To serve codes without torch or diffrep, `to_onnx` exports the map from rows to codes,
# including the standardisation, as a graph for any ONNX runtime.
rep.to_onnx(path / "digits.onnx")
session = onnxruntime.InferenceSession(path / "digits.onnx")


def served(rows):
    """Codes by the runtime."""
    return session.run(["codes"], {"X": rows.astype(np.float32)})[0]


codes = rep.transform(X)
print(
    f"largest difference: {np.abs(served(X) - codes).max() / np.abs(codes).max():.0e}"
)
for file in sorted(path.iterdir()):
    print(f"{file.name}: {file.stat().st_size / 1000:.0f} kB")
folder.cleanup()

# %%
# The figure shows the shortest of five runs. `transform` pads blocks to a multiple of
# 32 rows, so a single row takes as long as 32, and the ONNX runtime is much faster.
numbers = [1, 4, 16, 64, 256, 1024]
fig, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
for name, encode in {"transform": loaded.transform, "ONNX": served}.items():
    seconds = [min(timeit.repeat(partial(encode, X[:n]), number=1)) for n in numbers]
    ax.loglog(numbers, 1000 * np.array(seconds), marker="o", label=name)
ax.set(xlabel="rows", ylabel="milliseconds")
ax.legend()
plt.show()
