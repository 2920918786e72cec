"""Every page in Debian's Chromium, as wide as a phone and as a desk: nothing runs out of it, and all can be reached."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest
from argos.panel import navigation
from panel_runtime import PASSWORD, Runtime
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[3] / "runtime/tests/panel"))

from sample_state import fill

BINARY = Path(__file__).parents[2] / "browser" / "chromium"
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1100, "height": 800}
WITHIN = 60_000  # milliseconds, on a busy machine
SMALLEST = 24  # CSS pixels: WCAG 2.2, 2.5.8
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# Controls that stand by themselves; a link in a sentence is as high as its line.
SMALL = f"""
    [...document.querySelectorAll("button, summary, select, textarea, input:not([type=hidden]), nav a, a.button")]
        .filter((one) => one.checkVisibility())
        .map((one) => [one, (one.closest("label") || one).getBoundingClientRect()])
        .filter(([one, box]) => box.width < {SMALLEST} || box.height < {SMALLEST})
        .map(([one, box]) => `${{one.tagName}} ${{one.textContent.trim()}} ${{box.width}}x${{box.height}}`)
"""


@pytest.fixture(scope="module")
def addresses(lan: Runtime) -> list[str]:
    """Every page that an administrator opens, of a panel in use."""
    examples = fill(lan.write, lan.root / "run" / "waf.log")
    menu = [entry.address for group in navigation.GROUPS for entry in group.entries]
    others = ["/", "/hosts/new", "/profile", "/password?rd=/profile", "/denied?rd=/", "/nothing-here"]
    return [*others, *menu, *(address for found in examples.values() for address in found if "/login" not in address)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=BINARY, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def signed_in(lan: Runtime, browser: Browser) -> Iterator[Page]:
    page = browser.new_context(viewport=PHONE).new_page()
    page.set_default_timeout(WITHIN)
    page.goto(f"http://127.0.0.1:{lan.port}/login")
    page.fill("#username", "root-admin")
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url(f"http://127.0.0.1:{lan.port}/")
    yield page
    page.context.close()


def test_no_page_is_wider_than_a_phone_or_breaks_the_policy(
    lan: Runtime, signed_in: Page, addresses: list[str]
) -> None:
    wrong: list[str] = []
    complaints = heard(signed_in)
    for size in (PHONE, DESK):
        signed_in.set_viewport_size(size)
        for address in addresses:
            signed_in.goto(f"http://127.0.0.1:{lan.port}{address}")
            wrong += unfit(signed_in, f"{address} at {size['width']}")
    assert not wrong, "\n".join(wrong)
    assert not complaints


@pytest.mark.usefixtures("addresses")  # fills the panel
def test_the_pages_of_a_sign_in_fit_too_in_each_of_their_states(lan: Runtime, browser: Browser) -> None:
    """As a person meets them, on the way from the first sign-in to one with a second factor."""
    at = f"http://127.0.0.1:{lan.port}"
    assert lan.admin("POST", "/v1/users", {"username": "invited", "link": True}).status_code == 201
    link = lan.admin("POST", "/v1/users/invited/link").json()["link"]
    wrong: list[str] = []
    page = browser.new_context(viewport=PHONE).new_page()
    page.set_default_timeout(WITHIN)
    complaints = heard(page)

    def look(state: str) -> None:
        for size in (DESK, PHONE):
            page.set_viewport_size(size)
            wrong.extend(unfit(page, f"{state} at {size['width']}"))

    page.goto(f"{at}/welcome?token={link.partition('token=')[2]}")
    look("first password")
    page.fill("#new", PASSWORD)
    page.fill("#again", PASSWORD + ", but otherwise")
    page.click("button.wide")
    expect(page.get_by_role("alert")).to_be_visible(timeout=WITHIN)
    look("first password, refused")
    page.fill("#new", PASSWORD)
    page.fill("#again", PASSWORD)
    page.click("button.wide")
    page.wait_for_url(f"{at}/login?password=set")
    page.goto(f"{at}/login")
    expect(page.get_by_role("link", name="Sign in with A provider")).to_be_visible(timeout=WITHIN)
    look("sign-in with a provider")
    sign_in(page, "invited")
    page.goto(f"{at}/profile")
    look("profile, factor off, not linked")
    page.get_by_role("button", name="Set up an authenticator app").click()
    expect(page.get_by_role("img", name="QR code")).to_be_visible(timeout=WITHIN)
    look("QR code")
    secret = page.locator("p code").inner_text()
    page.fill("#code", "000000")
    page.click("button.wide")
    expect(page.get_by_role("alert")).to_be_visible(timeout=WITHIN)
    look("QR code, wrong code")
    page.fill("#code", pyotp.TOTP(secret).now())  # taken in the next step too, however long the click takes
    page.click("button.wide")
    expect(page.locator("ul.codes li")).to_have_count(10, timeout=WITHIN)
    look("recovery codes")
    page.goto(f"{at}/profile")
    look("profile, factor on")
    page.goto(f"{at}/confirm?rd=/profile")
    look("confirm by a code")
    page.goto(f"{at}/denied?rd=http://photos.home.example/")
    look("denied")
    page.get_by_role("button", name="Switch account").click()
    page.fill("#username", "invited")
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url(f"{at}/second-factor**")
    look("second factor")
    page.fill("#code", "000000")
    page.click("button.wide")
    expect(page.get_by_role("alert")).to_be_visible(timeout=WITHIN)
    look("second factor, wrong code")
    page.context.clear_cookies()

    page.goto(f"{at}/login")
    sign_in(page, "alice")
    page.goto(f"{at}/profile")
    expect(page.get_by_text("Linked")).to_be_visible(timeout=WITHIN)
    look("profile, linked")
    page.context.clear_cookies()
    page.goto(f"{at}/login")
    sign_in(page, "root-admin")
    page.goto(f"{at}/people/alice")
    look("a linked person")
    page.goto(f"{at}/people/invited")
    page.get_by_role("button", name="Create a link").click()
    expect(page.get_by_label("The link")).to_be_visible(timeout=WITHIN)
    look("a person and their link")
    page.goto(f"{at}/oidc")
    page.get_by_role("button", name="Test the connection").click()
    expect(page.locator("ul.checks li").first).to_be_visible(timeout=WITHIN)
    look("the provider, tested")
    page.context.close()
    assert not wrong, "\n".join(wrong)
    assert not complaints


def sign_in(page: Page, username: str) -> None:
    page.fill("#username", username)
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url(re.compile(r"^http://[^/]+/$"))


def heard(page: Page) -> list[str]:
    """Return the list of what a page will complain of by its policy."""
    found: list[str] = []

    def keep(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            found.append(f"{page.url}: {message.text}")

    page.on("console", keep)
    return found


def unfit(page: Page, state: str) -> list[str]:
    """Return what of the page runs out of the window, or is too small for a finger."""
    over = page.evaluate(WIDER)
    wide = [f"{state}: {over} px too wide"] if over > 0 else []
    return [*wide, *(f"{state}: {small}" for small in page.evaluate(SMALL))]


def test_the_menu_opens_by_the_keyboard_on_a_phone_and_stands_open_on_a_desk(lan: Runtime, signed_in: Page) -> None:
    words = [entry.word for group in navigation.GROUPS for entry in group.entries]
    signed_in.set_viewport_size(PHONE)
    signed_in.goto(f"http://127.0.0.1:{lan.port}/waf")
    link = signed_in.get_by_role("link", name="Backups", exact=True)
    expect(link).to_be_hidden(timeout=WITHIN)
    for _unused in ("skip", "brand", "menu"):
        signed_in.keyboard.press("Tab")
    signed_in.keyboard.press("Enter")
    for word in words:
        expect(signed_in.get_by_role("link", name=word, exact=True)).to_be_visible(timeout=WITHIN)
    signed_in.keyboard.press("Escape")
    expect(link).to_be_hidden(timeout=WITHIN)
    signed_in.get_by_role("button", name="Menu").click()
    link.click()
    signed_in.wait_for_url(f"http://127.0.0.1:{lan.port}/backups")

    signed_in.set_viewport_size(DESK)
    expect(link).to_be_visible(timeout=WITHIN)
    expect(signed_in.get_by_role("button", name="Menu")).to_be_hidden(timeout=WITHIN)
    lefts = {signed_in.get_by_role("link", name=word, exact=True).bounding_box()["x"] for word in words}  # type: ignore[index]
    assert len(lefts) == 1, "one column"


def test_what_cannot_be_undone_takes_a_second_step(lan: Runtime, signed_in: Page) -> None:
    assert lan.admin("PUT", "/v1/secrets/soon-gone", {"value": "a long secret value"}).status_code == 200
    signed_in.goto(f"http://127.0.0.1:{lan.port}/secrets")
    yes = signed_in.get_by_role("button", name="Yes, remove it soon-gone")
    expect(yes).to_be_hidden(timeout=WITHIN)
    signed_in.locator("summary", has_text="Remove soon-gone").click()
    yes.click()
    expect(signed_in.get_by_text("soon-gone has been removed.")).to_be_visible(timeout=WITHIN)
