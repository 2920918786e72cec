"""Errors as pages: the one place where the panel turns an exception into an answer."""

from __future__ import annotations

import logging

import falcon

from argos.api import errors as api_errors
from argos.errors import ArgosError
from argos.panel import forms, pages
from argos.panel.access import is_api

logger = logging.getLogger(__name__)

_HEADINGS = {
    400: "This request could not be read",
    401: "Sign in first",
    403: "Refused",
    404: "Page not found",
    405: "Not allowed here",
    413: "Too large",
    415: forms.UNREADABLE,
    421: "Not this panel's name",
    429: "Too many attempts",
    431: "Too many cookies",
    503: "Not available right now",
}


def add_error_handlers(app: falcon.App[falcon.Request, falcon.Response]) -> None:
    """Answer every exception: JSON under ``/api/``, a small page elsewhere, never a traceback."""
    app.add_error_handler(Exception, _unexpected)
    app.add_error_handler(ArgosError, _domain_error)
    app.add_error_handler(falcon.HTTPError, _http_error)


def status_of(resp: falcon.Response, error: ArgosError) -> str:
    """The status line of a page that shows ``error``, as the API answers; sets the header fields that go with it."""
    return _status_of(resp, api_errors.answer_for(error))


def _http_error(req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError, _params: dict[str, str]) -> None:
    if is_api(req):
        api_errors.write_http_error(resp, error)
        return
    for name, value in dict(error.headers or {}).items():
        resp.set_header(name, value)
    message = error.description or "Check the address, or go back."
    pages.render(
        resp,
        "message.html",
        status=error.status,
        heading=error.title if error.description else _HEADINGS.get(error.status_code, "Something went wrong"),
        message=message,
        sign_out=False,
    )


def _domain_error(req: falcon.Request, resp: falcon.Response, error: ArgosError, _params: dict[str, str]) -> None:
    if is_api(req):
        api_errors.write_domain_error(resp, error)
        return
    answer = api_errors.answer_for(error)
    pages.render(
        resp,
        "message.html",
        status=_status_of(resp, answer),
        heading=_HEADINGS.get(answer.status, "That did not work"),
        message=answer.message,
        sign_out=False,
    )


def _unexpected(req: falcon.Request, resp: falcon.Response, error: Exception, _params: dict[str, str]) -> None:
    api_errors.log_unexpected(req, error)
    if is_api(req):
        api_errors.write_unexpected(resp)
        return
    pages.render(
        resp,
        "message.html",
        status=falcon.HTTP_500,
        heading="Something went wrong",
        message="The panel could not complete this. The reason is in its journal: journalctl -u argos.",
        sign_out=False,
    )


def _status_of(resp: falcon.Response, answer: api_errors.Answer) -> str:
    for name, value in answer.headers.items():
        resp.set_header(name, value)
    return str(falcon.code_to_http_status(answer.status))
