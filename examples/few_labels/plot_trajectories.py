"""
Classifying curves of codes
===========================

Codes at several noise levels form a curve. This example measures how similar the codes
at different times are, and to which times a classifier attends for three tasks on
coloured digits: predicting the digit, the pen colour and the paper colour.
"""

# %%
# The curves are codes of coloured digits, learned without labels.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits

from diffrep import DiffusionRepresentation
from diffrep.datasets import colored_digits
from diffrep.display import TimeSimilarityDisplay
from diffrep.evaluation import attention_profiles, jensen_shannon
from diffrep.trajectory import TrajectoryClassifier

MAX_EPOCHS = 8  # of the representation; 160 are about its default

digits = load_digits()
X, background, foreground = colored_digits(digits.images)
questions = {"digit": digits.target, "pen": foreground, "paper": background}
train, test = np.arange(800), np.arange(800, 1300)
times = np.linspace(0.2, 0.8, 5)
rep = DiffusionRepresentation(
    32,
    t_grid=times,
    image_shape=(3, 8, 8),
    noise_space="data",
    augment=None,
    batch_size=64,
    max_epochs=MAX_EPOCHS,
    random_state=0,
).fit(X[train])

# %%
# By linear CKA, codes of adjacent times are more similar than those of distant ones.
# Little noise removes fine strokes; more noise also removes colours.
display = TimeSimilarityDisplay.from_estimator(rep, X[test], times=times)
display.ax_.set_title("similarity of codes (linear CKA)")
plt.show()

# %%
# One classifier is trained for each task. All use attention over the same curves; the
# mean attention on the test rows shows which noise levels matter for the task.
profiles = {}
for name, y in questions.items():
    classifier = TrajectoryClassifier(rep, max_epochs=8, batch_size=64, random_state=0)
    classifier.fit(X[train], y[train])
    print(f"{name}: {classifier.score(X[test], y[test]):.3f}")
    rows = np.full(len(test), name)
    profiles[name] = attention_profiles(classifier, X[test], rows).loc[name]

fig, ax = plt.subplots(layout="constrained")
for name, profile in profiles.items():
    ax.plot(profile.index, profile, marker="o", label=name)
ax.set(xlabel="t", ylabel="attention", ylim=(0, None))
ax.legend()
plt.show()

# %%
# The Jensen-Shannon divergence of two profiles is 0 bits if they are equal and 1 bit if
# they share no time.
print(jensen_shannon(pd.DataFrame(profiles).T).round(3).to_string())
