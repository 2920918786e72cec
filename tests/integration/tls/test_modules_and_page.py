"""The modules against a real admin API, a real Caddy and a real CA; the list in API, command line and page."""

from __future__ import annotations

import json
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler

from acme import Authority
from acme_edge import AcmeEdge
from argos.api.routes import admin_app
from argos.application import Application
from argos.edge.certificate_status import CertificateStatus
from argos.panel.app import panel_app
from argos.panel.certificates import view_of
from edge_rig import ACTOR, Edge
from falcon import testing
from handshakes import shown
from waiting import until

TOP = Path(__file__).resolve().parents[3]
NAME = "photos.home.example"


@contextmanager
def application_of(edge: Edge) -> Iterator[Application]:
    """The runtime's services over the edge's database, with the edge's own ports."""
    application = Application.from_settings(edge.settings, password_cost=4)
    application.__dict__["engine"] = edge.engine
    try:
        yield application
    finally:
        application.close()


@contextmanager
def admin_socket(application: Application, path: Path) -> Iterator[Path]:
    """Serve the admin API on ``path``."""
    app = admin_app(application)

    class Handler(WSGIRequestHandler):
        def handle(self) -> None:
            self.client_address = ("", 0)
            self.raw_requestline = self.rfile.readline(65537)
            if self.parse_request():
                server = ServerHandler(self.rfile, self.wfile, self.get_stderr(), self.get_environ(), multithread=False)
                server.request_handler = self  # type: ignore[attr-defined]
                server.run(app)

        def get_environ(self) -> dict[str, Any]:
            self.server.base_environ = {"SERVER_NAME": "admin", "SERVER_PORT": "0"}  # type: ignore[attr-defined]
            return super().get_environ()

        def log_message(self, *_unused: object) -> None:
            """Say nothing."""

    server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield path
    finally:
        server.shutdown()
        server.server_close()


def task(socket: Path, module: str, *flags: str, **options: Any) -> dict[str, Any]:
    """One task, by the real ansible."""
    ran = subprocess.run(
        [
            str(Path(sys.executable).parent / "ansible"), "localhost", "-m", f"argos.edge.{module}",
            "-a", json.dumps({"socket": str(socket), **options}), *flags,
        ],
        env={
            "PATH": os.environ["PATH"], "HOME": str(socket.parent), "LC_ALL": "C.UTF-8",
            "ANSIBLE_COLLECTIONS_PATH": str(TOP / ".build"), "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable, "ANSIBLE_NOCOLOR": "1",
        },
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    head, _unused, body = ran.stdout.partition("=> ")
    assert body, ran.stdout + ran.stderr
    result: dict[str, Any] = json.JSONDecoder().raw_decode(body)[0]
    return {**result, "failed": "FAILED" in head, "shown": ran.stdout + ran.stderr}


def test_the_modules_declare_exactly_what_they_show_and_the_list_tells_of_it(
    acme_edge: Callable[..., AcmeEdge], authority: Authority
) -> None:
    running = acme_edge()
    edge = running.edge
    edge.apply([])
    chain, key = authority.sign(NAME)
    with application_of(edge) as application, admin_socket(application, edge.place / "run/a.sock") as socket:
        application.secrets.set(ACTOR, "house-key", key)
        application.secrets.set(ACTOR, "token", "cf-T0ken_that-nobody-may-ever-read-4711")
        own = {"owner": "ansible", "name": "house", "certificate": chain, "key": {"secret": "house-key"}}
        checked = task(socket, "certificate", "--check", "--diff", **own)
        assert checked["changed"]
        assert application.state().of_kind("certificate") == ()
        done = task(socket, "certificate", **own)
        assert done["changes"] == checked["changes"]
        assert not task(socket, "certificate", **own)["changed"]
        assert key.splitlines()[1] not in checked["shown"] + done["shown"]
        stranger = task(socket, "certificate", **{**own, "key": {"secret": "token"}})
        assert stranger["failed"]
        assert "is no private key in PEM" in stranger["msg"]

        provider = {"owner": "ansible", "name": "cf", "type": "cloudflare", "api_token": {"secret": "token"}}
        checked = task(socket, "dns_provider", "--check", "--diff", **provider)
        assert checked["changed"]
        assert task(socket, "dns_provider", **provider)["changes"] == checked["changes"]
        assert not task(socket, "dns_provider", "--check", **provider)["changed"]
        gone = task(socket, "dns_provider", name="cf", state="absent")
        assert [change["action"] for change in gone["changes"]] == ["delete"]
        assert not task(socket, "dns_provider", name="cf", state="absent")["changed"]

        host = {
            "name": NAME,
            "upstreams": [{"url": running.echo.url}],
            "tls": {"mode": "manual", "certificate": "house"},
        }
        assert task(socket, "host", **host)["changed"]
        until(lambda: shown(edge, NAME).issuer == authority.name)
        used = task(socket, "certificate", name="house", state="absent")
        assert used["failed"]
        assert NAME in used["msg"]

        until(lambda: application.certificates()[0].condition == "valid", told=application.certificates)
        api = testing.TestClient(admin_app(application)).simulate_get("/v1/certificates").json["certificates"]
        assert [(one["name"], one["source"], one["certificate"], one["condition"]) for one in api] == [
            ("argos.home.example", "internal", "", "valid"),
            (NAME, "manual", "house", "valid"),
        ]
        assert api[1]["issuer"] == "Test root"
        page = the_page(application)
        assert page.status_code == 200
        assert all(text in page.text for text in (NAME, "your own, house", "Test root", "in 89 days", "by you"))
        edge.stop()
        page = the_page(application)
        assert (page.status_code, "Caddy cannot be reached" in page.text) == (503, True)
        assert testing.TestClient(admin_app(application)).simulate_get("/v1/certificates").status_code == 503


def the_page(application: Application) -> testing.Result:
    """``/certificates`` as an administrator gets it."""
    found = [account for account in application.accounts.list() if account.username == "root-admin"]
    admin = found[0] if found else application.accounts.create(ACTOR, "root-admin", "admin", "correct horse battery")
    issued = application.sessions.begin(ACTOR, admin.id, "192.0.2.1")
    headers = {
        "Host": "argos.home.example",
        "Argos-Client-Ip": "203.0.113.5",
        "Cookie": f"__Host-argos_panel={issued.panel_token}",
    }
    return testing.TestClient(panel_app(application), headers=headers).simulate_get("/certificates")


def test_each_condition_has_a_word_and_a_time() -> None:
    now = 1_800_000_000
    status = CertificateStatus(
        NAME, "auto", "", "failing", "CA", now - 9, now + 3600, now - 1, "the CA is away", now - 5
    )
    view = view_of(status, now)
    assert (view.kind, view.word) == ("warn", "renewal failing")
    assert view.until is not None
    assert view.failed is not None
    assert (view.until.relative, view.failed.text) == ("in 1 hour", "2027-01-15 07:59 UTC")
    assert view_of(CertificateStatus(NAME, "auto", "", "missing"), now).until is None
    over = view_of(CertificateStatus(NAME, "manual", "a", "expired", not_after=now - 7200), now)
    assert over.until is not None
    assert (over.word, over.until.relative) == ("expired", "2 hours ago")
