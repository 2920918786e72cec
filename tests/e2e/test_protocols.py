"""HTTP/1.1, HTTP/2 and HTTP/3 each serve a host with the whole chain; TLS and headers are as promised."""

from __future__ import annotations

import socket
import ssl
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

import pytest
from lab import http3
from lab.admin_api import Declaration
from lab.echo import Received
from lab.guest import Guest
from lab.namespace import PublicNetwork
from lab.people import Panel, Person
from lab.visitor import Visitor, status_of

SCRIPT = quote("<script>alert(document.cookie)</script>")


@dataclass
class Answer:
    """What came back, over whichever protocol."""

    status: int
    body: bytes
    retry_after: str | None


Ask = Callable[[str, str], Answer]  # path and cookie


@pytest.fixture(scope="module")
def chain(declaration: Declaration, more_hosts) -> str:
    """Declare a host that has everything: sign-on, WAF and a limit."""
    limit = {"requests": 8, "window": 30}
    more_hosts(declaration.host("e2e-chain", auth={"required": True}, waf={"mode": "block"}, rate_limit=limit))
    return declaration.name("e2e-chain")


def asker(protocol: str, host: str, guest: Guest, network: PublicNetwork, new_visitor) -> Ask:
    """Return a way to ask over one protocol, always from one address."""
    client: Visitor = new_visitor(http2=protocol == "HTTP/2")

    def over_tcp(path: str, cookie: str) -> Answer:
        answer = client.get(f"https://{host}{path}", headers={"Cookie": cookie} if cookie else {})
        assert answer.http_version == protocol
        return Answer(answer.status_code, answer.content, answer.headers.get("Retry-After"))

    def over_quic(path: str, cookie: str) -> Answer:
        headers = {"cookie": cookie} if cookie else {}
        answer = http3.ask(guest, network, host, path, headers=headers, source=client.address)
        return Answer(answer.status, answer.body, answer.headers.get("retry-after"))

    return over_quic if protocol == "HTTP/3" else over_tcp


@pytest.mark.threat("ING-1")
@pytest.mark.threat("ING-2")
@pytest.mark.threat("FWD-3")
@pytest.mark.parametrize("protocol", ["HTTP/1.1", "HTTP/2", "HTTP/3"])
def test_the_whole_chain(
    protocol: str, chain: str, guest: Guest, network: PublicNetwork, new_visitor, signed_in: Visitor, alice: Person
) -> None:
    ask = asker(protocol, chain, guest, network, new_visitor)
    cookie = f"__Secure-argos_session={signed_in.http.cookies['__Secure-argos_session']}"
    assert ask("/", "").status == 401, "sign-on"
    passed = ask("/x?a=1", cookie)
    assert passed.status == 200
    assert Received.of(passed.body).one("x-auth-user") == alice.username
    assert ask(f"/?q={SCRIPT}", cookie).status == 403, "WAF"
    answers = [ask("/", cookie) for _unused in range(8)]
    assert answers[-1].status == 429, "rate limit"
    assert int(answers[-1].retry_after or 0) >= 1


@pytest.mark.threat("ING-6")
def test_strict_transport_security_on_hosts_and_panel(visitor: Visitor, declaration: Declaration, panel: Panel) -> None:
    for url in (
        f"https://{declaration.name('e2e-open')}/",
        f"https://{declaration.name('e2e-guarded')}/",
        f"https://{declaration.name('e2e-block')}/?q={SCRIPT}",
        f"{panel.url}/login",
        f"{panel.url}/nothing-here",
    ):
        policy = visitor.get(url).headers.get("Strict-Transport-Security", "")
        assert "max-age=31536000" in policy, url
        assert "includeSubDomains" in policy, url


@pytest.mark.threat("ING-6")
def test_plain_http_is_sent_to_https_whole(visitor: Visitor, declaration: Declaration) -> None:
    for host in (declaration.name("e2e-open"), declaration.name("e2e-guarded"), declaration.panel):
        answer = visitor.get(f"http://{host}/deep%2Fpath?a=1&b=%C3%BC")
        assert answer.status_code in (301, 308)
        assert answer.headers["Location"] == f"https://{host}/deep%2Fpath?a=1&b=%C3%BC"


@pytest.mark.threat("ING-6")
def test_an_unknown_host_is_misdirected(visitor: Visitor, network: PublicNetwork, declaration: Declaration) -> None:
    known = declaration.name("e2e-open")
    for name in ("nobody.example", declaration.name("e2e-undeclared"), "127.0.0.1", "localhost"):
        request = f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode()
        assert status_of(visitor.raw(known, request)) == 421, name
        with network.connect(80, visitor.address) as plain:
            plain.sendall(request)
            plain.shutdown(socket.SHUT_WR)
            assert status_of(plain.recv(4096)) == 421, name


ROUTES = (
    ("GET", "/"),
    ("GET", "/login"),
    ("POST", "/login"),
    ("POST", "/logout"),
    ("GET", "/continue?rd=/"),
    ("GET", "/password"),
    ("GET", "/hosts"),
    ("GET", "/static/panel.css"),
    ("GET", "/static/../../etc/passwd"),
    ("GET", "/nothing-here"),
    ("DELETE", "/login"),
    ("TRACE", "/"),
    ("GET", "/api/v1/config"),
    ("POST", "/api/v1/config/apply"),
    ("GET", "/api/v1/users"),
    ("GET", "/api/auth/forward"),
    ("POST", "/" + "x" * 2000),
)


def script_policy(policy: str) -> str:
    """Return what a content security policy says of scripts; its default when it says nothing."""
    directives = dict(part.strip().partition(" ")[::2] for part in policy.split(";"))
    return directives.get("script-src", directives.get("default-src", "'unsafe-inline'"))


@pytest.mark.threat("ING-7")
@pytest.mark.parametrize("session", ["visitor", "signed_in"])
def test_every_answer_of_the_panel_refuses_framing(request: pytest.FixtureRequest, panel: Panel, session: str) -> None:
    client: Visitor = request.getfixturevalue(session)
    for method, path in ROUTES:
        answer = client.http.request(method, panel.url + path)
        seen = (method, path, answer.status_code, dict(answer.headers))
        assert answer.headers.get("X-Frame-Options") == "DENY", seen
        policy = answer.headers.get("Content-Security-Policy", "")
        assert "frame-ancestors 'none'" in policy, seen
        assert "'unsafe-inline'" not in script_policy(policy), seen
        assert answer.headers.get("X-Content-Type-Options") == "nosniff", seen


@pytest.mark.threat("AUT-1")
def test_nobody_and_a_member_reach_nothing_of_an_admins(visitor: Visitor, signed_in: Visitor, panel: Panel) -> None:
    for path in ("/hosts", "/api/v1/config", "/api/v1/users", "/api/v1/hosts", "/api/v1/secrets"):
        assert visitor.get(panel.url + path).status_code in (302, 303, 401, 403), path
    for path in ("/api/v1/config", "/api/v1/users", "/api/v1/secrets"):
        assert signed_in.get(panel.url + path).status_code == 403, path


@pytest.mark.threat("ING-6")
def test_old_tls_is_refused(guest: Guest, network: PublicNetwork, declaration: Declaration) -> None:
    context = ssl.create_default_context(cafile=str(guest.ca))
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with network.connect(443) as plain, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(plain, server_hostname=declaration.name("e2e-open"))
