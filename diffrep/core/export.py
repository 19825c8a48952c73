"""The way from rows to codes as a graph in the exchange format ONNX.

``torch.export`` writes down the operations of a network as a list. Those that do not
depend on the rows, such as all that is done with t, are computed here and now; the rest
are translated one by one, by the table at the end. The number of rows stays free.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffrep.core.rows import CLIP

__all__ = ["CodeGraph", "onnx_graph"]

OPSET = 20

aten = torch.ops.aten

#: What may be told the number of rows: one row stands for all that are alike.
REPEATING = {aten.expand.default, aten.view.default, aten.reshape.default}


class CodeGraph(nn.Module):
    """Standardisation, encoder and read-out in one: from rows to columns of codes.

    Parameters
    ----------
    model : EncoderModel
    mean, scale : ndarray of shape (n_features,)
    times : Tensor of shape (T,)
        For a static code any one time.
    """

    mean: Tensor
    scale: Tensor
    times: Tensor

    def __init__(self, model, mean, scale, times):
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))
        self.register_buffer("times", times)

    def forward(self, X: Tensor) -> Tensor:
        """Codes ``(n, T * n_components)`` of rows ``(n, n_features)``."""
        x = ((X - self.mean) / self.scale).clamp(-CLIP, CLIP)
        x = x.view(-1, *self.model.data_shape)
        return self.model.read(self.model.curve(x, self.times)).flatten(1)


def onnx_graph(module: nn.Module, n_features: int, names: tuple[str, str]):
    """Translate a module from rows ``(n, n_features)`` to columns, for any n.

    Parameters
    ----------
    module : nn.Module
        In evaluation mode.
    n_features : int
    names : tuple of str
        Of the input and the output.

    Returns
    -------
    model : onnx.ModelProto

    Raises
    ------
    NotImplementedError
        If the module does what the table does not know.
    """
    rows = torch.zeros(2, n_features)
    shapes = ({0: torch.export.Dim("n")},)
    try:
        program = torch.export.export(module, (rows,), dynamic_shapes=shapes)
    except Exception as error:  # of many classes, about code that branches on values
        raise NotImplementedError(
            "torch.export cannot follow the networks for any number of rows. In one of "
            "your own use x.shape[0] for len(x), and no branches on values. It says: "
            f"{error}"
        ) from error
    return _Translation(program, names).model()


class _Translation:
    """One exported program on its way to ONNX."""

    def __init__(self, program, names):
        from onnx import helper, numpy_helper

        self.helper, self.numpy_helper = helper, numpy_helper
        self.program, self.names = program, names
        self.nodes: list = []
        self.constants: list = []
        self.values: dict = {}
        self.n_rows: set = set()

    def model(self):
        """Translate node by node."""
        stored = self.program.state_dict | self.program.constants
        signature = self.program.graph_signature
        places = {
            **signature.inputs_to_parameters,
            **signature.inputs_to_buffers,
            **signature.inputs_to_lifted_tensor_constants,
        }
        with torch.no_grad():
            for node in self.program.graph.nodes:
                if node.op == "placeholder":
                    place = places.get(node.name)
                    value = stored[place].detach() if place else self.names[0]
                    self.values[node] = value
                elif node.op == "call_function":
                    self.values[node] = self._value(node)
        (output,) = node.args[0]  # the last node is the output
        name = self.full(output)
        self.nodes.append(self.helper.make_node("Identity", [name], [self.names[1]]))
        float32 = self.helper.np_dtype_to_tensor_dtype(np.dtype(np.float32))
        (placed,) = signature.user_inputs
        shapes = [next(n for n in self.values if n.name == placed), output]
        ends = [
            self.helper.make_tensor_value_info(
                name, float32, ["n", *map(int, node.meta["val"].shape[1:])]
            )
            for name, node in zip(self.names, shapes, strict=True)
        ]
        graph = self.helper.make_graph(
            self.nodes, "diffrep", ends[:1], ends[1:], self.constants
        )
        return self.helper.make_model(
            graph,
            producer_name="diffrep",
            opset_imports=[self.helper.make_opsetid("", OPSET)],
            ir_version=10,
        )

    def _value(self, node):
        """Tensor or numbers, if `node` does not depend on rows; else name or names."""
        if node.target is aten.sym_size.int and isinstance(self.now(node.args[0]), str):
            self.n_rows.add(node)  # no other side is free
            return 1
        known = all(not self._depends(inner) for inner in node.all_input_nodes)
        repeats = self.n_rows.isdisjoint(node.all_input_nodes)
        if known and (repeats or node.target in REPEATING):
            arguments = torch.fx.node.map_arg(node.args, lambda n: self.values[n])
            keywords = torch.fx.node.map_arg(node.kwargs, lambda n: self.values[n])
            return node.target(*arguments, **keywords)
        translate = TABLE.get(node.target)
        plain = set(node.kwargs) <= {"approximate", "memory_format"}
        if not (translate and plain and (repeats or node.target in REPEATING)):
            raise NotImplementedError(
                f"No translation of {node.target} to ONNX. Networks of your own can be "
                "exported if they keep to linear, convolution, normalisation, pooling "
                "to fixed sizes, activations, arithmetic and changes of shape."
            )
        return translate(self, node, *node.args)

    def _depends(self, node):
        value = self.values[node]
        return isinstance(value, str) or (
            isinstance(value, list | tuple) and any(isinstance(v, str) for v in value)
        )

    def now(self, argument):
        """Return what an argument has become."""
        if isinstance(argument, torch.fx.Node):
            return self.values[argument]
        return argument

    def name(self, argument):
        """Name of an argument in ONNX; what is known becomes a constant."""
        value = self.now(argument)
        if isinstance(value, str):
            return value
        if not isinstance(value, np.ndarray):
            value = (
                torch.as_tensor(value, dtype=torch.float32).cpu().contiguous().numpy()
            )
        name = f"c{len(self.constants)}"
        self.constants.append(self.numpy_helper.from_array(value, name))
        return name

    def full(self, node):
        """Name of an argument with all its rows, also where one stands for all."""
        value, name = self.now(node), self.name(node)
        rows = node.meta["val"].shape[0]
        if isinstance(value, str) or isinstance(rows, int):
            return name
        start, end = self.ints(0), self.ints(1)
        n = self.add("Slice", self.add("Shape", self.names[0]), start, end)
        shape = self.add("Concat", n, self.ints(*value.shape[1:]), axis=0)
        return self.add("Expand", name, shape)

    def ints(self, *numbers):
        """Name of a constant of integers."""
        return self.name(np.array(numbers, np.int64))

    def add(self, kind, *inputs, **attributes):
        """Add a node of ONNX; return the name of its output."""
        name = f"v{len(self.nodes)}"
        node = self.helper.make_node(
            kind, [self.name(i) for i in inputs], [name], **attributes
        )
        self.nodes.append(node)
        return name


def _simple(kind):
    """Translate an operation that ONNX has, from its first one or two arguments."""

    def translate(to, node, *arguments):
        return to.add(kind, *arguments[: 1 if len(arguments) == 1 else 2])

    return translate


def _clamp(to, node, x, low=None, high=None):
    low, high = -np.inf if low is None else low, np.inf if high is None else high
    return to.add("Clip", x, low, high)


def _reshape(to, node, x, shape):
    sides = [-1 if s in to.n_rows else int(to.now(s)) for s in shape]
    return to.add("Reshape", x, to.ints(*sides))


def _flatten(to, node, x, start=0, end=-1):
    return to.add("Reshape", x, to.ints(-1, *map(int, node.meta["val"].shape[1:])))


def _linear(to, node, x, weight, bias=None):
    y = to.add("MatMul", x, to.now(weight).T)
    return y if bias is None else to.add("Add", y, bias)


def _layer_norm(to, node, x, shape, weight=None, bias=None, eps=1e-5, *rest):
    scale = torch.ones(shape) if weight is None else weight
    given = [x, scale] if bias is None else [x, scale, bias]
    return to.add("LayerNormalization", *given, axis=-len(shape), epsilon=eps)


def _group_norm(to, node, x, n_groups, weight=None, bias=None, eps=1e-5, *rest):
    n_channels, *sides = map(int, node.meta["val"].shape[1:])
    grouped = to.add(
        "Reshape", x, to.ints(-1, n_groups, n_channels // n_groups, *sides)
    )
    flat = to.add("Reshape", grouped, to.ints(0, n_groups, -1))
    ones, zeros = torch.ones(n_groups), torch.zeros(n_groups)
    normal = to.add("InstanceNormalization", flat, ones, zeros, epsilon=eps)
    y = to.add("Reshape", normal, to.ints(-1, n_channels, *sides))
    shape = (-1, *[1] * len(sides))
    if weight is not None:
        y = to.add("Mul", y, to.now(weight).view(shape))
    return y if bias is None else to.add("Add", y, to.now(bias).view(shape))


def _conv(to, node, x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    pair = [p if isinstance(p, list) else [p, p] for p in (stride, padding, dilation)]
    strides, pads, dilations = pair
    return to.add(
        "Conv",
        *([x, weight] if bias is None else [x, weight, bias]),
        strides=strides,
        pads=[*pads, *pads],
        dilations=dilations,
        group=groups,
    )


def _pool(to, node, x, size):
    # Two matrices of averages: exact also where cells overlap.
    sides = map(int, x.meta["val"].shape[2:])
    down, across = (
        F.adaptive_avg_pool1d(torch.eye(side), n).T
        for side, n in zip(sides, size, strict=True)
    )
    return to.add("MatMul", to.add("MatMul", down, x), across.T)


def _reduce(kind):
    def translate(to, node, x, axes, keepdim=False, **options):
        return to.add(kind, x, to.ints(*axes), keepdims=int(keepdim))

    return translate


def _cat(to, node, parts, axis=0):
    return to.add("Concat", *map(to.full, parts), axis=axis)


def _stack(to, node, parts, axis=0):
    parts = [to.add("Unsqueeze", to.full(part), to.ints(axis)) for part in parts]
    return to.add("Concat", *parts, axis=axis)


def _slice(to, node, x, axis=0, start=None, end=None, step=1):
    last = np.iinfo(np.int64).max if end is None else end
    ends = to.ints(start or 0), to.ints(last), to.ints(axis), to.ints(step)
    return to.add("Slice", x, *ends)


def _chunk(to, node, x, n, axis=0):
    sizes = [int(part.shape[axis]) for part in node.meta["val"]]
    ends = np.cumsum([0, *sizes]).tolist()
    return [_slice(to, node, x, axis, start, end) for start, end in pairwise(ends)]


def _silu(to, node, x):
    return to.add("Mul", x, to.add("Sigmoid", x))


def _gelu(to, node, x, approximate="none"):
    return to.add("Gelu", x, approximate=node.kwargs.get("approximate", approximate))


def _same(to, node, x, *rest):
    return to.name(x)


#: Operations of torch by how they are translated.
TABLE: dict[Any, Callable] = {
    operator.getitem: lambda to, node, parts, i: to.now(parts)[i],
    aten.add.Tensor: _simple("Add"),
    aten.sub.Tensor: _simple("Sub"),
    aten.mul.Tensor: _simple("Mul"),
    aten.div.Tensor: _simple("Div"),
    aten.pow.Tensor_Scalar: _simple("Pow"),
    aten.matmul.default: _simple("MatMul"),
    aten.neg.default: _simple("Neg"),
    aten.sqrt.default: _simple("Sqrt"),
    aten.exp.default: _simple("Exp"),
    aten.relu.default: _simple("Relu"),
    aten.tanh.default: _simple("Tanh"),
    aten.sigmoid.default: _simple("Sigmoid"),
    aten.silu.default: _silu,
    aten.gelu.default: _gelu,
    aten.clamp.default: _clamp,
    aten.view.default: _reshape,
    aten.reshape.default: _reshape,
    aten.flatten.using_ints: _flatten,
    aten.numpy_T.default: lambda to, node, x: to.add("Transpose", x),
    aten.permute.default: lambda to, node, x, axes: to.add("Transpose", x, perm=axes),
    aten.unsqueeze.default: lambda to, node, x, i: to.add("Unsqueeze", x, to.ints(i)),
    aten.linear.default: _linear,
    aten.layer_norm.default: _layer_norm,
    aten.group_norm.default: _group_norm,
    aten.conv2d.default: _conv,
    aten.adaptive_avg_pool2d.default: _pool,
    aten.sum.dim_IntList: _reduce("ReduceSum"),
    aten.mean.dim: _reduce("ReduceMean"),
    aten.cat.default: _cat,
    aten.stack.default: _stack,
    aten.slice.Tensor: _slice,
    aten.chunk.default: _chunk,
    aten.contiguous.default: _same,
    aten.dropout.default: _same,
}
