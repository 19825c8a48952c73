"""The demo. The build of the documentation runs the examples of the gallery."""

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_demo_prints_its_table():
    script = EXAMPLES / "demo.py"
    out = subprocess.run(
        [sys.executable, str(script), "--jobs", "1", "--splits", "1", "--quick"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for word in ("raw pixels", "PCA", "random encoder", "DRL", "VDRL", "all"):
        assert word in out
