"""Text that came from elsewhere, as it may stand in a line of ours."""

from __future__ import annotations


def plain(text: str, limit: int) -> str:
    """``text`` on one line, at most ``limit`` characters: what does not print stands escaped, as ``\\x1b`` does.

    So no line end makes a header or a paragraph of its own, no escape moves a terminal's cursor,
    and nothing turns the direction of what follows (Unicode UAX 9).
    """
    shown = "".join(_shown(letter) for letter in text[: limit + 1])
    return shown if len(shown) <= limit and len(text) <= limit else shown[: limit - 1] + "…"


def _shown(letter: str) -> str:
    if letter.isprintable():
        return letter
    return " " if letter in "\r\n\t" else letter.encode("unicode_escape", "surrogatepass").decode("ascii")
