"""Modules of the collection, run as an operator's playbook runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.guest import CHECKOUT, Guest

_BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Ran:
    """What one task returned, and everything that was printed."""

    result: dict[str, Any]
    printed: str

    @property
    def failed(self) -> bool:
        """Say whether the task failed; the printed result leaves that out."""
        return "]: FAILED! => {" in self.printed

    @property
    def changed(self) -> bool:
        """Say whether the task reported a change."""
        return bool(self.result["changed"])


class Tasks:
    """Runs single tasks on the guest, from outside the checkout's own settings."""

    def __init__(self, guest: Guest, place: Path) -> None:
        self._guest, self._place = guest, place

    def run(self, module: str, *flags: str, **options: Any) -> Ran:
        """Run one task of ``argos.edge`` with ``flags`` such as ``--check --diff``; a failed task returns too."""
        play = [{"hosts": "edge", "gather_facts": False, "tasks": [{f"argos.edge.{module}": options}]}]
        book = self._place / "task.json"
        book.write_text(json.dumps(play))
        command = [str(_BIN / "ansible-playbook"), "-vvv", "-i", str(self._guest.state / "inventory.yml"), *flags]
        done = subprocess.run(
            [*command, str(book)],
            cwd=self._place,
            env={
                **os.environ,
                "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".build"),
                "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
                "ANSIBLE_NOCOLOR": "1",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=400,
        )
        return Ran(_result(done.stdout), done.stdout + done.stderr)


def _result(printed: str) -> dict[str, Any]:
    for mark in ("] => {", "]: FAILED! => {"):
        start = printed.find(mark)
        if start >= 0:
            result: dict[str, Any] = json.JSONDecoder().raw_decode(printed, start + len(mark) - 1)[0]
            return result
    raise AssertionError(f"no task result in: {printed[-3000:]}")
