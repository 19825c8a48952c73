"""
Signals with few labels
=======================

This example classifies four kinds of sounds, recorded by two microphones with noise.
Each sound starts at a random time. For signals, `signal_shape=(channels, length)` is
the only parameter to set.
"""

# %%
# Each signal has two channels of 256 samples and contains a rising tone, a falling
# tone, a ring or a double click. The second microphone receives it later and weaker.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from diffrep import DiffusionRepresentation

rng = np.random.default_rng(0)
n, length = 900, 256
time = np.arange(60)
window = np.hanning(60)
sounds = np.stack(
    [
        window * np.sin(time * (0.4 + 0.006 * time)),
        window * np.sin(time * (0.4 + 0.006 * time))[::-1],
        np.exp(-time / 20) * np.sin(0.75 * time),
        np.exp(-(time % 30) / 5) * np.sin(0.75 * (time % 30)),
    ]
)
y = rng.integers(4, size=n)
X = rng.normal(0, 0.25, (n, 2, length))
for signal, kind, start in zip(X, y, rng.integers(length - 70, size=n), strict=True):
    signal[0, start : start + 60] += sounds[kind]
    signal[1, start + 8 : start + 68] += 0.5 * sounds[kind]
y_test = y[600:]

# %%
# The array is passed as it is, with the shape (n_samples, channels, length), and
# without labels. `max_epochs=0` gives the codes of the closed-form initialisation:
# filters that k-means finds in windows of the signals at several scales, and statistics
# of their responses.
rep = DiffusionRepresentation(signal_shape=(2, length), max_epochs=0, random_state=0)
rep.fit(X[:600])

# %%
# A linear classifier is trained with 12 to 200 labels on the values, on the amplitudes
# of their frequencies, and on codes.
values = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
on_codes = make_pipeline(FrozenEstimator(rep), LogisticRegression(max_iter=1000))
spectra = np.abs(np.fft.rfft(X)).reshape(n, -1)
inputs = {
    "values": (values, X.reshape(n, -1)),
    "spectrum": (values, spectra),
    "codes": (on_codes, X),
}
labels = [12, 25, 50, 100, 200]
accuracy = {
    name: [model.fit(rows[:k], y[:k]).score(rows[600:], y_test) for k in labels]
    for name, (model, rows) in inputs.items()
}

# %%
# Since a sound can start at any time, the values themselves are nearly useless. The
# amplitudes of frequencies do not depend on the start, but they are the same for rising
# and falling tones. Codes distinguish most of the sounds with fifty labels.
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
for kind in range(4):
    left.plot(X[y == kind][0, 0] + 3 * kind, linewidth=0.8)
left.set(title="one signal of each kind, first channel", yticks=[], xlabel="sample")
for name, scores in accuracy.items():
    right.plot(labels, scores, marker="o", label=name)
right.set(title="accuracy", xlabel="labels", xscale="log", xticks=labels)
right.set_xticks(labels, labels)
right.minorticks_off()
right.legend()
plt.show()
