"""How long ``make up`` took, as it noted itself."""

from __future__ import annotations

import json
from pathlib import Path

from bench.figures import Figures, Run, figure

CHECKOUT = Path(__file__).resolve().parents[4]
WANTED = ("up.cold_s", "up.warm_s", "up.second_changed")


@figure
def up(run: Run) -> Figures:
    """``up.…`` from the newest ``.argos/<guest>/timings.json``; nothing when ``make up`` was not run here."""
    found = sorted((CHECKOUT / ".argos").glob("*/timings.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        run.say("up: no .argos/<guest>/timings.json yet: run make up first")
        return {}
    return read(found[-1])


def read(path: Path) -> Figures:
    """Return those of the wanted figures that the file holds; its keys may do without the prefix."""
    noted = json.loads(path.read_text(encoding="utf-8"))
    figures = {}
    for name in WANTED:
        value = noted.get(name, noted.get(name.removeprefix("up.")))
        if isinstance(value, int | float) and not isinstance(value, bool):
            figures[name] = float(value)
    return figures
