"""SEC-3: the process that holds the master key leaves it nowhere."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

KEY = "cGxhbnRlZC1rZXktcGxhbnRlZC1rZXktcGxhbnRlZCE="

PROGRAM = """
import ctypes, os, pathlib, resource, subprocess
from argos.hardening import forbid_dumps
from argos.serving.process import clean_environment
forbid_dumps()
clean_environment()
child = subprocess.run(["cat", "/proc/self/environ"], capture_output=True, check=True)
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))  # PR_GET_DUMPABLE
print(resource.getrlimit(resource.RLIMIT_CORE))
print(b"planted" in child.stdout or b"ARGOS_MASTER_KEY" in child.stdout, b"PATH=" in child.stdout)
print(pathlib.Path("/proc/self/environ").owner())
"""


@pytest.mark.threat("SEC-3")
def test_no_dump_no_child_and_no_neighbour_gets_the_key() -> None:
    output = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "ARGOS_MASTER_KEY": KEY},
        capture_output=True,
        text=True,
        check=True,
    )
    # An undumpable process's files under /proc belong to root, whoever runs it.
    assert output.stdout.splitlines() == ["0", "(0, 0)", "False True", "root"]
