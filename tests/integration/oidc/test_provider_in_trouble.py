"""A provider that is dead, slow, huge or garbled; keys that rotate; and the break glass (OIDC-6)."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from argos.oidc.errors import ProviderUnavailable, TokenRejected
from argos.oidc.fetch import Fetcher
from argos.oidc.provider import Provider
from dance import declare_provider, new_browser, sign_in, start
from hostile_provider import HostileProvider
from panel_runtime import PASSWORD, Runtime
from waiting import until

DISCOVERY = "/.well-known/openid-configuration"


def raw(content: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(content)
        handler.close_connection = True

    return answer


def drip(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    try:
        for _number in range(600):
            handler.wfile.write(b" ")
            time.sleep(0.1)
    except OSError:
        return


def drip_headers(handler: BaseHTTPRequestHandler) -> None:
    try:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(600):
            handler.wfile.write(b"X-%d: y\r\n" % number)
            time.sleep(0.1)
    except OSError:
        return


TROUBLE: dict[str, Callable[[Any], None]] = {
    "500": raw(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"),
    "a redirect to a place of its own": raw(b"HTTP/1.1 302 F\r\nLocation: /keys\r\nContent-Length: 0\r\n\r\n"),
    "not HTTP": raw(b"\x00\x01\x02 garbage\r\n\r\n"),
    "nothing": raw(b""),
    "not JSON": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>"),
    "a JSON list": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"),
    "JSON nested without end": raw(b"HTTP/1.1 200 OK\r\n\r\n" + b'{"a":' * 100_000),
    "cut short": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{}"),
    "huge": raw(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 700_000 + b"{}"),
    "drips its body": drip,
    "drips its headers": drip_headers,
}


@pytest.mark.parametrize("kind", TROUBLE)
def test_an_answer_in_no_order_is_told_and_ends_in_time(provider: HostileProvider, kind: str) -> None:
    provider.answers[DISCOVERY] = TROUBLE[kind]
    began = time.monotonic()
    with pytest.raises(ProviderUnavailable):
        Provider(provider.issuer, Fetcher(provider.issuer, deadline=1.0)).metadata()
    assert time.monotonic() - began < 30, "and not the minute that it drips"
    assert provider.count("/keys") == 0, "no redirect is followed"


@pytest.mark.threat("OIDC-3")
@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://192.0.2.1/token"},
        {"token_endpoint": "file:///etc/passwd"},
        {"jwks_uri": "https://user:pass@home.example/keys"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": None},
    ],
    ids=str,
)
def test_a_provider_that_describes_itself_wrongly_is_not_used(
    provider: HostileProvider, changes: dict[str, Any]
) -> None:
    provider.metadata = changes
    with pytest.raises(ProviderUnavailable):
        Provider(provider.issuer).metadata()


def test_a_provider_cannot_point_us_at_a_machine_of_the_home_network() -> None:
    fetcher = Fetcher("https://login.provider.example")
    for url in ("https://127.0.0.1:9/keys", "https://10.0.0.1/keys", "https://[::1]/keys", "https://localhost/keys"):
        with pytest.raises(ProviderUnavailable, match="private address"):
            fetcher.get(url)


@pytest.mark.threat("OIDC-3")
def test_a_rotated_key_is_fetched_and_the_old_one_counts_no_more(
    provider: HostileProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    from argos.oidc import provider as module
    from argos.oidc import tokens

    def verify(asked: dict[str, str]) -> dict[str, Any]:
        token = provider.id_token(asked)
        return tokens.verify(
            token,
            lambda kid: ours.published_keys(wanted=kid),
            issuer=provider.issuer,
            client_id="argos",
            nonce="n",
            now=int(time.time()),
        )

    monkeypatch.setattr(module, "KEYS_REFETCH", 0.0)
    ours = Provider(provider.issuer)
    asked = {"nonce": "n"}
    assert verify(asked)["sub"] == "subject-1"
    provider.published, provider.signing_kid = ["rsa-2"], "rsa-2"
    assert verify(asked)["sub"] == "subject-1"
    provider.signing_kid = "rsa-1"
    with pytest.raises(TokenRejected, match="does not publish"):
        verify(asked)


def test_a_provider_that_promises_its_name_beside_the_code_must_keep_that(
    runtime: Runtime, provider: HostileProvider, tmp_path: Path
) -> None:
    # A provider of its own: the runtime keeps what the other one said of itself.
    other = HostileProvider()
    try:
        other.metadata = {"authorization_response_iss_parameter_supported": True}
        declare_provider(runtime, other.issuer)
        assert sign_in(new_browser(runtime), other).status_code == 400
    finally:
        other.close()


@pytest.fixture
def dead(runtime: Runtime) -> Iterator[Runtime]:
    gone = HostileProvider()
    declare_provider(runtime, gone.issuer)
    gone.close()
    return runtime


@pytest.mark.threat("OIDC-6")
def test_with_the_provider_dead_a_page_says_so_and_the_local_way_in_is_open(dead: Runtime) -> None:
    browser = new_browser(dead)
    answer = browser.get("/oidc/start")
    assert answer.status_code == 503
    assert 'href="/login"' in answer.text
    assert browser.sign_in("root-admin", PASSWORD).status_code == 303
    assert browser.get("/hosts").status_code == 200


@pytest.mark.threat("OIDC-6")
@pytest.mark.parametrize("silent", [DISCOVERY, "/token"])
def test_a_provider_that_never_answers_takes_the_local_way_in_from_nobody(runtime: Runtime, silent: str) -> None:
    mute, over = HostileProvider(), threading.Event()

    def silence(handler: BaseHTTPRequestHandler) -> None:
        over.wait(60)
        handler.close_connection = True

    declare_provider(runtime, mute.issuer)
    browsers = [new_browser(runtime) for _number in range(24)]  # more than the panel has threads
    paths = ["/oidc/start" if silent == DISCOVERY else mute.callback(start(browser)) for browser in browsers]
    turned_away_at_least = len(paths) - 4  # so many may wait for the provider
    mute.answers[silent] = silence
    try:
        with ThreadPoolExecutor(len(paths)) as pool:
            waiting = [pool.submit(browser.get, path) for browser, path in zip(browsers, paths, strict=True)]
            done = wait(waiting, timeout=60, return_when=FIRST_COMPLETED).done
            assert {one.result().status_code for one in done} == {503}
            assert new_browser(runtime).sign_in("root-admin", PASSWORD).status_code == 303
            assert not all(one.done() for one in waiting), "who signed in had to wait until the provider was given up"
            # Whoever came only when the provider speaks again would not be turned away.
            until(lambda: sum(one.done() for one in waiting) >= turned_away_at_least)
            over.set()
            answers = [one.result() for one in waiting]
        turned_away = [number for number, answer in enumerate(answers) if "Load this page again" in answer.text]
        assert len(turned_away) >= turned_away_at_least
        if silent == "/token":
            mute.answers.clear()
            again = browsers[turned_away[0]].get(paths[turned_away[0]])
            assert again.status_code == 200, "what was turned away was not used up"
    finally:
        over.set()
        mute.close()


@pytest.mark.threat("LOG-5")
@pytest.mark.threat("OIDC-6")
def test_who_signs_out_is_outside_while_a_silent_provider_is_still_asked(runtime: Runtime) -> None:
    mute, asked, over = HostileProvider(), threading.Event(), threading.Event()

    def silence(handler: BaseHTTPRequestHandler) -> None:
        asked.set()
        over.wait(60)
        handler.close_connection = True

    declare_provider(runtime, mute.issuer)
    mute.answers[DISCOVERY] = silence
    browser = new_browser(runtime)
    browser.sign_in("root-admin", PASSWORD)
    # As a sign-in that came from the provider, whose description the runtime does not keep any more.
    runtime.write("UPDATE sessions SET provider = 'oidc' WHERE id = (SELECT max(id) FROM sessions)")
    thief = new_browser(runtime)
    thief.cookies = dict(browser.cookies)
    assert thief.get("/hosts").status_code == 200
    try:
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(browser.post, "/logout")
            assert asked.wait(60)
            inside = thief.get("/hosts").status_code
            over.set()
            assert answer.result().headers["Location"] == "/login"
        assert inside == 303
    finally:
        over.set()
        mute.close()


@pytest.mark.threat("OIDC-6")
def test_the_break_glass_works_with_the_provider_dead_from_panel_api_and_command_line(dead: Runtime) -> None:
    def offered() -> bool:
        return "/oidc/start" in new_browser(dead).get("/login").text

    assert offered()
    browser = new_browser(dead)
    browser.sign_in("root-admin")
    assert browser.post("/oidc", {"action": "disable"}).status_code == 303
    assert not offered()
    assert new_browser(dead).get("/oidc/start").status_code == 404
    assert "Turn on" in browser.get("/oidc").text

    done = dead.argos("oidc", "enable", "--json")
    assert json.loads(done.stdout) == {"changed": True, "enabled": True}, done.stderr
    assert offered()
    done = dead.argos("oidc", "disable")
    assert done.returncode == 0, done.stderr
    assert "the provider is off" in done.stdout
    assert not offered()
    assert json.loads(dead.argos("oidc", "status", "--json").stdout)["enabled"] is False

    dead.argos("oidc", "enable")
    answer = dead.admin("POST", "/v1/config/apply", {"settings": {"oidc": {"enabled": False}}})
    assert answer.status_code == 200, answer.text
    assert not offered()
    # The next test declares anew.
    declare_provider(dead, "http://127.0.0.1:9")


@pytest.mark.threat("OIDC-6")
@pytest.mark.parametrize("way", ["panel", "command line", "declaration", "another issuer"])
def test_a_provider_that_goes_off_takes_its_sign_ins_along_and_no_other(
    runtime: Runtime, provider: HostileProvider, way: str
) -> None:
    theirs, local = new_browser(runtime), new_browser(runtime)
    assert sign_in(theirs, provider).status_code == 200
    local.sign_in("root-admin")
    assert theirs.get("/profile").status_code == local.get("/profile").status_code == 200
    epoch = runtime.epoch.read_bytes()[:8]
    if way == "panel":
        assert "signed out at once" in local.get("/oidc").text
        assert local.post("/oidc", {"action": "disable"}).status_code == 303
    elif way == "command line":
        assert "everybody who signed in with it is signed out" in runtime.argos("oidc", "disable").stdout
    elif way == "declaration":
        planned = runtime.admin("POST", "/v1/config/plan", {"settings": {"oidc": {"enabled": False}}}).json()
        applied = runtime.admin("POST", "/v1/config/apply", {"settings": {"oidc": {"enabled": False}}}).json()
        assert planned["warnings"] == applied["warnings"]
        assert "signed out" in planned["warnings"][0]
        assert planned["changes"] == applied["changes"]
    else:
        declare_provider(runtime, "https://id.other.example")
    assert theirs.get("/profile").headers["Location"].startswith("/login")
    assert local.get("/profile").status_code == 200
    assert runtime.epoch.read_bytes()[:8] != epoch, "the gate forgets what it knew"
    assert runtime.rows("SELECT count(*) FROM audit WHERE action = 'session.revoke_provider'")[0][0] >= 1
    if way != "another issuer":
        assert runtime.argos("oidc", "enable").returncode == 0
        assert theirs.get("/profile").status_code == 303, "switching on brings no sign-in back"
        assert sign_in(new_browser(runtime), provider).status_code == 200, "and what is declared was kept"


@pytest.mark.threat("OIDC-6")
def test_a_sign_in_that_was_on_its_way_when_the_provider_went_off_does_not_arrive(
    runtime: Runtime, provider: HostileProvider
) -> None:
    browser = new_browser(runtime)
    off = {"settings": {"oidc": {"enabled": False}}}
    provider.forge = lambda _header, _claims: runtime.admin("POST", "/v1/config/apply", off)
    others = "SELECT id FROM sessions WHERE provider IS NOT 'oidc' ORDER BY id"  # those of the provider have ended
    before = runtime.rows(others)
    answer = sign_in(browser, provider)
    assert answer.status_code == 404
    assert runtime.panel_cookie not in browser.cookies
    assert runtime.rows("SELECT id FROM sessions ORDER BY id") == runtime.rows(others) == before
    assert runtime.argos("oidc", "enable").returncode == 0


def test_the_connection_test_tells_each_step(runtime: Runtime, provider: HostileProvider) -> None:
    browser = new_browser(runtime)
    browser.sign_in("root-admin")
    page = browser.post("/oidc", {"action": "test"})
    assert page.status_code == 200
    assert "takes client id and secret" in page.text
    done = runtime.argos("oidc", "test", "--json")
    steps = json.loads(done.stdout)
    assert [(step["step"], step["done"]) for step in steps] == [
        ("settings", True),
        ("discovery", True),
        ("keys", True),
        ("client", True),
    ]
    runtime.admin("PUT", "/v1/secrets/oidc-client", {"value": "not the secret"})
    failed = runtime.argos("oidc", "test")
    runtime.admin("PUT", "/v1/secrets/oidc-client", {"value": "a client secret: with % and +"})
    assert failed.returncode == 1
    assert "client: The token endpoint answered 401 invalid_client" in failed.stdout
    assert "not the secret" not in failed.stdout
