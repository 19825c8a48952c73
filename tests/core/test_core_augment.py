"""Views of a batch."""

import math
import pickle

import pytest
import scipy.ndimage
import torch

from diffrep.core.augment import (
    AUGMENTATIONS,
    Chain,
    blur,
    color_jitter,
    corrupt_features,
    crop,
    cutout,
    deform,
    drop_channels,
    flip,
    gaussian_noise,
    mixup,
    rescale,
    warp_time,
)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


STILL = dict.fromkeys(["rotation", "scale", "shear", "shift", "bending"], 0.0)


def test_deform_without_bounds_is_the_identity():
    x = torch.randn(5, 3, 9, 7, generator=rng())
    torch.testing.assert_close(deform(x, rng(), **STILL), x, atol=1e-5, rtol=0)


def centres(x):
    """Centre of brightness of each image, in pixels from the centre."""
    side = torch.arange(x.shape[-1]) - (x.shape[-1] - 1) / 2
    weight = x.sum((1, 2, 3))
    return torch.stack([(x.sum((1, i)) * side).sum(1) / weight for i in (2, 3)], dim=1)


def test_shift_moves_within_its_bound():
    x = torch.zeros(400, 1, 21, 21)
    x[:, :, 10, 10] = 1
    moved = centres(deform(x, rng(), **STILL | {"shift": 0.2}))
    assert moved.abs().max() <= 0.2 * 21 + 1e-3
    assert moved.abs().max() > 0.17 * 21
    assert moved.mean(0).abs().max() < 0.3
    assert torch.corrcoef(moved.T)[0, 1].abs() < 0.2


def test_shift_moves_all_pixels_equally():
    # two channels are the coordinates of pixels, so a view contains their origin
    side = torch.arange(21.0) - 10
    x = torch.zeros(50, 3, 21, 21)
    x[:, 0], x[:, 1] = side, side[:, None]
    x[:, 2, 10, 10] = 1
    view = deform(x, rng(), **STILL | {"shift": 0.2})
    moved = centres(view[:, 2:])
    inner = view[..., 5:-5, 5:-5]
    expected = x[..., 5:-5, 5:-5][:, :2] - moved[..., None, None]
    torch.testing.assert_close(inner[:, :2], expected, atol=1e-3, rtol=0)


def spot(x, y):
    """Copies of an image with a blurred spot at (x, y) from its centre."""
    side = torch.arange(41.0) - 20
    image = torch.exp(-((side - x) ** 2 + (side[:, None] - y) ** 2) / 8)
    return image.expand(300, 1, 41, 41)


def test_scale_changes_the_logarithm_of_the_distance():
    moved = centres(deform(spot(6, 6), rng(), **STILL | {"scale": 0.3}))
    torch.testing.assert_close(moved[:, 0], moved[:, 1], atol=0.01, rtol=0)
    change = torch.log(moved[:, 0] / 6)
    assert -0.31 < change.min() < -0.28
    assert 0.28 < change.max() < 0.31


def test_shear_moves_rows_in_proportion_to_their_height():
    moved = centres(deform(spot(0, 8), rng(), **STILL | {"shear": 0.3}))
    torch.testing.assert_close(moved[:, 1], torch.full((300,), 8.0), atol=0.02, rtol=0)
    assert 0.28 * 8 < moved[:, 0].abs().max() < 0.31 * 8


def test_border_pixels_are_repeated():
    x = torch.full((20, 1, 6, 6), 2.5)
    torch.testing.assert_close(deform(x, rng(), shift=0.5), x)


def test_displacements_are_smooth_with_their_standard_deviation():
    # two channels are the coordinates of pixels, so a view contains their origin
    side = torch.arange(41.0) - 20
    x = torch.stack([side.expand(41, 41), side[:, None].expand(41, 41)])
    view = deform(x.expand(2000, 2, 41, 41), rng(), **STILL | {"bending": 0.008})
    moved = (view - x)[..., 1:-1, 1:-1]  # border pixels are repeated
    assert moved.square().mean().sqrt().item() == pytest.approx(0.008 * 41, rel=0.06)
    assert moved.mean((0, 2, 3)).abs().max() < 0.05
    # a cosine of three half waves has turned by 2 degrees of 90 from pixel to pixel
    slope = moved.diff(dim=3).square().mean().sqrt()
    assert 0.05 < slope / moved.square().mean().sqrt() < 3 * torch.pi / 41
    first, second = moved[:, 0, 12, 12], moved[:, 1, 12, 12]
    assert torch.corrcoef(torch.stack([first, second]))[0, 1].abs() < 0.1


