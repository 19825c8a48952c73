"""
Cross-validation and grid search
================================

A representation is a step of a pipeline, so cross-validation measures whether it
improves a classifier, and a grid search chooses its parameters.
"""

# %%
# In each split, both the representation and the classifier are trained on 300 digits
# and tested on another 300.
import matplotlib.pyplot as plt
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedShuffleSplit,
    cross_val_score,
)
from sklearn.pipeline import Pipeline

from diffrep import DiffusionRepresentation

X, y = load_digits(return_X_y=True)
splits = StratifiedShuffleSplit(2, train_size=300, test_size=300, random_state=0)

classifier = LogisticRegression(max_iter=5000)
rep = DiffusionRepresentation(image_shape=(1, 8, 8), max_epochs=5, random_state=0)
pipeline = Pipeline([("codes", rep), ("classify", classifier)])
pixels = cross_val_score(classifier, X, y, cv=splits)
codes = cross_val_score(pipeline, X, y, cv=splits)
print(f"pixels: {pixels.mean():.3f}   codes: {codes.mean():.3f}")

# %%
# A grid can contain parameters of both steps, prefixed by the name of the step. Here it
# contains the length of the code and the views. With `refit=True`, the default, the
# search would finally fit the best pipeline on all rows.
grid = {"codes__n_components": [8, 128], "codes__augment": [None, "image"]}
search = GridSearchCV(pipeline, grid, cv=splits, refit=False).fit(X, y)
print(search.best_params_)

# %%
# Codes with eight components are six points worse than pixels. Codes with 128
# components are two points better if views are used, and equal without views.
results = pd.DataFrame(search.cv_results_)
results["views"] = results["param_codes__augment"].fillna("none")
table = results.pivot(
    index="param_codes__n_components", columns="views", values="mean_test_score"
)
fig, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
for views, accuracy in table.items():
    ax.plot(accuracy.index.astype(str), accuracy, marker="o", label=f"augment: {views}")
ax.axhline(pixels.mean(), color="gray", linestyle="--", label="pixels")
ax.set(xlabel="n_components", ylabel="accuracy")
ax.legend()
plt.show()
