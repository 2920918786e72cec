"""The files from which Caddy starts without the runtime."""

from __future__ import annotations

from pathlib import Path

from argos import durable_files
from argos.edge.render import Rendered

_MODE = 0o640


class ActiveConfig:
    """``caddy.json``, its predecessor, ``fallback.json`` and what they name, in one directory."""

    def __init__(self, directory: Path) -> None:
        self._active = directory / "caddy.json"
        self._previous = directory / "caddy.previous.json"
        self._fallback = directory / "fallback.json"

    def lay_out(self, rendered: Rendered) -> bool:
        """Put the files that a configuration names where it names them: before Caddy takes it, or starts from it.

        Raises:
            OSError: one cannot be written.
        """
        changed = False
        for path, content in rendered.files.items():
            changed |= _replaced(Path(path), content)
        return changed

    def keep(self, rendered: Rendered) -> bool:
        """Put a new active configuration in place, with what it names; return whether anything had to be written.

        Raises:
            OSError: the files are as they were, or the new fallback stands beside the old configuration.
        """
        changed = self.lay_out(rendered)
        # The fallback first: should the second write fail, Caddy still has a whole pair to start from.
        changed |= _replaced(self._fallback, rendered.fallback)
        before = durable_files.content_of(self._active)
        if before != rendered.config.encode():
            if before is not None:
                durable_files.replace(self._previous, before, _MODE)
            durable_files.replace(self._active, rendered.config.encode(), _MODE)
            changed = True
        return changed


def _replaced(path: Path, content: str) -> bool:
    if durable_files.content_of(path) == content.encode():
        return False
    durable_files.replace(path, content.encode(), _MODE)
    return True
