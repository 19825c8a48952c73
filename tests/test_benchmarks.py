"""Smallest form of the GPU benchmark."""

import csv
import runpy
import sys
from pathlib import Path

import pytest
import torch

GPU = Path(__file__).parents[1] / "benchmarks" / "gpu.py"


@pytest.fixture
def gpu(monkeypatch, capsys, tmp_path):
    """Run the benchmark; return its output."""
    options = ["--small", "--device", "cpu", "--out", str(tmp_path)]

    def run():
        monkeypatch.setattr(sys, "argv", [str(GPU), *options])
        runpy.run_path(str(GPU), run_name="__main__")
        return capsys.readouterr().out

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield run
    torch.set_num_threads(n_threads)


def test_gpu_benchmark_in_its_smallest_form(gpu, tmp_path):
    printed = gpu()
    with (tmp_path / "gpu.csv").open(newline="") as file:
        found = {row: text for _, row, text, _ in csv.reader(file)}
    assert len(found) == 2
    assert "2 passed" in found.pop("tests")
    for row, text in found.items():
        figures = dict(figure.split(" ") for figure in text.split("; "))
        assert float(figures["images_a_second"]) > 100
        assert f"{row}: {text}" in printed
    assert "ms_a_step" not in gpu()  # results in the file are not measured again
