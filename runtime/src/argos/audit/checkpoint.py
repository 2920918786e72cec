"""The checkpoint: the chain's end, authenticated, in a file beside the database.

Somebody who puts an older copy of the whole database back sets its own end back too;
this file does not go back with it. It is written by the running service every few
minutes and when it stops.
"""

from __future__ import annotations

from pathlib import Path

from argos import durable_files

_LIMIT = 1024
_MODE = 0o640


class CheckpointFile:
    """One line of text, replaced whole."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> str | None:
        """The text; None where there is no such file, or it cannot be read."""
        try:
            with self.path.open("rb") as file:
                return file.read(_LIMIT).decode("utf-8", "replace")
        except OSError:
            return None

    def write(self, text: str) -> None:
        """Replace the file, so that a crash leaves the old one or the new one.

        Raises:
            OSError: it cannot be written; the old one stands.
        """
        durable_files.replace(self.path, text.encode(), _MODE)
