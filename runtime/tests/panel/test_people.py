"""The pages about people: what an administrator does there, the welcome link, and the way out of a refusal."""

# ruff: noqa: D102
from __future__ import annotations

import re
from urllib.parse import urlencode

import pyotp
import pytest
from argos.accounts import BadCredentials, User
from argos.accounts.people import Wanted
from argos.application import Application
from argos.audit import Actor
from argos.panel.app import panel_app
from argos.storage.tables import users
from falcon import testing
from sqlalchemy import update

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
    assert (done.status_code, done.headers["location"]) == (303, "/login?password=set")
    told = "The password is set. Sign in with it."
    assert told in bobs.get(done.headers["location"]).text
    assert told not in bobs.get("/login").text
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


def test_saving_a_person_vouches_for_no_email_that_only_stood_there(application: Application, admin: Browser) -> None:
    """As a provider sent it: the person may have written it there themselves."""

    def save(**changed: str) -> User:
        form = {"name": "", "email": "boss@home.example", "email_was": "boss@home.example", "groups": ""}
        assert admin.post("/people/alice", do="save", role="member", **(form | changed)).status_code == 200
        return application.accounts.get("alice")

    def stored(email: str, *, verified: bool) -> None:
        with application.storage.write() as connection:
            which = users.c.username == "alice"
            connection.execute(update(users).where(which).values(email=email, email_verified=verified))

    stored("boss@home.example", verified=False)
    page = admin.get("/people/alice").text
    assert "Not verified" in page
    assert 'name="email_was" value="boss@home.example"' in page
    assert not save(groups="family").email_verified
    assert save(email_checked="1").email_verified
    assert "email_checked" not in admin.get("/people/alice").text
    stored("boss@home.example", verified=False)
    assert save(email="alice@home.example").email_verified
    # The provider sent another address while the administrator had the form open.
    stored("other@home.example", verified=False)
    kept = save(groups="work")
    assert (kept.email, kept.email_verified) == ("other@home.example", False)
    assert save(email="", email_was="other@home.example").email == ""


@pytest.mark.threat("LOG-5")
def test_an_administrator_resets_a_password_at_once(application: Application, admin: Browser) -> None:
    alice = Browser(application, "alice")
    done = admin.post("/people/alice", do="reset")
    assert done.status_code == 200
    assert application.sessions.find_edge(alice.edge_token) is None
    with pytest.raises(BadCredentials):
        application.accounts.authenticate("alice", "correct horse battery", "203.0.113.5")
    found = LINK.search(done.text)
    assert found is not None
    set_anew = Browser(application).post("/welcome", token=found[1], new="a long password", again="a long password")
    assert set_anew.status_code == 303
    application.accounts.authenticate("alice", "a long password", "203.0.113.5")
    application.people.put(Actor("cli", "test"), "alice", Wanted(disabled=True))
    assert admin.post("/people/alice", do="reset").status_code == 409


@pytest.mark.threat("LOG-5")
def test_an_administrator_signs_somebody_out_everywhere(application: Application, admin: Browser) -> None:
    alice, again = Browser(application, "alice"), Browser(application, "alice")
    assert "Signed in 2 times" in admin.get("/people/alice").text
    assert "is signed out everywhere" in admin.post("/people/alice", do="sign_out").text
    assert application.sessions.find_edge(alice.edge_token) is None
    assert application.sessions.find_edge(again.edge_token) is None
    assert "Not signed in anywhere" in admin.get("/people/alice").text
    assert "no sign-ins to end" in admin.post("/people/alice", do="sign_out").text


def test_nobody_resets_or_signs_out_their_own_account_there(application: Application, admin: Browser) -> None:
    for word in ("reset", "sign_out"):
        refused = admin.post("/people/root-admin", do=word)
        assert (refused.status_code, "in your profile" in refused.text) == (409, True)
    assert application.sessions.find_edge(admin.edge_token) is not None


@pytest.mark.threat("LOG-5")
def test_an_administrator_switches_off_the_second_factor_of_who_has_lost_it(
    application: Application, admin: Browser
) -> None:
    user = application.accounts.get("alice")
    me = Actor("user", "alice", "203.0.113.5")
    session = application.sessions.begin(me, user.id, me.address)
    secret = application.second_factors.begin(me, session.session).secret
    code = pyotp.TOTP(secret).at(application.clock.now())
    issued = application.second_factors.confirm(me, session.session, code).issued
    assert "second factor</li>" in admin.get("/people").text
    assert "no_second_factor" in admin.get("/people/alice").text
    assert "The second factor is off" in admin.post("/people/alice", do="no_second_factor").text
    assert application.sessions.find_edge(issued.edge_token) is None
    assert not application.second_factors.is_enabled(user.id)
    assert "There was no second factor" in admin.post("/people/alice", do="no_second_factor").text
    assert "second factor</li>" not in admin.get("/people").text


def test_mistakes_are_told_and_names_are_escaped(application: Application, admin: Browser) -> None:
    wrong = admin.post("/people", username="<b>x", groups="Not-Allowed", role="member")
    assert wrong.status_code == 400
    assert "username is not allowed" in wrong.text
    assert "<b>x" not in wrong.text
    assert "&lt;b&gt;x" in wrong.text
    assert admin.post("/people", username="alice", role="member").status_code == 409
    application.people.put(Actor("cli", "test"), "newcomer", Wanted(disabled=True))
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
