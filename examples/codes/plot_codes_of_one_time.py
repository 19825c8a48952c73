"""
Codes of one time, and curves over all times
============================================

At which noise level do codes separate the classes? One way to find out is to train a
code for each time and compare the silhouettes of the classes. Another is to train one
code that depends on t, so that each image becomes a curve.
"""

# %%
# These codes have two components. Each is trained at a single time, with the loss of
# the paper.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from diffrep import DiffusionRepresentation
from diffrep.display import LatentDisplay
from diffrep.evaluation import class_silhouette

MAX_EPOCHS = 5  # eight seconds for all; 80 for higher silhouettes

X, y = load_digits(return_X_y=True)
shared = {
    "image_shape": (1, 8, 8),
    "noise_space": "data",
    "init": "random",
    "augment": None,
    "batch_size": 64,
    "random_state": 0,
}
representations = {
    t: DiffusionRepresentation(
        2,
        time_sampling=t,
        preconditioning="none",
        loss_weighting="eps",
        l1_weight=0.0,
        lr=1e-2,
        max_epochs=MAX_EPOCHS,
        **shared,
    ).fit(X)
    for t in (0.4, 0.6, 0.8)
}
silhouettes = class_silhouette(representations, X, y)
print(silhouettes[["representation", "silhouette"]].round(3).to_string(index=False))

# %%
# At low noise the code is trained to hold details. At very high noise the loss of the
# paper is almost zero. In between, the classes separate. The scatter plot is for the
# best time.
best = silhouettes.loc[silhouettes["silhouette"].idxmax(), "representation"]
fig, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4), layout="constrained")
left.plot(silhouettes["representation"], silhouettes["silhouette"], marker="o")
left.set(xlabel="time of the training", ylabel="silhouette of the classes")
LatentDisplay.from_estimator(representations[best], X, y, ax=right)
right.set(title=f"codes at t = {best}")
plt.show()

# %%
# Here one code with two components is trained for all times. Each image is a curve that
# starts at a black dot, where the noise is low. With more noise the codes hold more
# information, and images of a class move in the same direction.
curved = DiffusionRepresentation(
    2, t_grid=1, time_conditioning="full", max_epochs=2 * MAX_EPOCHS, **shared
)
times = np.linspace(0.2, 0.9, 50)
curves = curved.fit(X).encode(X[:60], times)
fig, ax = plt.subplots(figsize=(6, 5), layout="constrained")
for curve, digit in zip(curves, y, strict=False):
    ax.plot(*curve.T, color=f"C{digit}", linewidth=1)
ax.plot(*curves[:, 0].T, "k.", markersize=3)
ax.set(xlabel="first component", ylabel="second component")
plt.show()
