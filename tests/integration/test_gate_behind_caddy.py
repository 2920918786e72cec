"""The real gate behind the real Caddy on its stock rendering: what a browser and a program see."""

from __future__ import annotations

import contextlib
import http.client
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from argos.accounts.people import Wanted
from argos.storage.tables import users
from sqlalchemy import update
from waiting import until

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "tests" / "benchmarks"))

from bench import machine, processes  # noqa: E402
from bench import stack as stacks  # noqa: E402

COOKIE = "__Secure-argos_session"
# Holds the gate's listener, as argos-gate.socket does, and starts the gate on it again whenever it ends.
# The file beside the socket has an octet for each start.
SUPERVISOR = """
import os, signal, socket, subprocess, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(1024)
os.dup2(listener.fileno(), 3)
def launch():
    with open(sys.argv[1] + ".starts", "a") as starts:
        starts.write(".")
    code = ("import os, sys; os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()));"
            "from argos.gate.server import run; sys.exit(run(os.environ))")
    return subprocess.Popen([sys.executable, "-c", code], pass_fds=[3])
def stop(*_):
    gate.kill()
    os._exit(0)
gate = launch()
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGHUP, lambda *_: gate.terminate())
signal.signal(signal.SIGUSR1, lambda *_: gate.kill())
while True:
    gate.wait()
    gate = launch()
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory):
    directory = tmp_path_factory.mktemp("edge")
    with processes.Processes(directory) as running:
        made = stacks.Stack(directory, machine.cores(), running, stacks.find_caddy())
        state = stacks.prepare(made)
        stacks.start_panel(made)
        made.pids["gate"] = running.start(
            "gate",
            [sys.executable, "-c", SUPERVISOR, str(directory / "gate.sock")],
            core=made.cores.measured,
            environ=made.environ,
            ready=lambda: stacks.listens(directory / "gate.sock"),
        )
        stacks.start_caddy(made, "caddy", state)
        yield made


@pytest.fixture(scope="module")
def application(stack):
    opened = stack.application()
    yield opened
    opened.close()


def ask(stack, method: str = "GET", path: str = "/echo", body: object = None, **headers: str) -> tuple[int, dict, str]:
    connection = http.client.HTTPConnection("127.0.0.1", stack.ports["caddy"], timeout=60)
    sent = {"Host": stacks.CLOSED_HOST} | {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, sent)
    response = connection.getresponse()
    text = response.read().decode("latin-1")
    connection.close()
    return response.status, dict(response.getheaders()), text


def signed_in(stack) -> dict[str, str]:
    return {"Cookie": f"theme=dark; {COOKIE}={stack.token}"}


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("POST", b"a=1&b=2"),
        ("PUT", b"x" * 100_000),
        ("POST", iter([b"chunk", b"ed"])),
        ("DELETE", None),
        ("OPTIONS", None),
    ],
    ids=["a form", "100 kB", "chunked", "DELETE", "OPTIONS"],
)
def test_a_request_with_any_method_and_body_passes_the_gate(stack, method: str, body: object) -> None:
    status, _unused, text = ask(stack, method, body=body, **signed_in(stack))
    assert status == 200
    assert "x-auth-user: bench" in text


def test_a_form_without_a_session_gets_401_and_never_reaches_the_upstream(stack) -> None:
    status, headers, text = ask(stack, "POST", body=b"a=1", Sec_Fetch_Mode="navigate")
    assert status == 401
    assert headers["Cache-Control"] == "no-store"
    assert "host:" not in text


@pytest.mark.parametrize(
    "path", ["/album?a=1&b=%2F&c=%26", "/f%C3%BC/x;y?q=%E2%82%AC", "/a//b/%2e%2e/?", "/?", "/?=&&"]
)
def test_the_way_to_sign_in_names_the_url_first_asked_for(stack, path: str) -> None:
    status, headers, _unused = ask(stack, path=path, Sec_Fetch_Mode="navigate")
    assert status == 302
    (back,) = parse_qs(urlsplit(headers["Location"]).query)["rd"]
    assert back == f"http://{stacks.CLOSED_HOST}{path}"


def test_a_websocket_handshake_is_decided_like_any_request(stack) -> None:
    handshake = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec_WebSocket_Version": "13",
    }
    assert ask(stack, **handshake)[0] == 401
    for _unused in range(3):  # the gate's connection stays usable
        status, _unused, text = ask(stack, **handshake, **signed_in(stack))
        assert status == 200  # the sample upstream speaks no WebSocket, and says so to one who was let in
        assert "upgrade: websocket" in text


@pytest.mark.threat("FWD-1")
@pytest.mark.parametrize("extra", [{"X_Auth_User": "root"}, {"x_auth_user": "root", "Connection": "X-Auth-User"}])
def test_a_clients_own_identity_is_replaced(stack, extra: dict[str, str]) -> None:
    status, _unused, text = ask(stack, **signed_in(stack), **extra)
    assert status == 200
    assert [line for line in text.split("\n") if line.startswith("x-auth-user")] == ["x-auth-user: bench"]
    assert COOKIE not in text


@pytest.mark.threat("FWD-1")
def test_an_upstream_is_told_an_email_only_while_it_is_verified(stack, application) -> None:
    application.people.put(stacks.ACTOR, "bench", Wanted(email="bench@home.example"))
    told = []
    for verified in (True, False):
        with application.storage.write() as connection:
            connection.execute(update(users).where(users.c.username == "bench").values(email_verified=verified))
        application.epoch.advance()
        status, _unused, text = ask(stack, **signed_in(stack), X_Auth_Email="root@home.example")
        assert status == 200
        told += [line for line in text.split("\n") if line.startswith("x-auth-email")]
    assert told == ["x-auth-email: bench@home.example", "x-auth-email: "]


@pytest.mark.threat("LOG-5")
def test_the_very_next_request_after_a_sign_out_is_denied(stack, application) -> None:
    person = application.accounts.get("bench")
    for _unused in range(20):
        issued = application.sessions.begin(stacks.ACTOR, person.id, "127.0.0.1")
        cookie = {"Cookie": f"{COOKIE}={issued.edge_token}"}
        assert ask(stack, **cookie)[0] == 200
        assert ask(stack, **cookie)[0] == 200
        application.sessions.revoke(stacks.ACTOR, issued.session.id)
        assert ask(stack, **cookie)[0] == 401


def starts(stack) -> int:
    """How often a gate was started."""
    return (stack.directory / "gate.sock.starts").stat().st_size


def until_more_pass(statuses: list[int]) -> None:
    """Wait for some who are let in from now on."""
    before = statuses.count(200)
    until(lambda: statuses.count(200) > before + 20)


def asking(stack, statuses: list[int], over: threading.Event) -> None:
    while not over.is_set():
        statuses.append(ask(stack, **signed_in(stack))[0])


@pytest.mark.threat("FWD-3")
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1], ids=["restarted", "killed"])
def test_a_gate_that_starts_again_under_load_denies_nobody(stack, number: signal.Signals) -> None:
    statuses: list[int] = []
    over = threading.Event()
    threads = [threading.Thread(target=asking, args=(stack, statuses, over)) for _unused in range(6)]
    for thread in threads:
        thread.start()
    try:
        until_more_pass(statuses)
        for _unused in range(3):
            before = starts(stack)
            subprocess.run(["kill", f"-{int(number)}", str(stack.pids["gate"])], check=True)
            until(lambda before=before: starts(stack) > before)  # type: ignore[misc]
            until_more_pass(statuses)  # or the next signal would meet a gate that does not decide yet
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
    denied = [status for status in statuses if status != 200]
    assert len(statuses) > 50
    if number == signal.SIGHUP:
        assert denied == []
    else:  # a request may be in the very gate that is killed: it is denied, never let in
        assert len(denied) <= 3 * 6
        assert set(denied) <= {401, 403, 502, 503}
    assert ask(stack, **signed_in(stack))[0] == 200


@pytest.mark.threat("FWD-3")
@pytest.mark.parametrize(
    "answer",
    [
        b"garbage",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nX-Auth-User: root\r\n\r\n",
        b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nContent-Length: 99\r\n\r\n",
    ],
)
def test_what_is_no_clear_yes_is_a_no(stack, tmp_path: Path, answer: bytes) -> None:
    broken = socket.socket(socket.AF_UNIX)
    broken.bind(str(tmp_path / "broken.sock"))
    broken.listen(16)

    def serve() -> None:
        while True:
            try:
                peer, _unused = broken.accept()
            except OSError:
                return
            peer.recv(65536)
            peer.sendall(answer)
            peer.close()

    threading.Thread(target=serve, daemon=True).start()

    def change(config: dict) -> None:
        route = config["apps"]["http"]["servers"]["plain"]["named_routes"]["gate"]
        route["handle"][0]["socket"] = str(tmp_path / "broken.sock")

    application = stack.application()
    state = application.state()
    application.close()
    name = f"broken-{abs(hash(answer))}"
    stacks.start_caddy(stack, name, state, change)
    connection = http.client.HTTPConnection("127.0.0.1", stack.ports[name], timeout=60)
    connection.request("GET", "/echo", headers={"Host": stacks.CLOSED_HOST} | signed_in(stack))
    response = connection.getresponse()
    assert response.status in {302, 500, 502, 503, 504}
    with contextlib.suppress(http.client.IncompleteRead):
        assert b"host:" not in response.read()
    connection.close()
    broken.shutdown(socket.SHUT_RDWR)
    broken.close()
