"""The training loop, with recovery from divergence and resumption from checkpoints.

Both use snapshots, which hold everything that training depends on between two steps. A
snapshot in memory is for recovery, and one in a file is for resumption.
"""

from __future__ import annotations

import copy
import warnings
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochTimer
from torch import Tensor
from tqdm.auto import tqdm

from diffrep.core.checkpoint import Checkpoints, plain, plain_part
from diffrep.core.distributed import peers
from diffrep.exceptions import CheckpointError, DivergenceError, DivergenceWarning

__all__ = ["EXPLOSION", "MAX_HALVINGS", "N_SNAPSHOT_STEPS", "Progress", "TrainingLoop"]

#: Largest number of times that the learning rate is halved.
MAX_HALVINGS = 3

#: Training has diverged if the loss exceeds this value, or this multiple of the loss of
#: the first batch. Losses are means over standardised coordinates: a network that
#: predicts nothing has a loss of about 1, the worst values, which are clipped at 10
#: standard deviations, have 100, and cross-entropies are logarithms. Large penalties
#: already show in the first batch, before any step. It is the very first batch that
#: counts, since training that is continued begins with a loss near 0.
EXPLOSION = 1000.0

#: Least number of steps between two snapshots in memory. A snapshot copies the weights
#: and the state of the optimizer, which takes about as long as a step.
N_SNAPSHOT_STEPS = 100


class _StopTraining(Exception):
    """A callback ended the training."""


class _Diverged(Exception):
    """The training diverged in this epoch; the message contains the reason."""


@dataclass
class Run:
    """Progress of a training.

    Parameters
    ----------
    first_epoch : int
        Number of epochs before this training.
    restart : int
        Number of epochs before the learning rate was last halved.
    n_halvings : int
        Number of times that it was halved.
    given_up : list of dict
        Rows of the history since the beginning of attempts that diverged.
    is_open : bool
        Whether an epoch has begun and not ended.
    position : int
        Number of batches that are done in it.
    sums : dict of Tensor
        Sums of their losses.
    good : dict
        Snapshot to return to.
    whole : bool
        Whether the state is consistent, that is, between two steps.
    """

    first_epoch: int
    restart: int
    n_halvings: int = 0
    given_up: list = field(default_factory=list)
    is_open: bool = False
    position: int = 0
    sums: dict = field(default_factory=dict)
    good: dict = field(default_factory=dict)
    whole: bool = False


