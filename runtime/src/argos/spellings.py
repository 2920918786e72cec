"""In what spellings a secret may travel: JSON, percent-encoding, base64 at every alignment. A pure function."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote, quote_plus

SHORTEST = 6  # characters; shorter values would blank half of every text
SHORTEST_LINE = 16  # of a value with several lines, such as a private key in PEM
HEAD = 256  # characters of a spelling that are looked for; what is longer goes by these

_SAME_EVERYWHERE = re.compile(r"[A-Za-z0-9_.~-]*")  # neither JSON nor a URL escapes any of these
_QUOTED = (json.JSONEncoder().encode, json.JSONEncoder(ensure_ascii=False).encode)
_PERCENT = re.compile("%[0-9A-Fa-f]{2}")
_FOLD = str.maketrans("ABCDEF", "abcdef")


class Spelling(NamedTuple):
    """One of them; in sorted order the longer comes first, since it may hold another.

    Args:
        order: the negative number of its characters.
        head: its first 256 characters, folded where ``folded``.
        folded: it holds percent-encoding, whose hex digits come in either case (RFC 3986 §2.1).
    """

    order: int
    head: str
    folded: bool

    @property
    def length(self) -> int:
        """Its characters."""
        return -self.order

    @property
    def prefix(self) -> str:
        """Its first six characters, folded: each spelling has as many."""
        return self.head[:SHORTEST].translate(_FOLD)


def fold(text: str) -> str:
    """``text`` with the hex digits A to F in lower case, and as long as before."""
    return text.translate(_FOLD)


def spellings(value: str) -> set[Spelling]:
    """Every spelling of a value and of each of its longer lines; none of a value under 6 characters."""
    return {_spelling(form) for part in _parts(value) for form in _forms(part)}


def _spelling(form: str) -> Spelling:
    folded = _PERCENT.search(form) is not None
    return Spelling(-len(form), (fold(form) if folded else form)[:HEAD], folded)


def _parts(value: str) -> Iterator[str]:
    stripped = value.strip()
    if len(stripped) >= SHORTEST:
        yield stripped
    lines = [line.strip() for line in stripped.splitlines()]
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= SHORTEST_LINE and not line.startswith("-----"))


def _forms(value: str) -> Iterator[str]:
    yield value
    if not _SAME_EVERYWHERE.fullmatch(value):
        yield from _escaped_forms(value)
    yield from _base64_forms(value.encode("utf-8", "surrogatepass"))


def _escaped_forms(value: str) -> Iterator[str]:
    for quoted in _QUOTED:
        # Escaped once (in JSON) and twice (JSON quoted in JSON, as Caddy's errors are).
        once = quoted(value)[1:-1]
        yield once
        yield quoted(once)[1:-1]
    # Go's encoding/json, Caddy's too, also escapes these three.
    yield _QUOTED[0](value)[1:-1].replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    yield quote(value, safe="", errors="surrogatepass")
    yield quote(value, errors="surrogatepass")
    yield quote_plus(value, errors="surrogatepass")


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
