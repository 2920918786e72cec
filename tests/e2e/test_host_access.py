"""Who may enter which host, decided by Caddy and the gate together; and the way to be somebody else, in a browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lab.admin_api import AdminApi, Declaration
from lab.authenticator import became_full, set_up, sign_in_half_way
from lab.browser import PATIENCE_MS, Watched, chromium
from lab.echo import Received
from lab.guest import Guest
from lab.people import Panel, People, Person
from lab.visitor import Visitor
from playwright.sync_api import Page

# Each host's rule, and who of PEOPLE it admits.
HOSTS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "e2e-for-group": ({"groups": ["e2e-family"]}, {"e2e-anna"}),
    "e2e-for-role": ({"groups": ["role:admin"]}, {"e2e-chief"}),
    "e2e-for-email": ({"emails": ["Bert@Mail.e2e.example"]}, {"e2e-bert"}),
    "e2e-for-domain": ({"domains": ["e2e.example"]}, {"e2e-anna"}),
    "e2e-for-user": ({"users": ["e2e-chief"]}, {"e2e-chief"}),
    "e2e-for-any-of": ({"groups": ["e2e-family"], "emails": ["bert@mail.e2e.example"]}, {"e2e-anna", "e2e-bert"}),
    "e2e-for-all": ({}, {"e2e-anna", "e2e-bert", "e2e-chief"}),
}
PEOPLE: dict[str, dict[str, Any]] = {
    "e2e-anna": {"email": "anna@e2e.example", "groups": ["e2e-family", "e2e-others"]},
    "e2e-bert": {"email": "bert@mail.e2e.example", "groups": ["e2e-family-friends"]},  # a subdomain is another domain
    "e2e-chief": {"email": "", "role": "admin"},
}
WITH_FACTOR = {"second_factor": "required"}


@pytest.fixture(scope="module")
def declared(declaration: Declaration, more_hosts: Callable[..., None]) -> None:
    hosts = [declaration.host(label, auth={"required": True, **rule}) for label, (rule, _unused) in HOSTS.items()]
    factor = declaration.host("e2e-for-factor", auth={"required": True, **WITH_FACTOR})
    both = declaration.host(
        "e2e-for-group-and-factor", auth={"required": True, "groups": ["e2e-family"], **WITH_FACTOR}
    )
    more_hosts(*hosts, factor, both)


@pytest.fixture(scope="module")
def residents(api: AdminApi, people: People, declared: None) -> dict[str, Person]:
    made = {}
    for name, fields in PEOPLE.items():
        made[name] = people.create(name, must_change=False)
        answer = api.request("PUT", f"/v1/users/{name}", fields)
        assert answer.status == 200, answer
    return made


@pytest.fixture
def page(guest: Guest, panel: Panel) -> Iterator[Page]:
    """A browser's page; fail at the end where one of the panel broke its own policy."""
    with chromium(guest) as browser:
        context = browser.new_context()
        context.set_default_timeout(PATIENCE_MS)
        watched = Watched(context, panel.host)
        yield context.new_page()
        assert not watched.reports, watched.reports


@pytest.mark.threat("FWD-3")
@pytest.mark.parametrize("who", PEOPLE)
def test_each_host_admits_whom_its_rule_names_and_shows_others_a_clear_page(
    visitor: Visitor, panel: Panel, declaration: Declaration, residents: dict[str, Person], who: str
) -> None:
    panel.sign_in(visitor, residents[who])
    for label, (_rule, admitted) in HOSTS.items():
        url = f"https://{declaration.name(label)}/inbox?a=1&b=2"
        answer = visitor.get(url)
        if who in admitted:
            assert answer.status_code == 200, (label, who)
            assert Received.of(answer.content).one("x-auth-user") == who
            continue
        assert answer.status_code == 403, (label, who, answer.status_code)
        shown = visitor.navigate(url)
        assert shown.status_code == 403, label
        assert f"<strong>{who}</strong>" in shown.text
        link = f"{panel.url}/denied?rd=https%3A%2F%2F{declaration.name(label)}%2Finbox%3Fa%3D1%26b%3D2"
        assert f'href="{link}"' in shown.text, label


