"""An end that something holds up is an end all the same: a service manager, or a reboot, would wait for it."""

from __future__ import annotations

import subprocess
import sys

HELD_UP = """
import threading
from argos.serving.serve import end_within
held = threading.Thread(target=threading.Event().wait, name="held")  # the interpreter waits for it for ever
held.start()
end_within(0.5)
"""


def test_what_holds_up_the_end_is_said_and_ends_too() -> None:
    done = subprocess.run([sys.executable, "-c", HELD_UP], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "threading.py" in done.stderr
