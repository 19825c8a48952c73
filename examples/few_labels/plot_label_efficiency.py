"""
How many labels a representation saves
======================================

If every label has its price, the question is not how accurate a classifier is, but how
many labels it needs to be so.
"""

# %%
# `compare` fits clones on the training rows without their labels, and probes their
# codes with a logistic regression on few of them: five choices of the labelled rows on
# each split, the same for all.
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.preprocessing import FunctionTransformer

from diffrep import DiffusionRepresentation
from diffrep.display import LabelEfficiencyDisplay
from diffrep.evaluation import accuracy_table, compare, paired_difference

MAX_EPOCHS = 15  # five seconds for both splits; 160 are about the default

X, y = load_digits(return_X_y=True)
representations = {
    "pixels": FunctionTransformer(),
    "PCA": PCA(32),
    "DRL": DiffusionRepresentation(
        image_shape=(1, 8, 8), max_epochs=MAX_EPOCHS, random_state=0
    ),
}
results = compare(representations, X, y, cv=2, n_labels=[10, 30, 100, "all"], n_draws=5)
print(accuracy_table(results).drop(columns="rows/s").to_string())

# %%
# In numbers, paired by split: how much more accurate codes are than pixels. Two splits
# are too few for the interval that comes along.
table = paired_difference(results, "DRL", "pixels")
print(table[["n_labels", "difference"]].round(3).to_string(index=False))

# %%
# With thirty labels codes are nearly where pixels are with a hundred; the fewer labels,
# the larger the gain. PCA, which is fitted to the same rows, gains nothing.
results["n_rows"] = len(X) * 2 // 3
display = LabelEfficiencyDisplay.from_results(results)
display.ax_.grid(axis="y")
plt.show()
