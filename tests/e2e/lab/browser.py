"""Debian's Chromium, headless, for which every name is the guest unless told otherwise, and what it complains of."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Frame, sync_playwright

from lab.guest import CHECKOUT, Guest

BINARY = CHECKOUT / "tests" / "browser" / "chromium"
PATIENCE_MS = 90_000


@contextlib.contextmanager
def chromium(guest: Guest, **elsewhere: str) -> Iterator[Browser]:
    """Run a browser; it takes the edge's certificates unverified, as the HTTP clients verify them in every test.

    ``elsewhere`` gives names that lie at another address than the guest's.
    """
    rules = [f"MAP {name} {address}" for name, address in elsewhere.items()]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=BINARY,
            timeout=PATIENCE_MS,
            args=[
                f"--host-resolver-rules={','.join([*rules, f'MAP * {guest.address}'])}",
                "--ignore-certificate-errors",
                "--no-sandbox",  # root runs the suite
                "--disable-dev-shm-usage",
            ],
        )
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """What a person's browser shows and complains of in all tabs of a context: places come to, and CSP reports."""

    _REPORT = """
        document.addEventListener("securitypolicyviolation", (event) =>
            console.error("Content Security Policy: " + event.violatedDirective + " " + event.blockedURI));
    """

    def __init__(self, context: BrowserContext, panel: str) -> None:
        self._panel = panel
        self.places: list[str] = []
        self.reports: list[str] = []
        context.add_init_script(self._REPORT)
        context.on("console", self._heard)
        context.on("page", lambda page: page.on("framenavigated", self._moved))

    def _moved(self, frame: Frame) -> None:
        if frame.parent_frame is None:
            self.places.append(frame.url)

    def _heard(self, message: ConsoleMessage) -> None:
        of_panel = self._panel in (message.location.get("url") or "") or self._panel in message.text
        page = message.page
        if "Content Security Policy" in message.text and (of_panel or (page and self._panel in page.url)):
            self.reports.append(message.text)
