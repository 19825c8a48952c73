"""
Few labels, many unlabelled rows
================================

This example compares classifiers for five labels of each digit and more than a thousand
unlabelled digits. All are tested on digits that they have not seen.
"""

# %%
# Unlabelled rows are marked by -1, as in scikit-learn.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

from diffrep import DiffusionRepresentation
from diffrep.semi_supervised import LaplaceNetClassifier

N_LABELS = 50
MAX_EPOCHS = 15  # of the representation; 160 are about its default

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=600, random_state=0)
known, _ = train_test_split(
    np.arange(len(y)), train_size=N_LABELS, stratify=y, random_state=0
)
labels = np.full(len(y), -1)
labels[known] = y[known]

# %%
# The representation is fitted on all rows without labels. When it is frozen, it can be
# combined with any scikit-learn classifier. LaplaceNet starts its training from it.
image_shape = (1, 8, 8)
rep = DiffusionRepresentation(
    image_shape=image_shape, max_epochs=MAX_EPOCHS, random_state=0
).fit(X)
graph = {"kernel": "knn", "n_neighbors": 10, "alpha": 0.9, "max_iter": 200}
shared = {"max_epochs": 6, "random_state": 0}
classifiers = {
    "self-training on pixels": SelfTrainingClassifier(
        LogisticRegression(max_iter=2000)
    ),
    "LabelSpreading on pixels": LabelSpreading(**graph),
    "LabelSpreading on codes": make_pipeline(
        FrozenEstimator(rep), LabelSpreading(**graph)
    ),
    "LaplaceNet from scratch": LaplaceNetClassifier(image_shape=image_shape, **shared),
    "LaplaceNet from codes": LaplaceNetClassifier(rep, **shared),
}
supervised = LogisticRegression(max_iter=2000).fit(X[known], y[known])
accuracy = {"labelled pixels alone": supervised.score(X_test, y_test)}
for name, classifier in classifiers.items():
    accuracy[name] = classifier.fit(X, labels).score(X_test, y_test)

# %%
# Label propagation on a graph is better than self-training, and a graph of codes is
# better than a graph of pixels. LaplaceNet improves the result further by updating its
# graph during training.
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
bars = ax.barh(list(accuracy), list(accuracy.values()))
ax.bar_label(bars, fmt="%.3f", padding=3)
ax.set(xlim=(0.6, 1.03), xlabel="accuracy on test digits")
ax.invert_yaxis()
plt.show()
