"""
Data frames
===========

Representations check the names of columns in `fit` and `transform`, and can return
codes as data frames. This example correlates the components of a code with the columns
of the data.
"""

# %%
# `set_output` makes any scikit-learn transformer return data frames; "polars" works as
# well.
import matplotlib.pyplot as plt
import pandas as pd
from sklearn.datasets import load_wine

from diffrep import DiffusionRepresentation

X, y = load_wine(return_X_y=True, as_frame=True)
rep = DiffusionRepresentation(n_components=6, max_epochs=50, random_state=0)
codes = rep.set_output(transform="pandas").fit_transform(X)
print(codes.head(3).round(2).T.to_string())

# %%
# A frame with other columns is rejected, and the message names the missing ones.
try:
    rep.transform(X.drop(columns="alcohol"))
except ValueError as error:
    print(error)

# %%
# Correlations of columns and components need one line. Each component is correlated
# with a group of columns that vary together: number 2 with phenols and dilution, number
# 3 with colour, number 5 with alcohol and proline.
both = pd.concat([X, codes], axis=1).corr()
correlation = both.loc[X.columns, codes.columns]
fig, ax = plt.subplots(figsize=(6, 5), layout="constrained")
image = ax.imshow(correlation, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
ax.set_yticks(range(len(X.columns)), X.columns)
ax.set_xticks(range(len(codes.columns)), range(len(codes.columns)))
ax.set(xlabel="component of the code", title="correlation with the columns")
fig.colorbar(image, ax=ax)
plt.show()