class TrainingLoop(NeuralNet):
    """Net that is trained on a pair of training and validation rows.

    Subclasses define a step. During a training epoch the module holds the raw weights.
    At all other times, including validation and callbacks at the end of an epoch, it
    holds their moving average.
    """

    run_: Run  # while it trains
    checkpoints_: Checkpoints | None = None
    step_ = 0
    start_loss_: Any = None  # a tensor until the first epoch ends, then a float

    @property
    def _default_callbacks(self):
        return [("epoch_timer", EpochTimer())]

    def partial_fit(self, X, y=None, classes=None, checkpoints=None, **fit_params):
        """Train on a pair of training and validation rows; interrupts are raised.

        Parameters
        ----------
        X : tuple (Rows, Rows or None)
            Rows to train on and rows to validate on.
        y, classes, **fit_params
            Not used.
        checkpoints : Checkpoints, optional
            Checkpoints to write. Training resumes from the newest one, if there is one,
            and ends at once if that is of a finished training.
        """
        peers().broadcast_(self.module_.state_dict().values())
        saved = None if checkpoints is None else checkpoints.newest()
        if saved is not None:
            self._check_saved(saved)
        if saved and saved["finished"]:
            self._resume(saved)
            del self.run_
            return self
        n_epochs = len(self.history)
        self.run_, self.checkpoints_ = Run(n_epochs, n_epochs), checkpoints
        try:
            with suppress(_StopTraining):
                self.notify("on_train_begin", X=X, y=y)
                if saved is None:
                    self.run_.good = self.snapshot()
                else:
                    if saved["run"]["is_open"]:
                        self.notify("on_epoch_begin", **_datasets(X))
                    self._resume(saved)
                self.fit_loop(X, y)
            self.run_.whole = False
            self.notify("on_train_end", X=X, y=y)
            self._save(finished=True)
        except KeyboardInterrupt:
            if self.run_.whole and peers().n == 1:
                self._save()
            raise
        finally:
            self.checkpoints_ = None
            del self.run_
        return self

    def notify(self, method_name, **kwargs):
        try:
            super().notify(method_name, **kwargs)
        except KeyboardInterrupt as stop:  # how callbacks of skorch end a training
            raise _StopTraining from stop

    @property
    def n_done(self) -> int:
        """Number of epochs of this training, including an open one."""
        return len(self.history) - self.run_.first_epoch

    def fit_loop(self, X, y=None, epochs=None, **fit_params):
        """Run the remaining epochs of `max_epochs`."""
        train, valid = X
        batches = self.get_iterator(train, training=True)
        others = None if valid is None else self.get_iterator(valid)
        while self.run_.is_open or self.n_done < self.max_epochs:
            if not self.run_.is_open:
                self.notify("on_epoch_begin", **_datasets(X))
                self.run_.is_open, self.run_.position, self.run_.sums = True, 0, {}
            try:
                self.run_single_epoch(batches, True, "train", self.train_step)
                self.run_single_epoch(others, False, "valid", self.validation_step)
                reached = self._reached()
            except _Diverged as trouble:
                self._go_back(trouble)
                continue
            self.notify("on_epoch_end", **_datasets(X))
            self.run_.is_open = False
            if reached and self.n_done < self.max_epochs:
                self.run_.good = self.snapshot()
            if self.checkpoints_ is not None and self.checkpoints_.due():
                self._save()
        return self

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Run one epoch; losses are summed on the device and read once."""
        if iterator is None:
            return
        self._set_training(training)
        run, sums = self.run_, self.run_.sums if training else {}
        if training and run.position:
            batches = iterator.starting_at(run.position)
        else:
            batches = iter(iterator)
        with self._swapped() if training else nullcontext():
            run.whole = training
            for batch in batches:
                self.notify("on_batch_begin", batch=batch, training=training)
                step = step_fn(batch, **fit_params)
                for name, loss in [("loss", step["loss"]), *step["y_pred"].items()]:
                    sums[name] = sums.get(name, 0.0) + loss.detach()
                self.notify("on_batch_end", batch=batch, training=training, **step)
                if training:
                    self._batch_done(step["loss"])
            run.whole = False
        self._record(sums, len(iterator), prefix)
        if training:
            self.history.record("lr", self.optimizer_.param_groups[0]["lr"])
        loss = self.history[-1, f"{prefix}_loss"]
        if not abs(loss) <= EXPLOSION * max(1.0, self.start_loss_):  # nan is neither
            raise _Diverged(f"{prefix}_loss became {loss:.4g}")

    def _batch_done(self, loss):
        """Count a batch; write a checkpoint if it is due."""
        run = self.run_
        if self.start_loss_ is None:
            self.start_loss_ = loss.detach().clone()
        run.position += 1
        run.whole = True
        # Each of several processes has the sums of its own losses until the end of the
        # epoch, so the others could not resume from a checkpoint of the first one.
        if self.checkpoints_ is not None and self.checkpoints_.due() and peers().n == 1:
            run.whole = False
            with self._swapped():
                self._save()
            run.whole = True

    def _record(self, sums, n_batches, prefix):
        peers().average_(sums.values())
        if isinstance(self.start_loss_, Tensor):
            peers().average_([self.start_loss_])
            self.start_loss_ = float(self.start_loss_)
        for name, total in sums.items():
            self.history.record(f"{prefix}_{name}", float(total) / n_batches)
        name = f"{prefix}_loss"
        losses = [row[name] for row in self.history if name in row]
        # Read by skorch's Checkpoint and EarlyStopping.
        self.history.record(f"{name}_best", losses[-1] <= min(losses))

    def _reached(self):
        """Return whether a snapshot is due; raise _Diverged if weights are not finite.

        The losses of an epoch do not show what its last step did to the weights.
        """
        n_steps = self.step_ - self.run_.good["step"]
        if n_steps < N_SNAPSHOT_STEPS and self.n_done < self.max_epochs:
            return False
        largest = torch._foreach_norm(list(self.module_.parameters()), torch.inf)
        if not torch.stack(largest).isfinite().all():
            raise _Diverged("weights became infinite or NaN")
        return True

    def _go_back(self, trouble):
        """Restore the last snapshot and halve the learning rate, or give up."""
        run, n, n_epochs = self.run_, self.run_.n_halvings, len(self.history)
        lr = self.lr / 2**n
        since = _without_batches(self.history)[run.restart :]
        run.given_up += [{**row, "n_halvings": n} for row in since]
        if n == MAX_HALVINGS:
            raise DivergenceError(
                f"{trouble} in epoch {n_epochs} with lr={lr:g}, which was halved {n} "
                "times: training diverged. Use a smaller lr, and check whether columns "
                "have a few very large values. The epochs are in `history`.",
                run.given_up,
            ) from trouble
        self._restore(run.good)
        run.n_halvings, run.restart, run.is_open = n + 1, len(self.history), False
        place = (
            f"weights after epoch {run.restart}" if run.restart else "initial weights"
        )
        warnings.warn(
            f"{trouble} in epoch {n_epochs} with lr={lr:g}: training diverged. It "
            f"continues from the {place} with lr={lr / 2:g}.",
            DivergenceWarning,
            stacklevel=2,
        )

    def snapshot(self):
        """Copy the state of the training between two steps."""
        callbacks = [pair for pair in self.callbacks_ if pair[0] != "epoch_timer"]
        return {
            "step": self.step_,
            "n_epochs": len(self.history),
            "start_loss": plain(self.start_loss_),
            "module": plain(self.module_.state_dict()),
            "optimizer": plain(self.optimizer_.state_dict()),
            "callbacks": {name: plain_part(vars(c)) for name, c in callbacks},
        }

    def _restore(self, snapshot):
        """Restore the state of a snapshot, which is not changed."""
        snapshot = copy.deepcopy(snapshot)
        self.step_, self.start_loss_ = snapshot["step"], snapshot["start_loss"]
        self.module_.load_state_dict(snapshot["module"])
        self.optimizer_.load_state_dict(snapshot["optimizer"])
        for name, callback in self.callbacks_:
            state = snapshot["callbacks"].get(name, {})
            for key, value in state.items():
                if not hasattr(type(callback), key):  # not a method
                    setattr(callback, key, value)
        del self.history[snapshot["n_epochs"] :]

    def _save(self, finished=False):
        """Write a checkpoint, if there are any to write."""
        if self.checkpoints_ is None:
            return
        run = plain(vars(self.run_))
        self.checkpoints_.write(
            {
                "finished": finished,
                "now": self.snapshot(),
                "history": [plain_part(row) for row in _without_batches(self.history)],
                "run": {**run, "good": {}} if finished else run,
            }
        )

    def _check_saved(self, saved):
        """Raise CheckpointError unless this is like a checkpoint of this net."""
        own, weights = self.snapshot(), list(self.module_.parameters())

        def are_moments(value):
            return isinstance(value, dict) and all(
                type(i) is int
                and 0 <= i < len(weights)
                and (found == {} or _fits(found, self.optimizer_.moments(weights[i])))
                for i, found in value.items()  # empty if there was no gradient
            )

        groups = own["optimizer"]["param_groups"]
        now = {
            **own,
            "start_loss": _is_loss,
            "optimizer": {
                "state": are_moments,
                "param_groups": [{**group, "lr": 0.0} for group in groups],
            },
            "callbacks": _are_states,
        }
        run = {
            **vars(Run(0, 0)),
            "n_halvings": lambda n: type(n) is int and 0 <= n <= MAX_HALVINGS,
            "given_up": _are_epochs,
            "sums": _are_sums,
            "good": lambda good: good == {} or _fits(good, now),
        }
        form = {"finished": False, "now": now, "history": _are_epochs, "run": run}
        if not (_fits(saved, form) and _is_consistent(saved)):
            raise CheckpointError(
                "The checkpoint does not have the form of a checkpoint of this fit; it "
                "was not used. Delete it to start again."
            )

    def _resume(self, saved):
        """Restore the state in a checkpoint.

        Raises
        ------
        CheckpointError
            If it does not fit the networks or the optimizer.
        """
        try:
            self._restore(saved["now"])
            self.history[:] = [{"batches": [], **row} for row in saved["history"]]
            self.run_ = Run(**saved["run"])
            # To the device, where the losses of the next batches are.
            for name, total in self.run_.sums.items():
                self.run_.sums[name] = total.to(self.device)
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as e:
            raise CheckpointError(
                f"The checkpoint contains the state of another training: {e!r:.200}. "
                "Delete it to start again."
            ) from e
        if isinstance(self.start_loss_, Tensor):
            self.start_loss_ = self.start_loss_.to(self.device)

    @contextmanager
    def _swapped(self):
        """Swap the raw weights and their averages within a block."""
        self.optimizer_.swap_averages()
        try:
            yield
        finally:
            # An interrupt during the swap must not leave `whole` set.
            whole, self.run_.whole = self.run_.whole, False
            self.optimizer_.swap_averages()
            self.run_.whole = whole


def _fits(found, form):
    """Whether a value has a form, which is an example, or a function to call.

    Tensors must have the same shape and dtype, dicts the same keys, lists and tuples
    the same length, and integers must not be negative.
    """
    match form:
        case Tensor():
            right = isinstance(found, Tensor) and found.shape == form.shape
            return right and found.dtype == form.dtype
        case dict():
            right = isinstance(found, dict) and set(found) == set(form)
            return right and all(_fits(found[key], form[key]) for key in form)
        case list() | tuple():
            right = type(found) is type(form) and len(found) == len(form)
            return right and all(map(_fits, found, form))
        case _ if callable(form):
            return form(found)
        case float():
            return type(found) in (int, float)
    return type(found) is type(form) and (type(form) is not int or found >= 0)


def _is_consistent(saved):
    """Whether the parts of a checkpoint are consistent."""
    now, run, n_epochs = saved["now"], saved["run"], len(saved["history"])
    return saved["finished"] or (
        run["good"] != {}
        and (now["start_loss"] is not None or now["step"] == 0)
        and max(run["first_epoch"], run["restart"]) <= n_epochs
        and (not run["is_open"] or run["first_epoch"] < n_epochs)
        and (not run["position"] or "loss" in run["sums"])
    )


def _is_loss(value):
    """Whether this is a loss: a float, a tensor, or None before the first batch."""
    return value is None or type(value) is float or _fits(value, torch.zeros(()))


def _are_sums(value):
    return isinstance(value, dict) and all(
        _fits(total, torch.zeros(())) for total in value.values()
    )


def _are_epochs(value):
    """Whether these are rows of a history, with numbers as losses."""
    return isinstance(value, list) and all(
        isinstance(row, dict)
        and all(_fits(row.get(name, 0.0), 0.0) for name in ("train_loss", "valid_loss"))
        for row in value
    )


def _are_states(value):
    """Whether these are attributes of callbacks, of any type."""
    return isinstance(value, dict) and all(isinstance(v, dict) for v in value.values())


def _datasets(X):
    return dict(zip(("dataset_train", "dataset_valid"), X, strict=True))


def _without_batches(history):
    return [{k: v for k, v in row.items() if k != "batches"} for row in history]


class Progress(Callback):
    """A tqdm bar over the epochs of a training, in the first process only."""

    def on_train_begin(self, net, **kwargs):
        silent = peers().rank > 0
        self.bar_ = tqdm(total=net.max_epochs, desc="fit", unit="epoch", disable=silent)

    def on_epoch_end(self, net, **kwargs):
        self.bar_.set_postfix(loss=f"{net.history[-1, 'train_loss']:.4f}")
        self.bar_.update(net.n_done - self.bar_.n)  # it may have gone on, or back

    def on_train_end(self, net, **kwargs):
        self.bar_.close()
        del self.bar_
