"""Versions of diffrep and its dependencies."""

import platform
from importlib.metadata import PackageNotFoundError, version

__version__ = "0.2.0"

#: Packages that errors depend on; the last ones are optional.
PACKAGES = (
    *("torch", "scikit-learn", "skorch", "numpy", "scipy", "pandas", "joblib"),
    *("safetensors", "tqdm", "matplotlib", "pillow", "onnx", "accelerate", "dask"),
)


def show_versions():
    """Print the versions of Python and dependencies, and the available devices.

    Include the output in bug reports.

    Examples
    --------
    >>> import diffrep
    >>> diffrep.show_versions()  # doctest: +ELLIPSIS
    diffrep: ...
    """
    import torch

    lines: dict[str, object] = {
        "diffrep": __version__,
        "Python": f"{platform.python_version()} on {platform.platform()}",
    }
    for package in PACKAGES:
        try:
            lines[package] = version(package)
        except PackageNotFoundError:
            lines[package] = "not installed"
    lines["torch"] = torch.__version__  # says for which device it was built
    lines["threads"] = torch.get_num_threads()
    lines["CUDA"] = torch.version.cuda if torch.cuda.is_available() else "none"
    lines["MPS"] = "available" if torch.backends.mps.is_available() else "none"
    for name, value in lines.items():
        print(f"{name}: {value}")
