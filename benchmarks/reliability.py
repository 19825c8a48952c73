"""Whether what is promised holds when things go wrong, by many trials.

    python -m benchmarks.reliability [--kills 200] [--interrupts 300] [--files 100000]
                                     [--inputs 4000]

Prints a table of what was tried, how often, and how often it failed; the trials are
those of tests/fuzz. The exit status is 1 if anything failed. ``TMPDIR=/dev/shm`` spares
the disk.
"""

import argparse
import sys
import warnings

import torch

from diffrep.exceptions import DivergenceWarning
from tests.fuzz.files import files
from tests.fuzz.inputs import inputs
from tests.fuzz.stops import interrupts, kills

SECTIONS = {
    "kills": (kills, 200),
    "interrupts": (interrupts, 300),
    "files": (files, 100_000),
    "inputs": (inputs, 4000),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, (_, count) in SECTIONS.items():
        parser.add_argument(f"--{name}", type=int, default=count, help="0 for none")
    counts = vars(parser.parse_args())
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", DivergenceWarning)  # one of the fits is to diverge
    rows = [
        row
        for name, (run, _) in SECTIONS.items()
        if counts[name]
        for row in run(counts[name])
    ]
    print("\n| what | tried | failed |\n|---|---:|---:|")
    for what, tried, failed in rows:
        print(f"| {what} | {tried:,} | {failed} |")
    sys.exit(any(failed for *_, failed in rows))


if __name__ == "__main__":
    main()
