"""Strategies of generated declarations stand beside the tests that draw from them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # import-mode=importlib leaves a test's neighbours unfindable
