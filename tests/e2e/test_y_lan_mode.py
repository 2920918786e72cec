"""``lan`` mode: the panel over plain HTTP on the network that is trusted, and nothing believed that a client says."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from lab.admin_api import Declaration
from lab.browser import PATIENCE_MS, Watched, chromium
from lab.echo import Received
from lab.guest import Guest
from lab.namespace import PublicNetwork
from lab.people import Panel, Person, hidden_fields, somebody_unknown
from lab.polling import until
from lab.visitor import Visitor

ENVIRONMENT = "/etc/argos/argos.env"


@pytest.fixture(scope="module")
def lan(guest: Guest, network: PublicNetwork, panel: Panel, declaration: Declaration, alice: Person) -> Iterator[str]:
    """Switch the runtime to ``lan`` as its role does, and back."""
    kept = guest.shell(f"cat {ENVIRONMENT}")
    lines = [line for line in kept.splitlines() if not line.startswith(("ARGOS_MODE=", "ARGOS_PANEL_"))]
    lines += ["ARGOS_MODE=lan", "ARGOS_PANEL_LISTEN=0.0.0.0:9080", f"ARGOS_PANEL_HOSTS={guest.address}", ""]
    client, guarded = Visitor(guest, network), f"https://{declaration.name('e2e-guarded')}/"
    try:
        guest.shell(f"umask 077; cat > {ENVIRONMENT}; systemctl restart argos", stdin="\n".join(lines))
        url = f"http://{panel.host}:9080"
        until("the panel serves the LAN", lambda: _answers(client, f"{url}/login"), within=240)
        yield url
    finally:
        guest.shell(f"umask 077; cat > {ENVIRONMENT}; systemctl restart argos", stdin=kept)
        until("the panel is back behind Caddy", lambda: _answers(client, f"{panel.url}/login"), within=240)
        panel.sign_in(client, alice)
        until("the hosts are open again", lambda: _answers(client, guarded), within=90)
        client.close()


def _answers(client: Visitor, url: str) -> bool:
    try:
        return client.get(url).status_code == 200
    except httpx.TransportError:
        return False


def submit(client: Visitor, url: str, person: Person, **headers: str) -> httpx.Response:
    page = client.get(f"{url}/login")
    fields = {**hidden_fields(page.text), "username": person.username, "password": person.password}
    return client.post(f"{url}/login", data=fields, headers={"Origin": url, **headers})


@pytest.mark.threat("LOG-3")
def test_sign_in_works_and_the_cookies_are_those_of_plain_http(visitor: Visitor, lan: str, alice: Person) -> None:
    answer = submit(visitor, lan, alice, **{"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"})
    assert answer.status_code == 303
    assert "evil" not in answer.headers["Location"]
    cookies = answer.headers.get_list("set-cookie")
    assert {line.split("=", 1)[0] for line in cookies} >= {"argos_panel", "argos_session"}
    assert all("HttpOnly" in line and "Secure" not in line for line in cookies), cookies
    home = visitor.get(f"{lan}/")
    assert home.status_code == 200
    assert "Strict-Transport-Security" not in home.headers
    assert home.headers["X-Frame-Options"] == "DENY"


@pytest.mark.threat("LOG-3")
def test_a_foreign_host_is_refused(guest: Guest, visitor: Visitor, lan: str) -> None:
    for host in ("evil.example", "evil.example:9080", "argos.evil.example", "localhost", "169.254.1.1", ""):
        answer = visitor.get(f"{lan}/login", headers={"Host": host})
        assert answer.status_code in (400, 403, 421), (host, answer.status_code)
    allowed = visitor.get(f"{lan}/login", headers={"Host": f"{guest.address}:9080"})
    assert allowed.status_code == 200
    proxied = visitor.get(f"{lan}/login", headers={"Host": "evil.example", "X-Forwarded-Host": guest.address})
    assert proxied.status_code in (400, 403, 421)


@pytest.mark.threat("LOG-1")
@pytest.mark.threat("LOG-3")
def test_a_forwarded_address_is_not_believed(new_visitor, network: PublicNetwork, lan: str, alice: Person) -> None:
    guesser, other = new_visitor(network.burnt_address()), new_visitor()
    wrong = somebody_unknown()
    for number in range(5):
        claim = {"X-Forwarded-For": f"192.0.2.{number}", "Argos-Client-Ip": f"192.0.2.{number}"}
        assert submit(guesser, lan, wrong, **claim).status_code != 303
    assert submit(guesser, lan, alice, **{"X-Forwarded-For": "192.0.2.99"}).status_code == 429
    assert submit(other, lan, alice, **{"X-Forwarded-For": guesser.address}).status_code == 303


@pytest.mark.threat("LOG-5")
@pytest.mark.threat("OIDC-5")
def test_a_browser_signs_in_over_plain_http_comes_where_it_wanted_and_leaves(
    guest: Guest, lan: str, panel: Panel, alice: Person, visitor: Visitor
) -> None:
    """Over plain HTTP no browser says where a request began: Origin and Accept decide."""
    with chromium(guest) as browser:
        context = browser.new_context()
        context.set_default_timeout(PATIENCE_MS)
        watched, page = Watched(context, panel.host), context.new_page()
        wanted = f"{lan}/profile?from=a&to=b"
        page.goto(wanted)
        page.fill("#username", alice.username)
        page.fill("#password", alice.password)
        page.click("button[type=submit]")
        page.wait_for_url(wanted)
        kept = {cookie["name"]: cookie for cookie in context.cookies()}
        assert {"argos_panel", "argos_session"} <= kept.keys()
        assert (kept["argos_panel"]["sameSite"], kept["argos_session"]["sameSite"]) == ("Strict", "Lax")
        stolen = {"Cookie": f"argos_panel={kept['argos_panel']['value']}"}
        assert visitor.get(wanted, headers=stolen).status_code == 200

        page.get_by_role("button", name="Sign out").first.click()
        page.wait_for_url(f"{lan}/login")
        assert visitor.get(wanted, headers=stolen).status_code == 303
        assert len(watched.places) <= 5, watched.places
        assert not watched.reports, watched.reports


@pytest.mark.threat("FWD-1")
@pytest.mark.threat("LOG-5")
def test_a_protected_host_sends_to_the_lans_panel_lets_in_who_signed_in_there_and_closes_when_they_leave(
    guest: Guest, lan: str, panel: Panel, declaration: Declaration, alice: Person, visitor: Visitor
) -> None:
    """Nothing was declared since the mode changed: the gate knows it by the restart alone."""
    wanted = f"https://{declaration.name('e2e-guarded')}/deep%2Flink?from=a&to=b"
    away = f"{lan}/login?rd=https%3A%2F%2F"
    until("the gate knows", lambda: visitor.navigate(wanted).headers.get("Location", "").startswith(away), within=90)
    with chromium(guest) as browser:
        context = browser.new_context()
        context.set_default_timeout(PATIENCE_MS)
        watched, page = Watched(context, panel.host), context.new_page()
        page.goto(wanted)
        assert page.url.startswith(away), page.url
        page.fill("#username", alice.username)
        page.fill("#password", alice.password)
        page.click("button[type=submit]")
        page.wait_for_url(wanted)
        received = Received.of(page.locator("body").inner_text())
        assert received.target == "/deep%2Flink?from=a&to=b"
        assert received.one("x-auth-user") == alice.username
        assert "argos" not in " ".join(received.all("cookie")).lower()

        (session,) = (cookie["value"] for cookie in context.cookies() if cookie["name"] == "argos_session")
        assert visitor.get(wanted, headers={"Cookie": f"argos_session={session}"}).status_code == 200
        other = {"Cookie": f"__Secure-argos_session={session}"}
        assert visitor.get(wanted, headers=other).status_code == 401, "the cookie of the other mode opens nothing"

        page.goto(f"{lan}/")
        page.get_by_role("button", name="Sign out").first.click()
        page.wait_for_url(f"{lan}/login")
        assert visitor.get(wanted, headers={"Cookie": f"argos_session={session}"}).status_code == 401
        assert not watched.reports, watched.reports
