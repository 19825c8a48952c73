"""
A map of images
===============

What does a code of two numbers make of the digits? It is a map: where images lie on it,
and what lies where there are none.
"""

# %%
# Noise on the pixels, since images are to be drawn from codes later. The encoder is
# shown small shifts and turns of an image, so the map need not tell them apart.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from diffrep import DiffusionRepresentation
from diffrep.display import LatentDisplay

X, y = load_digits(return_X_y=True)
rep = DiffusionRepresentation(
    n_components=2,
    image_shape=(1, 8, 8),
    noise_space="data",
    max_epochs=25,
    random_state=0,
).fit(X)

# %%
# Nobody told what a digit is. Ten nearest neighbours on the map name most of them:
neighbors = KNeighborsClassifier(10)
print(f"{cross_val_score(neighbors, rep.transform(X), y, cv=5).mean():.2f}")

# %%
# Left, the images, with each digit written where most of it is; right, what lies at the
# places of a grid, by `inverse_transform`. On the rim 0, 2, 3, 4 and 6 have places of
# their own; on the right one can read the grid: noughts above, then sixes, then fours.
# In the middle digits overlap, and what is drawn there is a mixture: a code of two
# numbers leaves open which of them it is.
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 5), layout="constrained")
points = LatentDisplay.from_estimator(rep, X, y, ax=left).points
left.get_legend().remove()
for digit in range(10):
    place = np.median(points[y == digit], axis=0)
    left.text(*place, digit, fontsize=16, ha="center", va="center")
side = np.linspace(-2, 2, 12)
codes = np.stack(np.meshgrid(side, side[::-1]), axis=-1).reshape(-1, 2)
images = rep.inverse_transform(codes).reshape(12, 12, 8, 8).swapaxes(1, 2)
rim = (-2.2, 2.2)
right.imshow(
    images.reshape(96, 96), cmap="gray_r", vmin=0, vmax=16, extent=(*rim, *rim)
)
for ax in (left, right):
    ax.set(aspect="equal", xlim=rim, ylim=rim)
plt.show()
