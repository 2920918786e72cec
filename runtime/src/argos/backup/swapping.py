"""Put a staged tree in the place of the living one by renames that a crash leaves repeatable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from argos import durable_files

STAGING = ".restore"
KEPT = "before-restore-"
_MOVED = ".moved"  # in the kept directory: all that was old is there, what bears its name beside it is new


def swap(tree: Path, kept: Path, belongs: Callable[[str], bool]) -> None:
    """Move what ``belongs`` from ``tree`` to ``kept``, and what stands in ``tree``'s staging to ``tree``.

    Interrupted anywhere and called again, it ends as if it had never been. The three
    directories are on one file system, so each rename is whole or not done.

    Raises:
        OSError: a rename failed; nothing is lost.
    """
    staging = tree / STAGING
    kept.mkdir(mode=0o700, exist_ok=True)
    if not (kept / _MOVED).exists():
        for entry in sorted(tree.iterdir()):
            if belongs(entry.name):
                entry.rename(kept / entry.name)
        durable_files.sync_directory(kept)
        durable_files.sync_directory(tree)
        durable_files.replace(kept / _MOVED, b"", 0o600)
    if staging.exists():
        for entry in sorted(staging.iterdir()):
            entry.rename(tree / entry.name)
        durable_files.sync_directory(tree)
        staging.rmdir()
    durable_files.sync_directory(tree)
