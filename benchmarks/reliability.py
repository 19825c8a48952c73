"""Random trials of the guarantees about kills, interrupts, files, inputs and calls.

    python -m benchmarks.reliability [--only kills files ...] [--trials N]

Prints a table of the number of trials and failures. The trials are those of tests/fuzz.
The exit status is 1 if a trial failed. With ``TMPDIR=/dev/shm`` files are written to
memory.
"""

import argparse
import sys
import warnings

import torch

from diffrep.exceptions import DivergenceWarning
from tests.fuzz.checkpoints import checkpoints
from tests.fuzz.files import files
from tests.fuzz.inputs import inputs
from tests.fuzz.sequences import sequences
from tests.fuzz.stops import interrupts, kills

SECTIONS = {
    "kills": (kills, 200),
    "interrupts": (interrupts, 300),
    "files": (files, 200_000),
    "checkpoints": (checkpoints, 2000),
    "inputs": (inputs, 12_000),
    "sequences": (sequences, 1000),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--trials", type=int, help="of each, in place of the default")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", DivergenceWarning)  # one fit diverges
    rows = []
    for name in arguments.only:
        run, n_trials = SECTIONS[name]
        rows += run(arguments.trials or n_trials)
    print("\n| what | tried | failed |\n|---|---:|---:|")
    for what, tried, failed in rows:
        print(f"| {what} | {tried:,} | {failed} |")
    sys.exit(any(failed for *_, failed in rows))


if __name__ == "__main__":
    main()
