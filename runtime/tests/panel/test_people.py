"""The pages about people: what an administrator does there, the welcome link, and the way out of a refusal."""

# ruff: noqa: D102
from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest
from argos.application import Application
from argos.audit import Actor
from argos.panel.app import panel_app
from falcon import testing

HEADERS = {
    "Host": "argos.home.example",
    "Argos-Client-Ip": "203.0.113.5",
    "Origin": "https://argos.home.example",
    "Content-Type": "application/x-www-form-urlencoded",
}
LINK = re.compile(r"https://argos\.home\.example/welcome\?token=([A-Za-z0-9_-]{43})")


class Browser:
    """Somebody's browser at the panel, or nobody's."""

    def __init__(self, application: Application, who: str | None = None) -> None:
        cookie, self.edge_token = "", ""
        if who is not None:
            user = application.accounts.get(who)
            issued = application.sessions.begin(Actor("user", who), user.id, "203.0.113.5")
            cookie, self.edge_token = f"__Host-argos_panel={issued.panel_token}", issued.edge_token
        self.client = testing.TestClient(panel_app(application), headers={**HEADERS, "Cookie": cookie})

    def get(self, path: str, **parameters: str) -> testing.Result:
        return self.client.simulate_get(path, params=parameters)

    def post(self, path: str, **form: str) -> testing.Result:
        return self.client.simulate_post(path, body=urlencode(form))


@pytest.fixture
def admin(application: Application) -> Browser:
    return Browser(application, "root-admin")


def test_a_new_person_is_made_gets_a_link_and_signs_in(application: Application, admin: Browser) -> None:
    made = admin.post("/people", username="bob", email="bob@home.example", groups="family, work", role="member")
    assert made.status_code == 200
    bob = application.accounts.get("bob")
    assert (bob.groups, bob.email_verified, bob.has_password) == (("family", "work"), True, False)
    found = LINK.search(made.text)
    assert found is not None
    token = found[1]
    assert LINK.search(admin.get("/people/bob").text) is None, "it is shown once"

    bobs = Browser(application)
    for _unused in range(2):  # a mail program's preview must not use it up
        assert "Welcome, bob" in bobs.get("/welcome", token=token).text
    different = bobs.post("/welcome", token=token, new="a long password", again="another password")
    assert different.status_code == 400
    assert "too_short" not in different.text
    assert bobs.post("/welcome", token=token, new="short", again="short").status_code == 400
    done = bobs.post("/welcome", token=token, new="a long password", again="a long password")
    assert (done.status_code, done.headers["location"]) == (303, "/login")
    assert bobs.get("/welcome", token=token).status_code == 404
    assert bobs.post("/welcome", token=token, new="a long password", again="a long password").status_code == 404
    application.accounts.authenticate("bob", "a long password", "203.0.113.5")


@pytest.mark.parametrize("query", ["", "token=", "token=x", "token=a&token=b", "token=%00", f"token={'A' * 43}"])
def test_a_welcome_without_a_good_token_is_404(application: Application, query: str) -> None:
    client = testing.TestClient(panel_app(application), headers=HEADERS)
    assert client.simulate_get("/welcome", query_string=query).status_code == 404


@pytest.mark.threat("LOG-5")
def test_what_is_saved_holds_at_once(application: Application, admin: Browser) -> None:
    alice = Browser(application, "alice")
    page = admin.get("/people/alice")
    assert page.status_code == 200
    saved = admin.post("/people/alice", do="save", name="Alice", email="", groups="family", role="member")
    assert "Saved." in saved.text
    assert application.accounts.get("alice").groups == ("family",)
    assert application.sessions.find_edge(alice.edge_token) is None
    same = admin.post("/people/alice", do="save", name="Alice", email="", groups="family", role="member")
    assert "Nothing to change." in same.text
    alice = Browser(application, "alice")
    admin.post("/people/alice", do="disable")
    assert application.accounts.get("alice").disabled
    assert application.sessions.find_edge(alice.edge_token) is None
    admin.post("/people/alice", do="enable")
    assert not application.accounts.get("alice").disabled
    assert LINK.search(admin.post("/people/alice", do="link").text)
    assert admin.post("/people/alice", do="delete", sure="bob").status_code == 409
    removed = admin.post("/people/alice", do="delete", sure="alice")
    assert (removed.status_code, removed.headers["location"]) == (303, "/people?removed=alice")
    assert admin.get("/people/alice").status_code == 404


def test_mistakes_are_told_and_names_are_escaped(application: Application, admin: Browser) -> None:
    wrong = admin.post("/people", username="<b>x", groups="Not-Allowed", role="member")
    assert wrong.status_code == 400
    assert "username is not allowed" in wrong.text
    assert "<b>x" not in wrong.text
    assert "&lt;b&gt;x" in wrong.text
    assert admin.post("/people", username="alice", role="member").status_code == 409
    application.accounts.set_disabled(Actor("cli", "test"), "newcomer", True)
    last = admin.post("/people/root-admin", do="save", name="", email="", groups="", role="member")
    assert last.status_code == 409
    assert "last enabled admin" in last.text
    assert admin.post("/people/alice", do="promote").status_code == 400
    assert "<script" not in admin.get("/people").text


@pytest.mark.threat("AUT-1")
def test_a_member_finds_no_people(application: Application) -> None:
    alice = Browser(application, "alice")
    assert alice.get("/people").status_code == 403
    assert alice.post("/people/alice", do="save", name="", email="", groups="", role="admin").status_code == 403
    assert application.accounts.get("alice").role == "member"


@pytest.mark.threat("LOG-5")
def test_a_refused_person_sees_who_they_are_and_can_switch(application: Application) -> None:
    alice = Browser(application, "alice")
    wanted = "https://photos.home.example/album?a=1"
    page = alice.get("/denied", rd=wanted)
    assert page.status_code == 403
    assert "alice" in page.text
    assert "photos.home.example" in page.text
    switched = alice.post("/denied", rd=wanted)
    assert switched.status_code == 303
    assert switched.headers["location"] == "/login?rd=https%3A%2F%2Fphotos.home.example%2Falbum%3Fa%3D1"
    assert application.sessions.find_edge(alice.edge_token) is None
    assert alice.get("/denied", rd="https://evil.example/").headers["location"] == "/login?rd=%2F"
