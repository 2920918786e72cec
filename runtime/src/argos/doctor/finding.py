"""The result of one check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "failed", "unknown"]


@dataclass(frozen=True)
class Finding:
    """One sentence on what is, one on what to do.

    ``warning`` leaves the edge defended; ``failed`` does not, or soon won't;
    ``unknown`` could not be looked at from here, and ``advice`` says from where.
    """

    name: str
    state: State
    message: str
    advice: str = ""


def worst(findings: list[Finding]) -> str:
    """``ok`` or ``degraded``, for the health answer: a warning or an unknown alone degrades nothing."""
    return "degraded" if any(finding.state == "failed" for finding in findings) else "ok"
