"""Resources decoded before, by the JSON they came as: a document that comes again is not read field by field again.

Decoding is a pure function of the JSON, so the same bytes mean the same resource, for good.
Only what was without an error is kept: an error names its place in its own document.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict

from argos.edge.model import MAX_HOSTS, MAX_RESOURCES, Resource

MOST = MAX_HOSTS + 3 * MAX_RESOURCES
MOST_BYTES = 4 * 1024 * 1024
"""Of JSON; a thousand plain hosts come as 0.25 MB, and take about five times that as structs."""


class Remembered:
    """A bounded map that forgets what was longest not asked for; for all threads."""

    def __init__(self, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[str, bytes], tuple[Resource, int]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        """How many there are."""
        return len(self._held)

    def find(self, kind: str, json: bytes) -> Resource | None:
        """What ``json`` means as a resource of ``kind``, None when that is not known."""
        key = _key(kind, json)
        with self._lock:
            found = self._held.get(key)
            if found is None:
                return None
            self._held.move_to_end(key)
            return found[0]

    def keep(self, kind: str, json: bytes, resource: Resource) -> None:
        """Remember it."""
        key = _key(kind, json)
        with self._lock:
            if key in self._held:
                return
            self._held[key] = (resource, len(json))
            self._size += len(json)
            while len(self._held) > self._most or self._size > self._most_bytes:
                _unused, (_unused_too, length) = self._held.popitem(last=False)
                self._size -= length


def _key(kind: str, json: bytes) -> tuple[str, bytes]:
    return kind, hashlib.sha256(json).digest()


REMEMBERED = Remembered()
