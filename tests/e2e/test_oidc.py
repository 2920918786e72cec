"""Signing in with a provider on another site, in a real browser: where it ends, and that nothing goes round."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

import pyotp
import pytest
from lab.admin_api import AdminApi, Declaration
from lab.browser import PATIENCE_MS, Watched, chromium
from lab.echo import Received
from lab.guest import Guest
from lab.people import People
from lab.provider import NAME, Provider, elsewhere
from playwright.sync_api import Browser, BrowserContext, Page

ASKED = "/inbox/a%2Fb?q=x%26y&next=%2Fdeep%2Flink&name=%C3%BCber&empty="


@pytest.fixture(scope="module")
def provider(
    guest: Guest, api: AdminApi, declaration: Declaration, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Provider]:
    with elsewhere(guest, api, declaration.panel, tmp_path_factory.mktemp("provider")) as running:
        yield running


@pytest.fixture(scope="module")
def browser(guest: Guest, provider: Provider) -> Iterator[Browser]:
    with chromium(guest, **{NAME: provider.address}) as running:
        yield running


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context()
    made.set_default_timeout(PATIENCE_MS)
    yield made
    made.close()


@pytest.fixture
def watched(context: BrowserContext, declaration: Declaration) -> Iterator[Watched]:
    """Fail at the end where a page of the panel broke its own policy."""
    seen = Watched(context, declaration.panel)
    yield seen
    assert not seen.reports, seen.reports


@pytest.fixture
def newcomer(people: People) -> Callable[[str], str]:
    """Return a function that makes sure that somebody has no account yet, and that none is left at the end."""
    return people.expect


def at_the_provider(page: Page, person: str) -> None:
    """Press the panel's button, and fill in the provider's own pages."""
    page.get_by_role("link", name="Sign in with Elsewhere ID").click()
    log_in(page, person)


def log_in(page: Page, person: str, *, consent: bool = True) -> None:
    """Fill in the provider's sign-in, and its consent, which it asks for once."""
    page.fill("[name=login]", person)
    page.fill("[name=password]", "any")
    page.get_by_role("button").first.click()
    if consent:
        page.get_by_role("button", name="Continue").click()


def came_to(page: Page, url: str) -> None:
    page.wait_for_url(url)
    assert page.url == url


@pytest.mark.threat("OIDC-1")
@pytest.mark.threat("OIDC-2")
def test_it_ends_on_the_page_of_the_panel_that_was_asked_for(
    context: BrowserContext, watched: Watched, declaration: Declaration, newcomer: Callable[[str], str]
) -> None:
    person, page = newcomer("e2e-gerda"), context.new_page()
    wanted = f"https://{declaration.panel}/profile?from=a&to=b"
    page.goto(wanted)
    assert "/login?" in page.url
    at_the_provider(page, person)
    came_to(page, wanted)
    assert page.get_by_role("heading", name=f"Person {person}").is_visible()
    assert page.reload().status == 200, "the Strict cookie is there"
    assert page.url == wanted
    callbacks = [place for place in watched.places if "/oidc/callback" in place]
    assert len(callbacks) == 1, watched.places
    assert [cookie["name"] for cookie in context.cookies() if "argos_oidc" in cookie["name"]] == []


@pytest.mark.threat("OIDC-5")
@pytest.mark.threat("FWD-1")
def test_it_ends_on_the_protected_host_with_all_of_its_query(
    context: BrowserContext, watched: Watched, declaration: Declaration, newcomer: Callable[[str], str]
) -> None:
    person, page = newcomer("e2e-henri"), context.new_page()
    wanted = f"https://{declaration.name('e2e-guarded')}{ASKED}"
    page.goto(wanted)
    assert "to open e2e-guarded." in page.inner_text("main"), "the page names the host that one is about to enter"
    at_the_provider(page, person)
    came_to(page, wanted)
    received = Received.of(page.locator("body").inner_text())
    assert received.target == ASKED
    assert received.one("x-auth-user") == person
    assert received.one("x-auth-email") == f"{person}@home.example"
    assert received.one("x-auth-provider") == "oidc"
    assert len(watched.places) <= 7, watched.places


@pytest.mark.threat("LOG-4")
def test_it_ends_on_the_second_factor_of_who_has_one_and_goes_on_from_there(
    context: BrowserContext, watched: Watched, declaration: Declaration, newcomer: Callable[[str], str]
) -> None:
    person, page = newcomer("e2e-ida"), context.new_page()
    page.goto(f"https://{declaration.panel}/profile")
    at_the_provider(page, person)
    page.get_by_role("button", name="Set up an authenticator app").click()
    secret = re.search(r"\b[A-Z2-7]{32}\b", page.inner_text("main").replace(" ", ""))
    assert secret, page.inner_text("main")
    page.fill("#code", code_of(secret[0], 0))
    page.locator("main button[type=submit]").first.click()
    page.locator(".codes").wait_for()
    assert re.search(r"\w{4}-\w{4}", page.inner_text("main")), "the recovery codes are shown"
    context.clear_cookies(domain=declaration.panel)
    context.clear_cookies(domain=f".{declaration.parent}")

    wanted = f"https://{declaration.name('e2e-guarded')}{ASKED}"
    page.goto(wanted)
    page.get_by_role("link", name="Sign in with Elsewhere ID").click()  # the provider still knows them
    page.wait_for_url(re.compile("/second-factor"))
    other = context.new_page()
    other.goto(wanted)
    assert declaration.panel in other.url, "half signed in, the host must not open"
    page.fill("#code", code_of(secret[0], 1))
    page.locator("main button[type=submit]").first.click()
    came_to(page, wanted)
    assert Received.of(page.locator("body").inner_text()).one("x-auth-user") == person


