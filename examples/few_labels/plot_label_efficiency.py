"""
How many labels a representation saves
======================================

If labels are expensive, the question is how many labels a classifier needs to reach a
given accuracy.
"""

# %%
# `compare` fits clones on the training rows without their labels and trains logistic
# regressions on codes of a few labelled rows. The labelled rows are drawn five times
# for each split and are the same for all methods.
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
# `paired_difference` compares codes with pixels on each split. Two splits are too few
# for a reliable interval.
table = paired_difference(results, "DRL", "pixels")
print(table[["n_labels", "difference"]].round(3).to_string(index=False))

# %%
# With thirty labels, codes are nearly as accurate as pixels with a hundred. The gain is
# largest for the fewest labels. PCA, which is fitted to the same rows, gains nothing.
results["n_rows"] = len(X) * 2 // 3
display = LabelEfficiencyDisplay.from_results(results)
display.ax_.grid(axis="y")
plt.show()
