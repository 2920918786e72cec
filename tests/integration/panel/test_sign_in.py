"""Signing in and out, through the real pages of a real process, in both modes."""

from __future__ import annotations

import html
import math
import re
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from panel_runtime import GUARDED, PASSWORD, Browser, Runtime, set_cookies

WANTED = f"https://{GUARDED}/in%2Fbox?q=a%26b&next=%2Fdeep&name=%C3%BCber&plain=1&empty="


def refresh_target(page: str) -> str:
    found = re.search(r'http-equiv="refresh" content="0; url=([^"]*)"', page)
    assert found, page
    return html.unescape(found[1])


@pytest.mark.threat("OIDC-5")
def test_a_person_comes_to_the_page_first_asked_for_query_and_all(runtime: Runtime) -> None:
    browser = Browser(runtime)
    page = browser.get(f"/login?rd={quote(WANTED, safe='')}")
    assert page.status_code == 200
    assert f"to open <strong>{GUARDED}</strong>" in page.text, "the page names the host about to be entered"
    hidden = re.search(r'name="rd" value="([^"]*)"', page.text)
    assert hidden
    assert html.unescape(hidden[1]) == WANTED

    answer = browser.sign_in(rd=html.unescape(hidden[1]))
    assert answer.status_code == 303
    target = urlsplit(answer.headers["Location"])
    assert target.path == "/continue"
    assert parse_qs(target.query)["rd"] == [WANTED]

    onward = browser.get(answer.headers["Location"])
    assert onward.status_code == 200
    assert refresh_target(onward.text) == WANTED


@pytest.mark.threat("OIDC-5")
@pytest.mark.parametrize(
    "rd",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "/%5cevil.example",
        "javascript:alert(1)",
        "https://home.example.evil.example/",
        "https://argos.home.example@evil.example/",
        'https://evil.example/"><script>',
        "/\r\nSet-Cookie: a=b",
    ],
)
def test_a_foreign_target_becomes_the_panel_itself(behind_caddy: Runtime, rd: str) -> None:
    browser = Browser(behind_caddy)
    page = browser.get(f"/login?rd={quote(rd, safe='')}")
    assert 'name="rd" value="/"' in page.text
    assert "evil" not in page.text
    answer = Browser(behind_caddy).get(f"/continue?rd={quote(rd, safe='')}")
    assert "evil" not in answer.text


def test_the_cookies_are_those_of_the_mode(runtime: Runtime) -> None:
    lines = set_cookies(Browser(runtime).sign_in())
    panel, edge = lines[runtime.panel_cookie], lines[runtime.edge_cookie]
    assert "SameSite=Strict" in panel
    assert "Domain" not in panel
    assert "SameSite=Lax" in edge
    assert "Domain=home.example" in edge
    for line in lines.values():
        assert "HttpOnly" in line
        assert "Path=/" in line
        assert ("; Secure" in line) == (runtime.mode == "behind_caddy"), line
        assert line.startswith("__") == (runtime.mode == "behind_caddy"), line


def test_tokens_are_stored_as_hashes_only(behind_caddy: Runtime) -> None:
    browser = Browser(behind_caddy)
    browser.sign_in()
    token = browser.cookies[behind_caddy.panel_cookie]
    assert behind_caddy.rows("SELECT 1 FROM sessions WHERE panel_token_hash = ?", sha256(token.encode()).digest())
    for name in ("argos.db", "argos.db-wal"):
        path = behind_caddy.root / "data" / name
        assert not path.exists() or token.encode() not in path.read_bytes()


