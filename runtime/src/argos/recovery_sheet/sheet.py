"""The sheet itself, for a terminal and as a page to print."""

from __future__ import annotations

import base64
import html
import io
import time

import segno

from argos.recovery_sheet.words import to_words
from argos.vault import key_id

WARNING = "Whoever has this sheet and a copy of the database or of a backup has every secret in it."
_HOW = (
    "To use it: `argos key words` reads the 24 words and prints the line for /etc/argos/argos.env; "
    "the QR code holds the same line's value."
)


def as_text(key: bytes, host: str, now: int) -> str:
    """The sheet for a terminal, at most 78 columns but for the QR code."""
    rows = [f"{place:>2}. {word}" for place, word in enumerate(to_words(key), 1)]
    lines = ["   ".join(f"{rows[row + 6 * column]:<14}" for column in range(4)).rstrip() for row in range(6)]
    code = io.StringIO()
    _code(key).terminal(out=code, compact=True)
    return "\n".join(
        [
            f"Argos recovery sheet of {host}, {_day(now)}",
            f"Master key with id {key_id(key)}",
            "",
            *lines,
            "",
            f"ARGOS_MASTER_KEY={base64.b64encode(key).decode()}",
            "",
            code.getvalue().rstrip("\n"),
            "",
            WARNING,
            _HOW,
        ]
    )


def as_html(key: bytes, host: str, now: int) -> str:
    """The sheet as one page that loads nothing, black on white, to print."""
    words = "".join(f"<li>{word}</li>" for word in to_words(key))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>Argos recovery sheet</title>
<style>body{{font:11pt sans-serif;color:#000;background:#fff;max-width:40rem;margin:2rem auto;padding:0 1rem}}
ol{{columns:3;font:12pt monospace;line-height:1.7}}code{{overflow-wrap:anywhere}}svg{{width:60mm;height:auto}}
ol,svg,code{{break-inside:avoid}}@media print{{body{{margin:0;max-width:none}}}}</style>
</head><body><main><h1>Argos recovery sheet</h1>
<p>{html.escape(host)}, {_day(now)}. Master key with id <code>{key_id(key)}</code></p>
<ol>{words}</ol><p><code>ARGOS_MASTER_KEY={base64.b64encode(key).decode()}</code></p>
<p role="img" aria-label="QR code of the key above">{_code(key).svg_inline(scale=4)}</p>
<p><strong>{WARNING}</strong></p><p>{html.escape(_HOW)}</p></main></body></html>
"""


def _code(key: bytes) -> segno.QRCode:
    return segno.make(base64.b64encode(key).decode(), error="m", micro=False)


def _day(now: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(now))
