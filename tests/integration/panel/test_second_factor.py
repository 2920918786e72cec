"""The second factor and the list of devices, through a real ``argos serve`` and a real ``argos gate``."""

from __future__ import annotations

import html
import http.client
import json
import os
import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import httpx
import pyotp
import pytest
from gate_process import gate_process
from panel_runtime import GUARDED, PASSWORD, Browser, Runtime

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
NUMBERS = count(1)
# What depends on no mode; LOG-4 is proved in both.
BEHIND_CADDY = pytest.mark.parametrize("runtime", ["behind_caddy"], indirect=True, scope="module")


def early_in_a_step() -> int:
    """The time (Unix seconds), at least 8 s before the next code: a code of the step before is good until then."""
    if (left := 30 - time.time() % 30) < 8:
        time.sleep(left)
    return int(time.time())


class Phone:
    """A new person who has set a second factor up through the pages."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.name = f"factor-{next(NUMBERS)}"
        runtime.person(self.name)
        self.address = f"{'198.51.100' if runtime.mode == 'behind_caddy' else '127.0.51'}.{next(NUMBERS)}"
        self.browser = self.open()
        page = self.browser.post("/profile/second-factor", {"action": "begin"})
        assert page.status_code == 200, page.text
        assert "<svg" in page.text
        found = re.search(r"secret: <code>([A-Z2-7]{32})</code>", page.text)
        assert found, page.text
        self.secret = found[1]
        self.setup_page = page
        now = early_in_a_step()
        # The setup takes the step before this one, so that the present one is still unused.
        done = self.browser.post(
            "/profile/second-factor", {"action": "confirm", "code": pyotp.TOTP(self.secret).at(now - 30)}
        )
        assert done.status_code == 200, done.text
        self.codes = re.findall(r"\b[0-9a-z]{4}-[0-9a-z]{4}\b", html.unescape(done.text.partition('class="codes"')[2]))
        assert len(self.codes) == 10

    def open(self, rd: str = "/") -> Browser:
        """A browser that has given name and password."""
        browser = Browser(self.runtime, self.address)
        answer = browser.post(
            "/login", {"username": self.name, "password": PASSWORD, "rd": rd}, **{"User-Agent": FIREFOX}
        )
        assert answer.status_code == 303, answer.text
        return browser

    def code(self) -> str:
        """What the app shows."""
        return pyotp.TOTP(self.secret).now()


@pytest.fixture
def phone(runtime: Runtime) -> Phone:
    return Phone(runtime)


@pytest.fixture(scope="module")
def gate(runtime: Runtime) -> Iterator[Path]:
    """A real gate over the runtime's database."""
    with gate_process(runtime.environment):
        yield runtime.root / "run" / "gate.sock"


class GateConnection(http.client.HTTPConnection):
    """HTTP to the gate's socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("gate", timeout=30)
        self._path = path

    def connect(self) -> None:
        """Open it."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(os.fspath(self._path))


def verdict(gate: Path, browser: Browser) -> int:
    connection = GateConnection(gate)
    headers = {
        "Argos-Host-Id": GUARDED,
        "Argos-Client-Ip": browser.address,
        "X-Forwarded-Method": "GET",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": GUARDED,
        "X-Forwarded-Uri": "/",
        "Cookie": browser.cookie_header(),
        "Accept": "application/json",
    }
    connection.request("GET", "/verify", headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status


def copy_of(browser: Browser) -> Browser:
    made = Browser(browser.runtime, browser.address)
    made.cookies = dict(browser.cookies)
    return made


def became_full(answer: httpx.Response) -> bool:
    return (
        answer.status_code == 303
        and answer.headers["Location"].startswith("/continue")
        and "set-cookie" in answer.headers
    )


@BEHIND_CADDY
def test_the_setup_page_needs_no_script_and_no_foreign_picture(phone: Phone) -> None:
    page = phone.setup_page
    assert "script" not in page.text
    assert "style=" not in page.text
    assert "data:" not in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"
    assert phone.secret not in phone.browser.get("/profile").text, "the secret is shown once"


@pytest.mark.threat("LOG-4")
def test_a_half_signed_in_session_passes_nowhere(phone: Phone, gate: Path) -> None:
    assert verdict(gate, phone.browser) == 200, "the gate works"
    half = phone.open(rd="/profile")
    for path in ("/", "/profile", "/password", "/confirm", "/hosts"):
        answer = half.get(path)
        assert (answer.status_code, answer.headers["Location"].partition("?")[0]) == (303, "/second-factor"), path
    assert half.post("/profile/sessions", {"session": "others"}).status_code == 403
    assert half.post("/profile/second-factor", {"action": "off"}).status_code == 403
    assert half.get("/api/v1/users").status_code == 403
    assert verdict(gate, half) == 401
    assert half.get("/password?rd=%2Fprofile").headers["Location"] == "/second-factor?rd=%2Fprofile"
    assert half.get("/second-factor?rd=%2Fprofile").status_code == 200
    before = dict(half.cookies)
    answer = half.post("/second-factor", {"code": phone.code(), "rd": "/profile"})
    assert became_full(answer), answer.text
    assert answer.headers["Location"] == "/continue?rd=%2Fprofile"
    assert verdict(gate, half) == 200
    for name in (phone.runtime.panel_cookie, phone.runtime.edge_cookie):
        assert half.cookies[name] != before[name], "a rise of privilege makes new tokens"


@pytest.mark.threat("LOG-4")
@pytest.mark.parametrize("kind", ["totp", "recovery"])
@pytest.mark.parametrize("sign_ins", [1, 5])
def test_of_fifty_concurrent_posts_of_one_code_exactly_one_succeeds(phone: Phone, kind: str, sign_ins: int) -> None:
    halves = [phone.open() for _unused in range(sign_ins)]
    browsers = [copy_of(halves[number % sign_ins]) for number in range(50)]
    early_in_a_step()  # one code for the whole test
    code = phone.code() if kind == "totp" else phone.codes[3]
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda browser: browser.post("/second-factor", {"code": code, "rd": "/"}), browsers))
    said = Counter(answer.status_code for answer in answers)
    assert sum(map(became_full, answers)) == 1, said
    rows = phone.runtime.rows(
        "SELECT count(*) FROM audit WHERE action = 'second_factor.prove' AND target = ?", f"user/{phone.name}"
    )
    assert rows == [(1,)]


