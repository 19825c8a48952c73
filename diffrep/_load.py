"""Loading of model files: the list of the classes that a file may name."""

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
    """Return the estimator of a file that its method `save` wrote.

    Nothing in the file is run, unpickled or imported: it may come from a stranger.
    Everything is checked before it is used, and what does not fit is refused.

    Parameters
    ----------
    path : str or path-like
    device : str, default=None
        In place of the parameter `device` in the file, for instance "cpu".
    **parameters
        Parameters that the file does not hold since they were objects of your own,
        such as ``encoder=MyEncoder``; those of a representation inside a classifier
        as ``representation__encoder=MyEncoder``. The message says which are missing.

    Returns
    -------
    estimator : object
        Fitted. `transform`, `sample`, `predict` and the parameters are, to the bit,
        those of the estimator that was saved. `partial_fit` and ``warm_start`` go on
        from its weights, with an optimizer that starts anew.

    Raises
    ------
    ModelFileError
        If the file is no model file, damaged, from a newer diffrep, needs an object
        that was not passed, or names a device that this machine does not have.
    OSError
        If it cannot be read.

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
    data = Path(path).expanduser().read_bytes()
    try:
        return read(data, ESTIMATORS, parameters, device)
    except Exception as error:  # whatever a malformed file makes any part raise
        reason = str(error) if isinstance(error, ValueError) else repr(error)
        raise ModelFileError(f"Cannot load {path}: {reason[:1000]}") from error
