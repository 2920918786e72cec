"""What ``make check`` and ``make test`` do with the stages they run."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"

# A stage that runs a stage of its own, as `make test` runs `make check`.
NESTED = """
import sys; sys.path.insert(0, {scripts!r})
from pathlib import Path
import stages; stages.LOGS = Path({logs!r})
inner = "import sys; sys.path.insert(0, {scripts!r}); from pathlib import Path; import stages; " \\
    "stages.LOGS = Path({logs!r}); stages.together([[stages.Stage('inner', ['sh', '-c', {sleeper!r}], 60)]])"
try:
    outer = stages.Stage("outer", [sys.executable, "-c", inner], {budget})
    after = stages.Stage("after", ["touch", {after!r}], 9)
    stages.together([[outer, after]])
finally:
    stages.together([[stages.Stage("away", ["touch", {away!r}], 9)]])
"""


def alive(pid: int) -> bool:
    """Tell whether the process still runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # before it was opened, or before it was read
        return False


def wait_for(condition, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.05)


def script(tmp_path: Path, budget: int) -> str:
    pid = tmp_path / "pid"
    return NESTED.format(
        scripts=str(SCRIPTS),
        logs=str(tmp_path / "logs"),
        sleeper=f"echo $$ >{pid}.new; mv {pid}.new {pid}; exec sleep 600",
        after=str(tmp_path / "after"),
        away=str(tmp_path / "away"),
        budget=budget,
    )


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_no_stage_behind_begins_none_and_clears_away(tmp_path: Path, ending: int) -> None:
    run = subprocess.Popen([sys.executable, "-c", script(tmp_path, 60)], stdout=subprocess.DEVNULL)
    wait_for((tmp_path / "pid").exists)
    run.send_signal(ending)
    assert run.wait(60) == 128 + ending
    pid = int((tmp_path / "pid").read_text(encoding="utf-8"))
    wait_for(lambda: not alive(pid))
    assert (tmp_path / "away").exists()
    assert not (tmp_path / "after").exists()


@pytest.mark.long
def test_a_stage_that_takes_too_long_is_ended_with_the_stages_that_it_runs(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", script(tmp_path, 2)], capture_output=True, text=True, check=True)
    assert "outer: failed" in done.stdout
    assert "ended: it took more than 10 s, 5 times its budget" in done.stdout
    pid = int((tmp_path / "pid").read_text(encoding="utf-8"))
    wait_for(lambda: not alive(pid))
