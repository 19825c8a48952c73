"""Losses, compared with closed forms for Gaussian data.

One coordinate, x0 ~ N(0, 1), code z = x0 + tau n with squared correlation u of
z and x0: the residual variance is v = 1 - u, and the smallest loss at a noise level
follows from E[x0 | x_t, z]. For a null code u = 0. Reference values are averages over
t, computed by quadrature.
"""

import pytest
import torch
from torch import nn

from diffrep._parts import weighted
from diffrep.core.models import DiffusionModel
from diffrep.core.objectives import (
    collapse_limit,
    kl_divergence,
    l1_norm,
    squared_error,
)
from diffrep.core.preconditioning import EDM, Plain
from diffrep.core.sde import VE, VP, SubVP
from diffrep.core.spaces import DataSpace
from diffrep.core.time_sampling import HighNoise, Uniform, stratified

N = 400_000


class Oracle(nn.Module):
    """The optimal F, which receives x_t, t and z = x0 + tau n."""

    def __init__(self, sde, scheme, u):
        super().__init__()
        self.sde, self.scheme, self.u = sde, scheme, u
        self.shift = self.tilt = 0.0

    def forward(self, shown, t, z):
        alpha, sigma = self.sde.alpha(t)[:, None], self.sde.sigma(t)[:, None]
        x_t = shown
        if self.scheme is EDM:
            x_t = shown * (alpha**2 + sigma**2).sqrt()
        v = 1 - self.u
        mean = (self.u * z / v + alpha * x_t / sigma**2) / (
            1 / v + (alpha / sigma) ** 2
        )
        eps = (x_t - alpha * mean) / sigma
        best = self.scheme.target(mean, eps, alpha, sigma)
        return best + self.shift + self.tilt * shown


def model_and_draws(sde, scheme, density, u, shift=0.0, tilt=0.0):
    """Return a model with an optimal F, and x0, eps, t, z of many rows."""
    oracle = Oracle(sde, scheme, u)
    oracle.shift, oracle.tilt = shift, tilt
    model = DiffusionModel(
        data_shape=(1,),
        n_components=1,
        encoder=lambda *_: nn.Identity(),
        space=DataSpace,
        score_network=lambda *_: oracle,
        time_conditioned=False,
        preconditioning=scheme,
        times=density(sde),
        augment=None,
    )
    generator = torch.Generator().manual_seed(0)
    shape = {"size": (N, 1), "generator": generator, "dtype": torch.float64}
    x0, eps, n = (torch.randn(**shape) for _ in range(3))
    z = x0 + (1 / u - 1) ** 0.5 * n if u else torch.zeros_like(x0)
    t = model.times.ppf(stratified(N, generator).double())
    return model, (x0, eps, t, z)


def losses(*case, **change):
    """Losses of single rows, computed by a model with an optimal F."""
    model, draws = model_and_draws(*case, **change)
    return model.denoising_error(*draws)


REFERENCE = [
    (VE(), Plain, Uniform, [0.540673, 0.5, 0.405575]),
    (VE(), EDM, Uniform, [1.0, 0.75, 0.465017]),
    (VE(), Plain, HighNoise, [0.030822, 0.021819, 0.009697]),
    (VE(), EDM, HighNoise, [1.0, 0.510909, 0.108727]),
    (VP(), Plain, Uniform, [0.275988, 0.221543, 0.120713]),
    (VP(), EDM, Uniform, [1.0, 0.610772, 0.208641]),
    (SubVP(), Plain, Uniform, [0.321174, 0.276097, 0.189216]),
]


@pytest.mark.parametrize(("sde", "scheme", "density", "values"), REFERENCE)
@pytest.mark.parametrize("i", [0, 1, 2])
def test_loss_of_the_best_network_equals_the_closed_form(
    sde, scheme, density, values, i
):
    u = [0.0, 0.5, 0.9][i]
    found = losses(sde, scheme, density, u)
    tolerance = 5 * float(found.std()) / N**0.5
    # training starts at t_min, the reference values at 1e-5, and losses are below 1
    tolerance += sde.t_min
    assert float(found.mean()) == pytest.approx(values[i], abs=tolerance)
    for change in ({"shift": -0.1}, {"shift": 0.1}, {"tilt": -0.1}, {"tilt": 0.1}):
        assert losses(sde, scheme, density, u, **change).mean() > found.mean()


@pytest.mark.parametrize(("sde", "scheme", "density", "values"), REFERENCE)
def test_loss_is_the_weighted_error_of_x0(sde, scheme, density, values):
    # row by row, so no sampling error hides a wrong factor
    model, (x0, eps, t, z) = model_and_draws(sde, scheme, density, 0.5)
    alpha, sigma = sde.alpha(t)[:, None], sde.sigma(t)[:, None]
    error = model.denoised(alpha * x0 + sigma * eps, t, z) - x0
    weight = (alpha / sigma) ** 2 + (scheme is EDM)
    expected = (weight * error**2).squeeze(1)
    torch.testing.assert_close(model.denoising_error(x0, eps, t, z), expected)


@pytest.mark.parametrize(
    ("sde", "scheme", "density", "static", "conditioned"),
    [
        (VE(), Plain, Uniform, 0.11735, 0.5),
        (VE(), EDM, Uniform, 0.919, 2.0),
        (VE(), Plain, HighNoise, 0.0306, 0.5),
        (VE(), EDM, HighNoise, 1.938, 2.0),
        (VP(), Plain, Uniform, 0.1645, 0.5),
        (VP(), EDM, Uniform, 1.448, 2.0),
    ],
)
def test_collapse_limit(sde, scheme, density, static, conditioned):
    times = density(sde)
    if scheme is Plain:  # the same loss, of another network
        likewise = weighted(times, "eps", "edm")
        assert collapse_limit(EDM, likewise, False) == pytest.approx(static, rel=2e-3)
    assert collapse_limit(scheme, times, False) == pytest.approx(static, rel=2e-3)
    limit = collapse_limit(scheme, times, True)
    assert limit == pytest.approx(conditioned, rel=2e-3)


def test_per_row_functions():
    generator = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(2, 5, 3, generator=generator)
    code = torch.distributions.Normal(mean, (log_variance / 2).exp())
    prior = torch.distributions.Normal(torch.zeros(3), torch.ones(3))
    expected = torch.distributions.kl_divergence(code, prior).sum(1)
    torch.testing.assert_close(kl_divergence(mean, log_variance), expected)
    z = torch.tensor([[1.0, -3.0], [0.0, 0.5]])
    assert l1_norm(z).tolist() == [2.0, 0.25]
    images = torch.tensor([[[[1.0, 3.0]]], [[[0.0, 2.0]]]])
    assert squared_error(images, torch.zeros_like(images)).tolist() == [5.0, 2.0]
