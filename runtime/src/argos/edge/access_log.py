"""Caddy's logs: what happened travels by file, for CrowdSec and the runtime to read.

Never a ``net`` writer: a reader that is connected and does not read blocks requests.
Credentials stay out: Caddy itself redacts Cookie, Set-Cookie, Authorization and
Proxy-Authorization; other headers and parameters that carry them are cut here. That
holds for the journal too: Caddy writes the whole request beside an upstream's failure.
"""

from __future__ import annotations

from typing import Any

from argos.edge.context import RenderContext

LOGGER = "argos"

_SECRET_PARAMETERS = ("access_token", "api_key", "apikey", "code", "password", "rd", "state", "token")
_SECRET_HEADERS = (
    "Api-Key",
    "Private-Token",
    "Sec-Websocket-Protocol",
    "X-Access-Token",
    "X-Api-Key",
    "X-Auth-Token",
    "X-Csrf-Token",
    "X-Gitlab-Token",
    "X-Vault-Token",
    "X-Xsrf-Token",
)


def logging(context: RenderContext) -> dict[str, Any]:
    """The top-level ``logging`` block."""
    return {
        "logs": {
            # PERF: reverse_proxy makes a logger of every request it passes on; lazy_json encodes only what is written.
            # A DNS provider's error quotes its token, and Caddy writes the error down: the outer encoder takes it out.
            "default": {
                "encoder": {
                    "format": "scrubbed",
                    "directory": context.credentials_dir,
                    "wrap": {"format": "lazy_json", "wrap": _without_credentials({"format": "json"})},
                },
                "exclude": [f"http.log.access.{LOGGER}"],
            },
            "access": {
                "writer": {
                    "output": "file",
                    "filename": context.access_log,
                    "mode": "0640",
                    "roll_size_mb": 50,
                    "roll_keep": 5,
                    "roll_keep_days": 14,
                },
                "encoder": _without_credentials({"format": "json", "time_format": "rfc3339_nano"}),
                "include": [f"http.log.access.{LOGGER}"],
            },
        }
    }


def _without_credentials(wrapped: dict[str, Any]) -> dict[str, Any]:
    """An encoder of entries that hold a request: ``wrapped``, less what opens something."""
    cut_query = {
        "filter": "query",
        "actions": [{"type": "replace", "parameter": name, "value": "REDACTED"} for name in _SECRET_PARAMETERS],
    }
    fields: dict[str, Any] = {f"request>headers>{name}": {"filter": "delete"} for name in _SECRET_HEADERS}
    fields["request>uri"] = cut_query
    fields["request>headers>Referer"] = cut_query
    fields["resp_headers>Location"] = cut_query
    return {"format": "filter", "wrap": wrapped, "fields": fields}


def server_logs() -> dict[str, Any]:
    """The ``logs`` block of a server."""
    return {"default_logger_name": LOGGER}


def switch(*, logged: bool) -> dict[str, Any]:
    """What the ``vars`` handler of a host sets.

    PERF: a list of hosts in ``logs`` is searched from its beginning at each request.
    """
    return {} if logged else {"log_skip": True}
