"""Errors as JSON: the one place where an exception becomes a status and a code."""

from __future__ import annotations

import logging
import traceback
from dataclasses import asdict, dataclass, field
from typing import Any

import falcon
import msgspec

from argos.errors import ArgosError, Conflict, Invalid, NotFound, Refused, Stale, Unavailable

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """Status, machine-readable code, sentence, and what else the error says."""

    status: int
    code: str
    message: str
    headers: dict[str, str] = field(default_factory=dict)
    errors: list[dict[str, Any]] = field(default_factory=list)


class ProofRequired(falcon.HTTPForbidden):
    """A change by a session whose person gave no password or code lately; code ``proof_required``."""


# A kind before those it is a kind of.
_PLAIN: tuple[tuple[type[ArgosError], int, str], ...] = (
    (Stale, 412, "stale"),
    (NotFound, 404, "not_found"),
    (Conflict, 409, "conflict"),
    (Refused, 422, "refused"),
)
_OURS = "The runtime could not finish this; its journal says more."


def answer_for(error: ArgosError) -> Answer:
    """What ``error`` is to a caller of the API."""
    message = error.message
    if isinstance(error, Invalid):
        return Answer(400, "invalid", message, errors=[asdict(one) for one in error.errors])
    if isinstance(error, Unavailable):
        return Answer(503, "unavailable", message, headers={"Retry-After": str(error.retry_after)})
    for kind, status, code in _PLAIN:
        if isinstance(error, kind):
            return Answer(status, code, message)
    logger.error("an error without a status of its own: %s", type(error).__name__)
    return Answer(500, "error", _OURS)


def add_error_handlers(app: falcon.App[falcon.Request, falcon.Response]) -> None:
    """Answer every exception with JSON, never a traceback."""
    app.add_error_handler(Exception, _unexpected)
    app.add_error_handler(ArgosError, _domain_error)
    app.add_error_handler(falcon.HTTPError, _http_error)


def write_domain_error(resp: falcon.Response, error: ArgosError) -> None:
    """Answer with ``error``."""
    answer = answer_for(error)
    for name, value in answer.headers.items():
        resp.set_header(name, value)
    _write(resp, answer)


def write_http_error(resp: falcon.Response, error: falcon.HTTPError) -> None:
    """Answer with one of Falcon's own errors."""
    for name, value in dict(error.headers or {}).items():
        resp.set_header(name, value)
    status = error.status_code
    codes = {401: "unauthenticated", 403: "forbidden", 404: "not_found", 405: "method_not_allowed", 412: "stale"}
    code = codes.get(status, "invalid" if status < 500 else "error")
    message = error.description or error.title or "refused"
    _write(resp, Answer(status, "proof_required" if isinstance(error, ProofRequired) else code, message))


def write_unexpected(resp: falcon.Response) -> None:
    """Answer 500, saying nothing of the cause."""
    _write(resp, Answer(500, "error", _OURS))


def log_unexpected(req: falcon.Request, error: Exception) -> None:
    """Log a fault of ours: where it was, never the values it was about."""
    # Frames only: the text of an exception may quote a row or a form.
    frames = "".join(traceback.format_tb(error.__traceback__))
    route = req.uri_template or "(no route)"
    logger.error("%s %s: %s\n%s", req.method, route, type(error).__name__, frames)


def _write(resp: falcon.Response, answer: Answer) -> None:
    body: dict[str, Any] = {"code": answer.code, "message": answer.message}
    if answer.errors:
        body["errors"] = answer.errors
    resp.status = falcon.code_to_http_status(answer.status)
    resp.content_type = falcon.MEDIA_JSON
    resp.data = msgspec.json.encode({"error": body})


def _domain_error(_req: falcon.Request, resp: falcon.Response, error: ArgosError, _params: dict[str, str]) -> None:
    write_domain_error(resp, error)


def _http_error(_req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError, _params: dict[str, str]) -> None:
    write_http_error(resp, error)


def _unexpected(req: falcon.Request, resp: falcon.Response, error: Exception, _params: dict[str, str]) -> None:
    log_unexpected(req, error)
    write_unexpected(resp)
