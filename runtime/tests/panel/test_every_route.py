"""AUT-1: a walk over all routes of the router, as nobody, half signed in, member and admin."""

from __future__ import annotations

import falcon
import pytest
from argos.api.access import Needs
from argos.api.routes import admin_app
from argos.application import Application
from argos.audit import Actor
from argos.panel.app import panel_app
from falcon import testing
from route_walk import steps_of

# What each route needs, said a second time: a new route without a line here fails, and so does a lowered guard.
EXPECTED = {
    "/": Needs.MEMBER,
    "/hosts": Needs.ADMIN,
    "/hosts/new": Needs.ADMIN,
    "/hosts/{name}": Needs.ADMIN,
    "/certificates": Needs.ADMIN,
    "/decisions": Needs.ADMIN,
    "/history": Needs.ADMIN,
    "/history/{number}": Needs.ADMIN,
    "/login": Needs.NOBODY,
    "/logout": Needs.NOBODY,
    "/continue": Needs.NOBODY,
    "/password": Needs.PASSWORD_CHANGE,
    "/second-factor": Needs.SECOND_FACTOR,
    "/confirm": Needs.MEMBER,
    "/profile": Needs.MEMBER,
    "/profile/second-factor": Needs.MEMBER,
    "/profile/sessions": Needs.MEMBER,
    "/oidc": Needs.ADMIN,
    "/oidc/start": Needs.NOBODY,
    "/oidc/callback": Needs.NOBODY,
    "/oidc/link": Needs.MEMBER,
    "/oidc/confirm": Needs.MEMBER,
    "/people": Needs.ADMIN,
    "/people/{username}": Needs.ADMIN,
    "/waf": Needs.ADMIN,
    "/waf/{event}": Needs.ADMIN,
    "/backups": Needs.ADMIN,
    "/backups/{name}": Needs.ADMIN,
    "/welcome": Needs.NOBODY,
    "/denied": Needs.NOBODY,
    "/static/{name}": Needs.NOBODY,
    "/api/auth/forward": Needs.NOBODY,
    "/api/v1/health": Needs.ADMIN,
    "/api/v1/config": Needs.ADMIN,
    "/api/v1/config/plan": Needs.ADMIN,
    "/api/v1/config/apply": Needs.ADMIN,
    "/mail": Needs.ADMIN,
    "/secrets": Needs.ADMIN,
    "/audit": Needs.ADMIN,
    "/audit/export": Needs.ADMIN,
    "/api/v1/audit": Needs.ADMIN,
    "/api/v1/audit/export": Needs.ADMIN,
    "/api/v1/audit/verify": Needs.ADMIN,
    "/api/v1/kept": Needs.ADMIN,
    "/api/v1/key": Needs.ADMIN,
    "/api/v1/revisions": Needs.ADMIN,
    "/api/v1/revisions/{number}": Needs.ADMIN,
    "/api/v1/revisions/{number}/rollback": Needs.ADMIN,
    "/api/v1/certificates": Needs.ADMIN,
    "/api/v1/hosts": Needs.ADMIN,
    "/api/v1/hosts/{name}": Needs.ADMIN,
    "/api/v1/decisions": Needs.ADMIN,
    "/api/v1/decisions/{number}": Needs.ADMIN,
    "/api/v1/waf/events": Needs.ADMIN,
    "/api/v1/waf/events/{event}": Needs.ADMIN,
    "/api/v1/waf/events/{event}/exclusion": Needs.ADMIN,
    "/api/v1/secrets": Needs.ADMIN,
    "/api/v1/secrets/{name}": Needs.ADMIN,
    "/api/v1/backups": Needs.ADMIN,
    "/api/v1/backups/requests/{request}": Needs.ADMIN,
    "/api/v1/backups/{name}": Needs.ADMIN,
    "/api/v1/mail": Needs.ADMIN,
    "/api/v1/mail/test": Needs.ADMIN,
    "/api/v1/users": Needs.ADMIN,
    "/api/v1/users/{username}": Needs.ADMIN,
    "/api/v1/users/{username}/password": Needs.ADMIN,
    "/api/v1/users/{username}/link": Needs.ADMIN,
    "/api/v1/users/{username}/second-factor": Needs.ADMIN,
}
LEVELS = {
    None: None,
    "halfway": Needs.SECOND_FACTOR,
    "newcomer": Needs.PASSWORD_CHANGE,
    "alice": Needs.MEMBER,
    "root-admin": Needs.ADMIN,
}
HEADERS = {
    "Host": "argos.home.example",
    "Argos-Client-Ip": "203.0.113.5",
    "Origin": "https://argos.home.example",
    "Sec-Fetch-Site": "same-origin",
}


