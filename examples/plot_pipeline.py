"""
A representation in a Pipeline
==============================

Many rows, few labels: the representation is fitted on all rows, the classifier on
the labelled ones.
"""

# %%
# The digits, 30 of them with a label. `FrozenEstimator` keeps the pipeline from
# fitting the representation again on these 30.
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from diffrep import DiffusionRepresentation

MAX_EPOCHS = 60  # "auto" trains twice as long, and better

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, random_state=0)
X_labelled, _, y_labelled, _ = train_test_split(
    X, y, train_size=30, stratify=y, random_state=0
)

rep = DiffusionRepresentation(
    image_shape=(1, 8, 8), max_epochs=MAX_EPOCHS, random_state=0
)
rep.fit(X)

# %%
# The same classifier on codes and on pixels.
on_codes = make_pipeline(FrozenEstimator(rep), LogisticRegression(max_iter=1000))
on_pixels = LogisticRegression(max_iter=1000)
accuracy = {
    "pixels": on_pixels.fit(X_labelled, y_labelled).score(X_test, y_test),
    "codes": on_codes.fit(X_labelled, y_labelled).score(X_test, y_test),
}

# %%
# The loss has levelled off, and with 30 labels the codes are well ahead of the pixels.
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
left.plot(rep.history_["epoch"], rep.history_["train_denoising"])
left.set(xlabel="epoch", ylabel="denoising loss", title="training, no labels")
right.bar(list(accuracy), list(accuracy.values()), width=0.5)
right.bar_label(right.containers[0], fmt="%.3f")
right.set(ylim=(0, 1), ylabel="test accuracy", title="with 30 labels")
plt.show()
