"""The skorch nets that train models.

The learning rate, the order of the rows and all random numbers of a step depend only on
the seed and the number of the step (or epoch).
"""

from __future__ import annotations

import copy
from contextlib import nullcontext

import numpy as np
import torch
from skorch.utils import get_map_location
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from tqdm.auto import tqdm

from diffrep.core.augment import check_view
from diffrep.core.device import Stream, forked_rng, generator, seed_for
from diffrep.core.distributed import peers
from diffrep.core.layers import init_weights
from diffrep.core.loop import TrainingLoop
from diffrep.core.optimizers import AveragedAdamW, warmup_cosine
from diffrep.core.rows import RowBatches, padded

__all__ = [
    "RepresentationNet",
    "SeededNet",
    "copied_net",
]

MAX_GRAD_NORM = 1.0

#: Number of rows that are encoded at once, by device.
BLOCK = {"cpu": 384, "cuda": 1024, "mps": 1024}


def copied_net(net):
    """Copy of a net to continue training with; callbacks are shared, not copied."""
    kept = [net.callbacks, getattr(net, "callbacks_", None)]
    return copy.deepcopy(net, {id(callbacks): callbacks for callbacks in kept})


class _StoredTensor:
    """Content of a tensor. Pickles of tensors also contain memory addresses."""

    def __init__(self, tensor):
        content = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        self.content, self.dtype = content.numpy(), tensor.dtype
        self.shape, self.kind = tuple(tensor.shape), type(tensor)
        self.requires_grad = tensor.requires_grad

    def restored(self, device):
        tensor = torch.tensor(self.content).view(self.dtype).view(self.shape)
        tensor = tensor.to(device)
        if self.kind is nn.Parameter:
            return nn.Parameter(tensor, self.requires_grad)
        return tensor.requires_grad_(self.requires_grad)