def cookie(application: Application, who: str | None) -> str:
    if who is None:
        return ""
    if who == "halfway":
        made = application.accounts.create(Actor("user", who), who, "admin", "correct horse battery")
        with application.storage.write() as connection:
            connection.exec_driver_sql(
                "INSERT INTO totp (user_id, secret, confirmed_at, last_step, created_at) VALUES (?, x'00', 1, 0, 1)",
                (made.id,),
            )
    user = application.accounts.get(who)
    issued = application.sessions.begin(Actor("user", who), user.id, "203.0.113.5")
    return f"__Host-argos_panel={issued.panel_token}; __Secure-argos_session={issued.edge_token}"


@pytest.mark.threat("AUT-1")
def test_each_route_of_the_router_needs_what_is_said_here(application: Application) -> None:
    assert {step.route: step.needs for step in steps_of(panel_app(application))} == EXPECTED


@pytest.mark.threat("AUT-1")
@pytest.mark.parametrize("who", LEVELS, ids=str)
def test_each_route_is_denied_below_what_it_needs_and_passes_above(application: Application, who: str | None) -> None:
    """Over HTTP, in both modes and through the edge: tests/integration/panel, tests/e2e."""
    app, level = panel_app(application), LEVELS[who]
    client = testing.TestClient(app, headers={**HEADERS, "Cookie": cookie(application, who)})
    for step in steps_of(app):
        if step.route == "/logout":
            continue  # it would end the walk's own session; anybody may call it, and it only ends
        audit_before = audit_rows(application)
        answer = client.simulate_request(
            step.method, step.target, body=b"{}", headers={"Content-Type": "application/json"}
        )
        location = answer.headers.get("location", "")
        if step.admits(level):
            step.assert_admitted(answer.status_code, location)
            continue
        step.assert_denied(level, answer.status_code, location)
        assert audit_rows(application) == audit_before, f"{step}: it changed something"


@pytest.mark.threat("AUT-1")
def test_a_route_that_does_not_say_what_it_needs_is_refused_to_an_admin_too(application: Application) -> None:
    class Forgotten:
        def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
            resp.text = "open"

    for app, prefix in ((panel_app(application), "/"), (admin_app(application), "/v1/")):
        app.add_route(f"{prefix}forgotten", Forgotten())
        client = testing.TestClient(app, headers={**HEADERS, "Cookie": cookie(application, "root-admin")})
        answer = client.simulate_get(f"{prefix}forgotten")
        assert answer.status_code == 403
        assert answer.text != "open"


@pytest.mark.threat("AUT-1")
def test_a_route_with_an_odd_spelling_is_no_way_round(application: Application) -> None:
    client = testing.TestClient(panel_app(application), headers=HEADERS)
    for path in (
        "/hosts/",
        "//hosts",
        "/./hosts",
        "/HOSTS",
        "/hosts;x",
        "/static/../hosts",
        "/api/v1/users/",
        "/api/v1//users",
    ):
        answer = client.simulate_get(path)
        assert answer.status_code in {303, 401, 404}, path


def audit_rows(application: Application) -> int:
    with application.storage.read() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM audit").scalar_one())
