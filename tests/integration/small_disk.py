"""A file system of a few MiB in memory, filled so that as much is left as a test wants."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PAGE = 4096


class SmallDisk:
    """A tmpfs at ``place``, which must be there; :meth:`mounted` for its time.

    Args:
        place: where it is mounted.
        size: in MiB.
    """

    def __init__(self, place: Path, size: int) -> None:
        self.place = place
        self._size = size
        self._ballast = place / "ballast"

    @contextmanager
    def mounted(self) -> Iterator[None]:
        """Mount it, and take it away whatever happened."""
        options = f"size={self._size}m,mode=0750"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.place)], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", "--lazy", str(self.place)], check=True)

    @contextmanager
    def filled(self, pages: int) -> Iterator[None]:
        """Leave so many pages of 4 KiB free, and give all space back at the end."""
        status = os.statvfs(self.place)
        ballast = status.f_bavail * status.f_frsize - pages * PAGE
        assert ballast > 0, "the disk is fuller than the test wants it"
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, ballast)
        try:
            yield
        finally:
            self._ballast.unlink()


def levels(most: int) -> Iterator[int]:
    """Free pages to try: each of the first ones, where a write more or less decides, then ever farther apart."""
    level = 0
    while level < most:
        yield level
        level += max(1, level // 5)
