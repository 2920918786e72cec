"""Operator strings are not Caddy placeholders.

Caddy replaces ``{file.…}`` and ``{env.…}`` in almost any string, the operator's too: a
body of ``{file./etc/shadow}`` would be served. Every brace of theirs is escaped, but
for placeholders that tell about the request alone.
"""

from __future__ import annotations

import re

ALLOWED = (
    "{http.request.host}",
    "{http.request.scheme}",
    "{http.request.uri}",
    "{http.request.uri.path}",
    "{http.request.uri.query}",
)

# A backslash before a placeholder is the operator's own way of escaping it.
_PIECES = re.compile(r"(?<!\\)(" + "|".join(re.escape(name) for name in ALLOWED) + r")|([{}])")


def operator_text(text: str) -> str:
    """Make Caddy's replacer give back exactly ``text``, but for the placeholders in :data:`ALLOWED`."""
    return _PIECES.sub(lambda found: found[1] or "\\" + found[2], text)


def literal_text(text: str) -> str:
    """Make Caddy's replacer give back exactly ``text``, where what a request says must not stand: in HTML, say."""
    return re.sub(r"[{}]", lambda found: "\\" + found[0], text)
