"""
A noise process of your own
===========================

A noise schedule that is not built in needs only two functions of t: alpha(t), the scale
of the row, and sigma(t), the standard deviation of the noise.
"""

# %%
# The example is the cosine schedule of Nichol and Dhariwal (2021). Drift, diffusion,
# the time of a noise level and all samplers are derived from the two functions.
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
# A representation is fitted to the digits for each of three schedules.
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
# On the left, the schedules differ a lot: at t = 0.2, VP has as much noise as VE at
# 0.5. On the right, the squared error of the predicted noise is the same function of
# sigma / alpha for all of them, since it depends on the amount of noise and not on the
# time. Training draws sigma / alpha from the same density for all schedules, so a
# schedule of your own is safe to use but changes little.
t = torch.linspace(0.001, 1, 200)
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for name, sde in processes.items():
    left.plot(t, sde.noise_to_signal(t), label=name)
    loss = losses[name]
    right.plot(loss["sigma"] / loss["alpha"], loss["loss_with_code"], label=name)
left.set(xlabel="t", ylabel="sigma / alpha", yscale="log", title="schedules")
right.set(xlabel="sigma / alpha", xscale="log", title="error of the predicted noise")
left.legend()
plt.show()
