"""The map from rows to codes as one network, for export."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from diffrep.core.checkpoint import write_whole
from diffrep.core.rows import CLIP, averaged

__all__ = ["CodeGraph", "export_onnx"]


class CodeGraph(nn.Module):
    """Standardisation, encoder and read-out as one module.

    Parameters
    ----------
    model : EncoderModel
    standardizer : Standardizer
    given_shape : tuple of int
        Shape of one row of `X`, which is averaged to that of the model.
    times : Tensor of shape (T,)
    """

    mean: Tensor
    scale: Tensor
    center: Tensor
    width: Tensor
    is_skewed: Tensor
    times: Tensor

    def __init__(self, model, standardizer, given_shape, times):
        super().__init__()
        self.model = model
        self.given_shape = given_shape
        self.n_skewed = len(standardizer.skewed)
        n_features = len(standardizer.mean)
        center, width = np.zeros(n_features), np.ones(n_features)
        center[standardizer.skewed] = standardizer.center
        width[standardizer.skewed] = standardizer.width
        is_skewed = np.isin(np.arange(n_features), standardizer.skewed)
        self.register_buffer("is_skewed", torch.from_numpy(is_skewed))
        for name, values in {
            "mean": standardizer.mean,
            "scale": standardizer.scale,
            "center": center,
            "width": width,
        }.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32))
        self.register_buffer("times", times)

    def forward(self, X: Tensor) -> Tensor:
        """Codes ``(n, T * n_components)`` of rows ``(n, n_features)``."""
        X = X.float()
        if self.n_skewed:
            bent = ((X - self.center) / self.width).asinh()
            X = torch.where(self.is_skewed, bent, X)
        x = ((X - self.mean) / self.scale).clamp(-CLIP, CLIP)
        x = x.view(-1, *self.given_shape)
        if self.given_shape != self.model.data_shape:
            x = averaged(x, self.model.data_shape[1:])
        return self.model.codes(x, self.times).flatten(1)


def export_onnx(graph: CodeGraph, path, dtype: str) -> None:
    """Write a graph in ONNX, with input "X" ``(n, n_features)`` and output "codes"."""
    program = torch.onnx.export(
        graph.eval(),
        (torch.zeros(2, len(graph.mean), dtype=getattr(torch, dtype)),),
        input_names=["X"],
        output_names=["codes"],
        dynamic_shapes=({0: torch.export.Dim("n")},),
        dynamo=True,
        verbose=False,
    )
    assert program is not None  # without a path, torch returns it
    write_whole(path, [program.model_proto.SerializeToString()])
