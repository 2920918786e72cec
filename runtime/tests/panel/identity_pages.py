"""What people see of their second factor, of the provider and of a first sign-in, each page in each of its states."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlencode

import pyotp
from argos.application import Application
from argos.audit import Actor
from argos.panel.app import panel_app
from falcon import testing
from page_reader import Page, read

SYSTEM = Actor("system", "test")
PASSWORD = "correct horse battery"
HEADERS = {
    "Host": "argos.home.example",
    "Argos-Client-Ip": "203.0.113.5",
    "Origin": "https://argos.home.example",
    "Content-Type": "application/x-www-form-urlencoded",
}


class Visitor:
    """A browser that keeps its cookies and reads each page it comes to."""

    def __init__(self, application: Application) -> None:
        self._client = testing.TestClient(panel_app(application), headers=HEADERS)
        self._cookies: dict[str, str] = {}

    def get(self, address: str, status: int = 200) -> Page:
        """Open a page, which answers ``status``."""
        return self._read("GET", address, "", status)

    def post(self, address: str, status: int = 200, **form: str) -> Page:
        """Send a form, whose answer is a page."""
        return self._read("POST", address, urlencode(form), status)

    def send(self, address: str, **form: str) -> str:
        """Send a form that leads on, and return where to."""
        answer = self._answer("POST", address, urlencode(form))
        assert answer.status_code == 303, (address, answer.status_code, answer.text)
        return str(answer.headers["location"])

    def _read(self, method: str, address: str, body: str, status: int) -> Page:
        answer = self._answer(method, address, body)
        assert answer.status_code == status, (address, answer.status_code, answer.text)
        return read(f"{method} {address}: {answer.status_code}", answer.text)

    def _answer(self, method: str, address: str, body: str) -> testing.Result:
        sent = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        answer = self._client.simulate_request(method, address, body=body, headers={"Cookie": sent} if sent else {})
        self._cookies |= {name: cookie.value for name, cookie in answer.cookies.items()}
        return answer


def identity_pages(application: Application) -> Iterator[Page]:
    """Every one of them, of an application that :func:`sample_state.fill` has filled."""
    application.accounts.create(SYSTEM, "with-factor", "member", PASSWORD)
    person = Visitor(application)
    yield person.get("/login?rd=https://photos.home.example/")  # with the provider's button
    yield person.post("/login", 401, username="with-factor", password="wrong", rd="/")
    person.send("/login", username="with-factor", password=PASSWORD, rd="/")
    yield person.get("/profile")  # not linked
    setup = person.post("/profile/second-factor", action="begin")
    assert setup.all("svg"), "the QR code"
    yield setup
    yield person.post("/profile/second-factor", 401, action="confirm", code="000000")
    (secret,) = [one.words for one in setup.all("code") if re.fullmatch("[A-Z2-7]{32}", one.words)]
    app, now = pyotp.TOTP(secret), application.clock.now()
    codes = person.post("/profile/second-factor", action="confirm", code=app.at(now - 30))
    assert len(codes.all("li")) >= 10, "the recovery codes"
    yield codes
    yield person.get("/profile")  # with the factor on
    yield person.get("/confirm?rd=/profile")
    yield person.post("/confirm", 401, code="000000", rd="/profile")
    yield person.get("/denied?rd=https://photos.home.example/", 403)

    half = Visitor(application)
    half.send("/login", username="with-factor", password=PASSWORD, rd="/")
    yield half.get("/second-factor?rd=/profile")
    yield half.post("/second-factor", 401, code="000000", rd="/")
    yield person.get("/profile")  # with a device that is half signed in

    linked = Visitor(application)
    linked.send("/login", username="alice", password=PASSWORD, rd="/")
    yield linked.get("/profile")
    yield linked.get("/oidc/callback?error=access_denied&state=none", 400)
    yield linked.get("/oidc/start", 503)  # the provider does not answer

    application.accounts.create(SYSTEM, "just-invited", "member")
    token = application.links.issue(SYSTEM, "just-invited")
    newcomer = Visitor(application)
    yield newcomer.get(f"/welcome?token={token}")
    yield newcomer.post("/welcome", 400, token=token, new="too short", again="another one")

    admin = Visitor(application)
    admin.send("/login", username="root-admin", password=PASSWORD, rd="/")
    yield admin.get("/people/alice")  # linked
    yield admin.get("/people/with-factor")
    yield admin.post("/people/just-invited", do="link")
    yield admin.get("/oidc")
    tested = admin.post("/oidc", action="test")
    assert any("checks" in one.get("class") for one in tested.all("ul")), "the steps"
    yield tested
    with application.storage.write() as connection:
        off = "UPDATE resources SET spec = json_set(spec, '$.enabled', json('false')) WHERE name = 'oidc'"
        connection.exec_driver_sql(off)
    yield admin.get("/oidc")  # switched off
