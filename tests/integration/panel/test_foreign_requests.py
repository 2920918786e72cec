"""What other sites, siblings and odd clients send: refused clearly, never a traceback."""

from __future__ import annotations

import socket

import pytest
from panel_runtime import PASSWORD, Browser, Runtime

FORM = {"username": "alice", "password": PASSWORD, "rd": "/"}


@pytest.mark.threat("AUT-3")
@pytest.mark.parametrize(
    "foreign",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "https://photos.home.example", "Sec_Fetch_Site": "same-site"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": None},
        {"Origin": None, "Sec_Fetch_Site": "cross-site"},
        {"Origin": None, "Sec_Fetch_Site": "same-site"},
        {"Origin": None, "Sec_Fetch_Site": "none"},
        {"Sec_Fetch_Site": "cross-site"},
    ],
)
def test_a_form_sent_from_elsewhere_changes_nothing(runtime: Runtime, foreign: dict[str, str | None]) -> None:
    browser = Browser(runtime)
    browser.sign_in("root-admin")
    kept = dict(browser.cookies)
    for path, form in (("/login", FORM), ("/logout", {}), ("/password", {"current": PASSWORD, "new": "x" * 9})):
        answer = browser.post(path, form, **foreign)
        assert answer.status_code == 403, (path, foreign)
        assert "set-cookie" not in answer.headers
    answer = browser.send("DELETE", "/api/v1/users/alice", headers={"Origin": browser.origin, **foreign})
    assert answer.status_code == 403
    assert browser.cookies == kept
    assert browser.get("/hosts").status_code == 200
    assert runtime.admin("GET", "/v1/users/alice").status_code == 200


@pytest.mark.threat("AUT-3")
def test_the_fetch_header_alone_stands_in_for_a_missing_origin(behind_caddy: Runtime) -> None:
    answer = Browser(behind_caddy).post("/login", FORM, Origin=None, Sec_Fetch_Site="same-origin")
    assert answer.status_code == 303


@pytest.mark.threat("AUT-3")
def test_the_hosts_cookie_opens_nothing_of_the_panel(runtime: Runtime) -> None:
    browser = Browser(runtime)
    browser.sign_in("root-admin")
    stolen = browser.cookies[runtime.edge_cookie]
    for cookies in ({runtime.edge_cookie: stolen}, {runtime.panel_cookie: stolen}):
        browser.cookies = dict(cookies)
        assert browser.get("/hosts").headers["Location"].startswith("/login")
        assert browser.send("GET", "/api/v1/users").status_code == 401


@pytest.mark.threat("AUT-3")
def test_a_planted_second_sign_in_is_refused_and_a_planted_wrong_one_harmless(runtime: Runtime) -> None:
    victim, attacker = Browser(runtime), Browser(runtime)
    victim.sign_in("root-admin")
    attacker.sign_in("alice")
    name = runtime.panel_cookie
    mine, planted = victim.cookies[name], attacker.cookies[name]
    for header, status in (
        (f"{name}={planted}; {name}={mine}", 400),
        (f"{name}={mine}; {name}={planted}", 400),
        (f"{name}={'A' * 43}; {name}={mine}", 200),
        (f"{name}=rubbish; {name}={mine}; {name}=", 200),
    ):
        assert victim.get("/hosts", Cookie=header).status_code == status, header


@pytest.mark.parametrize(
    ("cookie", "status"),
    [
        ("x" * 17_000, 431),
        ("=; ;;; =x; ,", 303),
        ("{name}=" + "A" * 5000, 303),
        ("{name}=\x7f\xff\xfe", 400),
        ('{name}="quoted', 303),
        ("{name}=..%2f..%2f", 303),
    ],
)
def test_odd_cookies_sign_nobody_in(runtime: Runtime, cookie: str, status: int) -> None:
    value = cookie.replace("{name}", runtime.panel_cookie).encode("latin-1")
    answer = Browser(runtime).get("/hosts", Cookie=value)  # type: ignore[arg-type]  # bytes as they are
    assert answer.status_code == status


