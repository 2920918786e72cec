"""The examples of docs/forward-auth.md on the real proxies: who enters, who is sent to sign in, and as whom."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import operators_proxies
import pytest
from panel_runtime import EDGE, GUARDED, Browser, Runtime

NAVIGATION = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
ASKED = "/inbox/a%2Fb?q=x%26y&next=%2Fdeep&name=%C3%BC"


class Echo(BaseHTTPRequestHandler):
    """An upstream that says what it received."""

    def do_GET(self) -> None:
        """Say it."""
        body = json.dumps({"path": self.path, "headers": [[k.lower(), v] for k, v in self.headers.items()]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_unused: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def believed(lan: Runtime) -> Iterator[Runtime]:
    """The runtime, which believes a proxy on this machine."""
    update = "UPDATE resources SET spec = ? WHERE name = 'edge'"
    lan.write(update, json.dumps({**EDGE, "auth_proxies": ["127.0.0.1/32"]}))
    yield lan
    lan.write(update, json.dumps(EDGE))


@pytest.fixture(scope="module", params=operators_proxies.KINDS)
def proxy(request: pytest.FixtureRequest, believed: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as upstream:
        threading.Thread(target=upstream.serve_forever, args=(0.05,), daemon=True).start()
        place: Path = tmp_path_factory.mktemp(request.param)
        argos, behind = f"127.0.0.1:{believed.port}", f"127.0.0.1:{upstream.server_port}"
        with operators_proxies.running(request.param, place, argos, behind) as port:
            yield f"127.0.0.1:{port}"
        upstream.shutdown()


def ask(proxy: str, target: str = ASKED, **headers: str) -> httpx.Response:
    sent = {"Host": f"{GUARDED}:{proxy.partition(':')[2]}"} | headers
    return httpx.get(f"http://{proxy}{target}", headers=sent, timeout=30)


def cookie(runtime: Runtime, person: Browser) -> str:
    return f"theme=dark; {runtime.edge_cookie}={person.cookies[runtime.edge_cookie]}"


@pytest.mark.threat("FWD-1")
@pytest.mark.threat("FWD-3")
@pytest.mark.threat("LOG-5")
def test_the_example_lets_the_signed_in_pass_as_themselves_and_nobody_else(believed: Runtime, proxy: str) -> None:
    forged = {"X-Auth-User": "root", "X-Auth-Email": "root@home.example", "X-Forwarded-Uri": "/public"}
    away = ask(proxy, **NAVIGATION, **forged)
    assert away.status_code == 302
    place = urlsplit(away.headers["Location"])
    assert f"{place.scheme}://{place.netloc}{place.path}" == f"{believed.origin}/login"
    (back,) = parse_qs(place.query)["rd"]
    assert back == f"http://{GUARDED}:{proxy.partition(':')[2]}{ASKED}", "the query comes through whole"
    assert ask(proxy, **forged).status_code == 401, "a program gets no page to sign in"

    person = Browser(believed, "127.0.0.40")
    person.sign_in()
    held = cookie(believed, person)
    inside = ask(proxy, Cookie=held, **NAVIGATION, **forged)
    assert inside.status_code == 200, inside.text
    received = inside.json()
    assert received["path"] == ASKED
    told = [value for name, value in received["headers"] if name == "x-auth-user"]
    assert told == ["alice"]
    assert "root" not in json.dumps(received["headers"])

    person.post("/logout")
    assert ask(proxy, Cookie=held).status_code == 401


@pytest.mark.threat("AUT-3")
@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("{ours}", None),
        ("{ours}; theme=dark", "theme=dark"),
        ("theme=dark; {ours}; my_argos_colour=red; cart=a%3Db", "theme=dark; my_argos_colour=red; cart=a%3Db"),
        # A planted one beside it: whichever of the two a proxy took out, no service may learn the other.
        ("{name}=planted; {ours}; theme=dark; argos_session=planted; __Secure-argos_session=planted", "theme=dark"),
        ("theme=" + "d" * 7500 + "; {ours}", "theme=" + "d" * 7500),
    ],
    ids=["alone", "first", "amidst", "planted", "large"],
)
def test_the_service_never_sees_the_sign_on_cookie_and_all_of_its_own(
    believed: Runtime, proxy: str, sent: str, kept: str | None
) -> None:
    person = Browser(believed, "127.0.0.42")
    person.sign_in()
    name, token = believed.edge_cookie, person.cookies[believed.edge_cookie]
    answer = ask(proxy, Cookie=sent.format(ours=f"{name}={token}", name=name))
    assert answer.status_code == 200, answer.text
    assert token not in answer.text
    told = [value for header, value in answer.json()["headers"] if header == "cookie"]
    assert told == ([] if kept is None else [kept])


@pytest.mark.threat("FWD-3")
def test_a_host_that_is_not_declared_is_closed(believed: Runtime, proxy: str) -> None:
    person = Browser(believed, "127.0.0.41")
    person.sign_in()
    believed.write("UPDATE gate_hosts SET host_id = 'other.home.example'")
    try:
        assert ask(proxy, Cookie=cookie(believed, person)).status_code == 403
    finally:
        believed.write("UPDATE gate_hosts SET host_id = ?", GUARDED)
