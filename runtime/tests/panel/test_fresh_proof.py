"""A cookie alone changes nothing: a walk over the router's mutating routes with a sign-in that is over 10 min old."""

from __future__ import annotations

import falcon
import falcon.inspect
import pytest
from argos.api.access import Needs
from argos.application import Application
from argos.audit import Actor
from argos.clock import FixedClock
from argos.edge.waf_events import recent
from argos.panel.access import FRESH
from argos.panel.app import panel_app
from falcon import testing

HEADERS = {
    "Host": "argos.home.example",
    "Argos-Client-Ip": "203.0.113.5",
    "Origin": "https://argos.home.example",
    "Sec-Fetch-Site": "same-origin",
}
PASSWORD = "correct horse battery"
# Routes whose changes ask for no fresh proof, and why; every other route of the router must ask.
WITHOUT_PROOF = {
    "/login": "it is the proof",
    "/second-factor": "it is the proof",
    "/confirm": "it is the proof",
    "/oidc/confirm": "it is the way to the proof",
    "/password": "asks for the current password itself",
    "/welcome": "the one-time link is the proof, and nobody is signed in",
    "/logout": "only ends the session that it comes with",
    "/denied": "only ends the session that it comes with, to switch the account",
    "/profile/sessions": "only ends sessions of one's own",
    "/api/v1/config/plan": "changes nothing",
}


SPEC = '{"name": "wiki.home.example", "upstreams": [{"url": "http://10.0.0.8:80"}]}'


def mutating(app: falcon.App) -> list[tuple[str, str]]:
    return [
        (method.method, route.path)
        for route in falcon.inspect.inspect_routes(app)
        for method in route.methods
        if not method.internal and method.method not in {"GET", "HEAD", "OPTIONS"}
    ]


def client_of(application: Application, who: str = "root-admin") -> testing.TestClient:
    user = application.accounts.get(who)
    issued = application.sessions.begin(Actor("user", who), user.id, "203.0.113.5")
    return testing.TestClient(
        panel_app(application), headers={**HEADERS, "Cookie": f"__Host-argos_panel={issued.panel_token}"}
    )


def address(path: str) -> str:
    path = path.replace("/hosts/{name}", "/hosts/wiki.home.example") if not path.startswith("/api/") else path
    for parameter, value in (("{username}", "alice"), ("{name}", "alice"), ("{number}", "1")):
        path = path.replace(parameter, value)
    return path


def written(application: Application) -> tuple[int, list[object]]:
    with application.storage.read() as connection:
        rows = connection.exec_driver_sql("SELECT count(*) FROM audit").scalar_one()
        return int(rows), list(connection.exec_driver_sql("SELECT * FROM users").all())


@pytest.mark.threat("AUT-1")
def test_every_change_in_the_panel_and_its_api_wants_a_fresh_password_or_code(application: Application) -> None:
    client = client_of(application)
    assert isinstance(application.clock, FixedClock)
    with application.storage.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO revisions (state, etag, resources, actor, created_at) VALUES ('superseded', '', '{}', 'x', 1)"
        )
        connection.exec_driver_sql("INSERT INTO resources VALUES ('host', 'wiki.home.example', ?, '', 0)", (SPEC,))
    application.clock.advance(FRESH + 1)
    application.settings.waf_log.write_bytes(b'{"host_id": "wiki.home.example"}\n')
    event = recent(application.settings.waf_log)[0].key
    walked = 0
    for method, path in mutating(client.app):
        if path in WITHOUT_PROOF:
            continue
        before = written(application)
        answer = client.simulate_request(
            method,
            address(path).replace("{event}", event),
            body=b"do=save&role=admin",
            headers={"Content-Type": falcon.MEDIA_URLENCODED},
        )
        said = f"{method} {path}: {answer.status} {answer.text[:200]}"
        if path.startswith("/api/"):
            assert (answer.status_code, answer.json["error"]["code"]) == (403, "proof_required"), said
        else:
            assert answer.status_code == 303, said
            assert answer.headers["location"].startswith("/confirm?rd=%2F"), said
            back = answer.headers["location"].partition("rd=")[2].replace("%2F", "/")
            assert client.simulate_get(back).status_code == 200, f"{said}: no page to come back to"
        assert written(application) == before, f"{said}: it changed something"
        walked += 1
    assert walked > 10


def test_a_route_is_excepted_only_with_the_same_reason_said_in_the_code(application: Application) -> None:
    app = panel_app(application)
    excepted = set()
    for method, path in mutating(app):
        resource = app._router.find(address(path))[0]
        if resource.needs < Needs.MEMBER or getattr(resource, "no_fresh_proof", ""):
            excepted.add(path)
        assert path not in WITHOUT_PROOF or method == "POST"
    assert excepted == set(WITHOUT_PROOF)


@pytest.mark.threat("AUT-1")
def test_what_was_refused_passes_after_the_password_and_not_ten_minutes_later(application: Application) -> None:
    clock = application.clock
    assert isinstance(clock, FixedClock)
    client = client_of(application)
    clock.advance(FRESH + 1)
    form = {"Content-Type": falcon.MEDIA_URLENCODED}
    proved = client.simulate_post("/confirm", body=f"password={PASSWORD.replace(' ', '+')}&rd=/people", headers=form)
    assert proved.status_code == 303
    token = proved.cookies["__Host-argos_panel"].value
    cookie = {"Cookie": f"__Host-argos_panel={token}"}
    close = {"path": "/people/alice", "body": "do=disable", "headers": {**form, **cookie}}
    clock.advance(FRESH)
    assert client.simulate_post(**close).status_code == 200
    assert application.accounts.get("alice").disabled
    clock.advance(1)
    assert client.simulate_post(**{**close, "body": "do=enable"}).status_code == 303
    assert application.accounts.get("alice").disabled
    refused = client.simulate_put("/api/v1/users/alice", json={"disabled": False}, headers=cookie)
    assert refused.status_code == 403
    assert client.simulate_get("/api/v1/users", headers=cookie).status_code == 200, "to look wants no proof"


def test_a_clock_that_went_back_makes_no_proof_fresh(application: Application) -> None:
    client = client_of(application)
    with application.storage.write() as connection:
        connection.exec_driver_sql("UPDATE sessions SET proved_at = proved_at + 86400")
    answer = client.simulate_post("/oidc", body="action=disable", headers={"Content-Type": falcon.MEDIA_URLENCODED})
    assert answer.headers["location"] == "/confirm?rd=%2Foidc"


def test_a_page_says_before_one_fills_it_in_that_changes_want_a_proof(application: Application) -> None:
    client = client_of(application)
    pages = ("/people", "/people/alice", "/oidc", "/profile")
    for page in pages:
        assert "confirm that it is you" not in client.simulate_get(page).text
    assert isinstance(application.clock, FixedClock)
    application.clock.advance(FRESH + 1)
    for page in pages:
        assert f'href="/confirm?rd={page}"' in client.simulate_get(page).text
