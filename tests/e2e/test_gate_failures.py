"""With the gate dead, hung or confused a protected host denies, and a public one goes on."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from lab.admin_api import Declaration
from lab.guest import Guest
from lab.polling import steadily, until
from lab.visitor import Visitor

GATE = "/run/argos-gate/gate.sock"
ANSWER = "/run/argos-e2e-answer"  # what the garbage server says next, base64

# Stands where the gate's socket was, and answers every request with the bytes of a file, then closes.
_GARBAGE = f"""
import base64, grp, os, pathlib, pwd, socket, threading
path = {GATE!r}
if os.path.exists(path):
    os.unlink(path)
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
os.chown(path, pwd.getpwnam("argos-gate").pw_uid, grp.getgrnam("argos-caddy").gr_gid)
os.chmod(path, 0o660)
listener.listen(64)
def answer(peer):
    with peer:
        peer.recv(65536)
        peer.sendall(base64.b64decode(pathlib.Path({ANSWER!r}).read_text()))
while True:
    threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()
"""

GARBAGE = {
    "nothing at all": b"",
    "noise": b"\x00\xff\x13garbage\r\n\r\n" * 20,
    "half an answer": b"HTTP/1.1 200 OK\r\nX-Auth-User: mallory\r\n",
    "a strange version": b"HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n",
    "a server error": b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops",
    "a redirect to nowhere": b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
    "success that is not 200": b"HTTP/1.1 204 No Content\r\nX-Auth-User: mallory\r\n\r\n",
    "partial content": b"HTTP/1.1 206 Partial Content\r\nContent-Length: 0\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "a hint and no answer": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "an endless header": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 3_000_000,
}


@pytest.fixture
def restored_gate(guest: Guest) -> Iterator[None]:
    yield
    guest.shell("systemctl stop argos-e2e-garbage 2>/dev/null || true; systemctl kill -s CONT argos-gate || true")
    guest.shell(f"systemctl stop argos-gate.socket argos-gate; rm -f {GATE} {ANSWER}")
    guest.systemctl("start", "argos-gate.socket", "argos-gate")
    guest.wait_for_units("argos-gate.socket", "argos-gate")


def denied(client: Visitor, declaration: Declaration) -> bool:
    """Demand that protected hosts deny, never a 2xx nor a forged name, and tell whether the public one serves."""
    for label in ("e2e-guarded", "e2e-guarded-waf"):
        answer = client.get(f"https://{declaration.name(label)}/", headers={"X-Auth-User": "mallory"})
        assert answer.status_code >= 300, f"{label}: {answer.status_code}"
        assert "mallory" not in answer.text
    public = client.get(f"https://{declaration.name('e2e-open')}/")
    return public.status_code == 200


@pytest.mark.threat("FWD-3")
@pytest.mark.usefixtures("restored_gate")
def test_a_dead_gate_denies_the_signed_in_too(guest: Guest, signed_in: Visitor, declaration: Declaration) -> None:
    guest.systemctl("stop", "argos-gate.socket", "argos-gate")
    steadily("protected hosts deny, public ones serve", lambda: denied(signed_in, declaration), during=2)
    guest.systemctl("start", "argos-gate.socket", "argos-gate")
    host = f"https://{declaration.name('e2e-guarded')}/"
    until("the session passes again", lambda: signed_in.get(host).status_code == 200, within=60)


@pytest.mark.threat("FWD-3")
@pytest.mark.usefixtures("restored_gate")
def test_a_gate_killed_again_and_again_never_lets_anybody_in(
    guest: Guest, visitor: Visitor, declaration: Declaration
) -> None:
    for _unused in range(3):
        guest.shell("systemctl kill -s KILL argos-gate || true")
        steadily("protected hosts deny", lambda: denied(visitor, declaration), during=0.7, every=0.05)


@pytest.mark.threat("FWD-3")
@pytest.mark.usefixtures("restored_gate")
def test_a_hung_gate_denies_in_bounded_time(guest: Guest, signed_in: Visitor, declaration: Declaration) -> None:
    guest.systemctl("kill", "-s", "STOP", "argos-gate")
    answer = signed_in.get(f"https://{declaration.name('e2e-guarded')}/", timeout=60)
    assert answer.status_code >= 500
    assert signed_in.get(f"https://{declaration.name('e2e-open')}/").status_code == 200
    guest.systemctl("kill", "-s", "CONT", "argos-gate")
    host = f"https://{declaration.name('e2e-guarded')}/"
    until("the session passes again", lambda: signed_in.get(host).status_code == 200, within=60)


@pytest.mark.threat("FWD-3")
@pytest.mark.usefixtures("restored_gate")
def test_a_gate_that_answers_garbage_denies(guest: Guest, signed_in: Visitor, declaration: Declaration) -> None:
    guest.systemctl("stop", "argos-gate.socket", "argos-gate")
    guest.shell(f"touch {ANSWER}")
    guest.run("systemd-run", "--unit=argos-e2e-garbage", "--collect", "python3", "-c", _GARBAGE)
    until("the garbage server listens", lambda: guest.attempt("test", "-S", GATE)[0] == 0, within=60)
    for name, answer in GARBAGE.items():
        guest.shell(f"cat > {ANSWER}.new && mv {ANSWER}.new {ANSWER}", stdin=base64.b64encode(answer))
        assert denied(signed_in, declaration), name
