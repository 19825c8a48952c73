"""Views of a batch."""

import pytest
import torch

from diffrep.core.augment import AUGMENTATIONS, affine, corrupt_features, gaussian_noise


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


STILL = {"rotation": 0.0, "scale": 0.0, "shear": 0.0, "shift": 0.0}


def test_affine_without_bounds_is_the_identity():
    x = torch.randn(5, 3, 9, 7, generator=rng())
    torch.testing.assert_close(affine(x, rng(), **STILL), x, atol=1e-5, rtol=0)


def centres(x):
    """Centre of brightness of each image, in pixels from the middle."""
    side = torch.arange(x.shape[-1]) - (x.shape[-1] - 1) / 2
    weight = x.sum((1, 2, 3))
    return torch.stack([(x.sum((1, i)) * side).sum(1) / weight for i in (2, 3)], dim=1)


def test_shift_moves_within_its_bound():
    x = torch.zeros(400, 1, 21, 21)
    x[:, :, 10, 10] = 1
    moved = centres(affine(x, rng(), **STILL | {"shift": 0.2}))
    assert moved.abs().max() <= 0.2 * 21 + 1e-3
    assert moved.abs().max() > 0.17 * 21
    assert moved.mean(0).abs().max() < 0.3
    assert torch.corrcoef(moved.T)[0, 1].abs() < 0.2


def test_shift_moves_every_pixel_alike():
    # two channels hold the coordinates of a pixel, so a view says where it is from
    side = torch.arange(21.0) - 10
    x = torch.zeros(50, 3, 21, 21)
    x[:, 0], x[:, 1] = side, side[:, None]
    x[:, 2, 10, 10] = 1
    view = affine(x, rng(), **STILL | {"shift": 0.2})
    moved = centres(view[:, 2:])
    inner = view[..., 5:-5, 5:-5]
    expected = x[..., 5:-5, 5:-5][:, :2] - moved[..., None, None]
    torch.testing.assert_close(inner[:, :2], expected, atol=1e-3, rtol=0)


def spot(x, y):
    """Copies of an image with a soft spot at (x, y) from its middle."""
    side = torch.arange(41.0) - 20
    image = torch.exp(-((side - x) ** 2 + (side[:, None] - y) ** 2) / 8)
    return image.expand(300, 1, 41, 41)


def test_scale_changes_the_logarithm_of_the_distance():
    moved = centres(affine(spot(6, 6), rng(), **STILL | {"scale": 0.3}))
    torch.testing.assert_close(moved[:, 0], moved[:, 1], atol=0.01, rtol=0)
    change = torch.log(moved[:, 0] / 6)
    assert -0.31 < change.min() < -0.28
    assert 0.28 < change.max() < 0.31


def test_shear_moves_rows_in_proportion_to_their_height():
    moved = centres(affine(spot(0, 8), rng(), **STILL | {"shear": 0.3}))
    torch.testing.assert_close(moved[:, 1], torch.full((300,), 8.0), atol=0.02, rtol=0)
    assert 0.28 * 8 < moved[:, 0].abs().max() < 0.31 * 8


def test_what_enters_an_image_is_its_border():
    x = torch.full((20, 1, 6, 6), 2.5)
    torch.testing.assert_close(affine(x, rng(), shift=0.5), x)


def test_rotation_keeps_the_distance_and_its_bound():
    x = torch.zeros(300, 1, 41, 41)
    x[:, :, 20, 32] = 1
    moved = centres(affine(x, rng(), **STILL | {"rotation": 30.0}))
    torch.testing.assert_close(
        moved.norm(dim=1), torch.full((300,), 12.0), atol=0.5, rtol=0
    )
    angle = torch.rad2deg(torch.atan2(moved[:, 1], moved[:, 0]))
    spread = (angle - angle.median()).abs().max()
    assert 25 < spread < 32


def test_corruption_takes_from_the_same_column():
    x = torch.arange(1000.0).view(250, 4)
    view = corrupt_features(x, rng(), share=0.4)
    changed = view != x
    # an entry is replaced by itself once in 250 times
    assert changed.double().mean() == pytest.approx(0.4 * 249 / 250, abs=0.05)
    assert torch.equal(view % 4, x % 4)
    assert torch.isin(view, x).all()


def test_corrupted_entries_of_a_row_come_from_different_rows():
    x = torch.arange(250.0)[:, None].expand(250, 2)
    a, b = corrupt_features(x, rng(), share=1.0).T
    assert (a == b).double().mean() < 0.03


def test_gaussian_noise_has_its_spread():
    x = torch.full((200, 50), 3.0)
    noise = gaussian_noise(x, rng(), std=0.25) - x
    assert noise.std() == pytest.approx(0.25, rel=0.03)
    assert abs(noise.mean()) < 0.01


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_views_are_seeded_and_change_nothing_else(name):
    augment = AUGMENTATIONS[name]
    x = torch.randn(8, 1, 6, 6, generator=rng())
    kept = x.clone()
    view = augment(x, rng(1))
    assert view.shape == x.shape
    assert torch.equal(x, kept)
    assert torch.equal(augment(x, rng(1)), view)
    assert not torch.equal(augment(x, rng(2)), view)
