"""One version, said in two places: the package, and the wheel that carries it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import argos


def test_the_package_and_its_wheel_say_the_same_version() -> None:
    declared = Path(__file__).resolve().parents[1] / "pyproject.toml"
    assert tomllib.loads(declared.read_text(encoding="utf-8"))["project"]["version"] == argos.__version__
