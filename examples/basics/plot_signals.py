"""
Signals of a sensor, few labels
===============================

Four kinds of sounds, each beginning anywhere in a noisy recording of two microphones.
`signal_shape=(channels, length)` is all that the estimator has to be told.
"""

# %%
# Two channels of 256 samples: a tone that rises, one that falls, a ring and a double
# click. The second microphone hears all of it later and fainter.
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
# The array goes in as it is, (n_samples, channels, length), without labels.
# `max_epochs=0` takes the codes of the start in closed form: filters that k-means finds
# in windows of the signals, at several scales, and how often and how much they respond.
rep = DiffusionRepresentation(signal_shape=(2, length), max_epochs=0, random_state=0)
rep.fit(X[:600])

# %%
# A linear classifier on 12 to 200 labels: of the values, of the amplitudes of their
# frequencies, and of codes.
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
# A sound may begin anywhere, so the values themselves are next to useless. The
# amplitudes of the frequencies do not depend on where it begins, but a tone that falls
# has those of one that rises. With fifty labels, codes tell most of them apart.
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