@pytest.mark.threat("LOG-5")
def test_signing_out_ends_both_cookies_at_once(runtime: Runtime) -> None:
    browser = Browser(runtime)
    browser.sign_in("root-admin")
    kept = dict(browser.cookies)
    assert browser.get("/hosts").status_code == 200
    before = runtime.epoch.read_bytes()[:8]

    answer = browser.post("/logout")
    assert answer.status_code == 303
    assert not {runtime.panel_cookie, runtime.edge_cookie} & set(browser.cookies)
    assert runtime.epoch.read_bytes()[:8] != before, "the gate's cache is worthless from here on"
    for name in (runtime.panel_cookie, runtime.edge_cookie):
        digest = sha256(kept[name].encode()).digest()
        assert not runtime.rows("SELECT 1 FROM sessions WHERE ? IN (panel_token_hash, edge_token_hash)", digest)
    browser.cookies = kept
    assert browser.get("/hosts").headers["Location"].startswith("/login")


def test_a_first_password_is_changed_before_anything_opens(runtime: Runtime) -> None:
    runtime.person("newcomer", "admin", must_change=True)
    browser = Browser(runtime)
    answer = browser.sign_in("newcomer", rd="/hosts")
    assert answer.headers["Location"] == "/password?rd=%2Fhosts"
    half = dict(browser.cookies)
    assert browser.get("/hosts").headers["Location"].startswith("/password")
    assert browser.get("/continue?rd=/hosts").headers["Location"].startswith("/password")

    form = {"current": PASSWORD, "new": "another battery", "again": "another battery", "rd": "/hosts"}
    for wrong, status in (
        ({**form, "again": "something else"}, 400),
        ({**form, "new": "short", "again": "short"}, 400),
        ({**form, "new": PASSWORD, "again": PASSWORD}, 400),
        ({**form, "current": "not this"}, 401),
    ):
        refused = browser.post("/password", wrong)
        assert refused.status_code == status
        assert 'role="alert"' in refused.text
    changed = browser.post("/password", form)
    assert changed.headers["Location"] == "/continue?rd=%2Fhosts"
    assert browser.cookies[runtime.panel_cookie] != half[runtime.panel_cookie]
    assert browser.cookies[runtime.edge_cookie] != half[runtime.edge_cookie]
    assert browser.get("/hosts").status_code == 200
    browser.cookies = half
    assert browser.get("/hosts").headers["Location"].startswith("/login"), "the old tokens are dead"
    assert runtime.admin("DELETE", "/v1/users/newcomer").status_code == 200


def test_who_is_signed_in_already_goes_straight_on(runtime: Runtime) -> None:
    browser = Browser(runtime)
    browser.sign_in()
    token = browser.cookies[runtime.edge_cookie]
    answer = browser.get(f"/login?rd={quote(WANTED, safe='')}")
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/continue?rd=")
    assert browser.cookies[runtime.edge_cookie] == token, "a good cookie is left alone"


def test_a_lost_host_cookie_is_made_anew_instead_of_a_login_loop(runtime: Runtime) -> None:
    browser = Browser(runtime)
    browser.sign_in()
    lost = browser.cookies.pop(runtime.edge_cookie)
    answer = browser.get(f"/login?rd={quote(WANTED, safe='')}")
    assert answer.headers["Location"].startswith("/continue?rd=")
    assert browser.cookies[runtime.edge_cookie] != lost
    assert browser.get("/").status_code == 200
    digest = sha256(browser.cookies[runtime.edge_cookie].encode()).digest()
    assert runtime.rows("SELECT 1 FROM sessions WHERE edge_token_hash = ? AND assurance = 'full'", digest)


def test_a_host_that_keeps_refusing_ends_in_a_page_not_in_a_loop(behind_caddy: Runtime) -> None:
    browser = Browser(behind_caddy)
    browser.sign_in()
    answers = [browser.get(f"/login?rd={quote(WANTED, safe='')}").status_code for _unused in range(4)]
    assert answers == [303, 303, 303, 409]


def test_a_planted_count_of_rounds_breaks_nothing(lan: Runtime) -> None:
    browser = Browser(lan)
    browser.sign_in()
    target = WANTED.replace("https:", "http:")
    browser.get(f"/login?rd={quote(target, safe='')}")
    mark = browser.cookies.pop("argos_onward").partition(".")[0]
    cookie = f"{browser.cookie_header()}; argos_onward={mark}.\N{SUPERSCRIPT TWO}".encode("latin-1")
    with lan.panel_client("127.0.0.1") as client:
        url = f"http://127.0.0.1:{lan.port}/login?rd={quote(target, safe='')}"
        answer = client.get(url, headers={b"Host": browser.host.encode(), b"Cookie": cookie})
    assert answer.status_code == 303