def test_rotation_keeps_distances_within_its_bound():
    x = torch.zeros(300, 1, 41, 41)
    x[:, :, 20, 32] = 1
    moved = centres(deform(x, rng(), **STILL | {"rotation": 30.0}))
    torch.testing.assert_close(
        moved.norm(dim=1), torch.full((300,), 12.0), atol=0.5, rtol=0
    )
    angle = torch.rad2deg(torch.atan2(moved[:, 1], moved[:, 0]))
    spread = (angle - angle.median()).abs().max()
    assert 25 < spread < 32


def test_corrupted_entries_come_from_the_same_column():
    x = torch.arange(1000.0).view(250, 4)
    view = corrupt_features(x, rng(), share=0.4)
    changed = view != x
    # one in 250 entries is replaced by itself
    assert changed.double().mean() == pytest.approx(0.4 * 249 / 250, abs=0.05)
    assert torch.equal(view % 4, x % 4)
    assert torch.isin(view, x).all()


def test_corrupted_entries_of_a_row_come_from_different_rows():
    x = torch.arange(250.0)[:, None].expand(250, 2)
    a, b = corrupt_features(x, rng(), share=1.0).T
    assert (a == b).double().mean() < 0.03


def test_gaussian_noise_has_its_standard_deviation():
    x = torch.full((200, 50), 3.0)
    noise = gaussian_noise(x, rng(), std=0.25) - x
    assert noise.std() == pytest.approx(0.25, rel=0.03)
    assert abs(noise.mean()) < 0.01


def same(view, x):
    """Whether each image of `view` equals that of `x`, bit for bit."""
    return (view == x).flatten(1).all(1)


def test_crop_of_everything_is_the_identity():
    x = torch.randn(50, 3, 9, 7, generator=rng())
    for aspect in (1.0, 4 / 3):  # only one rectangle has the whole area
        view = crop(x, rng(), smallest=1.0, aspect=aspect)
        torch.testing.assert_close(view, x, atol=1e-5, rtol=0)


def crop_boxes(smallest, aspect):
    """Sides and centres ``(2000, 2)`` of crops, as shares of the half sides."""
    # two channels are the coordinates of pixels, so a view contains their origin
    across, down = [(torch.arange(n) + 0.5) / n * 2 - 1 for n in (20, 30)]
    x = torch.stack(torch.meshgrid(across, down, indexing="xy"))
    x = x.expand(2000, 2, 30, 20)
    view = crop(x, rng(), smallest=smallest, aspect=aspect)
    # the outermost pixels may lie beyond the pixel centres of the image
    inner, whole = view[..., 1:-1, 1:-1], x[..., 1:-1, 1:-1]
    moved = inner.mean((2, 3))
    sides = (inner * whole).mean((2, 3)) / (whole**2).mean((2, 3))
    straight = sides[..., None, None] * whole + moved[..., None, None]
    torch.testing.assert_close(inner, straight, atol=1e-4, rtol=0)
    return sides, moved


@pytest.mark.parametrize(("smallest", "aspect"), [(0.3, 4 / 3), (0.8, 2.0)])
def test_crop_is_a_rectangle_within_its_bounds(smallest, aspect):
    sides, moved = crop_boxes(smallest, aspect)
    assert (moved.abs() + sides).max() < 1 + 1e-4  # inside the image
    area = sides.prod(1)
    assert smallest - 1e-4 < area.min() < smallest + 0.01
    assert 0.99 < area.max() < 1 + 1e-4
    assert area.mean() == pytest.approx((1 + smallest) / 2, abs=0.015)  # uniform
    assert area.std() == pytest.approx((1 - smallest) / math.sqrt(12), rel=0.05)
    ratio = (sides[:, 0] / sides[:, 1]).log()
    # a longer rectangle of the same area would not fit
    most = min(math.log(aspect), -math.log(smallest))
    assert most * 0.9 < ratio.max() < most + 1e-3
    assert -most - 1e-3 < ratio.min() < -most * 0.9
    assert ratio.mean().abs() < 0.02


