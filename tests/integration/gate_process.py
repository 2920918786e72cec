"""``argos gate`` as a process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from waiting import until_listening


@contextmanager
def gate_process(environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run the gate with the settings of ``environment``, less the master key; it listens."""
    own = {name: value for name, value in environment.items() if name != "ARGOS_MASTER_KEY"}
    process = subprocess.Popen([sys.executable, "-m", "argos", "gate"], env=own)
    try:
        until_listening(Path(own["ARGOS_GATE_SOCKET"]), process)
        yield process
    finally:
        process.terminate()
        process.wait(60)
