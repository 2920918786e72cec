"""The panel's WAF pages: what a client sent stays text, and a change is shown, confirmed and never stale."""

from __future__ import annotations

import json
from typing import Any

import pytest
from argos.application import Application
from argos.audit import Actor
from argos.clock import FixedClock
from argos.edge.waf_events import recent
from argos.panel.app import panel_app
from falcon import testing

HOST = "wiki.home.example"
HOSTILE = "</code><script>alert(1)</script>"


def log(application: Application, **fields: Any) -> str:
    """Write one event; its key."""
    rule = {"id": 942100, "msg": HOSTILE, "severity": "critical", "variable": "ARGS:text", "value": HOSTILE}
    event = {"ts": "2026-11-24T00:12:46Z", "host_id": HOST, "method": "POST", "uri": "/save", "rules": [rule], **fields}
    application.settings.waf_log.write_text(json.dumps(event) + "\n", encoding="utf-8")
    return recent(application.settings.waf_log)[0].key


def declare(application: Application) -> None:
    spec = {"name": HOST, "upstreams": [{"url": "http://192.0.2.1:80"}], "waf": {"mode": "block"}}
    with application.storage.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO resources (kind, name, spec, owner, updated_at) VALUES ('host', ?, ?, 'ansible', 0)",
            (HOST, json.dumps(spec)),
        )


def browser(application: Application) -> testing.TestClient:
    admin = application.accounts.get("root-admin")
    issued = application.sessions.begin(Actor("cli", "test"), admin.id, "203.0.113.5")
    headers = {
        "Host": "argos.home.example",
        "Argos-Client-Ip": "203.0.113.5",
        "Origin": "https://argos.home.example",
        "Content-Type": "application/x-www-form-urlencoded",
        "Cookie": f"__Host-argos_panel={issued.panel_token}",
    }
    return testing.TestClient(panel_app(application), headers=headers)


@pytest.mark.threat("ING-2")
def test_what_a_client_sent_is_text_on_every_page(application: Application) -> None:
    declare(application)
    key = log(application, uri=f"/save?{HOSTILE}", client_ip=HOSTILE, host_id=HOST)
    client = browser(application)
    for path in ("/waf", f"/waf/{key}", f"/waf?host={HOST}"):
        page = client.simulate_get(path)
        assert page.status_code == 200
        assert "alert(1)" in page.text
        assert "<script>" not in page.text


def test_the_page_shows_the_change_and_who_manages_the_host(application: Application) -> None:
    declare(application)
    page = browser(application).simulate_get(f"/waf/{log(application)}").text
    assert "ARGS:text" in page
    assert 'class="added"' in page
    assert "ansible manages this host" in page


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"host_id": "gone.home.example"}, "not declared"), ({"reason": "body_limit", "rules": []}, "body_limit")],
)
def test_where_nothing_can_be_excluded_the_page_says_why(
    application: Application, fields: dict[str, Any], words: str
) -> None:
    declare(application)
    page = browser(application).simulate_get(f"/waf/{log(application, **fields)}")
    assert page.status_code == 200
    assert words in page.text
    assert "Add these exclusions" not in page.text


def test_an_unknown_event_is_not_found(application: Application) -> None:
    client = browser(application)
    assert client.simulate_get("/waf/0000000000000000").status_code == 404
    assert client.simulate_get("/api/v1/waf/events/0000000000000000").status_code == 404
    assert client.simulate_get("/waf").status_code == 200


def test_a_change_made_meanwhile_is_not_overwritten(application: Application) -> None:
    declare(application)
    key = log(application)
    answer = browser(application).simulate_post(f"/waf/{key}", body="etag=of-an-earlier-state")
    assert answer.status_code == 412
    assert "changed since" in answer.text


def test_the_change_wants_a_fresh_proof(application: Application) -> None:
    declare(application)
    key = log(application)
    client = browser(application)
    clock = application.clock
    assert isinstance(clock, FixedClock)
    clock.advance(11 * 60)
    answer = client.simulate_post(f"/waf/{key}", body="etag=")
    assert answer.status_code in {303, 403}
    assert "confirm" in client.simulate_get(f"/waf/{key}").text
    api = client.simulate_post(f"/api/v1/waf/events/{key}/exclusion", json={})
    assert api.status_code == 403


def test_the_api_explains_and_plans(application: Application) -> None:
    declare(application)
    key = log(application)
    client = browser(application)
    (listed,) = client.simulate_get("/api/v1/waf/events").json["events"]
    assert listed["key"] == key
    explained = client.simulate_get(f"/api/v1/waf/events/{key}").json
    wanted = {"id": 942100, "parameter": "ARGS:text", "path": "/save", "methods": ["POST"]}
    assert explained["exclusions"] == [wanted]
    assert explained["rules"][0]["paranoia"] == 1
    planned = client.simulate_post(f"/api/v1/waf/events/{key}/exclusion?check=true").json
    assert planned["added"] == [wanted]
    assert planned["changed"] is True
    assert [change["name"] for change in planned["changes"]] == [HOST]