def test_position_of_crops_is_uniform():
    sides, moved = crop_boxes(0.3, 4 / 3)
    place = (moved / (1 - sides))[sides.amax(1) < 0.9]
    assert place.mean(0).abs().max() < 0.05
    assert (place**2).mean(0) == pytest.approx([1 / 3, 1 / 3], abs=0.03)
    assert torch.corrcoef(place.T)[0, 1].abs() < 0.08


def test_flip_mirrors_about_half_of_the_images():
    x = torch.randn(1000, 3, 5, 6, generator=rng())
    view = flip(x, rng())
    mirrored = same(view, x.flip(3))
    assert torch.equal(mirrored, ~same(view, x))
    assert mirrored.double().mean() == pytest.approx(0.5, abs=0.06)


STILL_COLORS = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
STILL_COLORS |= {"share": 1.0, "grey": 0.0}


def colors(n=500, n_channels=3):
    """Images with different means."""
    x = torch.randn(n, n_channels, 5, 6, generator=rng(7))
    return x + torch.randn(n, 1, 1, 1, generator=rng(8))


def color_parts(x):
    """The grey part and the colour part of pixels."""
    grey = x.mean(1, keepdim=True)
    return grey, x - grey


@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
def test_color_jitter_without_bounds_is_the_identity(n_channels):
    x = colors(n_channels=n_channels)
    view = color_jitter(x, rng(), **STILL_COLORS)
    torch.testing.assert_close(view, x, atol=1e-5, rtol=0)


def test_color_jitter_leaves_a_share_unchanged():
    x = colors(2000)
    assert torch.equal(color_jitter(x, rng(), share=0.0), x)
    assert same(color_jitter(x, rng(), share=1.0), x).sum() == 0
    left = same(color_jitter(x, rng(), share=0.7), x)
    assert left.double().mean() == pytest.approx(0.3, abs=0.04)


def test_color_jitter_is_one_affine_map_of_the_channels_per_image():
    x = colors()
    view = color_jitter(x, rng(), grey=0.0)
    pixels = x.flatten(2).mT.double()
    pixels = torch.cat([pixels, torch.ones(len(x), 30, 1)], dim=2)
    solved = torch.linalg.lstsq(pixels, view.flatten(2).mT.double()).solution
    fitted = (pixels @ solved).mT.reshape(x.shape)
    torch.testing.assert_close(fitted, view.double(), atol=1e-4, rtol=0)


def test_color_jitter_keeps_grey_images_grey():
    x = colors(n_channels=1).expand(500, 3, 5, 6)
    _, color = color_parts(color_jitter(x, rng(), hue=0.5))
    assert color.abs().max() < 1e-5


def test_hue_rotates_about_the_grey_axis():
    x = colors()
    view = color_jitter(x, rng(), **STILL_COLORS | {"hue": 0.2})
    grey, color = color_parts(x)
    kept, turned = color_parts(view)
    torch.testing.assert_close(kept, grey, atol=1e-5, rtol=0)
    torch.testing.assert_close(turned.norm(dim=1), color.norm(dim=1))
    # compared with Rodrigues' formula, for the angle of one pixel
    axis = torch.full((3,), 3**-0.5)[None, :, None, None]
    cross = torch.linalg.cross(axis, color, dim=1)
    angle = torch.atan2((turned * cross).sum(1), (turned * color).sum(1))
    whole = angle[:, :1, :1, None].movedim(3, 1)
    expected = grey + whole.cos() * color + whole.sin() * cross
    torch.testing.assert_close(view, expected, atol=1e-4, rtol=0)
    turns = angle[:, 0, 0] / (2 * math.pi)
    assert -0.2 - 1e-4 < turns.min() < -0.195
    assert 0.195 < turns.max() < 0.2 + 1e-4
    assert turns.mean().abs() < 0.02


