"""Benchmarks that nobody runs every day still run."""

import csv
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

GPU = Path(__file__).parents[1] / "benchmarks" / "gpu.py"


def test_what_a_gpu_makes_of_it_in_its_smallest_form(tmp_path):
    command = [sys.executable, GPU, "--small", "--device", "cpu", "--out", tmp_path]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    run = partial(subprocess.run, capture_output=True, text=True, check=True)
    done = run(command, env=one_thread)
    with (tmp_path / "gpu.csv").open(newline="") as file:
        found = {row: text for _, row, text, _ in csv.reader(file)}
    assert len(found) == 3
    assert "8 passed" in found.pop("tests")
    for row, text in found.items():
        figures = dict(figure.split(" ") for figure in text.split("; "))
        assert float(figures["images_a_second"]) > 100
        assert f"{row}: {text}" in done.stdout
    again = run(command, env=one_thread)
    assert "ms_a_step" not in again.stdout  # what is there is not run again
