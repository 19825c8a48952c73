"""Write model files of the current format, for tests of later versions.

    python tests/files/write.py

Most weights are set to zero and the rest rounded, so that a compressed file is small.
"""

import gzip
import json
from pathlib import Path

import numpy as np
import torch

from diffrep import VP, DiffusionRepresentation
from diffrep._model_file import FORMAT
from diffrep.baselines import DenoiserFeatures, VariationalAutoencoderRepresentation

FOLDER = Path(__file__).parent
ROWS = np.linspace(-2, 2, 20).reshape(5, 4) ** 3
QUICK = {"max_epochs": 1, "random_state": 0}
ESTIMATORS = {
    "table": DiffusionRepresentation(2, t_grid=2, sde=VP(0.2), **QUICK),
    "images": VariationalAutoencoderRepresentation(2, image_shape=(1, 2, 2), **QUICK),
    "features": DenoiserFeatures(4, t_grid=[0.3, 0.8], **QUICK),
}


@torch.no_grad()
def thinned(estimator):
    """Keep only some weights of each large matrix, and round them."""
    rng = np.random.default_rng(0)
    for weight in estimator.net_.module_.parameters():
        kept = 1
        if weight.numel() > 300:
            kept = torch.from_numpy(rng.random(weight.shape) < 100 / weight.numel())
        weight.copy_((32 * weight).round().div(32) * kept + 0.0)  # no -0.0
    return estimator


def main():
    rows = np.random.default_rng(0).normal(size=(30, 4))
    for name, estimator in ESTIMATORS.items():
        path = FOLDER / f"format{FORMAT}_{name}.safetensors"
        thinned(estimator.fit(rows)).save(path)
        packed = gzip.compress(path.read_bytes(), mtime=0)
        path.with_name(f"{path.name}.gz").write_bytes(packed)
        path.unlink()
        codes = estimator.transform(ROWS).astype(float).tolist()
        path.with_suffix(".json").write_text(json.dumps(codes) + "\n")


if __name__ == "__main__":
    main()