def log_stretch(changed, part):
    """Logarithm of the factor of each image, which is equal for all pixels."""
    factor = (changed * part).sum((1, 2, 3)) / (part**2).sum((1, 2, 3))
    stretched = factor[:, None, None, None] * part
    torch.testing.assert_close(changed, stretched, atol=1e-4, rtol=0)
    return factor.log()


def test_saturation_stretches_the_color_part():
    x = colors()
    view = color_jitter(x, rng(), **STILL_COLORS | {"saturation": 0.6})
    (grey, color), (kept, stretched) = color_parts(x), color_parts(view)
    torch.testing.assert_close(kept, grey, atol=1e-5, rtol=0)
    change = log_stretch(stretched, color)
    assert -0.6 - 1e-4 < change.min() < -0.58
    assert 0.58 < change.max() < 0.6 + 1e-4


def test_contrast_stretches_about_the_mean_of_an_image():
    x = colors()
    view = color_jitter(x, rng(), **STILL_COLORS | {"contrast": 0.6})
    mean, kept = (a.mean((1, 2, 3), keepdim=True) for a in (x, view))
    torch.testing.assert_close(kept, mean, atol=1e-5, rtol=0)
    change = log_stretch(view - kept, x - mean)
    assert -0.6 - 1e-4 < change.min() < -0.58
    assert 0.58 < change.max() < 0.6 + 1e-4


def test_brightness_shifts_an_image_within_its_bound():
    x = colors()
    moved = color_jitter(x, rng(), **STILL_COLORS | {"brightness": 0.7}) - x
    shift = moved.mean((1, 2, 3))
    assert (moved - shift[:, None, None, None]).abs().max() < 1e-5
    assert -0.7 - 1e-4 < shift.min() < -0.68
    assert 0.68 < shift.max() < 0.7 + 1e-4
    assert shift.mean().abs() < 0.06


def test_grey_removes_the_colour_of_a_share():
    x = colors(2000)
    grey, _ = color_parts(x)
    only = STILL_COLORS | {"hue": 0.1, "saturation": 0.5}
    view = color_jitter(x, rng(), **only | {"grey": 1.0})
    torch.testing.assert_close(view, grey.expand_as(x), atol=1e-5, rtol=0)
    _, color = color_parts(color_jitter(x, rng(), **only | {"grey": 0.3}))
    lost = color.abs().amax((1, 2, 3)) < 1e-5
    assert lost.double().mean() == pytest.approx(0.3, abs=0.04)


def test_color_jitter_of_one_channel_has_no_saturation():
    x = colors(n_channels=1)
    only = {"saturation": 0.9, "hue": 0.5, "grey": 0.5}
    view = color_jitter(x, rng(), **STILL_COLORS | only)
    torch.testing.assert_close(view, x, atol=1e-5, rtol=0)


def widths(n, largest):
    """Standard deviations of `blur` with this seed, for `n` images."""
    dot = torch.zeros(n, 1, 15, 15)
    dot[:, :, 7, 7] = 1
    row = blur(dot, rng(), largest, share=1.0)[:, 0, 7].double()
    # the density falls by exp(-1 / (2 std^2)) over a pixel
    return (-0.5 / (row[:, 8] / row[:, 7]).log()).sqrt()


def test_blur_equals_scipy():
    x = torch.randn(60, 3, 9, 12, generator=rng(3))
    view = blur(x, rng(), 1.5, share=1.0)
    for image, blurred, std in zip(x, view, widths(60, 1.5), strict=True):
        # scipy needs a width above 0
        expected = scipy.ndimage.gaussian_filter(
            image.numpy(), max(std.item(), 1e-3), mode="nearest", radius=3, axes=(1, 2)
        )
        torch.testing.assert_close(
            blurred, torch.from_numpy(expected), atol=1e-5, rtol=0
        )


def test_widths_of_blur_are_uniform():
    std = widths(2000, 1.5)
    assert 1.49 < std.max() < 1.5 + 1e-4
    assert std.mean() == pytest.approx(0.75, abs=0.04)
    assert std.std() == pytest.approx(1.5 / math.sqrt(12), rel=0.05)


