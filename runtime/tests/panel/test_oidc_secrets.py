"""A provider that throws back all it was sent: nothing of it is shown, written, or kept in memory."""

from __future__ import annotations

import base64
import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote

import pytest
from argos.application import Application
from argos.audit import Actor
from argos.oidc.errors import ProviderRefused

SYSTEM = Actor("system", "test")
SECRET = "a client secret: with % and +"
BACK = "https://argos.home.example/oidc/callback"


class Telltale(BaseHTTPRequestHandler):
    """Its token endpoint's errors hold the client's secret, the code and the verifier, in each field."""

    def do_GET(self) -> None:
        """Describe the provider."""
        issuer = f"http://{self.headers['Host']}"
        ends = {name: f"{issuer}/{name}" for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")}
        self.say(200, {"issuer": issuer, **ends})

    def do_POST(self) -> None:
        """Refuse, and tell everything."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        told = f"{body} {self.headers['Authorization']} {SECRET} {parse_qs(body)}"
        self.say(400, {"error": told, "error_description": told, "id_token": {"x": told}, told: told})

    def say(self, status: int, value: object) -> None:
        """Send JSON."""
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_unused: object) -> None:
        """Say nothing."""


@pytest.fixture
def issuer(application: Application) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Telltale) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        issuer = f"http://127.0.0.1:{server.server_port}"
        application.secrets.set(SYSTEM, "oidc-client", SECRET)
        spec = {"issuer": issuer, "client_id": "argos", "client_secret": {"secret": "oidc-client"}}
        with application.storage.write() as connection:
            row = "INSERT INTO resources (kind, name, spec, owner, updated_at) VALUES ('settings', 'oidc', ?, '', 0)"
            connection.exec_driver_sql(row, (json.dumps(spec),))
        yield issuer
        server.shutdown()


def attempt(application: Application, code: str) -> str:
    start = application.oidc.begin(BACK, "/", "203.0.113.9")
    with pytest.raises(ProviderRefused) as refused:
        application.oidc.finish(start.ticket, {"code": code, "state": start.ticket.state}, "203.0.113.9", "")
    return str(refused.value)


@pytest.mark.threat("SEC-3")
def test_what_a_provider_throws_back_is_neither_shown_nor_written(
    application: Application, issuer: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said = [attempt(application, "the-code-of-this-sign-in")]
    said += [step.message for step in application.oidc.test(BACK)]
    with application.storage.read() as connection:
        said += [str(row) for row in connection.exec_driver_sql("SELECT * FROM audit").all()]
    pair = f"argos:{quote(SECRET, safe='')}"
    for hidden in (SECRET, quote(SECRET, safe=""), base64.b64encode(pair.encode()).decode(), "the-code-of-this"):
        assert hidden not in "\n".join([*said, caplog.text]), hidden


@pytest.mark.threat("DAT-4")
def test_sign_ins_leave_nothing_behind_in_the_scrubber(application: Application, issuer: str) -> None:
    """What it knows it keeps for good: were tokens and codes among it, visitors could fill the memory."""
    attempt(application, "code-number-0-of-a-sign-in")
    known = len(application.scrubber)
    for number in range(1, 20):
        attempt(application, f"code-number-{number}-of-a-sign-in")
    assert len(application.scrubber) == known