@pytest.mark.threat("FWD-3")
@pytest.mark.threat("LOG-5")
def test_a_group_or_an_email_that_is_taken_away_closes_the_host_at_once(
    new_visitor: Callable[..., Visitor],
    api: AdminApi,
    panel: Panel,
    people: People,
    declaration: Declaration,
    declared: None,
) -> None:
    person = people.create("e2e-dora", must_change=False)
    for label, held, lost in (
        ("e2e-for-group", {"groups": ["e2e-family"]}, {"groups": []}),
        ("e2e-for-email", {"email": "bert@mail.e2e.example"}, {"email": "dora@elsewhere.example"}),
    ):
        client, url = new_visitor(), f"https://{declaration.name(label)}/"
        assert api.request("PUT", f"/v1/users/{person.username}", held).status == 200
        panel.sign_in(client, person)
        assert client.get(url).status_code == 200, label
        assert api.request("PUT", f"/v1/users/{person.username}", lost).status == 200
        assert client.get(url).status_code in (401, 403), label
        again = new_visitor()
        panel.sign_in(again, person)
        assert again.get(url).status_code == 403, label


@pytest.mark.threat("LOG-4")
@pytest.mark.threat("FWD-3")
def test_a_host_that_wants_a_second_factor_opens_to_a_proved_code_alone(
    new_visitor: Callable[..., Visitor],
    api: AdminApi,
    panel: Panel,
    people: People,
    declaration: Declaration,
    declared: None,
) -> None:
    person = people.create("e2e-emil", must_change=False)
    url = f"https://{declaration.name('e2e-for-factor')}/"
    both = f"https://{declaration.name('e2e-for-group-and-factor')}/"
    owner, client = new_visitor(), new_visitor()
    panel.sign_in(owner, person)
    refused = owner.navigate(url)
    assert (refused.status_code, owner.get(url).status_code) == (403, 403)
    assert "second factor" in refused.text
    assert owner.get(f"https://{declaration.name('e2e-for-all')}/").status_code == 200

    app = set_up(panel, new_visitor(), person)
    sign_in_half_way(panel, client, person)
    assert client.get(url).status_code == 401, "half signed in is not signed in"
    assert became_full(panel.post(client, "/second-factor", {"code": app.code(), "rd": "/"}))
    assert Received.of(client.get(f"{url}inbox").content).one("x-auth-user") == person.username
    assert client.get(both).status_code == 403, "the code stands in for no group"


@pytest.mark.threat("FWD-3")
@pytest.mark.threat("LOG-5")
def test_who_may_not_enter_switches_to_an_account_that_may(
    page: Page, visitor: Visitor, panel: Panel, declaration: Declaration, residents: dict[str, Person]
) -> None:
    wanted = f"https://{declaration.name('e2e-for-group')}/inbox/a%2Fb?q=x%26y&empty="
    sign_in(page, wanted, residents["e2e-bert"])
    page.wait_for_url(wanted)
    assert page.get_by_role("heading", name="Not allowed here").is_visible()
    assert "You are signed in as e2e-bert." in page.inner_text("main")
    held = {one["name"]: one["value"] for one in page.context.cookies() if "argos" in one["name"]}

    page.get_by_role("link", name="Switch account").click()
    page.wait_for_url(re.compile(f"^{panel.url}/denied"))
    assert declaration.name("e2e-for-group") in page.inner_text("h1")
    page.get_by_role("button", name="Switch account").click()
    page.wait_for_url(re.compile(f"^{panel.url}/login"))
    old = {"Cookie": f"__Secure-argos_session={held['__Secure-argos_session']}"}
    open_to_all = f"https://{declaration.name('e2e-for-all')}/"
    assert visitor.get(open_to_all, headers=old).status_code == 401, "the first sign-in is over"

    fill_in(page, residents["e2e-anna"])
    page.wait_for_url(wanted)
    received = Received.of(page.locator("body").inner_text())
    assert received.target == "/inbox/a%2Fb?q=x%26y&empty="
    assert received.one("x-auth-user") == "e2e-anna"


def sign_in(page: Page, wanted: str, person: Person) -> None:
    page.goto(wanted)
    fill_in(page, person)


def fill_in(page: Page, person: Person) -> None:
    page.fill("#username", person.username)
    page.fill("#password", person.password)
    page.click("button[type=submit]")
