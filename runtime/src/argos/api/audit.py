"""`…/audit`: the record of changes, searched, exported and verified."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import falcon

from argos.api import bodies
from argos.api.access import Needs
from argos.application import Application
from argos.audit.export import FORMATS, as_dict
from argos.audit.search import Query, parse_query
from argos.errors import FieldError, Invalid, Unavailable


def query_of(req: falcon.Request) -> Query:
    """The filters in a request's URL.

    Raises:
        Invalid: one of them is wrong, or stands there twice.
    """
    twice = [name for name, value in req.params.items() if not isinstance(value, str)]
    if twice:
        raise Invalid([FieldError("audit", name[:40], "is given twice", "once") for name in twice])
    return parse_query({name: value for name, value in req.params.items() if isinstance(value, str)})


class AuditList:
    """``GET …/audit``."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """One page, newest first; ``older`` is the ``before`` of the next."""
        page = self._application.record.page(query_of(req))
        bodies.write(resp, {"entries": [as_dict(entry) for entry in page.entries], "older": page.older})


class AuditExport:
    """``GET …/audit/export?format=jsonl|csv``."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Every row that passes, as a file."""
        write_export(self._application, req, resp)


class AuditVerdict:
    """``GET …/audit/verify``: one reading at a time, as it takes a second for 100 000 rows."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application
        self._reading = threading.Lock()

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """``{"sound", "broken", "rows", "first", "reason", "note"}``."""
        if not self._reading.acquire(blocking=False):
            raise Unavailable("The audit log is already being verified", retry_after=5)
        try:
            verdict = self._application.audit.examine()
        finally:
            self._reading.release()
        bodies.write(resp, verdict.facts())


def write_export(application: Application, req: falcon.Request, resp: falcon.Response) -> None:
    """Answer with a file of every row that passes the filters in the URL.

    Raises:
        Invalid: an unknown format, or a filter that is wrong.
    """
    wanted = str(req.params.get("format", "jsonl"))
    if wanted not in FORMATS:
        raise Invalid([FieldError("audit", "format", f"is {wanted[:20]!r}", "one of " + ", ".join(FORMATS))])
    content_type, lines = FORMATS[wanted]
    entries = application.record.all(query_of(req))
    resp.content_type = content_type
    resp.set_header("Content-Disposition", f'attachment; filename="argos-audit.{wanted}"')
    resp.stream = _in_pieces(lines(entries))


def _in_pieces(lines: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of some 64 KiB: waitress sends each by itself."""
    piece = bytearray()
    for line in lines:
        piece += line
        if len(piece) >= 64 * 1024:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)
