"""Reading codes off a trained net: transform, names of columns, codes of classes."""

from __future__ import annotations

import copy

import numpy as np
import torch
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from diffrep._parts import shortest_distinct
from diffrep._validation import check_feature_names_in, check_rows, check_times
from diffrep.core.export import CodeGraph, export_onnx
from diffrep.core.standardizer import Standardizer
from diffrep.core.training import RepresentationNet

__all__ = ["CodesMixin"]


class CodesMixin(TransformerMixin):
    """What an estimator that holds a trained `net_` can tell about codes."""

    net_: RepresentationNet
    standardizer_: Standardizer
    n_features_in_: int

    def __sklearn_is_fitted__(self):
        return hasattr(self, "net_")

    def transform(self, X):
        """Codes of rows; time-stacked if `t_grid` was not None.

        Parameters
        ----------
        X : array-like of shape (n, n_features)

        Returns
        -------
        codes : ndarray of shape (n, n_components) or (n, T * n_components)
            float32. With T times in `t_grid_` the columns are time-major. The
            code of a row does not depend, to the bit, on the other rows.
        """
        check_is_fitted(self)
        X = check_rows(self, X, reset=False)
        return self._curves(X, self._read_times()).reshape(len(X), -1)

    def transform_batches(self, batches):
        """Codes of rows that come in batches.

        Parameters
        ----------
        batches : iterable of array-like of shape (n, n_features)

        Yields
        ------
        codes : ndarray of shape (n, n_components) or (n, T * n_components)
            Of each batch, as `transform` gives them.
        """
        for X in batches:
            yield self.transform(X)

    def encode(self, X, t):
        """Codes of rows at any times, also with ``t_grid=None``.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        t : float or array-like of shape (T,)
            Times in [0, 1]. At t = 1, where the noise hides all of a row, codes are
            those of ``t_grid=None``.

        Returns
        -------
        codes : ndarray of shape (n, T, n_components)
            float32.

        Raises
        ------
        ValueError
            If a time is outside [0, 1].
        """
        check_is_fitted(self)
        X = check_rows(self, X, reset=False)
        return self._curves(X, check_times(t, self.net_.module_.times.t_min, "t"))

    def to_onnx(self, path):
        """Write the way from rows to codes as a graph in ONNX, to serve without torch.

        Its input is "X", float32 of shape (n, n_features), its output "codes", what
        `transform` gives, in float32 also with ``precision="bf16"``; n is free.

        Parameters
        ----------
        path : str or path-like
            Usually ends in ``.onnx``.

        Raises
        ------
        ImportError
            Without the packages of the extra: ``pip install diffrep[onnx]``.
        torch.onnx.OnnxExporterError
            If a network of your own does what torch cannot translate.
        ValueError
            With ``encoder="class"``, which codes no rows.
        """
        check_is_fitted(self)
        self._check_rows_are_coded()
        model = copy.deepcopy(self.net_.module_).cpu()
        times = self._tensor_times().cpu()
        graph = CodeGraph(model, self.standardizer_, self._given_shape, times)
        export_onnx(graph, path)

    def get_feature_names_out(self, input_features=None):
        """Names of the columns of `transform`.

        Parameters
        ----------
        input_features : array-like of str, optional
            Checked against the names seen in `fit`, otherwise not used.

        Returns
        -------
        names : ndarray of str objects
            The class name in lower case, the time if there is one, the number
            of the component.
        """
        check_is_fitted(self)
        check_feature_names_in(self, input_features, generate_names=False)
        prefix = type(self).__name__.lower()
        n_columns = self.net_.module_.n_columns
        digits = len(str(n_columns - 1))
        numbers = [f"{j:0{digits}}" for j in range(n_columns)]
        if self.t_grid_ is None:
            return np.array([f"{prefix}{j}" for j in numbers], dtype=object)
        times = [f"{prefix}_t{t}" for t in shortest_distinct(self.t_grid_)]
        return np.array([f"{t}_{j}" for t in times for j in numbers], dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    @property
    def _n_features_out(self):
        return len(self._read_times()) * self.net_.module_.n_columns

    @property
    def classes_(self):
        """Labels that ``encoder="class"`` codes, of shape (n_classes,)."""
        labels = getattr(self, "_labels", None)
        if labels is None:
            raise AttributeError("classes_ exists after fit with encoder='class' only.")
        return labels.classes_

    @property
    def class_codes_(self):
        """Their codes, of shape (n_classes, T, n_components); static T = 1."""
        classes = torch.arange(len(self.classes_), device=self.net_.device)
        with torch.inference_mode():
            codes = self.net_.module_.codes(classes, self._tensor_times())
        return codes.cpu().numpy()

    def _read_times(self):
        """Return the times that `transform` reads."""
        return [1.0] if self.t_grid_ is None else list(self.t_grid_)

    def _tensor_times(self):
        """Return them as a tensor on the device."""
        times = torch.tensor(self._read_times(), dtype=torch.float32)
        return times.to(self.net_.device)

    def _curves(self, X, times):
        """Codes ``(n, T, n_components)`` of checked rows at checked times."""
        self._check_rows_are_coded()
        return self.net_.curves(self._rows(X), times, progress=bool(self.verbose))

    def _check_rows_are_coded(self):
        if self._labels:
            raise ValueError(
                "encoder='class' gives codes of classes, not of rows: they are in "
                "class_codes_."
            )
