"""The files from which Caddy starts without the runtime."""

from __future__ import annotations

from pathlib import Path

from argos import durable_files

_MODE = 0o640


class ActiveConfig:
    """``caddy.json``, its predecessor and ``fallback.json`` in one directory."""

    def __init__(self, directory: Path) -> None:
        self._active = directory / "caddy.json"
        self._previous = directory / "caddy.previous.json"
        self._fallback = directory / "fallback.json"

    def keep(self, config: str, fallback: str) -> bool:
        """Put a new active configuration in place; return whether anything had to be written.

        Raises:
            OSError: the files are as they were, or the new fallback stands beside the old configuration.
        """
        before = durable_files.content_of(self._active)
        changed = False
        # The fallback first: should the second write fail, Caddy still has a whole pair to start from.
        if durable_files.content_of(self._fallback) != fallback.encode():
            durable_files.replace(self._fallback, fallback.encode(), _MODE)
            changed = True
        if before != config.encode():
            if before is not None:
                durable_files.replace(self._previous, before, _MODE)
            durable_files.replace(self._active, config.encode(), _MODE)
            changed = True
        return changed
