"""Lets the tests here find their neighbour and the guest's directories of the runtime's own tests."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[2] / "runtime/tests/backup")]
