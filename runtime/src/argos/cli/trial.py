"""How a command tells what trying a connection came to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from argos.cli.exits import FAILED, OK
from argos.cli.session import print_json

if TYPE_CHECKING:
    from argos.steps import Step


def told(steps: Sequence[Step], *, json: bool) -> int:
    """Print each step, and return the exit code: ``FAILED`` unless all were done."""
    if json:
        print_json([{"step": step.name, "done": step.done, "message": step.message} for step in steps])
    else:
        for step in steps:
            print(f"{'done  ' if step.done else 'failed'}  {step.name}: {step.message}")
    return OK if all(step.done for step in steps) else FAILED