def test_unicode_and_odd_forms(runtime: Runtime) -> None:
    browser = Browser(runtime)
    for username in ("Ünïcødé", "日本", "a\x00b", "x" * 5000, "' OR 1=1 --", "{{7*7}}", "<b>"):
        answer = Browser(runtime, "127.0.0.77").sign_in(username, "guess")
        assert answer.status_code in {401, 429}
        assert "<b>" not in answer.text
        assert "49" not in answer.text.partition("<form")[2].partition("</form>")[0]
    form = "application/x-www-form-urlencoded"
    for body, content_type in (
        (b"username=%ff%fe&password=x", form),
        (b"\xff\xfe\x00", form),
        (b"&".join(b"a%d=1" % number for number in range(100)), form),
        (b"username=a&username=b&password=c", form),
        (b'{"username": "alice"}', "application/json"),
        (b"--x\r\n\r\n--x--", "multipart/form-data; boundary=x"),
        (b"", form),
        (b"", ""),
    ):
        headers = {"Origin": browser.origin, "Content-Type": content_type}
        answer = browser.send("POST", "/login", headers=headers, content=body)
        assert 400 <= answer.status_code < 500, body
        assert "Traceback" not in answer.text
    log = runtime.log.read_text()
    assert "Traceback" not in log, log[-3000:]


def test_a_body_over_the_limit_is_refused(runtime: Runtime) -> None:
    body = b"username=" + b"a" * (1024 * 1024 + 1)
    headers = {"Origin": Browser(runtime).origin, "Content-Type": "application/x-www-form-urlencoded"}
    assert Browser(runtime).send("POST", "/login", headers=headers, content=body).status_code == 413


@pytest.mark.threat("LOG-3")
@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:9080", "argos.home.example.evil.example", "localhost", "[::1]", "0", "169.254.1.1",
     "argos.home.example@evil.example", "argos.home.example:x", "xn--rgos-5na.home.example", ""],
)  # fmt: skip
def test_a_name_that_was_not_declared_is_misdirected(runtime: Runtime, host: str) -> None:
    browser = Browser(runtime)
    for path in ("/", "/login", "/api/v1/users", "/static/panel.css", "/nothing"):
        answer = browser.get(path, Host=host, **{"X-Forwarded-Host": browser.host})
        assert answer.status_code in {400, 421}, (host, path)
        assert "set-cookie" not in answer.headers


def test_the_declared_names_and_addresses_are_answered(lan: Runtime) -> None:
    for host in (f"127.0.0.1:{lan.port}", f"ARGOS.home.example:{lan.port}", "argos.home.example"):
        assert Browser(lan, host=host).get("/login").status_code == 200


def test_opened_under_an_address_sign_in_says_what_it_opens(lan: Runtime) -> None:
    browser = Browser(lan, host=f"127.0.0.1:{lan.port}")
    page = browser.get("/login")
    assert f"http://argos.home.example:{lan.port}/" in page.text
    answer = browser.sign_in()
    assert answer.status_code == 303
    assert all("Domain" not in line for line in answer.headers.get_list("set-cookie"))
    assert f"http://argos.home.example:{lan.port}/" not in Browser(lan).get("/login").text


@pytest.mark.threat("LOG-3")
def test_in_lan_no_forwarded_header_is_believed(lan: Runtime) -> None:
    claims = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Prefix": "/evil",
        "Forwarded": "host=evil.example;proto=https",
        "Argos-Client-Ip": "192.0.2.1",
        "X-Forwarded-For": "192.0.2.1",
    }
    answer = Browser(lan).post("/login", FORM, **claims)
    assert answer.status_code == 303
    assert "evil" not in str(answer.headers)
    assert all("Secure" not in line for line in answer.headers.get_list("set-cookie"))
    assert lan.rows("SELECT address FROM sessions ORDER BY id DESC LIMIT 1") == [("127.0.0.1",)]


@pytest.mark.threat("LOG-1")
@pytest.mark.threat("LOG-3")
def test_in_lan_the_peer_is_the_client(lan: Runtime) -> None:
    guesser = Browser(lan, "127.0.0.9")
    form = {"username": "nobody-here", "password": "guess", "rd": "/"}
    for number in range(5):
        claim = f"192.0.2.{number}"
        assert guesser.post("/login", form, **{"X-Forwarded-For": claim, "Argos-Client-Ip": claim}).status_code == 401
    assert guesser.post("/login", FORM, **{"X-Forwarded-For": "192.0.2.99"}).status_code == 429
    assert Browser(lan, "127.0.0.10").sign_in().status_code == 303


def test_a_slow_or_silent_peer_keeps_nobody_waiting(lan: Runtime) -> None:
    idle = [socket.create_connection(("127.0.0.1", lan.port)) for _unused in range(50)]
    try:
        for peer in idle:
            peer.sendall(b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nu")
        assert Browser(lan).get("/login").status_code == 200
    finally:
        for peer in idle:
            peer.close()
