"""
A table of mixed columns
========================

Numbers of different scales, categories, missing values: what does one do with such a
table? What one always does in scikit-learn: a ColumnTransformer first.
"""

# %%
# Cars of the seventies: how far do they go with a gallon? Some horsepowers are hidden
# here, as if nobody had written them down; two columns are categories.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from mlxtend.data import autompg_data
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from diffrep import DiffusionRepresentation

numbers = ["displacement", "horsepower", "weight", "acceleration", "year"]
names = ["cylinders", *numbers, "origin"]
values, y = autompg_data()
X = pd.DataFrame(values[:, :7], columns=names)
rng = np.random.default_rng(0)
X.loc[rng.random(len(X)) < 0.1, "horsepower"] = np.nan
X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, random_state=0)

# %%
# One-hot columns are fine: the default views of a table replace entries by those of
# other rows, which keeps a binary column binary. How far a car goes is in no column.
columns = make_column_transformer(
    (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
    (OneHotEncoder(sparse_output=False), ["cylinders", "origin"]),
)
rep = DiffusionRepresentation(n_components=2, max_epochs=100, random_state=0)
steps = make_pipeline(columns, rep).fit(X)
codes, codes_test = steps.transform(X), steps.transform(X_test)

# %%
# A map of cars: cars of one origin and size lie together, and those that need most are
# at the lower left. Two numbers tell most of the mileage of cars that were not in
# `fit`, though they were made without it; all columns tell more.
neighbors = KNeighborsRegressor(10).fit(codes, y)
print(f"R² of ten neighbours, two numbers: {neighbors.score(codes_test, y_test):.2f}")
everything = make_pipeline(columns, KNeighborsRegressor(10)).fit(X, y)
print(f"all columns: {everything.score(X_test, y_test):.2f}")

fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for origin, marker in {1: "o", 2: "^", 3: "s"}.items():
    chosen = X_test["origin"] == origin
    points = ax.scatter(
        *codes_test[chosen].T, c=y_test[chosen], marker=marker, vmin=10, vmax=40
    )
    points.set_label({1: "America", 2: "Europe", 3: "Japan"}[origin])
ax.set(xlabel="first component", ylabel="second component")
ax.legend()
fig.colorbar(points, ax=ax, label="miles per gallon")
plt.show()
