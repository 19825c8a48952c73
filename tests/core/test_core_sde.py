"""Noise processes, compared with simulations, identities and published values."""

import pytest
import torch

from diffrep.core.sde import SDE, VE, VP, SubVP

SDES = pytest.mark.parametrize("sde", [VE(), VP(), SubVP(), VE(0.1, 5.0)], ids=str)


def times(n=41, t_min=0.01):
    return torch.linspace(t_min, 1, n, dtype=torch.float64)


class TwoFunctions(SDE):
    """The same process, given by alpha and sigma only."""

    def __init__(self, sde):
        self.sde, self.t_min = sde, sde.t_min

    def alpha(self, t):
        return self.sde.alpha(t)

    def sigma(self, t):
        return self.sde.sigma(t)


@SDES
def test_derived_functions_follow_from_alpha_and_sigma(sde):
    derived, t = TwoFunctions(sde), times()
    x = torch.ones(len(t), 3, dtype=torch.float64)
    torch.testing.assert_close(derived.drift(x, t), sde.drift(x, t))
    torch.testing.assert_close(derived.diffusion(t), sde.diffusion(t))
    ratio = sde.noise_to_signal(t)
    torch.testing.assert_close(sde.time_at(ratio), t)
    torch.testing.assert_close(derived.time_at(ratio), t)


@SDES
def test_derivatives_work_without_gradients(sde):
    with torch.inference_mode():
        t = times()
        f = TwoFunctions(sde).drift(torch.ones_like(t), t)
        g = TwoFunctions(sde).diffusion(t)
    t = times()
    torch.testing.assert_close(f.clone(), sde.drift(torch.ones_like(t), t))
    torch.testing.assert_close(g.clone(), sde.diffusion(t))


@SDES
@pytest.mark.parametrize("end", [0.3, 0.8])
def test_simulated_paths_have_the_marginals(sde, end):
    generator = torch.Generator().manual_seed(0)
    n_paths, n_steps = 20_000, 1000
    x = torch.full((n_paths, 1), 2.0, dtype=torch.float64)
    dt = end / n_steps
    for k in range(n_steps):
        t = torch.full((n_paths,), (k + 0.5) * dt, dtype=torch.float64)
        noise = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        x = x + sde.drift(x, t) * dt + sde.diffusion(t)[:, None] * noise * dt**0.5
    t = torch.tensor([0.0, end], dtype=torch.float64)
    (_, alpha), (sigma_0, sigma) = sde.alpha(t), sde.sigma(t)
    # VE starts at sigma_min, so a path adds sigma(t)^2 - sigma(0)^2.
    variance = sigma**2 - sigma_0**2
    standard_error = (variance / n_paths).sqrt()
    assert abs(x.mean() - 2 * alpha) < 4 * standard_error + 0.002
    assert x.var() == pytest.approx(float(variance), rel=0.05)


def test_published_values_of_processes():
    t = torch.tensor([0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    expected = torch.tensor([0.707, 1.657, 3.884, 9.103, 21.33, 50.0])
    torch.testing.assert_close(VE().sigma(t), expected, rtol=1e-3, atol=0)
    one = torch.tensor([1.0])
    assert float(VP().alpha(one)) == pytest.approx(0.0066, abs=1e-4)
    assert float(VE().time_at(one)) == pytest.approx(0.5407, abs=1e-4)


@pytest.mark.parametrize("t", [0.01, 0.5, 1.0])
def test_vp_preserves_the_variance(t):
    t = torch.tensor([t], dtype=torch.float64)
    vp, sub = VP(), SubVP()
    torch.testing.assert_close(vp.alpha(t) ** 2 + vp.sigma(t) ** 2, torch.ones_like(t))
    torch.testing.assert_close(sub.sigma(t), vp.sigma(t) ** 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VE(sigma_min=0), "sigma_min=0, sigma_max=50"),
        (lambda: VE(sigma_max=0.001), r"sigma_max=0\.001"),
        (lambda: VP(beta_min=30), "VP needs.*beta_min=30"),
        (lambda: SubVP(beta_min=-1), "SubVP needs.*beta_min=-1"),
    ],
)
def test_invalid_constants_are_rejected(make, message):
    with pytest.raises(ValueError, match=message):
        make()
