"""``python -m bench.backing_up``: ``argos backup create`` again and again, each in a fresh interpreter, one pid.

The archive is removed at once, as a disk would not hold them all.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path


def main() -> None:
    """Make one, say so, and begin anew in place of this process, so that its CPU time stays its own."""
    environment = dict(os.environ)  # the command forgets it
    from argos.cli.parser import run

    begun = time.monotonic()
    status = run(["backup", "create"])
    if status:
        sys.exit(status)
    for archive in Path(environment["ARGOS_BACKUP_DIR"]).glob("*.backup"):
        archive.unlink()
    print(f"backed up in {time.monotonic() - begun:.1f} s", flush=True)
    os.execve(sys.executable, [sys.executable, "-m", "bench.backing_up"], environment)


if __name__ == "__main__":
    main()
