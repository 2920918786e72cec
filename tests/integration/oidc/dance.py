"""The steps of a sign-in with the provider, as a browser takes them."""

from __future__ import annotations

import html
import itertools
import json
import re
from typing import Any
from urllib.parse import quote

import httpx
from hostile_provider import CLIENT, SECRET, HostileProvider
from panel_runtime import Browser, Runtime

_addresses = itertools.count(1)
_declared: dict[Runtime, tuple[str, dict[str, Any]]] = {}


def declare_provider(runtime: Runtime, issuer: str, **changes: Any) -> None:
    """Declare the provider by the admin API, as the module does; nothing to do when it stands so."""
    if _declared.get(runtime) == (issuer, changes):
        return
    _declared[runtime] = (issuer, changes)
    assert runtime.admin("PUT", "/v1/secrets/oidc-client", {"value": SECRET}).status_code == 200
    oidc = {
        "name": "Homelab ID",
        "issuer": issuer,
        "client_id": CLIENT,
        "client_secret": {"secret": "oidc-client"},
        "allowed_domains": ["home.example"],
        "auto_provision": True,
        **changes,
    }
    answer = runtime.admin("POST", "/v1/config/apply", {"settings": {"oidc": oidc}})
    assert answer.status_code == 200, answer.text


def new_browser(runtime: Runtime) -> Browser:
    """A browser at an address of its own: what one address may begin is limited."""
    number = next(_addresses)
    address = f"198.51.{number // 250}.{number % 250 + 1}"
    if runtime.mode == "lan":
        address = f"127.9.{number // 250}.{number % 250 + 1}"
    return Browser(runtime, address)


def start(browser: Browser, rd: str = "/") -> str:
    """Press the button; the provider's address that the browser is sent to."""
    answer = browser.get(f"/oidc/start?rd={quote(rd, safe='')}")
    assert answer.status_code == 302, answer.text
    return str(answer.headers["Location"])


def sign_in(browser: Browser, provider: HostileProvider, rd: str = "/") -> httpx.Response:
    """The whole dance; the callback's answer."""
    return browser.get(provider.callback(start(browser, rd)), Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")


def refresh_target(page: str) -> str:
    """Where the page leads on to."""
    found = re.search(r'http-equiv="refresh" content="0; url=([^"]*)"', page)
    assert found, page
    return html.unescape(found[1])


def audit(runtime: Runtime) -> list[tuple[str, str, dict[str, Any]]]:
    """Action, target and what came of it, the newest first."""
    rows = runtime.rows("SELECT action, target, after FROM audit ORDER BY id DESC")
    return [(action, target, json.loads(after or "{}")) for action, target, after in rows]
