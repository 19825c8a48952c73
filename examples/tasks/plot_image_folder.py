"""
Images from a folder
====================

`load_images` reads PNG and JPEG files of any size into one array with channels last,
which the estimators accept. The files in this example are tiles of two photographs, and
clusters of their codes show sky, trees, buildings and petals.
"""

# %%
# Two photographs are cut into tiles of 24 x 24 pixels, one file each.
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.cluster import KMeans
from sklearn.datasets import load_sample_images

from diffrep import DiffusionRepresentation
from diffrep.datasets import load_images

SIDE = 24
photographs = load_sample_images().images
n_rows, n_columns = (length // SIDE for length in photographs[0].shape[:2])
folder = Path(tempfile.mkdtemp())
for p, photograph in enumerate(photographs):
    for i in range(n_rows):
        for j in range(n_columns):
            tile = photograph[i * SIDE :, j * SIDE :][:SIDE, :SIDE]
            Image.fromarray(tile).save(folder / f"{p}_{i:02}_{j:02}.png")

# %%
# It takes three lines from the folder to codes. For images that do not fit in memory,
# use a memory map: ``load_images(folder, size=24, out="images.npy")``.
images = load_images(folder, size=SIDE)
rep = DiffusionRepresentation(image_shape=(3, SIDE, SIDE), max_epochs=0, random_state=0)
codes = rep.fit_transform(images.data)

# %%
# Files are sorted by name, so each cluster can be drawn at the position of its tiles.
# No labels were used.
clusters = KMeans(8, n_init=3, random_state=0).fit_predict(codes)
pictures = clusters.reshape(len(photographs), n_rows, n_columns)
fig, axes = plt.subplots(2, 2, figsize=(9, 6), layout="constrained")
for (left, right), photograph, picture in zip(axes, photographs, pictures, strict=True):
    left.imshow(photograph[: n_rows * SIDE, : n_columns * SIDE])
    right.imshow(picture, cmap="Set2", vmin=0, vmax=7)
    for ax in (left, right):
        ax.set(xticks=[], yticks=[])
axes[0, 1].set_title(f"{np.unique(clusters).size} clusters of tiles")
plt.show()