class SeededNet(TrainingLoop):
    """Net whose module returns its losses, a dict of named parts.

    Parameters
    ----------
    module : callable
        Returns a model with ``forward(x0, x, generator)``.
    seed : int
        Seed of all random numbers of the training.
    optimizer : class
        Optimizer that keeps moving averages of the weights.
    fork_rng : bool
        Whether the module contains user-defined parts, which may use the global
        generators of torch when they are constructed and called.
    bfloat16 : bool
        Whether networks run under torch's autocast to bfloat16.
    **kwargs
        Parameters of `skorch.NeuralNet`.
    """

    def __init__(
        self,
        module,
        *,
        seed,
        optimizer=AveragedAdamW,
        fork_rng=False,
        bfloat16=False,
        **kwargs,
    ):
        super().__init__(
            module,
            criterion=nn.Identity,
            optimizer=optimizer,
            verbose=0,
            **kwargs,
        )
        self.seed = seed
        self.fork_rng = fork_rng
        self.bfloat16 = bfloat16
        self.step_ = self.first_step_ = 0
        self.n_steps_ = None

    def __deepcopy__(self, memo):
        memo[id(self)] = copied = object.__new__(type(self))
        copied.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return copied

    def __getstate__(self):
        """State whose `joblib.hash` depends only on the content of tensors."""
        state = self.__dict__.copy()
        if "module_" not in state:
            return state
        module, moments = state.pop("module_"), state.pop("optimizer_").state_dict()
        tensors = [*module.parameters(), *module.buffers()]
        for known in moments["state"].values():
            tensors += [value for value in known.values() if isinstance(value, Tensor)]
        dense = [t for t in tensors if t.layout == torch.strided and not t.is_quantized]
        stored = {id(tensor): _StoredTensor(tensor) for tensor in dense}
        parts = copy.deepcopy((module, moments), dict(stored))
        return {**state, "torch": (list(stored.values()), *parts)}

    def __setstate__(self, state):
        stored, *parts = state.pop("torch", [None])
        self.__dict__.update(state)
        if stored is None:
            return
        device = get_map_location(state["device"])  # cpu, with a warning, if missing
        self.device = str(device)
        tensors = {id(tensor): tensor.restored(device) for tensor in stored}
        self.__dict__["module_"], moments = copy.deepcopy(tuple(parts), tensors)
        self.initialize_optimizer().optimizer_.load_state_dict(moments)

    def autocast(self):
        """Context in which the networks run."""
        if not self.bfloat16:
            return nullcontext()
        return torch.autocast(torch.device(self.device).type, torch.bfloat16)

    def forked(self, generator):
        """Context in which torch's global generators are seeded by `generator`."""
        if not self.fork_rng:
            return nullcontext()
        return forked_rng(generator.initial_seed(), self.device)

    def initialize_module(self):
        """Construct the model and draw its weights."""
        draws = generator(self.seed, Stream.START)
        with self.forked(draws):
            super().initialize_module()
        init_weights(self.undrawn(), draws)
        return self

    def check_view(self, x):
        """Raise ValueError unless the view of the model is one of rows ``(n, ...)``."""
        draws = self._generator(Stream.START, 3)
        with self.forked(draws):
            check_view(self.module_.augment, x[:2], draws)

    def undrawn(self):
        """Return the part of the model whose weights are drawn before training."""
        return self.module_

    def set_schedule(self, n_steps):
        """Start a learning rate schedule of `n_steps` steps."""
        self.first_step_, self.n_steps_ = self.step_, n_steps

    def get_iterator(self, dataset, training=False):
        order = self._shuffled if training else np.arange
        return RowBatches(dataset, self.batch_size, order)

    def infer(self, x, generator, **fit_params):
        with self.forked(generator), self.autocast():
            return self.module_(*x, generator)

    def train_step_single(self, batch, **fit_params):
        draws = self._generator(Stream.STEP, self.step_, peers().rank)
        losses = self.infer(batch, draws)
        loss = sum(losses.values())
        loss.backward()
        groups = self.optimizer_.param_groups
        weights = [w for group in groups for w in group["params"] if w.grad is not None]
        peers().average_(w.grad for w in weights)
        clip_grad_norm_(weights, MAX_GRAD_NORM)
        self.run_.whole = False
        return {"loss": loss.detach(), "y_pred": losses}

    def train_step(self, batch, **fit_params):
        factor = warmup_cosine(self.step_ - self.first_step_, self.n_steps_)
        for group in self.optimizer_.param_groups:
            group["lr"] = factor * self.lr / 2**self.run_.n_halvings
        step = super().train_step(batch, **fit_params)
        self.step_ += 1
        return step

    def validation_step(self, batch, **fit_params):
        with torch.inference_mode():
            losses = self.infer(batch, self._generator(Stream.VALIDATION))
        return {"loss": sum(losses.values()), "y_pred": losses}

    def evaluate(self, function, rows, progress=False):
        """Return ``function(x)`` of `rows`, computed in blocks.

        Parameters
        ----------
        function : callable
            Maps rows ``(m, *data_shape)`` to values ``(m, ...)``, row by row.
        rows : Rows of length n
        progress : bool
            Whether to show a progress bar.

        Returns
        -------
        values : ndarray of shape (n, ...), float32

        Raises
        ------
        ValueError
            If a value is infinite or NaN.
        """
        n_block = BLOCK.get(torch.device(self.device).type, BLOCK["cpu"])
        starts = range(0, len(rows), n_block)
        values = np.empty(0, np.float32)
        with torch.inference_mode(), self.autocast():
            silent = not progress or peers().rank > 0
            for start in tqdm(starts, desc="transform", disable=silent):
                block = slice(start, min(start + n_block, len(rows)))
                x, _ = rows[block]
                found = padded(function, x).float().cpu()
                if start == 0:
                    values = np.empty((len(rows), *found.shape[1:]), np.float32)
                values[block] = found.numpy()
        if not np.isfinite(values).all():
            raise ValueError(
                "The network returns infinite values or NaN for some rows, because "
                "weights or noise levels exceed the range of float32. Fit it again, on "
                "rescaled columns or with another `sde`."
            )
        return values

    def _generator(self, stream, step=0, rank=0):
        return generator(self.seed, stream, step, self.device, rank)

    def _shuffled(self, n):
        epoch = len(self.history)
        return np.random.default_rng(
            seed_for(self.seed, Stream.SHUFFLE, epoch)
        ).permutation(n)


class RepresentationNet(SeededNet):
    """Net of an `EncoderModel`."""

    def curves(self, rows, times, progress=False):
        """Codes of `rows` at `times`.

        Parameters
        ----------
        rows : Rows of length n
        times : array-like of shape (T,)
        progress : bool
            Whether to show a progress bar.

        Returns
        -------
        codes : ndarray of shape (n, T, n_components), float32
        """
        model = self.module_
        times = torch.as_tensor(times, dtype=torch.float32, device=self.device)
        return self.evaluate(lambda x: model.codes(x, times), rows, progress)
