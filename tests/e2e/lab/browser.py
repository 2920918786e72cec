"""Debian's Chromium, headless, for which every name is the guest."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator

from playwright.sync_api import Browser, sync_playwright

from lab.guest import Guest


@contextlib.contextmanager
def chromium(guest: Guest) -> Iterator[Browser]:
    """Run a browser; it takes the edge's certificates unverified, as the HTTP clients verify them in every test."""
    binary = shutil.which("chromium")
    assert binary, "The e2e suite needs Debian's chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=binary,
            args=[
                f"--host-resolver-rules=MAP * {guest.address}",
                "--ignore-certificate-errors",
                "--no-sandbox",  # root runs the suite
                "--disable-dev-shm-usage",
            ],
        )
        try:
            yield browser
        finally:
            browser.close()
