"""The record as JSON lines and as CSV, a line at a time."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from argos.audit.search import Entry

_COLUMNS = ("id", "time", "kind", "actor", "claim", "address", "action", "target", "before", "after")
# A spreadsheet takes a cell that begins so for a formula (OWASP, CSV injection), full-width forms too.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001  # they are meant


def as_dict(entry: Entry) -> dict[str, Any]:
    """An entry as JSON has it."""
    return {
        "id": entry.id,
        "time": entry.time,
        "at": entry.at,
        "actor": {"kind": entry.kind, "name": entry.actor, "claim": entry.claim},
        "address": entry.address,
        "action": entry.action,
        "target": entry.target,
        "before": entry.before,
        "after": entry.after,
    }


def json_lines(entries: Iterable[Entry]) -> Iterator[bytes]:
    """One JSON object a line (application/x-ndjson)."""
    for entry in entries:
        yield json.dumps(as_dict(entry), ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def csv_lines(entries: Iterable[Entry]) -> Iterator[bytes]:
    """RFC 4180, with a header line; no cell is a formula."""
    yield _line(_COLUMNS)
    for entry in entries:
        detail = (_detail(entry.before), _detail(entry.after))
        yield _line(
            (
                str(entry.id),
                entry.time,
                entry.kind,
                entry.actor,
                "yes" if entry.claim else "no",
                entry.address,
                entry.action,
                entry.target,
                *detail,
            )
        )


FORMATS: dict[str, tuple[str, Callable[[Iterable[Entry]], Iterator[bytes]]]] = {
    "jsonl": ("application/x-ndjson", json_lines),
    "csv": ("text/csv; charset=utf-8", csv_lines),
}


def _line(cells: Iterable[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line).writerow([_cell(cell) for cell in cells])
    return line.getvalue().encode("utf-8", "backslashreplace")


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _detail(detail: Any) -> str:
    return "" if detail is None else json.dumps(detail, ensure_ascii=False, sort_keys=True)
