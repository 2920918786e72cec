"""What a run has measured so far, so that one that was interrupted goes on where it stopped.

Beside the figures, ``bench-run.json`` tells of the last run: which figures were measured when, and which not and why.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from pathlib import Path
from typing import Any


class Progress:
    """The record of one run; ``source`` is what it measures: another commit, or other options, begin anew."""

    def __init__(self, path: Path, source: str, wanted: list[str], *, fresh: bool = False) -> None:
        self._path = path
        self._record: dict[str, Any] = {"source": source, "wanted": wanted, "figures": {}}
        if path.exists() and not fresh:
            last = json.loads(path.read_text(encoding="utf-8"))
            if (last["source"], last["wanted"]) == (source, wanted) and len(last["figures"]) < len(wanted):
                self._record = last

    def done(self, name: str) -> bool:
        """Whether the interrupted run had measured it already."""
        return bool(self._record["figures"].get(name, {}).get("measured"))

    def note(self, name: str, took_s: float, problem: str = "") -> None:
        """Write down that a figure was measured, or why not."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        entry: dict[str, Any] = {"measured": not problem, "at": now, "took_s": round(took_s, 1)}
        self._record["figures"][name] = entry | ({"problem": problem} if problem else {})
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self._record, indent=2) + "\n", encoding="utf-8")

    def problems(self) -> dict[str, str]:
        """Why figures of this run are missing, by name."""
        return {name: entry["problem"] for name, entry in self._record["figures"].items() if "problem" in entry}


def source_of(checkout: Path, options: str) -> str:
    """The commit, the changes on top of it and the options, as one short text."""

    def git(*arguments: str) -> bytes:
        return subprocess.run(["git", *arguments], cwd=checkout, capture_output=True, check=False).stdout

    digest = hashlib.sha256(git("diff", "HEAD") + options.encode()).hexdigest()
    return f"{git('rev-parse', 'HEAD').decode().strip()[:12] or 'no commit'} {digest[:12]}"
