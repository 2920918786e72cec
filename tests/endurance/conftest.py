"""Lets the tests here find what other suites share, and the guest's directories of the runtime's own tests."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "integration"), str(HERE.parents[1] / "runtime/tests/backup")]