def test_blur_leaves_a_share_unchanged():
    x = torch.randn(1000, 2, 6, 7, generator=rng(3))
    left = same(blur(x, rng(), share=0.3), x)
    # widths close to 0 have no effect
    assert left.double().mean() == pytest.approx(0.7 + 0.3 * 0.07, abs=0.05)
    for nothing in ({"share": 0.0}, {"largest": 0.0}):
        assert torch.equal(blur(x, rng(), **nothing), x)


def test_blur_keeps_constant_images():
    x = torch.full((50, 1, 4, 5), 2.5)
    torch.testing.assert_close(blur(x, rng(), 2.0, share=1.0), x)


def test_cutout_zeroes_one_small_rectangle():
    x = torch.randn(4000, 3, 16, 24, generator=rng(4))
    view = cutout(x, rng(), largest=0.5)
    cut = view == 0
    assert torch.equal(view[~cut], x[~cut])
    assert torch.equal(cut[:, :1].expand_as(cut), cut)  # equal in all channels
    cut = cut[:, 0]
    down, across = cut.any(2), cut.any(1)
    assert torch.equal(cut, down[:, :, None] & across[:, None, :])
    for line in (down, across):
        starts = line[:, :1].int().sum(1) + (line[:, 1:] & ~line[:, :-1]).sum(1)
        assert starts.max() == 1
        assert line.sum(1).max() == line.shape[1] / 2
    # A square away from the border has equal sides.
    middle = ~(down[:, [0, -1]].any(1) | across[:, [0, -1]].any(1))
    apart = down.sum(1) / 16 - across.sum(1) / 24
    assert apart[middle].abs().max() < 1 / 16 + 1 / 24
    # Of a side s, s - s^2 / 4 lies in the image on average.
    expected = 0.5**2 / 3 - 0.5**3 / 8 + 0.5**4 / 80
    assert cut.double().mean() == pytest.approx(expected, abs=0.004)


def plus_one(x, generator):
    return x + 1


def doubled(x, generator):
    return 2 * x


def test_chain_applies_its_views_in_order():
    x = colors(20)
    assert torch.equal(Chain(plus_one, doubled)(x, rng()), 2 * (x + 1))
    assert torch.equal(Chain(doubled, plus_one)(x, rng()), 2 * x + 1)
    assert torch.equal(Chain()(x, rng()), x)
    generator = rng()
    expected = flip(crop(x, generator), generator)
    assert torch.equal(Chain(crop, flip)(x, rng()), expected)


def test_chain_can_be_pickled():
    photo = AUGMENTATIONS["photo"]
    again = pickle.loads(pickle.dumps(photo))
    assert repr(again) == repr(photo) == "Chain(crop, flip, color_jitter, blur)"
    x = colors(20)
    assert torch.equal(again(x, rng()), photo(x, rng()))


@pytest.mark.parametrize(
    ("augment", "share"),
    [
        (deform, 1.0),
        (crop, 1.0),
        (color_jitter, 0.8),
        (blur, 0.5),
        (cutout, 0.9),
        (AUGMENTATIONS["photo"], 1.0),
    ],
)
def test_images_have_independent_draws(augment, share):
    x = torch.randn(1, 3, 16, 20, generator=rng(3)).expand(100, 3, 16, 20)
    view = augment(x, rng())
    n_views = len(view.flatten(1).unique(dim=0))
    assert n_views >= 100 * share - 15
    other = torch.cat([x[:50], 1 - x[50:].flip(2)])
    torch.testing.assert_close(augment(other, rng())[:50], view[:50])


VIEWS = AUGMENTATIONS | {
    f.__name__: f for f in (crop, flip, color_jitter, blur, cutout)
}


def batch_for(name):
    """Signals for views of signals, images for all others."""
    shape = (8, 3, 36) if name == "signal" else (8, 3, 6, 6)
    return torch.randn(shape, generator=rng())


@pytest.mark.parametrize("name", VIEWS)
def test_views_depend_on_the_generator_only(name):
    augment = VIEWS[name]
    x = batch_for(name)
    kept, state = x.clone(), torch.get_rng_state()
    view = augment(x, rng(1))
    assert view.shape == x.shape
    assert view.data_ptr() != x.data_ptr()
    assert torch.equal(x, kept)
    assert torch.equal(augment(x, rng(1)), view)
    assert not torch.equal(augment(x, rng(2)), view)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", VIEWS)
