"""
What lies between: samples over a plane of codes
================================================

A code of two numbers is a point of a plane. Going over the plane in small steps and
drawing an image for each point shows what the code means, and what lies between the
classes: the paper's figures 1 and 2 (Mittal et al., 2023).
"""

# %%
# On the left, where the images lie; on the right, a sample for each point of the middle
# of the same plane: where the zeros lie, samples are round, and from class to class the
# strokes turn into each other. Without views, so that samples are where images are.
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
