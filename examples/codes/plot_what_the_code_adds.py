"""
What the code adds at each noise level
======================================

How much a code adds depends on how much of the image is left. At low noise the noisy
image shows almost everything; at high noise the code has to provide the content. This
example measures the information in nats, and shows images that are noised and then
denoised with the codes of other images.
"""

# %%
# The representation is fitted to the pixels of the digits. For a tenth of the rows the
# code is dropped during training, so that the loss without a code can be measured.
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
# Left: the training loss. Middle: the squared error of the predicted noise at each t.
# The code of the image makes it smaller, the code of another image makes it larger, and
# at low noise the code hardly matters. Right: the information that the code adds to the
# noisy image, from none at low noise to about twenty nats at high noise.
fig, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
TrainingDisplay.from_estimator(rep, ax=axes[0])
LossOverTimeDisplay.from_estimator(rep, X_test, ax=axes[1])
InformationProfileDisplay.from_estimator(rep, X_test, ax=axes[2])
plt.show()

# %%
# The images in the first column are noised to time t and denoised with the codes of the
# images in the first row. At low noise (left) all images of a row stay the same. At
# high noise (right) all images of a column show the image whose code was given.
rows = X_test[[(y_test == digit).argmax() for digit in (0, 1, 4, 7)]]
fig, axes = plt.subplots(1, 3, figsize=(12, 4.2), layout="constrained")
for ax, t in zip(axes, (0.3, 0.55, 0.75), strict=True):
    CodeSwapDisplay.from_estimator(rep, rows, t=t, ax=ax)
    ax.set(title=f"t = {t}")
plt.show()

# %%
# With its own code, an image can be recovered at any noise level, up to details that
# the code does not hold.
fig, ax = plt.subplots(figsize=(9, 4), layout="constrained")
ReconstructionDisplay.from_estimator(
    rep, X_test[:12], times=(0.3, 0.5, 0.7, 1.0), ax=ax
)
plt.show()
