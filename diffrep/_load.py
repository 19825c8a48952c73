"""Loading of model files, and the list of classes allowed in them."""

from __future__ import annotations

from pathlib import Path

from diffrep._model_file import read
from diffrep.baselines import (
    AutoencoderRepresentation,
    DenoiserFeatures,
    RandomEncoderRepresentation,
    SimCLRRepresentation,
    VariationalAutoencoderRepresentation,
)
from diffrep.core.device import in_usual_state
from diffrep.diffusion import (
    DiffusionRepresentation,
    VariationalDiffusionRepresentation,
)
from diffrep.exceptions import ModelFileError
from diffrep.semi_supervised import LaplaceNetClassifier
from diffrep.trajectory import TrajectoryClassifier

__all__ = ["load"]

ESTIMATORS = {
    cls.__name__: cls
    for cls in (
        DiffusionRepresentation,
        VariationalDiffusionRepresentation,
        AutoencoderRepresentation,
        VariationalAutoencoderRepresentation,
        SimCLRRepresentation,
        RandomEncoderRepresentation,
        DenoiserFeatures,
        LaplaceNetClassifier,
        TrajectoryClassifier,
    )
}


@in_usual_state
def load(path, *, device=None, **parameters):
    """Load an estimator from a file written by its method `save`.

    Nothing in the file is run, unpickled or imported, so files from untrusted sources
    can be loaded. Everything is checked before it is used.

    Parameters
    ----------
    path : str or path-like
    device : str, default=None
        Replaces the parameter `device` in the file, for instance by "cpu".
    **parameters
        Your own objects, which are not stored in the file, such as
        ``encoder=MyEncoder``, or ``representation__encoder=MyEncoder`` for a
        representation inside a classifier. The error message names missing ones.

    Returns
    -------
    estimator : object
        The fitted estimator. The results of `transform`, `sample` and `predict` and the
        parameters are equal, bit for bit, to those of the saved estimator.
        `partial_fit` and ``warm_start`` continue from its weights, with a new
        optimizer.

    Raises
    ------
    ModelFileError
        If the file is not a model file, is damaged, was written by a newer version,
        needs an object that was not passed, or names a device that is not available.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_wine
    >>> from diffrep import DiffusionRepresentation, load
    >>> X, _ = load_wine(return_X_y=True)
    >>> rep = DiffusionRepresentation(4, max_epochs=1, random_state=0).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "wine.safetensors"
    ...     rep.save(path)
    ...     loaded = load(path)
    >>> bool((loaded.transform(X) == rep.transform(X)).all())
    True
    """
    file = Path(path).expanduser()
    if file.exists() and not file.is_file():
        raise OSError(f"{file} cannot be read: it is not a regular file.")
    data = file.read_bytes()
    try:
        return read(data, ESTIMATORS, parameters, device)
    except Exception as error:  # malformed files raise errors of all classes
        reason = str(error) if isinstance(error, ValueError) else repr(error)
        raise ModelFileError(f"Cannot load {path}: {reason[:1000]}") from error