@pytest.mark.threat("LOG-4")
def test_wrong_codes_lock_out_and_the_page_says_for_how_long(phone: Phone) -> None:
    half = phone.open()
    for _unused in range(5):
        assert half.post("/second-factor", {"code": "12345", "rd": "/"}).status_code == 401
    answer = half.post("/second-factor", {"code": phone.code(), "rd": "/"})
    assert answer.status_code == 429
    assert 800 < int(answer.headers["Retry-After"]) <= 900
    assert "15 minutes" in answer.text


@BEHIND_CADDY
def test_devices_are_named_and_ended_one_by_one_at_the_gate_too(phone: Phone, gate: Path) -> None:
    other = phone.open()
    assert became_full(other.post("/second-factor", {"code": phone.codes[0], "rd": "/"}, **{"User-Agent": FIREFOX}))
    assert verdict(gate, other) == 200
    page = phone.browser.get("/profile").text
    assert "Firefox on Linux" in page
    assert phone.address in page
    ids = re.findall(r'name="session" value="(\d+)"', page)
    assert len(ids) == 1
    assert phone.browser.post("/profile/sessions", {"session": ids[0]}).status_code == 303
    assert verdict(gate, other) == 401, "the very next request is refused"
    assert verdict(gate, phone.browser) == 200


@pytest.mark.threat("LOG-5")
@BEHIND_CADDY
def test_all_others_end_at_once_and_this_one_stays(phone: Phone, gate: Path) -> None:
    others = []
    for number in range(3):
        browser = phone.open()
        assert became_full(browser.post("/second-factor", {"code": phone.codes[number], "rd": "/"}))
        assert verdict(gate, browser) == 200
        others.append(browser)
    assert phone.browser.post("/profile/sessions", {"session": "others"}).status_code == 303
    assert [verdict(gate, browser) for browser in others] == [401, 401, 401]
    assert verdict(gate, phone.browser) == 200


@BEHIND_CADDY
def test_nobody_ends_a_sign_in_of_another_person(phone: Phone, runtime: Runtime) -> None:
    stranger = Phone(runtime)
    target = runtime.rows(
        "SELECT s.id FROM sessions s JOIN users u ON u.id = s.user_id WHERE u.username = ?", stranger.name
    )[0][0]
    assert phone.browser.post("/profile/sessions", {"session": str(target)}).status_code == 303
    assert stranger.browser.get("/profile").status_code == 200


@BEHIND_CADDY
def test_sensitive_changes_want_a_fresh_password_or_code(phone: Phone) -> None:
    phone.runtime.write(
        "UPDATE sessions SET proved_at = proved_at - 700 WHERE user_id = (SELECT id FROM users WHERE username = ?)",
        phone.name,
    )
    for action in ("codes", "off", "begin", "confirm"):
        answer = phone.browser.post("/profile/second-factor", {"action": action})
        assert (answer.status_code, answer.headers["Location"]) == (303, "/confirm?rd=%2Fprofile"), action
    assert phone.browser.get("/confirm?rd=/profile").status_code == 200
    assert phone.browser.post("/confirm", {"password": "wrong", "rd": "/profile"}).status_code == 401
    assert phone.browser.post("/confirm", {"password": PASSWORD, "rd": "/profile"}).status_code == 303
    assert phone.browser.post("/profile/second-factor", {"action": "codes"}).status_code == 200
    assert phone.browser.post("/profile/second-factor", {"action": "off"}).status_code == 303
    assert phone.open().get("/profile").status_code == 200


@BEHIND_CADDY
def test_changing_the_password_keeps_the_proved_factor(phone: Phone) -> None:
    form = {"current": PASSWORD, "new": "another long one", "again": "another long one", "rd": "/profile"}
    assert phone.browser.post("/password", form).status_code == 303
    assert phone.browser.get("/profile").status_code == 200


@BEHIND_CADDY
def test_the_command_line_takes_a_lost_factor_away(phone: Phone) -> None:
    done = phone.runtime.argos("user", "disable-2fa", phone.name, "--json")
    assert done.returncode == 0, done
    told = json.loads(done.stdout)
    assert told == {"changed": True, "before": told["before"], "after": {**told["before"], "second_factor": "disabled"}}
    assert told["before"]["second_factor"] == "enabled"
    assert phone.browser.get("/profile").status_code == 303
    assert phone.open().get("/profile").status_code == 200
    again = phone.runtime.argos("user", "disable-2fa", phone.name)
    assert (again.returncode, again.stdout) == (0, f"{phone.name}: has no second factor (unchanged)\n")
    for nobody in ("nobody-here", "<no name>"):
        assert phone.runtime.argos("user", "disable-2fa", nobody).returncode == 66


@pytest.mark.threat("SEC-1")
@BEHIND_CADDY
def test_no_file_of_the_runtime_holds_the_secret_or_a_code(phone: Phone) -> None:
    files = [path for path in phone.runtime.root.rglob("*") if path.is_file()]
    assert phone.runtime.database in files
    content = b"".join(path.read_bytes() for path in files)
    assert phone.name.encode() in content
    for secret in (phone.secret, *phone.codes):
        assert secret.encode() not in content
