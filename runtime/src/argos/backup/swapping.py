"""Put a staged tree in the place of the living one by renames that a crash leaves repeatable."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

from argos import durable_files
from argos.errors import Unavailable

STAGING = ".restore"
KEPT = "before-restore-"
KEPT_TREES = 2
"""So many replaced states stay; older ones go at the next restore."""
_MOVED = ".moved"  # in the kept directory: all that was old is there, what bears its name beside it is new


def swap(tree: Path, kept: Path, belongs: Callable[[str], bool], staged: Collection[str]) -> None:
    """Move what ``belongs`` from ``tree`` to ``kept``, and what was ``staged`` from ``tree``'s staging to ``tree``.

    Interrupted anywhere and called again, it ends as if it had never been. The three
    directories are on one file system, so each rename is whole or not done. What somebody
    made meanwhile in the place of what is still to come goes to a directory of its own in
    ``kept``, never over or beside what was there before.

    Raises:
        Unavailable: something that was staged is neither waiting nor in its place.
        OSError: a rename failed; nothing is lost.
    """
    staging = tree / STAGING
    waiting = {entry.name for entry in staging.iterdir()} if staging.is_dir() else set()
    moved = (kept / _MOVED).exists()
    if missing := [name for name in staged if name not in waiting and not (moved and os.path.lexists(tree / name))]:
        raise Unavailable(
            f"{staging} lacks {', '.join(sorted(missing)[:5])}, which was staged there; what this restore has replaced "
            f"is in {kept}, if that is there"
        )
    in_place = set(staged) - waiting
    kept.mkdir(mode=0o700, exist_ok=True)
    if not moved or waiting:
        names = [entry.name for entry in tree.iterdir() if belongs(entry.name) and entry.name not in in_place]
        _put_aside(tree, kept, names, all_made_meanwhile=moved)
        durable_files.sync_directory(kept)
        durable_files.sync_directory(tree)
    if not moved:
        durable_files.replace(kept / _MOVED, b"", 0o600)
    for name in sorted(waiting.intersection(staged)):
        (staging / name).rename(tree / name)
    durable_files.sync_directory(tree)
    clear(tree)


def clear(tree: Path) -> bool:
    """Remove a staging directory with all that is in it; whether there was one."""
    staging = tree / STAGING
    if not os.path.lexists(staging):
        return False
    shutil.rmtree(staging)
    durable_files.sync_directory(tree)
    return True


def drop_old(tree: Path) -> None:
    """Remove the kept states but for the last :data:`KEPT_TREES`."""
    kept = sorted(path for path in tree.glob(f"{KEPT}*") if path.is_dir() and not path.is_symlink())
    for path in kept[:-KEPT_TREES]:
        shutil.rmtree(path, ignore_errors=True)


def _put_aside(tree: Path, kept: Path, names: Collection[str], *, all_made_meanwhile: bool) -> None:
    """Move ``names`` to ``kept``: the old ones themselves, others to a new directory in it.

    Backwards by name, so that a database comes after its log and its index (``argos.db-wal``, ``-shm``): once
    it is in ``kept``, what bears its name or one like theirs belongs to another, which must not lie beside it.
    """
    there = [entry.name for entry in kept.iterdir()]
    meanwhile: Path | None = None
    for name in sorted(names, reverse=True):
        if not all_made_meanwhile and not any(name == old or name.startswith(f"{old}-") for old in there):
            (tree / name).rename(kept / name)
            continue
        if meanwhile is None:
            meanwhile = _new_directory(kept)
        (tree / name).rename(meanwhile / name)
    if meanwhile is not None:
        durable_files.sync_directory(meanwhile)


def _new_directory(kept: Path) -> Path:
    number = 1
    while True:
        place = kept / f"made-meanwhile-{number}"
        try:
            place.mkdir(mode=0o700)
        except FileExistsError:
            number += 1
        else:
            return place
