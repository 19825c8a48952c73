"""Run by test_distributed.py in every process of ``accelerate launch``."""

import sys
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from sklearn.datasets import load_digits

from diffrep import DiffusionRepresentation, data_parallel
from diffrep.semi_supervised import LaplaceNetClassifier


def main():
    torch.set_num_threads(1)
    PartialState(cpu=True)
    X, y = (rows[:900] for rows in load_digits(return_X_y=True))
    options = {"max_epochs": 8, "batch_size": 64, "device": "cpu"}
    rep = DiffusionRepresentation(16, random_state=0, verbose=1, **options)
    unseeded = DiffusionRepresentation(4, augment=None, **options | {"max_epochs": 1})
    few = LaplaceNetClassifier(rep, random_state=0, **options | {"max_epochs": 2})
    with data_parallel() as peers:
        rep.fit(X)
        unseeded.fit(X)
        few.fit(X, np.where(np.arange(len(y)) < 100, y, -1))
    nets = {"rep": rep.net_, "unseeded": unseeded.net_, "few": few.net_}
    np.savez(
        Path(sys.argv[1]) / f"rank{peers.rank}.npz",
        n=peers.n,
        loss=rep.history_["train_loss"],
        codes=rep.transform(X),
        labels=few.transduction_,
        **{
            name: torch.cat([w.flatten() for w in net.module_.parameters()]).detach()
            for name, net in nets.items()
        },
    )
    if peers.n > 1:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
