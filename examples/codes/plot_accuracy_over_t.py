"""
What a code knows, over t
=========================

The encoder E(x0, t) of the paper is told the time: its code is what helps to denoise at
that noise level. A probe tells how much of the classes is in it at each time. Codes of
autoencoders and of simCLR know no time; they are flat lines beside it (Mittal et al.,
2023, figures 4 and 5).
"""

# %%
# All representations see the same images, the same views of them, and start from the
# same encoder; none sees a label.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from diffrep import DiffusionRepresentation, VariationalDiffusionRepresentation
from diffrep.baselines import (
    AutoencoderRepresentation,
    SimCLRRepresentation,
    VariationalAutoencoderRepresentation,
)
from diffrep.display import TimeProbeDisplay
from diffrep.evaluation import code_similarity, probe_over_time

MAX_EPOCHS = 5  # ten seconds for all six; the default is about 160

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, train_size=700, random_state=0)

shared = {
    "image_shape": (1, 8, 8),
    "batch_size": 64,
    "max_epochs": MAX_EPOCHS,
    "random_state": 0,
}
representations = {
    "DRL": DiffusionRepresentation(t_grid=4, time_conditioning="full", **shared),
    "VDRL": VariationalDiffusionRepresentation(
        t_grid=4, time_conditioning="full", **shared
    ),
    "AE": AutoencoderRepresentation(**shared),
    "VAE": VariationalAutoencoderRepresentation(**shared),
    "simCLR": SimCLRRepresentation(**shared),
    "simCLR-Gauss": SimCLRRepresentation(augment="gaussian", **shared),
}
for representation in representations.values():
    representation.fit(X)

# %%
# Thirty labels, five choices of them, at eleven times. Dotted: the codes of all times
# side by side.
probe = {"linear": LogisticRegression(max_iter=5000)}
results = {
    name: probe_over_time(
        representation, X, y, X_test, y_test, probes=probe, n_labels=30, n_draws=5
    )
    for name, representation in representations.items()
}

# %%
# On the left, no time of DRL or VDRL is better than another by more than one split can
# tell from chance. On the right, why: linear CKA is 1 for codes that differ by a
# rotation and a scale only, and after so few epochs codes at all times are nearly the
# same. Nothing makes a code forget what its time does not ask for. Codes that do differ
# over t are read off one code, see "One fit, three questions".
times = np.linspace(0, 1, 11)
similarity = code_similarity(representations["DRL"], X_test, times)

fig, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4), layout="constrained")
TimeProbeDisplay.from_results(results, ax=left)
left.set(title="30 labels")
image = right.imshow(similarity, origin="lower", extent=(-0.05, 1.05, -0.05, 1.05))
right.set(xlabel="t", ylabel="t", title="similarity of DRL's codes (CKA)")
fig.colorbar(image, ax=right)
plt.show()
