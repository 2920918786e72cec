"""Where the person behind a command sits: the peer of the SSH connection that it runs in."""

from __future__ import annotations

import os
from pathlib import Path

_DEPTH = 20


def ssh_peers(proc: Path = Path("/proc")) -> tuple[str, ...]:
    """The client's address of the SSH connection above this process; empty without one.

    sudo drops the variable, so the processes above are asked too, as far as they may be read.
    """
    process: str | int = "self"
    for _unused in range(_DEPTH):
        try:
            environment = (proc / str(process) / "environ").read_bytes()
            parent = (proc / str(process) / "stat").read_text(errors="replace").rpartition(")")[2].split()[1]
        except (OSError, IndexError):
            break
        if peer := _peer(environment):
            return (peer,)
        if parent in {"0", "1"}:
            break
        process = parent
    peer = _peer(b"SSH_CONNECTION=" + os.environb.get(b"SSH_CONNECTION", b""))
    return (peer,) if peer else ()


def _peer(environment: bytes) -> str:
    for variable in environment.split(b"\0"):
        if variable.startswith(b"SSH_CONNECTION="):
            return variable.partition(b"=")[2].partition(b" ")[0].decode("ascii", "replace")[:64]
    return ""
