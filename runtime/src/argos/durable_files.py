"""Files that are either the old or the new ones after a power cut, never half of one."""

from __future__ import annotations

import os
from pathlib import Path


def replace(path: Path, content: bytes, mode: int) -> None:
    """Write ``content`` beside ``path``, make it durable, and put it in its place.

    The group is the directory's, which is set-group-ID.

    Only one process, and one thread of it, may write a path at a time: its draft has one name, so that
    a crash leaves no more than one.

    Raises:
        OSError: nothing was replaced, or only the directory could not be made durable.
    """
    draft = path.with_name(f".{path.name}.new")
    try:
        _write(draft, content, mode)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def _write(draft: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        os.fchmod(descriptor, mode)
        stream.write(content)
        stream.flush()
        os.fsync(descriptor)


def sync_directory(directory: Path) -> None:
    """Make renames in ``directory`` durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def content_of(path: Path) -> bytes | None:
    """What ``path`` holds, None when it is not there."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
