"""Taking known secrets out of text: the only place that does.

Caddy quotes a DNS token in its error, a library a password in a traceback. Text
that came from elsewhere goes through here before it is logged, audited or answered.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

REDACTED = "[redacted]"
SHORTEST = 6  # characters; shorter values would blank half of every text
SHORTEST_LINE = 16  # of a value with several lines, such as a private key in PEM


class Scrubber:
    """Knows secret values and removes them from text, in every spelling they may travel in."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.know(*values)

    def know(self, *values: str) -> None:
        """Learn secrets; a value under 6 characters is not learnt."""
        forms = {form for value in values for part in _parts(value) for form in _forms(part)}
        with self._lock:
            if forms <= self._forms:
                return
            self._forms |= forms
            # Longest first: a form may hold another.
            ordered = sorted(self._forms, key=lambda form: (-len(form), form))
            self._pattern = re.compile("|".join(_expression(form) for form in ordered))

    def scrub(self, text: str) -> str:
        """Return ``text`` with every known secret replaced by ``[redacted]``."""
        pattern = self._pattern
        return text if pattern is None else pattern.sub(REDACTED, text)

    def scrub_value(self, value: Any) -> Any:
        """Scrub every string inside a value made of dicts, lists and plain values; keys too."""
        if isinstance(value, str):
            return self.scrub(value)
        if isinstance(value, dict):
            return {self.scrub(str(key)): self.scrub_value(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.scrub_value(item) for item in value]
        return value


def _parts(value: str) -> Iterator[str]:
    stripped = value.strip()
    if len(stripped) >= SHORTEST:
        yield stripped
    lines = [line.strip() for line in stripped.splitlines()]
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= SHORTEST_LINE and not line.startswith("-----"))


def _forms(value: str) -> Iterator[str]:
    yield value
    for ascii_only in (True, False):
        # Escaped once (in JSON) and twice (JSON quoted in JSON, as Caddy's errors are).
        once = json.dumps(value, ensure_ascii=ascii_only)[1:-1]
        yield once
        yield json.dumps(once, ensure_ascii=ascii_only)[1:-1]
    # Go's encoding/json, Caddy's too, also escapes these three.
    yield json.dumps(value)[1:-1].replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    yield quote(value, safe="", errors="surrogatepass")
    yield quote(value, errors="surrogatepass")
    yield quote_plus(value, errors="surrogatepass")
    yield from _base64_forms(value.encode("utf-8", "surrogatepass"))


def _expression(form: str) -> str:
    # The hex digits of percent-encoding may be written in either case (RFC 3986 §2.1).
    return re.sub("%([0-9A-Fa-f]{2})", "%(?i:\\1)", re.escape(form))


def _base64_forms(raw: bytes) -> Iterator[str]:
    """Yield what of ``raw`` is seen in base64 at each of the three alignments ("user:password" shifts it)."""
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
        # The characters at either end also depend on the neighbouring bytes.
        start = (0, 2, 3)[shift]
        whole = (len(raw) + shift) // 3 * 4
        inner = encoded[start:whole]
        if len(inner) >= SHORTEST:
            yield inner
            yield inner.replace("+", "-").replace("/", "_")
