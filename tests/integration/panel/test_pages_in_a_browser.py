"""Every page in Debian's Chromium, as wide as a phone and as a desk: nothing runs out of it, and all can be reached."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from argos.panel import navigation
from panel_runtime import PASSWORD, Runtime
from playwright.sync_api import Browser, Page, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[3] / "runtime/tests/panel"))

from sample_state import fill

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
    binary = shutil.which("chromium")
    assert binary, "This suite needs Debian's chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=binary, args=["--no-sandbox", "--disable-dev-shm-usage"])
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
    wrong, complaints = [], []
    signed_in.on("console", lambda message: complaints.append(f"{signed_in.url}: {message.text}"))
    for size in (PHONE, DESK):
        signed_in.set_viewport_size(size)
        for address in addresses:
            signed_in.goto(f"http://127.0.0.1:{lan.port}{address}")
            over = signed_in.evaluate(WIDER)
            if over > 0:
                wrong.append(f"{address} at {size['width']}: {over} px too wide")
            wrong += [f"{address} at {size['width']}: {small}" for small in signed_in.evaluate(SMALL)]
    assert not wrong, "\n".join(wrong)
    assert not [one for one in complaints if "Content Security Policy" in one]


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
    expect(signed_in.get_by_text("soon-gone is gone.")).to_be_visible(timeout=WITHIN)