def code_of(secret: str, steps: int) -> str:
    """Return what an authenticator app shows now, or so many steps later."""
    return pyotp.TOTP(secret).at(int(time.time()) + 30 * steps)


@pytest.mark.threat("OIDC-1")
def test_tabs_opened_at_once_each_come_to_their_own_page(
    context: BrowserContext, watched: Watched, declaration: Declaration, newcomer: Callable[[str], str]
) -> None:
    person = newcomer("e2e-jan")
    wanted = [f"https://{declaration.name('e2e-guarded')}/tab?number={number}" for number in range(3)]
    pages = [context.new_page() for _unused in wanted]
    for page, url in zip(pages, wanted, strict=True):
        page.goto(url)
        page.get_by_role("link", name="Sign in with Elsewhere ID").click()
        page.wait_for_selector("[name=login]")
    for page, url in reversed(list(zip(pages, wanted, strict=True))):
        log_in(page, person, consent=page is pages[-1])
        came_to(page, url)
    for page in pages:
        page.reload()
        assert Received.of(page.locator("body").inner_text()).one("x-auth-user") == person
    pages[0].goto(f"https://{declaration.panel}/profile")
    assert pages[0].locator("tbody tr").count() == 1, "one browser holds one session"


@pytest.mark.threat("AUT-3")
def test_a_link_from_another_site_finds_one_signed_in(
    context: BrowserContext, watched: Watched, declaration: Declaration, newcomer: Callable[[str], str]
) -> None:
    person, page = newcomer("e2e-karl"), context.new_page()
    target = f"https://{declaration.panel}/profile?from=a+letter&x=1"
    page.goto(f"https://{declaration.panel}/profile")
    at_the_provider(page, person)
    came_to(page, f"https://{declaration.panel}/profile")

    link = f'<a href="{target.replace("&", "&amp;")}">look</a>'
    context.route("https://news.another.test/", lambda route: route.fulfill(body=link, content_type="text/html"))
    answers: list[tuple[int, str]] = []
    page.on("response", lambda answer: answers.append((answer.status, answer.url)))
    page.goto("https://news.another.test/")
    watched.places.clear()
    page.get_by_role("link", name="look").click()
    came_to(page, f"{target}&again=1")
    assert page.get_by_role("heading", name=f"Person {person}").is_visible()
    pages = [answer for answer in answers if declaration.panel in answer[1] and "/static/" not in answer[1]]
    assert pages == [(200, target), (200, f"{target}&again=1")], "one hop more, and no sign-in shown"


@pytest.mark.threat("LOG-4")
def test_a_sensitive_change_has_the_provider_ask_anew_who_one_is(
    guest: Guest,
    context: BrowserContext,
    watched: Watched,
    declaration: Declaration,
    newcomer: Callable[[str], str],
) -> None:
    """Neither a password nor a second factor here: only the provider can say."""
    person, page = newcomer("e2e-mona"), context.new_page()
    page.goto(f"https://{declaration.panel}/profile")
    at_the_provider(page, person)
    came_to(page, f"https://{declaration.panel}/profile")
    change = "UPDATE sessions SET proved_at = proved_at - 700"
    store = "import sqlite3; c = sqlite3.connect('/var/lib/argos/argos.db', timeout=20); "
    guest.python(f"{store} c.execute({change!r}); c.commit()", user="argos")

    page.get_by_role("button", name="Set up an authenticator app").click()
    page.wait_for_url(re.compile("/confirm"))
    page.get_by_role("button", name="Confirm with Elsewhere ID").click()
    page.wait_for_selector("[name=login]")  # although it still knows them
    log_in(page, person, consent=False)
    came_to(page, f"https://{declaration.panel}/profile")
    page.get_by_role("button", name="Set up an authenticator app").click()
    page.wait_for_selector("#code")


@pytest.mark.threat("LOG-5")
@pytest.mark.threat("OIDC-6")
def test_signing_out_ends_the_providers_session_too(
    context: BrowserContext, watched: Watched, declaration: Declaration, newcomer: Callable[[str], str]
) -> None:
    person, page = newcomer("e2e-lena"), context.new_page()
    page.goto(f"https://{declaration.panel}/")
    at_the_provider(page, person)
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(re.compile(f"^https://{NAME}"))
    page.get_by_role("button", name=re.compile("yes", re.IGNORECASE)).click()
    came_to(page, f"https://{declaration.panel}/login")
    page.get_by_role("link", name="Sign in with Elsewhere ID").click()
    page.wait_for_selector("[name=login]")  # the provider asks who it is


@pytest.mark.threat("OIDC-6")
def test_switched_off_nothing_of_it_is_left_to_press(
    context: BrowserContext, watched: Watched, declaration: Declaration, provider: Provider
) -> None:
    page = context.new_page()
    provider.declare(enabled=False)
    try:
        page.goto(f"https://{declaration.panel}/login")
        assert page.get_by_role("link", name="Sign in with Elsewhere ID").count() == 0
        assert page.goto(f"https://{declaration.panel}/oidc/start").status == 404
    finally:
        provider.declare()
