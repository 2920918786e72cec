"""A Caddy in a network of its own, where it may have ports 80 and 443 and the real apply engine drives it."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import json
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import stack as stacks

ACTOR = "bench"
CLONE_NEWNET = 0x40000000


def start_caddy(stack: stacks.Stack, name: str = "caddy") -> int:
    """Start it on nothing but its admin socket; return its pid, which names its network too.

    The one called ``caddy`` is the apply engine's.
    """
    admin = admin_socket(stack, name)
    config = stack.directory / f"{name}-bootstrap.json"
    config.write_text(json.dumps({"admin": {"listen": f"unix/{admin}|0660", "config": {"persist": False}}}))
    unshare = shutil.which("unshare") or "unshare"
    begin = 'ip link set lo up && exec "$0" run --config "$1"'
    stack.pids[name] = stack.processes.start(
        name,
        [unshare, "--net", "sh", "-c", begin, str(stack.caddy_binary), str(config)],
        core=stack.cores.measured,
        environ=stacks.caddy_environ(stack.directory),
        ready=lambda: stacks.listens(admin),
    )
    return stack.pids[name]


def admin_socket(stack: stacks.Stack, name: str = "caddy") -> Path:
    """Where that Caddy is told what to run."""
    return stack.directory / f"{name}-admin.sock"


def load(stack: stacks.Stack, name: str, config: dict[str, Any]) -> float:
    """Load a configuration, of another Caddy maybe; return the seconds it took.

    Raises:
        AssertionError: Caddy refused it.
    """
    own = config | {"admin": config["admin"] | {"listen": f"unix/{admin_socket(stack, name)}|0660"}}
    body = json.dumps(own).encode()
    connection = AdminConnection(str(admin_socket(stack, name)))
    begun = time.perf_counter()
    connection.request("POST", "/load", body, {"Content-Type": "application/json", "Host": "localhost"})
    response = connection.getresponse()
    said = response.read()
    took = time.perf_counter() - begun
    connection.close()
    if response.status != 200:
        raise AssertionError(f"Caddy answered {response.status}: {said[:500].decode(errors='replace')}")
    return took


def loads(stack: stacks.Stack, name: str = "caddy") -> int:
    """How many configurations that Caddy has loaded so far, by its log."""
    return (stack.directory / f"{name}.log").read_text(encoding="utf-8").count("load complete")


def inside(stack: stacks.Stack, name: str = "caddy") -> tuple[str, ...]:
    """The command that runs another in that Caddy's network."""
    return (shutil.which("nsenter") or "nsenter", "-t", str(stack.pids[name]), "-n")


def start_upstream(stack: stacks.Stack, port: int, name: str = "caddy") -> int:
    """Start the sample upstream in there."""
    own = f"upstream-of-{name}"
    log = stack.directory / f"{own}.log"
    stack.pids[own] = stack.processes.start(
        own,
        [*inside(stack, name), sys.executable, str(Path(__file__).with_name("upstream.py")), str(port)],
        core=stack.cores.driving,
        environ=stack.environ,
        ready=lambda: "listens" in log.read_text(encoding="utf-8"),
    )
    return stack.pids[own]


@contextlib.contextmanager
def visiting(stack: stacks.Stack, name: str = "caddy") -> Iterator[None]:
    """Let this thread's own connections go into that Caddy's network meanwhile (setns(2))."""
    with Path("/proc/thread-self/ns/net").open() as home, Path(f"/proc/{stack.pids[name]}/ns/net").open() as there:
        _setns(there.fileno())
        try:
            yield
        finally:
            _setns(home.fileno())


def _setns(descriptor: int) -> None:
    # os.setns came with Python 3.12.
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class AdminConnection(http.client.HTTPConnection):
    """HTTP on a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("argos", timeout=180)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket instead."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(180)
        self.sock.connect(self._path)


def apply(admin_socket: Path, document: bytes) -> tuple[float, dict[str, Any]]:
    """Apply a document; return the milliseconds it took and the answer.

    Raises:
        AssertionError: it was refused.
    """
    connection = AdminConnection(str(admin_socket))
    begun = time.perf_counter()
    headers = {"Content-Type": "application/json", "Argos-Actor": ACTOR}
    connection.request("POST", "/v1/config/apply", document, headers)
    response = connection.getresponse()
    body = response.read()
    took = (time.perf_counter() - begun) * 1000
    connection.close()
    if response.status != 200:
        raise AssertionError(f"apply answered {response.status}: {body[:500].decode(errors='replace')}")
    return took, json.loads(body)


def _main() -> None:
    """``python -m bench.apart ADMIN_SOCKET DOCUMENT``: apply it again and again with a change each."""
    document = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    number = 0
    while True:
        number += 1
        document["hosts"][-1]["response_headers"] = {"set": {"X-Bench": str(number)}, "remove": []}
        took, answer = apply(Path(sys.argv[1]), json.dumps(document).encode())
        if not answer["changed"]:
            raise AssertionError("a changed document changed nothing")
        print(f"applied in {took:.0f} ms", flush=True)


if __name__ == "__main__":
    _main()