def test_views_keep_the_dtype(name):
    augment = VIEWS[name]
    x = batch_for(name)
    view = augment(x, rng())
    double = augment(x.double(), rng())
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), view, atol=1e-5, rtol=0)
    with torch.autocast("cpu", torch.bfloat16):  # as with precision="bf16"
        rounded = augment(x, rng())
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, view, atol=0.05, rtol=0.02)


def test_mixup_mixes_two_rows_with_mean_weight_one():
    x = torch.eye(400)
    found, weight = mixup(x, torch.Generator().manual_seed(0))
    a = weight / 2
    torch.testing.assert_close(found.sum(1), torch.ones(400))
    own = found.diagonal()
    others = found.sum(1) - own
    # a row that is mixed with itself does not change
    apart = (found > 0).sum(1) == 2
    assert apart.float().mean() > 0.98
    torch.testing.assert_close(own[apart], a[apart])
    torch.testing.assert_close(others[apart], 1 - a[apart])
    assert weight.mean() == pytest.approx(1, abs=0.1)
    assert found.sum(0).max() < 2.0001  # every row is the other row exactly once


TIMELESS = {"shift": 0.0, "stretch": 0.0, "bending": 0.0}


def test_warp_time_without_bounds_is_the_identity():
    x = torch.randn(5, 3, 31, generator=rng())
    torch.testing.assert_close(warp_time(x, rng(), **TIMELESS), x, atol=1e-5, rtol=0)


@pytest.mark.parametrize("change", ["shift", "stretch", "bending"])
def test_warp_time_stays_within_its_bounds(change):
    # Values of an increasing signal show where those of its view are from.
    time = (2 * torch.arange(100) + 1) / 100 - 1
    x = torch.stack([time, -2 * time]).expand(300, 2, 100)
    view = warp_time(x, rng(), **TIMELESS | {change: 0.2})
    torch.testing.assert_close(view[:, 1], -2 * view[:, 0], atol=1e-5, rtol=0)
    inner, before = view[:, 0, 25:75], time[25:75]
    moved = inner - before
    if change == "shift":  # by up to a fifth of the length, which is 2
        torch.testing.assert_close(
            moved, moved[:, :1].expand_as(moved), atol=1e-4, rtol=0
        )
        assert 0.36 < moved.abs().max() < 0.4 + 1e-4
    elif change == "stretch":
        slope = (inner[:, -1] - inner[:, 0]) / (before[-1] - before[0])
        assert 1.15 < slope.max() < 1.2 + 1e-4
        assert 0.8 - 1e-4 < slope.min() < 0.85
    else:
        k = torch.arange(1, 4)
        waves = torch.sin(torch.pi * k[:, None] * (before + 1) / 2)
        solution = torch.linalg.lstsq(waves.T, moved.T).solution
        torch.testing.assert_close(waves.T @ solution, moved.T, atol=1e-4, rtol=0)
        assert (solution.abs().amax(1) * k).max() < 0.2 + 1e-3
        assert (solution.abs().amax(1) * k).min() > 0.15


def test_rescale_has_one_factor_per_channel():
    x = torch.randn(200, 3, 20, generator=rng()).abs() + 0.1
    factors = rescale(x, rng(), largest=0.3) / x
    torch.testing.assert_close(factors, factors[..., :1].expand_as(factors))
    logs = factors[..., 0].log()
    assert 0.29 < logs.abs().max() < 0.3 + 1e-5
    assert abs(float(torch.corrcoef(logs.T)[0, 1])) < 0.2


def test_drop_channels_drops_a_share():
    x = torch.ones(2000, 4, 3)
    dropped = drop_channels(x, rng(), share=0.25)[..., 0] == 0
    assert float(dropped.float().mean()) == pytest.approx(0.25, abs=0.02)
    single = torch.ones(50, 1, 3)
    assert torch.equal(drop_channels(single, rng(), share=0.9), single)
