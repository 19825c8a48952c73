"""
Reading whole curves
====================

Codes that are read at several noise levels are curves. What do their parts share, where
along them does a classifier look, and is that another place for another question?
Digits that are painted, so that there are three questions: which digit, which pen,
which paper.
"""

# %%
# Curves of codes, from coloured digits; nothing is told about the questions.
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
# Linear CKA: codes of neighbouring times are more alike than those of far ones. At
# little noise what is washed out are fine strokes; at much noise colours join them.
display = TimeSimilarityDisplay.from_estimator(rep, X[test], times=times)
display.ax_.set_title("how alike codes are")
plt.show()

# %%
# One classifier for each question. All read the same curves by attention; its mean over
# the test rows shows at which noise the answer is found.
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
ax.set(xlabel="t", ylabel="share of the attention", ylim=(0, None))
ax.legend()
plt.show()

# %%
# How different the profiles are: 0 bits if equal, 1 if they share no time.
print(jensen_shannon(pd.DataFrame(profiles).T).round(3).to_string())
