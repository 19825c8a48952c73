"""
A noise process of your own
===========================

The schedule of a paper is not built in. Two functions of t are enough: how much is left
of the row, alpha(t), and how much noise there is, sigma(t).
"""

# %%
# The cosine schedule of Nichol and Dhariwal (2021). Drift, diffusion, the time at which
# a noise level is reached, and all samplers follow from these two functions.
import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from diffrep import SDE, VE, VP, DiffusionRepresentation


class Cosine(SDE):
    """A quarter of a turn, less the last hundredth of it."""

    def alpha(self, t):
        return torch.cos(0.99 * torch.pi / 2 * t)

    def sigma(self, t):
        return torch.sin(0.99 * torch.pi / 2 * t)


# %%
# Three schedules on the digits, each with a representation of its own.
X, _ = load_digits(return_X_y=True)
X, X_test = train_test_split(X, test_size=0.3, random_state=0)
processes = {"VE": VE(), "VP": VP(), "cosine": Cosine()}
losses = {
    name: DiffusionRepresentation(
        sde=sde, image_shape=(1, 8, 8), max_epochs=6, random_state=0
    )
    .fit(X)
    .loss_over_time(X_test[:200])
    for name, sde in processes.items()
}

# %%
# On the left they are far apart: at t = 0.2 VP has the noise of VE at 0.5. On the right
# the squared error of the noise is one curve over sigma / alpha: how much of the noise
# can be told depends on its amount and not on the name of its time. Training draws that
# amount from the same density for any process, so a schedule of your own is safe to
# use, and gains little.
t = torch.linspace(0.001, 1, 200)
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for name, sde in processes.items():
    left.plot(t, sde.noise_to_signal(t), label=name)
    loss = losses[name]
    right.plot(loss["sigma"] / loss["alpha"], loss["loss_with_code"], label=name)
left.set(xlabel="t", ylabel="sigma / alpha", yscale="log", title="the schedule")
right.set(xlabel="sigma / alpha", xscale="log", title="error of the noise, with codes")
left.legend()
plt.show()
