"""Inputs, targets and weights of F: identities at all noise levels."""

import pytest
import torch

from diffrep.core.preconditioning import EDM, Plain
from diffrep.core.sde import VE, VP, SubVP

SCHEMES = pytest.mark.parametrize("scheme", [EDM, Plain])
SDES = pytest.mark.parametrize("sde", [VE(), VP(), SubVP()], ids=str)


def draw(sde, n=50_000):
    generator = torch.Generator().manual_seed(0)
    t = torch.linspace(0.05, 1, 6, dtype=torch.float64)
    shape = {"size": (6, n), "generator": generator, "dtype": torch.float64}
    x0, eps = torch.randn(**shape), torch.randn(**shape)
    return x0, eps, sde.alpha(t)[:, None], sde.sigma(t)[:, None]


@SCHEMES
@SDES
def test_target_and_denoised_are_inverse(scheme, sde):
    x0, eps, alpha, sigma = draw(sde)
    F = scheme.target(x0, eps, alpha, sigma)
    found = scheme.denoised(alpha * x0 + sigma * eps, F, alpha, sigma)
    torch.testing.assert_close(found, x0)


@SCHEMES
@SDES
def test_weight_on_the_error_of_x0(scheme, sde):
    x0, eps, alpha, sigma = draw(sde, n=10)
    x_t = alpha * x0 + sigma * eps
    F = scheme.target(x0, eps, alpha, sigma)
    error = scheme.denoised(x_t, F + 0.1, alpha, sigma) - x0
    weight = alpha**2 / sigma**2
    if scheme is EDM:
        weight = 1 + weight
    torch.testing.assert_close(weight * error**2, torch.full_like(x0, 0.01))


@SDES
def test_edm_has_unit_variance_at_every_level(sde):
    x0, eps, alpha, sigma = draw(sde)
    shown = EDM.network_input(alpha * x0 + sigma * eps, alpha, sigma)
    for rows in (shown, EDM.target(x0, eps, alpha, sigma)):
        torch.testing.assert_close(
            rows.var(1), torch.ones(6, dtype=torch.float64), rtol=0.03, atol=0
        )
    # and they are uncorrelated
    assert (shown * EDM.target(x0, eps, alpha, sigma)).mean(1).abs().max() < 0.03
