"""A person opens a protected host in a browser, signs in, comes where they wanted to, and leaves."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from lab.admin_api import Declaration
from lab.browser import PATIENCE_MS, Watched, chromium
from lab.echo import Received
from lab.guest import Guest
from lab.namespace import PublicNetwork
from lab.people import Panel, People, Person, first_admin, new_password, remember_admin, somebody_unknown
from lab.visitor import NAVIGATION, Visitor
from playwright.sync_api import BrowserContext, Page

ASKED = "/inbox/a%2Fb?q=x%26y&next=%2Fdeep%2Flink&name=%C3%BCber&plain=1&empty="


@pytest.fixture
def context(guest: Guest) -> Iterator[BrowserContext]:
    with chromium(guest) as browser:
        made = browser.new_context()
        made.set_default_timeout(PATIENCE_MS)
        yield made


@pytest.fixture
def watched(context: BrowserContext, declaration: Declaration) -> Iterator[Watched]:
    """Fail at the end where a page of the panel broke its own policy."""
    seen = Watched(context, declaration.panel)
    yield seen
    assert not seen.reports, seen.reports


def fill_in(page: Page, person: Person) -> None:
    page.fill("#username", person.username)
    page.fill("#password", person.password)
    page.click("button[type=submit]")


@pytest.mark.threat("FWD-1")
@pytest.mark.threat("LOG-5")
@pytest.mark.threat("OIDC-5")
def test_a_person_lands_on_the_page_they_asked_for_and_is_out_after_signing_out(
    context: BrowserContext, watched: Watched, declaration: Declaration, alice: Person, visitor: Visitor
) -> None:
    page = context.new_page()
    wanted = f"https://{declaration.name('e2e-guarded')}{ASKED}"

    page.goto(wanted)
    assert page.url.startswith(f"https://{declaration.panel}/login?")
    fill_in(page, alice)
    page.wait_for_url(wanted)
    assert [place.partition("?")[0] for place in watched.places] == [
        f"https://{declaration.panel}/login",
        f"https://{declaration.panel}/continue",
        wanted.partition("?")[0],
    ], "no loop"

    received = Received.of(page.locator("body").inner_text())
    assert received.target == ASKED
    assert received.one("x-auth-user") == alice.username
    assert "argos" not in " ".join(received.all("cookie")).lower()

    kept = {c["name"]: c for c in context.cookies() if "argos" in c["name"]}
    edge = kept["__Secure-argos_session"]
    assert (edge["httpOnly"], edge["secure"], edge["sameSite"]) == (True, True, "Lax")
    own = kept["__Host-argos_panel"]
    assert (own["httpOnly"], own["secure"], own["sameSite"], own["path"]) == (True, True, "Strict", "/")
    stolen = {"Cookie": f"{edge['name']}={edge['value']}"}
    assert visitor.get(wanted, headers=stolen).status_code == 200

    page.goto(f"https://{declaration.panel}/")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"https://{declaration.panel}/login")

    # The very next request of anybody who holds the cookie, and then the browser's own.
    assert visitor.get(wanted, headers={**NAVIGATION, **stolen}).status_code == 302
    page.goto(wanted)
    assert page.url.startswith(f"https://{declaration.panel}/login?")


@pytest.mark.threat("LOG-1")
def test_a_first_password_must_be_changed_before_anything_opens(
    context: BrowserContext, watched: Watched, declaration: Declaration, people: People
) -> None:
    newcomer = people.create("e2e-newcomer")
    wanted = f"https://{declaration.name('e2e-guarded')}/welcome?to=you&me"
    page = context.new_page()

    page.goto(wanted)
    fill_in(page, newcomer)
    page.wait_for_url(re.compile("/password"))
    other = context.new_page()
    other.goto(wanted)
    assert declaration.panel in other.url, "half signed in, the host must not open"

    chosen = new_password()
    page.fill("#current", newcomer.password)
    page.fill("#new", chosen)
    page.fill("#again", chosen)
    page.click("button.wide")
    page.wait_for_url(wanted)
    assert Received.of(page.locator("body").inner_text()).one("x-auth-user") == newcomer.username


@pytest.mark.threat("AUT-1")
def test_the_first_admin_signs_in_with_a_password_of_their_own(
    guest: Guest, panel: Panel, visitor: Visitor, declaration: Declaration
) -> None:
    admin = first_admin(guest)
    answer = panel.submit(visitor, admin)
    assert answer.status_code == 303, answer.status_code
    if "/password" in answer.headers["Location"]:
        assert visitor.navigate(f"{panel.url}/hosts").status_code != 200
        assert panel.change_password(visitor, admin, new_password()).status_code == 303
        remember_admin(guest, admin)
    hosts = visitor.navigate(f"{panel.url}/hosts")
    assert hosts.status_code == 200
    assert declaration.name("e2e-guarded") in hosts.text


@pytest.mark.threat("AUT-1")
def test_set_up_never_opens_again(guest: Guest, visitor: Visitor, panel: Panel) -> None:
    for path in ("/setup", "/register", "/first-run", "/install"):
        assert visitor.navigate(panel.url + path).status_code in (302, 303, 404), path


@pytest.mark.threat("LOG-1")
def test_the_sixth_wrong_password_bans_the_address_and_no_other(
    new_visitor, network: PublicNetwork, panel: Panel, alice: Person
) -> None:
    guesser, unknown = new_visitor(network.burnt_address()), somebody_unknown()
    for _unused in range(5):
        assert panel.submit(guesser, unknown).status_code in (401, 403, 422)
    refused = panel.submit(guesser, alice)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 600
    panel.sign_in(new_visitor(), alice)


@pytest.mark.threat("AUT-3")
def test_a_sign_in_sent_from_another_site_is_refused(visitor: Visitor, panel: Panel, alice: Person) -> None:
    form = {"username": alice.username, "password": alice.password, "rd": ""}
    for foreign in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": panel.url, "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        answer = visitor.post(f"{panel.url}/login", data=form, headers=foreign)
        assert answer.status_code == 403, foreign
        assert "set-cookie" not in answer.headers


@pytest.mark.threat("OIDC-5")
@pytest.mark.parametrize(
    "rd",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "/%5cevil.example",
        "javascript:alert(1)",
        "https://argos.evil.example/",
        "https:/\\evil.example/",
        "/\tevil",
    ],
)
def test_signing_in_never_leads_away_from_home(signed_in: Visitor, panel: Panel, rd: str) -> None:
    page = signed_in.navigate(f"{panel.url}/continue", params={"rd": rd}, headers={"Sec-Fetch-Site": "same-origin"})
    assert page.status_code == 200
    assert "evil" not in page.text
    assert "javascript:" not in page.text


@pytest.mark.threat("AUT-3")
def test_the_hosts_cookie_opens_nothing_on_the_panel(signed_in: Visitor, new_visitor, panel: Panel) -> None:
    edge = signed_in.http.cookies.get("__Secure-argos_session")
    assert edge
    thief = new_visitor()
    for name in ("__Secure-argos_session", "__Host-argos_panel", "argos_panel"):
        for path in ("/", "/hosts", "/api/v1/config", "/password"):
            answer = thief.get(panel.url + path, headers={"Cookie": f"{name}={edge}"})
            assert answer.status_code in (302, 303, 401, 403), (name, path, answer.status_code)


@pytest.mark.threat("AUT-3")
def test_the_panels_cookie_opens_no_host(
    signed_in: Visitor, new_visitor, panel: Panel, declaration: Declaration
) -> None:
    own = signed_in.http.cookies.get("__Host-argos_panel")
    assert own
    host = f"https://{declaration.name('e2e-guarded')}/"
    for name in ("__Secure-argos_session", "__Host-argos_panel", "argos_session"):
        assert new_visitor().get(host, headers={"Cookie": f"{name}={own}"}).status_code == 401


@pytest.mark.threat("LOG-5")
def test_a_disabled_or_deleted_person_is_out_on_the_next_request(
    new_visitor, people: People, panel: Panel, declaration: Declaration, api, guest: Guest
) -> None:
    leaver = people.create("e2e-leaver")
    client = new_visitor()
    panel.submit(client, leaver)
    panel.change_password(client, leaver, new_password())
    host = f"https://{declaration.name('e2e-guarded')}/"
    assert client.get(host).status_code == 200
    assert api.request("DELETE", f"/v1/users/{leaver.username}").status in (200, 204)
    assert client.get(host).status_code == 401
