"""Run named stages of a suite, a few at once, each with a log and a budget; say how each went.

A stage that takes more than five times its budget is ended, with the stages that it runs itself: a machine that
others use too may be three times slower for hours, and is not to blame a stage that goes on. Counts of tests come from
pytest's own closing lines; a stage without such a line counts as one test.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
LOGS = TOP / "build" / "logs"
GO_MODULE = TOP / "roles/caddy/files/argos-caddy"
LATENESS = 5
"""After so many times its budget a stage is ended."""
BY_FILE = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
"""Two workers of pytest, each with whole files, in their order: where a file is cut would else depend on the time."""
COUNT = re.compile(r"(\d+) (passed|failed|errors?|skipped)\b")
# pytest's last line, or that of a stage which sums up stages of its own.
CLOSING = re.compile(
    r"^=*\s*(?:\x1b\[[0-9;]*m)*(\d+ (?:passed|failed|skipped|error)(?:.* in [0-9.]+s.*?|, \d+ failed.*))\s*=*$"
)

STOPPED: list[int] = []
"""The signals that told this process to end: after one no stage goes on, and none begins."""


@dataclass
class Stage:
    """One step: what to run, for how many seconds at most, and how it went."""

    name: str
    command: list[str]
    budget: int
    environment: Mapping[str, str] = field(default_factory=dict)
    status: int | None = None
    seconds: float = 0.0

    @property
    def log(self) -> Path:
        """Return where the output goes."""
        return LOGS / f"{self.name}.log"

    def run(self) -> None:
        """Run it to its end, in a process group of its own, so that an ended stage leaves nothing behind."""
        began = time.monotonic()
        say(f"{self.name} …")
        environment = {**os.environ, **tools(), **self.environment}
        with self.log.open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                self.command, cwd=TOP, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
            try:
                self.status = self.wait(process)
            except subprocess.TimeoutExpired:
                self.status = 124
                log.write(f"\nended: {'interrupted' if STOPPED else self.overdue}\n")
            finally:
                end(process)
        self.seconds = time.monotonic() - began
        say(f"{self.name}: {self.verdict} in {self.seconds:.0f} s")
        if self.status:
            tail = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-60:]
            print("\n".join(f"    {line}" for line in tail), flush=True)

    @property
    def overdue(self) -> str:
        """Say why it was ended."""
        return f"it took more than {LATENESS * self.budget} s, {LATENESS} times its budget"

    def wait(self, process: subprocess.Popen[bytes]) -> int:
        """Return its status; TimeoutExpired when its time is up or everything is to end."""
        until = time.monotonic() + LATENESS * self.budget
        while True:
            try:
                return process.wait(timeout=1)
            except subprocess.TimeoutExpired:
                if STOPPED or time.monotonic() > until:
                    raise

    @property
    def verdict(self) -> str:
        """Return the outcome in a word."""
        if self.status is None:
            return "not run"
        return "failed" if self.status else "ok"

    def counts(self) -> dict[str, int]:
        """Return how many tests passed, failed and were skipped."""
        found = {"passed": 0, "failed": 0, "skipped": 0}
        for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines() if self.log.exists() else []:
            if closing := CLOSING.match(line):
                for number, word in COUNT.findall(closing[1]):
                    found["failed" if word.startswith("error") else word] += int(number)
        if (self.status and not found["failed"]) or self.status is None:
            found["failed"] += 1
        elif not any(found.values()):
            found["passed"] = 1
        return found


def say(text: str) -> None:
    """Print a line of progress with the time."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def tools() -> dict[str, str]:
    """Return the environment that every stage works in."""
    path = f"{TOP / '.venv/bin'}:{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/sbin:/bin"
    return {
        "PATH": path,
        "ANSIBLE_CONFIG": str(TOP / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(TOP / ".build"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def end(process: subprocess.Popen[bytes]) -> None:
    """End what is left of a stage's process group."""
    for ending in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, ending)
        except ProcessLookupError:
            break
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            continue
        time.sleep(0.2)


def go() -> str:
    """Return the Go that role caddy builds with, installing it when there is none."""
    find = (
        "import sys; sys.path.insert(0, 'roles/caddy/files'); import build; from pathlib import Path;"
        "cache = Path.home() / '.cache/argos/caddy'; cache.mkdir(parents=True, exist_ok=True);"
        "found = build.go_on_path(); print(found[0] if found else build.install_go(cache))"
    )
    told = subprocess.check_output([str(TOP / ".venv/bin/python"), "-c", find], cwd=TOP, text=True)
    return told.strip().splitlines()[-1]


def budget(name: str) -> int:
    """Return a budget in seconds, as the Makefile gives it."""
    return int(os.environ.get(f"BUDGET_{name}", "600"))


def compiled() -> Stage:
    """Return the stage that compiles Caddy, or finds it compiled; two at once wait for one another."""
    return Stage("caddy", [sys.executable, str(TOP / "roles/caddy/files/build.py")], budget("GO"))


def together(lanes: list[list[Stage]], *, go_on: bool = False) -> bool:
    """Run lanes side by side, each until a stage fails (``go_on``: past that); say whether all went well.

    Exits when this process is told to end, by ctrl-C or SIGTERM, once every stage has been ended.
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    STOPPED.clear()  # who was told to end may still clear away
    # Stages have process groups of their own: neither ctrl-C nor the end of who called this reaches them by itself.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda signum, _frame: STOPPED.append(signum))

    def follow(lane: list[Stage]) -> None:
        for stage in lane:
            stage.run()
            if STOPPED or (stage.status and not go_on):
                return

    threads = [threading.Thread(target=follow, args=(lane,)) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if STOPPED:
        sys.exit(128 + STOPPED[0])
    return all(stage.status == 0 for lane in lanes for stage in lane)


def conclude(stages: list[Stage]) -> int:
    """Print the table of times and the sum of the tests; return the exit status."""
    total = {"passed": 0, "failed": 0, "skipped": 0}
    print(f"\n{'stage':<14} {'result':<8} {'seconds':>8} {'budget':>7}")
    for stage in stages:
        over = "  over its budget" if stage.seconds > stage.budget else ""
        print(f"{stage.name:<14} {stage.verdict:<8} {stage.seconds:>8.0f} {stage.budget:>7}{over}")
        for outcome, number in stage.counts().items():
            total[outcome] += number
    print(f"\nLogs: {LOGS.relative_to(TOP)}/")
    skipped = f", {total['skipped']} skipped" if total["skipped"] else ""
    print(f"{total['passed']} passed, {total['failed']} failed{skipped}", flush=True)
    return 1 if total["failed"] or any(stage.status != 0 for stage in stages) else 0


def prepared(goal: str, *arguments: str) -> None:
    """Name what is missing, then make this machine ready; exit when either fails."""
    for command in (
        [sys.executable, str(TOP / "scripts/preflight.py"), goal, *arguments],
        [str(TOP / "scripts/prepare"), "test"],
    ):
        status = subprocess.call(command, cwd=TOP)
        if status:
            sys.exit(status)