def test_a_visit_begun_on_another_site_gets_its_strict_cookie_by_a_page_to_itself_once(behind_caddy: Runtime) -> None:
    browser = Browser(behind_caddy)
    path = f"/login?rd={quote(WANTED, safe='')}"
    foreign = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    page = browser.get(path, **foreign)
    assert page.status_code == 200
    target = refresh_target(page.text)
    assert target.startswith(path), "the way to go is kept"
    again = browser.get(target, **foreign)
    assert 'name="password"' in again.text, "a browser that always says cross-site is asked to sign in, not sent round"
    assert f"to open <strong>{GUARDED}</strong>" in again.text
    browser.sign_in()
    assert browser.get(target, Sec_Fetch_Site="same-origin").headers["Location"].startswith("/continue")


def test_the_mark_of_that_page_does_not_stay_in_the_way(behind_caddy: Runtime) -> None:
    browser = Browser(behind_caddy)
    foreign = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    for path in ("/hosts", "/hosts?a=1&b=%2F"):
        target = refresh_target(browser.get(path, **foreign).text)
        asked = browser.get(target, Sec_Fetch_Site="same-origin")
        assert asked.headers["Location"] == f"/login?rd={quote(path, safe='')}"


def test_a_browser_without_cookies_is_told_so(runtime: Runtime) -> None:
    browser = Browser(runtime)
    answer = browser.sign_in()
    browser.cookies.clear()
    page = browser.get(answer.headers["Location"])
    assert page.status_code == 403
    assert "cookie" in page.text


@pytest.mark.threat("LOG-1")
def test_five_failures_close_the_door_also_after_a_restart(behind_caddy: Runtime) -> None:
    guesser = Browser(behind_caddy, "198.51.100.7")
    began = time.monotonic()
    for number in range(5):
        assert guesser.sign_in(f"nobody-{number}", "guess").status_code == 401
    behind_caddy.stop()
    behind_caddy.start()
    refused = guesser.sign_in("alice")
    assert refused.status_code == 429
    wait = int(refused.headers["Retry-After"])
    assert 1799 - (time.monotonic() - began) <= wait <= 1800
    assert f"Try again in {math.ceil(wait / 60)} minutes" in refused.text
    assert Browser(behind_caddy, "198.51.100.8").sign_in("alice").status_code == 303


@pytest.mark.threat("LOG-3")
def test_a_forwarded_address_does_not_help_behind_caddy(behind_caddy: Runtime) -> None:
    guesser = Browser(behind_caddy, "198.51.100.9")
    form = {"username": "nobody-here", "password": "guess", "rd": "/"}
    for number in range(5):
        guesser.post("/login", form, **{"X-Forwarded-For": f"192.0.2.{number}", "Forwarded": f"for=192.0.2.{number}"})
    form = {"username": "alice", "password": PASSWORD, "rd": "/"}
    assert guesser.post("/login", form, **{"X-Forwarded-For": "192.0.2.77"}).status_code == 429


def test_no_client_address_no_answer(behind_caddy: Runtime) -> None:
    browser = Browser(behind_caddy)
    for claim in (None, "", "localhost", "203.0.113.1, 203.0.113.2"):
        answer = browser.send("GET", "/login", headers={"Argos-Client-Ip": claim})
        assert answer.status_code == 400, claim


def test_eight_at_once_are_each_answered(behind_caddy: Runtime) -> None:
    def guess(number: int) -> int:
        return Browser(behind_caddy, f"198.51.101.{number}").sign_in(f"somebody-{number}", "guess").status_code

    with ThreadPoolExecutor(8) as pool:
        codes = set(pool.map(guess, range(8)))
    assert codes <= {401, 503}
    assert 401 in codes
