"""Who has neither password nor second factor here proves anew who they are where they signed in: at the provider."""

from __future__ import annotations

import time
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from dance import declare_provider, new_browser, refresh_target, sign_in
from hostile_provider import HostileProvider
from panel_runtime import Browser, Runtime

pytestmark = [pytest.mark.threat("LOG-4"), pytest.mark.threat("OIDC-3")]
SENSITIVE = ("/profile/second-factor", {"action": "begin"})


@pytest.fixture
def stale(runtime: Runtime, provider: HostileProvider) -> Browser:
    """Somebody of the provider who signed in there more than ten minutes ago."""
    browser = new_browser(runtime)
    asked_at(provider, -700)
    assert sign_in(browser, provider).status_code == 200
    refused = browser.post(*SENSITIVE)
    assert refused.status_code == 303
    assert refused.headers["Location"].startswith("/confirm?rd="), "a session at the provider is no fresh proof"
    return browser


def asked_at(provider: HostileProvider, seconds: float | None) -> None:
    """Let the provider say that it asked for credentials so many seconds from now; None: let it not say."""

    def forge(_header: dict[str, object], claims: dict[str, object]) -> None:
        if seconds is not None:
            claims["auth_time"] = int(time.time() + seconds)

    provider.forge = forge


def ask_anew(browser: Browser) -> str:
    """Press the button of ``/confirm``; the provider's address that the browser is sent to."""
    page = browser.get("/confirm?rd=%2Fprofile")
    assert "Confirm with Homelab ID" in page.text
    return refresh_target(browser.post("/oidc/confirm", {"rd": "/profile"}).text)


def come_back(browser: Browser, provider: HostileProvider, url: str) -> httpx.Response:
    return browser.get(provider.callback(url), Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")


def test_being_asked_anew_by_the_provider_counts_for_ten_minutes(
    runtime: Runtime, provider: HostileProvider, stale: Browser
) -> None:
    former = dict(stale.cookies)
    url = ask_anew(stale)
    question = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert (question["prompt"], question["max_age"]) == ("login", "0")
    asked_at(provider, 0)
    answer = come_back(stale, provider, url)
    assert answer.status_code == 200, answer.text
    assert refresh_target(answer.text) == "/profile"
    assert stale.post(*SENSITIVE).status_code == 200
    assert runtime.rows("SELECT action FROM audit ORDER BY id DESC LIMIT 2")[1] == ("session.renew",)
    assert stale.cookies[runtime.panel_cookie] != former[runtime.panel_cookie], "a rise of privilege makes new tokens"
    old = Browser(runtime, stale.address)
    old.cookies = former
    assert old.get("/profile").status_code == 303


@pytest.mark.parametrize("seconds", [None, -700, -120], ids=["not said", "long ago", "before it was asked to"])
def test_a_provider_that_did_not_ask_anew_is_not_believed(
    provider: HostileProvider, stale: Browser, seconds: float | None
) -> None:
    url = ask_anew(stale)
    asked_at(provider, seconds)
    answer = come_back(stale, provider, url)
    assert answer.status_code == 400
    assert "did not ask you anew" in answer.text
    assert "set-cookie" not in answer.headers or "argos_panel" not in answer.headers["set-cookie"]
    assert stale.post(*SENSITIVE).status_code == 303


@pytest.mark.parametrize("claim", [True, "now", -1, 1e300, [1]], ids=repr)
def test_an_odd_time_is_refused(provider: HostileProvider, stale: Browser, claim: object) -> None:
    url = ask_anew(stale)
    provider.forge = lambda _header, claims: claims.update(auth_time=claim)
    assert come_back(stale, provider, url).status_code == 400
    assert stale.post(*SENSITIVE).status_code == 303


def test_somebody_else_at_the_provider_proves_nothing(provider: HostileProvider, stale: Browser) -> None:
    url = ask_anew(stale)
    asked_at(provider, 0)
    provider.person = {**provider.person, "sub": "subject-2", "email": "dave@home.example"}
    answer = come_back(stale, provider, url)
    assert answer.status_code == 403
    assert "somebody else" in answer.text
    assert stale.post(*SENSITIVE).status_code == 303


def test_a_session_that_ended_meanwhile_is_not_brought_back(provider: HostileProvider, stale: Browser) -> None:
    url = ask_anew(stale)
    asked_at(provider, 0)
    kept = dict(stale.cookies)
    stale.post("/logout")
    stale.cookies = {name: value for name, value in kept.items() if "oidc" in name}
    assert come_back(stale, provider, url).status_code == 400
    assert stale.get("/profile").status_code == 303


def test_another_browser_cannot_finish_it(runtime: Runtime, provider: HostileProvider, stale: Browser) -> None:
    url = ask_anew(stale)
    asked_at(provider, 0)
    assert come_back(new_browser(runtime), provider, url).status_code == 400
    assert stale.post(*SENSITIVE).status_code == 303
    assert come_back(stale, provider, url).status_code == 200


def test_it_is_offered_only_to_people_of_the_provider_that_is_switched_on(
    runtime: Runtime, provider: HostileProvider, stale: Browser
) -> None:
    local = new_browser(runtime)
    local.sign_in()
    assert "Confirm with Homelab ID" not in local.get("/confirm").text
    answer = local.get(provider.callback(refresh_target(local.post("/oidc/confirm", {"rd": "/"}).text)))
    assert answer.status_code in {400, 403}, "whoever posts it all the same is nobody's"
    declare_provider(runtime, provider.issuer, name="Another name")
    assert "Confirm with Another name" in stale.get("/confirm").text
