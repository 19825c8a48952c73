"""
A table with mixed columns
==========================

Numbers of different scale, categories and missing values are prepared by a
ColumnTransformer, as for other scikit-learn estimators.
"""

# %%
# The table describes cars of the seventies, and the task is to predict how far they go
# with a gallon. Two columns are categories. Some horsepowers are removed here to show
# how to handle missing values.
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
# One-hot columns need no special treatment: the default views of a table replace
# entries by those of other rows, so binary columns stay binary. The target is not among
# the columns.
columns = make_column_transformer(
    (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
    (OneHotEncoder(sparse_output=False), ["cylinders", "origin"]),
)
rep = DiffusionRepresentation(n_components=2, max_epochs=100, random_state=0)
steps = make_pipeline(columns, rep).fit(X)
codes, codes_test = steps.transform(X), steps.transform(X_test)

# %%
# On the map of the first two components, cars of the same origin and size are close to
# each other, and the cars with the highest consumption are at the lower left. The two
# components explain most of the mileage of cars that were not in `fit`, although they
# were learned without it; all components explain more.
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
