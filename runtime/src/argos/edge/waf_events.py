"""The WAF's event log: what it found, one JSON line an event, as argos-caddy writes it.

Everything in it may be a client's: names, values, paths. It is read from its end, within
limits, and shown through :func:`printable`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from argos.errors import NotFound, Unavailable
from argos.log_tail import tail

TAIL = 2 * 1024 * 1024
"""Bytes of the log's end that are looked at: some thousand events."""
MAX_LINE = 64 * 1024
MAX_LISTED = 500


class Finding(msgspec.Struct, frozen=True):
    """One rule that matched; ``variable`` is such as ARGS:q, ``value`` is cut and may be masked."""

    id: int
    msg: str = ""
    severity: str = ""
    variable: str = ""
    value: str = ""


class Event(msgspec.Struct, frozen=True):
    """One line. ``status`` is what the WAF answered, 0 when the request passed; docs of the fields: event.go."""

    ts: str = ""
    request_id: str = ""
    host_id: str = ""
    policy: str = ""
    mode: str = ""
    client_ip: str = ""
    method: str = ""
    uri: str = ""
    rules: tuple[Finding, ...] = ()
    would_block: bool = False
    blocked_by: int = 0
    reason: str = ""
    status: int = 0
    key: str = ""
    """Names the event; not in the log."""


def recent(log: Path, host: str = "", limit: int = 100) -> list[Event]:
    """The last events, newest first.

    Args:
        log: the event log; one that is not there has no events.
        host: only this host's; empty: all.
        limit: at most so many.

    Raises:
        Unavailable: the log cannot be read.
    """
    found: list[Event] = []
    for event in _newest_first(log):
        if len(found) >= min(limit, MAX_LISTED):
            break
        if not host or event.host_id == host:
            found.append(event)
    return found


def find(log: Path, key: str) -> Event:
    """The event that :func:`recent` calls ``key``.

    Raises:
        NotFound: none of that key among the last ones.
        Unavailable: the log cannot be read.
    """
    for event in _newest_first(log):
        if event.key == key:
            return event
    raise NotFound(f"event {printable(key, 40)!r}: not among the last in the WAF's log")


def _newest_first(log: Path) -> Iterator[Event]:
    for line in reversed(_tail(log).split(b"\n")):
        if not line or len(line) > MAX_LINE:
            continue
        try:
            event = msgspec.json.decode(line, type=Event)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue  # a line that a crash cut
        yield msgspec.structs.replace(event, key=hashlib.sha256(line).hexdigest()[:16])


def _tail(log: Path) -> bytes:
    try:
        return tail(log, TAIL)
    except FileNotFoundError:
        return b""
    except OSError as problem:
        raise Unavailable(f"{log}: {problem.strerror}") from None


def printable(text: str, limit: int = 300) -> str:
    r"""``text`` without control or direction characters, which would act on a terminal or mislead a reader."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in cut)


def verdict(event: Event) -> str:
    """What the WAF did, in words."""
    if event.status:
        return f"refused with status {event.status}"
    return "passed, and block would have refused it" if event.would_block else "passed"
