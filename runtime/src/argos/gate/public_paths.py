"""Which request targets are public paths of a protected host (AUT-2): a pure function.

Servers disagree on what ``%2e``, ``//``, ``;`` or a backslash mean, so a target is public
only when nobody can read it in two ways: its raw path holds no character that any of
them decodes, splits at or folds, and is already what cleaning would make of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# RFC 3986 §3.3's pchar less percent-encoding and ";" (path parameters); no "\\", "#" or "?" either.
_SEGMENT = r"[A-Za-z0-9._~!$&'()*+,=:@-]"
_PLAIN = re.compile(rf"(?:/{_SEGMENT}+)*/?").fullmatch  # no empty segment but the last
_DECLARABLE = re.compile(rf"(?:/{_SEGMENT.replace('*', '')}+)*/?\*?").fullmatch
_DOTS = re.compile(r"/\.+(?:/|$)").search  # ".", ".." and, as some servers read them, longer ones

LONGEST = 1024
"""Characters of a declared path."""


def is_public(paths: Sequence[str], uri: str) -> bool:
    """Tell whether the raw request target ``uri`` is one of the public ``paths``.

    A path of ``/a/b`` is that path alone; ``/a/*`` is ``/a/`` and what lies below, not ``/a``.
    Case matters. The query does not.
    """
    if not paths:
        return False
    path = uri.partition("?")[0]
    if not path.startswith("/") or _PLAIN(path) is None or _DOTS(path):
        return False
    return any(path.startswith(public[:-1]) if public.endswith("/*") else path == public for public in paths)


def declared_path_problem(text: str) -> str | None:
    """Say what is wrong with a declared public path, or None."""
    if not text.startswith("/") or _DECLARABLE(text) is None or _DOTS(text):
        return f"is {text[:80]!r}"
    if "*" in text and not text.endswith("/*"):
        return f"is {text[:80]!r}, with a '*' that is no whole segment"
    if text == "/*":
        return "is '/*', which is the whole host"
    return None
