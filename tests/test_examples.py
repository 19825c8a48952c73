"""Every example runs without a display."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("plot_*.py")), ids=str)
def test_gallery_example_runs(script):
    environment = {**os.environ, "MPLBACKEND": "agg", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, str(script)], check=True, env=environment)


def test_demo_prints_its_table():
    script = EXAMPLES / "demo.py"
    out = subprocess.run(
        [sys.executable, str(script), "--jobs", "1", "--splits", "1", "--quick"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for word in ("raw pixels", "PCA", "random encoder", "DRL", "VDRL", "t_grid", "all"):
        assert word in out
