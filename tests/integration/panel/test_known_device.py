"""LOG-1 over HTTP: a browser that signed an account in before passes the account's ban, and no other ban."""

from __future__ import annotations

import pytest
from panel_runtime import PASSWORD, Browser, Runtime

HOME = "127.20.0.1"


@pytest.fixture
def device_cookie(runtime: Runtime) -> str:
    return "__Host-argos_device" if runtime.mode == "behind_caddy" else "argos_device"


def left_alone(browser: Browser, *kept: str) -> Browser:
    """The browser as it is after signing out: with its device cookie, if that is kept."""
    again = Browser(browser.runtime, browser.address)
    again.cookies = {name: value for name, value in browser.cookies.items() if name in kept}
    return again


@pytest.mark.threat("LOG-1")
def test_a_known_device_lifts_its_accounts_ban_and_never_its_addresss(runtime: Runtime, device_cookie: str) -> None:
    for name in ("kim", "lee"):
        runtime.person(name)
    home, neighbour = Browser(runtime, HOME), Browser(runtime, "127.20.0.2")
    assert home.sign_in("kim").status_code == 303
    assert neighbour.sign_in("lee").status_code == 303
    for number in range(5):
        assert Browser(runtime, f"127.20.1.{number + 1}").sign_in("kim", "a wrong guess").status_code == 401

    banned = Browser(runtime, HOME).sign_in("kim")
    assert banned.status_code == 429, "the account is banned, from an address that did nothing"
    assert 0 < int(banned.headers["Retry-After"]) <= 1800
    for cookies in ({device_cookie: neighbour.cookies[device_cookie]}, {device_cookie: "A" * 43}):
        other = Browser(runtime, HOME)
        other.cookies = cookies
        assert other.sign_in("kim").status_code == 429, "another account's device, or none at all"

    known = left_alone(home, device_cookie)
    assert known.sign_in("kim").status_code == 303
    assert known.cookies[device_cookie] == home.cookies[device_cookie], "it stays the same device"
    assert known.get("/profile").status_code == 200

    # Its own wrong tries count for the device and for the address; both are then banned.
    guesser = left_alone(home, device_cookie)
    for _unused in range(5):
        assert guesser.sign_in("kim", "a wrong guess").status_code == 401
    assert left_alone(home, device_cookie).sign_in("kim").status_code == 429


@pytest.mark.threat("LOG-1")
def test_an_addresss_ban_holds_for_known_devices_too(runtime: Runtime, device_cookie: str) -> None:
    runtime.person("max")
    address = "127.20.2.1"
    home = Browser(runtime, address)
    assert home.sign_in("max").status_code == 303
    for number in range(5):
        assert Browser(runtime, address).sign_in(f"somebody-{number}", PASSWORD).status_code == 401
    assert left_alone(home, device_cookie).sign_in("max").status_code == 429
    elsewhere = Browser(runtime, "127.20.2.2")
    elsewhere.cookies = {device_cookie: home.cookies[device_cookie]}
    assert elsewhere.sign_in("max").status_code == 303, "the account is not banned, nor is the device"


@pytest.mark.threat("LOG-1")
def test_a_device_signs_nobody_in_and_is_forgotten_with_a_reset(runtime: Runtime, device_cookie: str) -> None:
    runtime.person("noa")
    home = Browser(runtime, "127.20.3.1")
    assert home.sign_in("noa").status_code == 303
    known = left_alone(home, device_cookie)
    assert known.get("/profile").headers["Location"].startswith("/login")
    reset = {"password": PASSWORD, "must_change_password": False}
    assert runtime.admin("POST", "/v1/users/noa/password", reset).status_code == 200
    for number in range(5):
        assert Browser(runtime, f"127.20.4.{number + 1}").sign_in("noa", "a wrong guess").status_code == 401
    assert left_alone(home, device_cookie).sign_in("noa").status_code == 429
