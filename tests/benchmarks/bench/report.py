"""Writes ``build/bench.json`` and the table for people."""

from __future__ import annotations

import json
from pathlib import Path

from bench.figures import Figures


def write(path: Path, figures: Figures) -> None:
    """Merge figures into the flat map at ``path``; figures that were not measured now keep their value."""
    known: Figures = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known |= {name: round(value, 4) for name, value in figures.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def table(figures: Figures) -> str:
    """Return the figures as aligned lines, grouped by their subject."""
    width = max((len(name) for name in figures), default=0)
    lines = []
    subject = ""
    for name, value in sorted(figures.items()):
        if name.partition(".")[0] != subject:
            subject = name.partition(".")[0]
            lines.append("")
        lines.append(f"  {name:<{width}}  {value:>12,.3f}" if value < 100 else f"  {name:<{width}}  {value:>12,.0f}")
    return "\n".join(lines)
