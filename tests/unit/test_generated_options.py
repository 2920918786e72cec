"""The modules' options say what the runtime's model says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]


def test_the_options_in_the_tree_are_those_that_the_model_gives() -> None:
    ran = subprocess.run(
        [sys.executable, str(TOP / "scripts" / "generate_options.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr + "run: python scripts/generate_options.py"
