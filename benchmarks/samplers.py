"""Variance of samples of Gaussian data relative to the data, by sampler and steps.

    python benchmarks/samplers.py

The coordinates have standard deviations of 2, 1, 0.5 and 0.1, the denoiser is exact,
and sigma decreases from 50 to 0.01. Prints the smallest and the largest ratio over
coordinates for 100,000 samples.
"""

from functools import partial

import pandas as pd
import torch

from diffrep.core.samplers import SAMPLERS, descend, noise_levels

VARIANCES = torch.tensor([4.0, 1.0, 0.25, 0.01])
N_SAMPLES = 100_000


def denoise(y, nu):
    """Best estimate of Gaussian x0 from ``y = x0 + nu eps``."""
    return VARIANCES * y / (VARIANCES + nu**2)


def other_noise(power, denoise, y, nu, lower, draw):
    """Step of the reverse SDE whose noise is scaled by ``(lower / nu)^power``."""
    v = nu**2 - lower**2
    y = y + v / nu**2 * (denoise(y, nu) - y)
    return y + (v * (lower / nu) ** power) ** 0.5 * draw()


def main():
    torch.set_num_threads(1)
    steps = {
        "Euler-Maruyama": partial(other_noise, 0),
        "ancestral": partial(other_noise, 2),
        **SAMPLERS,
    }
    rows = {}
    for name, step in steps.items():
        for n_steps in (10, 20, 50, 200):
            levels = noise_levels(50.0, 0.01, n_steps)
            if name == "Euler-Maruyama":
                levels[-1] = 1e-6  # at 0 it would add the noise of the last level
            generator = torch.Generator().manual_seed(0)
            draw = partial(torch.randn, N_SAMPLES, 4, generator=generator)
            found = descend(step, denoise, levels[0] * draw(), levels, draw)
            ratio = found.var(0) / VARIANCES
            rows[name, n_steps] = f"{ratio.min():.2f}-{ratio.max():.2f}"
    print(pd.Series(rows).unstack(sort=False).to_string())


if __name__ == "__main__":
    main()
