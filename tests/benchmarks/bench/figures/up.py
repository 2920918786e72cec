"""How long ``make up`` took, as it noted itself."""

from __future__ import annotations

import json
from pathlib import Path

from bench.figures import Figures, Run, figure

CHECKOUT = Path(__file__).resolve().parents[4]


@figure
def up(run: Run) -> Figures:
    """``up.…``: seconds from nothing, seconds of a second run, and what that second run changed (wanted: 0)."""
    found = sorted(
        (CHECKOUT / ".argos").glob(f"{run.guest or '*'}/timings.json"), key=lambda path: path.stat().st_mtime
    )
    if not found:
        run.say(f"up: no .argos/{run.guest or '<guest>'}/timings.json: run make up first")
        return {}
    return read(found[-1])


def read(path: Path) -> Figures:
    """Return the figures in what ``scripts/up.py`` noted; a kind of run that was not made here is left out."""
    noted = json.loads(path.read_text(encoding="utf-8"))
    figures = {}
    if "cold" in noted:
        figures["up.cold_s"] = float(noted["cold"]["total_s"])
    if "warm" in noted:
        figures["up.warm_s"] = float(noted["warm"]["total_s"])
        figures["up.second_changed"] = float(noted["warm"]["changed"])
    return figures
