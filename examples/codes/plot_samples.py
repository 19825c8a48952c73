"""
Samples from codes
==================

`sample` generates images from codes. Images with the same short code vary; those with
the same long code are nearly equal. Guidance amplifies the code, and the mean code of a
class generates images of that class.
"""

# %%
# The codes have 2 and 32 components. `fit_decoder` continues the training of the score
# network for codes of images without views.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

from diffrep import DiffusionRepresentation
from diffrep.evaluation import sample_diversity

MAX_EPOCHS = 30  # 15 seconds for both; 500 for sharper images

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, random_state=0)
representations = {
    f"{n_components} components": DiffusionRepresentation(
        n_components,
        image_shape=(1, 8, 8),
        noise_space="data",
        code_dropout=0.1,
        batch_size=64,
        lr=5e-3,
        max_epochs=MAX_EPOCHS,
        random_state=0,
    )
    .fit(X)
    .fit_decoder(X, max_epochs=MAX_EPOCHS)
    for n_components in (2, 32)
}


def show(ax, images, title, n_columns=10):
    """Draw rows as a table of images."""
    table = images.reshape(-1, n_columns, 8, 8).swapaxes(1, 2)
    ax.imshow(table.reshape(-1, 8 * n_columns), cmap="gray_r", vmin=0, vmax=16)
    ax.set(title=title, xticks=[], yticks=[])


# %%
# Each column has five samples of one code, below the image of that code. With more
# components, the samples are more similar to each other and to the image.
rows = X_test[[(y_test == digit).argmax() for digit in range(10)]]
fig, axes = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
for ax, (name, rep) in zip(axes, representations.items(), strict=True):
    samples = rep.sample(np.tile(rep.transform(rows), (5, 1)), random_state=0)
    show(ax, np.concatenate([rows, samples]), name)
plt.show()

# %%
# The table gives the variance of samples with the same code, relative to that of all
# images, and the share of samples from codes of test images that a classifier trained
# on real images assigns to the right class.
judge = SVC().fit(X, y)
table = sample_diversity(representations, X_test[:100]).set_index("representation")
table["recognised"] = [
    judge.score(rep.sample(rep.transform(X_test), random_state=0), y_test)
    for rep in representations.values()
]
print(table.round(3))
print(f"real images recognised: {judge.score(X_test, y_test):.3f}")

# %%
# These are samples from the mean code of each class with increasing guidance. With
# guidance 0, on the left, the code is not used at all.
rep = representations["32 components"]
codes = rep.transform(X)
means = np.stack([codes[y == digit].mean(axis=0) for digit in range(10)])
fig, axes = plt.subplots(1, 3, figsize=(12, 2.8), layout="constrained")
for ax, guidance in zip(axes, (0.0, 1.0, 2.0), strict=True):
    samples = rep.sample(np.tile(means, (3, 1)), guidance=guidance, random_state=0)
    show(ax, samples, f"guidance {guidance:g}")
plt.show()
