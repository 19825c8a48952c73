"""
Saving, loading, serving
========================

A representation has been fitted here, and is needed there: by a colleague, next year,
in a service without torch. Which file does one send?
"""

# %%
# Any estimator of scikit-learn can be pickled, but a pickle may run anything when it is
# opened. `save` writes numbers and parameters alone, and `load` runs nothing.
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
print("equal to the bit:", np.array_equal(loaded.transform(X), rep.transform(X)))
print(loaded)

# %%
# What serves codes alone needs neither torch nor diffrep: `to_onnx` writes the way from
# rows to codes, standardisation included, as a graph that many runtimes read.
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
# Milliseconds for some rows, the shortest of five tries. `transform` encodes blocks of
# 256 rows, so that a code does not depend on the rows beside it, and one row costs as
# much as 256: for single rows the runtime is far quicker, for many they are alike.
numbers = [1, 4, 16, 64, 256, 1024]
fig, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
for name, encode in {"transform": loaded.transform, "ONNX": served}.items():
    seconds = [min(timeit.repeat(partial(encode, X[:n]), number=1)) for n in numbers]
    ax.loglog(numbers, 1000 * np.array(seconds), marker="o", label=name)
ax.set(xlabel="rows", ylabel="milliseconds")
ax.legend()
plt.show()
