"""The figures. A new one is a function here in a file of its own subject, decorated with :func:`figure`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.machine import Cores


@dataclass(frozen=True)
class Run:
    """What every figure may use: how thorough to be, the cores, a directory of its own, a way to tell progress.

    ``guest`` is the guest that was asked for, empty for the newest; ``quick`` says that only the harness is proven.
    """

    cycles: int
    seconds: int
    noisy: bool
    cores: Cores
    directory: Path
    guest: str
    say: Callable[[str], None]
    quick: bool = False


Figures = dict[str, float]
FIGURES: dict[str, Callable[[Run], Figures]] = {}


def figure(function: Callable[[Run], Figures]) -> Callable[[Run], Figures]:
    """Register a function that returns figures by name; ``scripts/bench --only NAME`` calls it alone."""
    FIGURES[function.__name__] = function
    return function


def load_all() -> None:
    """Import every module of this package, so that its figures are registered."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
