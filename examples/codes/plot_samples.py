"""
Samples from codes
==================

Codes go back to images: many different ones for a short code, nearly one for a long
one; exaggerated with guidance; and from the mean code of a class, images of that class.
"""

# %%
# Codes of 2 and of 32 numbers. `fit_decoder` goes on with the score network alone, for
# codes of images as they are, without views.
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
# Five samples of each of ten codes, those of the images in the first line: the more
# components, the more alike they are, and the more like the image.
rows = X_test[[(y_test == digit).argmax() for digit in range(10)]]
fig, axes = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
for ax, (name, rep) in zip(axes, representations.items(), strict=True):
    samples = rep.sample(np.tile(rep.transform(rows), (5, 1)), random_state=0)
    show(ax, np.concatenate([rows, samples]), name)
plt.show()

# %%
# In numbers: the variance among samples of one code against that of all images, and how
# many samples of codes of test images a classifier of real images calls what they are.
judge = SVC().fit(X, y)
table = sample_diversity(representations, X_test[:100]).set_index("representation")
table["recognised"] = [
    judge.score(rep.sample(rep.transform(X_test), random_state=0), y_test)
    for rep in representations.values()
]
print(table.round(3))
print(f"real images recognised: {judge.score(X_test, y_test):.3f}")

# %%
# The mean code of each class, with growing guidance: first without the code at all.
rep = representations["32 components"]
codes = rep.transform(X)
means = np.stack([codes[y == digit].mean(axis=0) for digit in range(10)])
fig, axes = plt.subplots(1, 3, figsize=(12, 2.8), layout="constrained")
for ax, guidance in zip(axes, (0.0, 1.0, 2.0), strict=True):
    samples = rep.sample(np.tile(means, (3, 1)), guidance=guidance, random_state=0)
    show(ax, samples, f"guidance {guidance:g}")
plt.show()
