"""A fault of ours: a small page or a small JSON answer, and a log that quotes no value."""

from __future__ import annotations

import logging

import falcon
import pytest
from argos.api.access import Needs
from argos.api.routes import admin_app
from argos.application import Application
from argos.panel.app import panel_app
from falcon import testing

HEADERS = {"Host": "argos.home.example", "Argos-Client-Ip": "203.0.113.5"}


SECRET = "a-value-that-an-exception-quotes"


class Faulty:
    """A resource with a fault."""

    needs = Needs.NOBODY

    def on_get(self, _req: falcon.Request, _resp: falcon.Response) -> None:
        """Fail, quoting a value."""
        raise RuntimeError(SECRET)


@pytest.mark.threat("ING-7")
@pytest.mark.parametrize("path", ["/faulty", "/api/faulty"])
def test_a_fault_tells_a_person_nothing_of_its_values(
    application: Application, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    app = panel_app(application)
    app.add_route(path, Faulty())
    with caplog.at_level(logging.DEBUG):
        answer = testing.TestClient(app, headers=HEADERS).simulate_get(path)
    assert answer.status_code == 500
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"
    assert SECRET not in answer.text + caplog.text
    assert "RuntimeError" in caplog.text
    assert "test_faults.py" in caplog.text, "the log says where"
    assert answer.headers["content-type"].startswith("application/json" if path.startswith("/api") else "text/html")


def test_the_admin_socket_likewise(application: Application, caplog: pytest.LogCaptureFixture) -> None:
    app = admin_app(application)
    app.add_route("/v1/faulty", Faulty())
    answer = testing.TestClient(app).simulate_get("/v1/faulty")
    assert answer.status_code == 500
    assert answer.json["error"]["code"] == "error"
    assert SECRET not in answer.text + caplog.text
