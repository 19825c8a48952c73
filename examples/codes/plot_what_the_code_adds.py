"""
What the code adds, and where
=============================

How much a code tells of an image depends on what is left of the image. At little
noise the noisy image says it all; at much noise the code has to. Here this is
measured in nats, and seen: images are noised and denoised again with the codes of
other images.
"""

# %%
# One estimator on the pixels of the digits. A tenth of the rows is denoised without its
# code, so that what the code adds can be told.
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from diffrep import DiffusionRepresentation
from diffrep.display import (
    CodeSwapDisplay,
    InformationProfileDisplay,
    LossOverTimeDisplay,
    ReconstructionDisplay,
    TrainingDisplay,
)

MAX_EPOCHS = 60  # eight seconds; 500 for sharper images

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, random_state=0)
rep = DiffusionRepresentation(
    32,
    image_shape=(1, 8, 8),
    noise_space="data",
    code_dropout=0.1,
    max_epochs=MAX_EPOCHS,
    random_state=0,
).fit(X)

# %%
# Left, the training. In the middle, the squared error of the noise at each t: with the
# code of the image it is lower than without one, with the code of another image higher,
# and where there is little noise the code hardly matters. Right, what the code knows
# that the noisy image does not: nothing at little noise, some twenty nats at much.
fig, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
TrainingDisplay.from_estimator(rep, ax=axes[0])
LossOverTimeDisplay.from_estimator(rep, X_test, ax=axes[1])
InformationProfileDisplay.from_estimator(rep, X_test, ax=axes[2])
plt.show()

# %%
# Images in the first column are noised to a time t and denoised with the codes of the
# images in the first line. With little noise (left) all of a line stay what they were;
# with much noise (right) all of a column become the one whose code they got.
rows = X_test[[(y_test == digit).argmax() for digit in (0, 1, 4, 7)]]
fig, axes = plt.subplots(1, 3, figsize=(12, 4.2), layout="constrained")
for ax, t in zip(axes, (0.3, 0.55, 0.75), strict=True):
    CodeSwapDisplay.from_estimator(rep, rows, t=t, ax=ax)
    ax.set(title=f"t = {t}")
plt.show()

# %%
# With its own code an image survives any noise, up to what codes leave open.
fig, ax = plt.subplots(figsize=(9, 4), layout="constrained")
ReconstructionDisplay.from_estimator(
    rep, X_test[:12], times=(0.3, 0.5, 0.7, 1.0), ax=ax
)
plt.show()
