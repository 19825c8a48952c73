"""
Samples over the plane of codes
===============================

A code with two components is a point of a plane. Sampling an image at each point of a
grid shows what the components mean and what lies between the classes, as in figures 1
and 2 of the paper (Mittal et al., 2023).
"""

# %%
# On the left are the codes of images. On the right is one sample for each point in the
# middle of the same plane: samples are round where the codes of zeros are, and strokes
# change gradually between classes. Views are turned off, so that samples have the
# position of the images.
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from diffrep import DiffusionRepresentation, VariationalDiffusionRepresentation
from diffrep.display import LatentDisplay, LatentGridDisplay

MAX_EPOCHS = 40  # ten seconds for both; 200 for sharper images

X, y = load_digits(return_X_y=True)
representations = {
    "DRL": DiffusionRepresentation,
    "VDRL": VariationalDiffusionRepresentation,
}
fig, axes = plt.subplots(2, 2, figsize=(8, 8), layout="constrained")
for (name, make), (left, right) in zip(representations.items(), axes, strict=True):
    representation = make(
        2,
        image_shape=(1, 8, 8),
        noise_space="data",
        augment=None,
        batch_size=64,
        lr=5e-3,
        max_epochs=MAX_EPOCHS,
        random_state=0,
    ).fit(X)
    LatentDisplay.from_estimator(representation, X, y, ax=left)
    left.set(title=name)
    LatentGridDisplay.from_estimator(
        representation, extent=(-2, 2), n_per_side=9, value_range=(0, 16), ax=right
    )
plt.show()
