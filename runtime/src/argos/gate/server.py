"""The gate's process: one event loop on the socket that systemd hands over.

The socket belongs to ``argos-gate.socket``, so while the gate restarts the kernel queues
new connections and nobody is denied.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import uvloop

from argos.clock import SystemClock
from argos.epoch import EpochReader
from argos.gate.connections import MOST_CONNECTIONS, Connections
from argos.gate.protocol import GateProtocol
from argos.gate.sights import Sights
from argos.gate.store import Store
from argos.gate.verifier import Verifier

FIRST_PASSED_FD = 3
"""systemd's SD_LISTEN_FDS_START (sd_listen_fds(3))."""

SWEEP_SECONDS = 1.0
GRACE_SECONDS = 0.5
"""After SIGTERM, open connections are served this long (each answer ends its connection), then idle ones are closed."""

STOP_SECONDS = 3.0
"""After this much more, what is still open is dropped."""

log = logging.getLogger("argos.gate")


class GatePaths(NamedTuple):
    """Where the gate finds what it reads (gate.env)."""

    database: Path
    seen_socket: Path
    epoch_file: Path
    gate_socket: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> GatePaths:
        """Read the four variables, each with the path of docs/architecture.md as default."""
        return cls(
            Path(environ.get("ARGOS_DATA_DIR") or "/var/lib/argos") / "argos.db",
            Path(environ.get("ARGOS_SEEN_SOCKET") or "/run/argos-seen/seen.sock"),
            Path(environ.get("ARGOS_EPOCH_FILE") or "/run/argos-epoch/epoch"),
            Path(environ.get("ARGOS_GATE_SOCKET") or "/run/argos-gate/gate.sock"),
        )


def run(environ: Mapping[str, str]) -> int:
    """Serve until SIGTERM or SIGINT; the entry of ``argos gate``. Returns the exit status."""
    level = logging.getLevelNamesMapping().get(environ.get("ARGOS_LOG_LEVEL", "INFO").upper(), logging.INFO)
    logging.basicConfig(stream=sys.stderr, level=level, format="%(levelname)s %(name)s: %(message)s")
    paths = GatePaths.from_environment(environ)
    try:
        listener = _passed_socket(environ) or _bound_socket(paths.gate_socket)
    except OSError as error:
        log.error("%s: cannot listen: %s", paths.gate_socket, error)  # noqa: TRY400 - the traceback says nothing more
        return 1
    store = Store(paths.database)
    sights = Sights(paths.seen_socket)
    verifier = Verifier(store, EpochReader(paths.epoch_file), sights, SystemClock().now)
    try:
        uvloop.run(_serve_until_signalled(listener, verifier, environ))
    finally:
        sights.close()
        store.close()
    return 0


async def _serve_until_signalled(listener: socket.socket, verifier: Verifier, environ: Mapping[str, str]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(listener, verifier, environ, stop)


async def serve(listener: socket.socket, verifier: Verifier, environ: Mapping[str, str], stop: asyncio.Event) -> None:
    """Answer on ``listener`` until ``stop`` is set, then finish what has begun."""
    loop = asyncio.get_running_loop()
    connections = Connections(verifier, loop.time())
    # uvloop closes a listener whose Server object is collected: keep the reference.
    server = await loop.create_unix_server(lambda: GateProtocol(connections), sock=listener, backlog=MOST_CONNECTIONS)
    database = verifier.store.probe()
    log.info("the gate answers; database: %s", database)
    _notify(environ, f"READY=1\nSTATUS=database: {database}")
    while not stop.is_set():
        connections.sweep(loop.time())
        _notify(environ, "WATCHDOG=1")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), SWEEP_SECONDS)
    _notify(environ, "STOPPING=1")
    await _finish(server, connections)
    log.info("the gate has stopped; %d passed, %d denied", verifier.passed, verifier.denied)


async def _finish(server: asyncio.AbstractServer, connections: Connections) -> None:
    # New connections stay in the kernel's queue for the next gate. Every answer from here on says
    # "Connection: close", so busy connections end between requests.
    connections.stopping = True
    server.close()
    loop = asyncio.get_running_loop()
    idle_at = loop.time() + GRACE_SECONDS
    drop_at = idle_at + STOP_SECONDS
    while len(connections) and loop.time() < drop_at:
        if loop.time() >= idle_at:
            await asyncio.sleep(0)  # held up, the loop has not yet read what came meanwhile: that is not idle
            connections.close_idle()
        await asyncio.sleep(0.02)
    connections.abort()
    await asyncio.sleep(0)


def _passed_socket(environ: Mapping[str, str]) -> socket.socket | None:
    if environ.get("LISTEN_PID") != str(os.getpid()) or environ.get("LISTEN_FDS") != "1":
        return None
    listener = socket.socket(fileno=FIRST_PASSED_FD)
    listener.setblocking(False)
    os.set_inheritable(listener.fileno(), False)
    return listener


def _bound_socket(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    with contextlib.suppress(FileNotFoundError):
        if path.is_socket():
            path.unlink()  # left by a gate that was killed
    listener.bind(str(path))
    path.chmod(0o660)
    return listener


def _notify(environ: Mapping[str, str], state: str) -> None:
    # sd_notify(3): one datagram; an address that begins with "@" is in the abstract name space.
    address = environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as notify,
        contextlib.suppress(OSError),
    ):
        notify.sendto(state.encode(), address.replace("@", "\0", 1) if address.startswith("@") else address)
