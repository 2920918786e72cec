"""The edge on loopback: the real Caddy, gate and panel over a database in a temporary directory.

Everything is what Argos ships, with three differences that hit every path alike: plain HTTP,
no CrowdSec (it would need its LAPI), no access log. Caddy and what decides share one core.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from argos.application import Application
from argos.audit import Actor
from argos.edge import revisions
from argos.edge.context import RenderContext
from argos.edge.model import Auth, CrowdsecSettings, Document, EdgeSettings, Host, Settings, Tls, Upstream
from argos.edge.plan import State, plan
from argos.edge.proxying import GATE_ROUTE
from argos.edge.render import render
from argos.settings import Settings as RuntimeSettings
from argos.storage.tables import sessions
from sqlalchemy import insert

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "integration"))

from ports import free_port

from bench.load import Target
from bench.machine import Cores
from bench.preflight import USER
from bench.processes import Processes

PANEL_HOST = "argos.bench.example"
OPEN_HOST = "open.bench.example"
CLOSED_HOST = "closed.bench.example"
WAITRESS_HOST = "waitress.bench.example"
PEER_HOST = "peer.bench.example"
LEAN_PEER_HOST = "lean-peer.bench.example"
ACTOR = Actor(kind="cli", name="bench")
ARGOS = (sys.executable, "-m", "argos")
UNIT_NICE = 10
"""As ``roles/runtime/templates/argos.service.j2`` says."""

CHECKOUT = Path(__file__).resolve().parents[3]


@dataclass
class Stack:
    """Where everything is, the token that passes, and the pids of what runs."""

    directory: Path
    cores: Cores
    processes: Processes
    caddy_binary: Path
    token: str = ""
    pids: dict[str, int] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        """The environment of the runtime's processes; there is nothing of the caller's in it but PATH."""
        run = self.directory
        return {
            "PATH": os.environ["PATH"],
            "ARGOS_MASTER_KEY": self._master_key,
            "ARGOS_DATA_DIR": str(run / "data"),
            "ARGOS_EDGE_DIR": str(run / "edge"),
            "ARGOS_PANEL_SOCKET": str(run / "panel.sock"),
            "ARGOS_ADMIN_SOCKET": str(run / "admin.sock"),
            "ARGOS_CADDY_SOCKET": str(run / "caddy-admin.sock"),
            "ARGOS_GATE_SOCKET": str(run / "gate.sock"),
            "ARGOS_SEEN_SOCKET": str(run / "seen.sock"),
            "ARGOS_EPOCH_FILE": str(run / "epoch"),
            "ARGOS_CREDENTIALS_DIR": str(run / "credentials"),
            "ARGOS_CADDY_BINARY": str(self.caddy_binary),
            "ARGOS_CADDY_STORAGE": str(run / "caddy"),
            "ARGOS_BACKUP_DIR": str(run / "backups"),
            "ARGOS_BACKUP_REQUEST": str(run / "backup-request"),
            "ARGOS_ACCESS_LOG": str(run / "access.log"),
            "ARGOS_LOG_LEVEL": "WARNING",
        }

    def __post_init__(self) -> None:
        self._master_key = base64.b64encode(secrets.token_bytes(32)).decode()
        for name in ("data", "edge", "credentials", "caddy", "backups"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)

    def application(self, password_cost: int = 4) -> Application:
        """Open the runtime's services in this process; close them before others are measured."""
        return Application.from_settings(RuntimeSettings.from_environment(self.environ), password_cost=password_cost)

    def context(self, port: int) -> RenderContext:
        """The rendering's paths, all in our directory."""
        return RenderContext(
            http_port=port,
            admin_socket=str(self.directory / f"caddy-{port}.sock"),
            gate_socket=str(self.directory / "gate.sock"),
            panel_socket=str(self.directory / "panel.sock"),
            storage_dir=str(self.directory / "caddy"),
            access_log=str(self.directory / "access.log"),
            waf_log=str(self.directory / "waf.log"),
        )

    def target(self, host: str, *, cookie: str = "", caddy: str = "caddy") -> Target:
        """What a signed-in browser asks for on one of our Caddys; ``cookie`` in place of our session's."""
        session = cookie or f"__Secure-argos_session={self.token}"
        headers = [
            ("Host", host),
            ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
            ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
            ("Accept-Language", "en-US,en;q=0.5"),
            ("Sec-Fetch-Mode", "navigate"),
            ("Cookie", f"theme=dark; {session}; lang=en"),
        ]
        return Target(f"http://127.0.0.1:{self.ports[caddy]}/album?page=2", tuple(headers))


def find_caddy() -> Path:
    """Build argos-caddy, or find it built; return its path.

    Raises:
        FileNotFoundError: it cannot be built; the message holds why.
    """
    given = os.environ.get("ARGOS_BENCH_CADDY")
    if given:
        return Path(given)
    build = CHECKOUT / "roles" / "caddy" / "files" / "build.py"
    done = subprocess.run([sys.executable, str(build)], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise FileNotFoundError(f"{build} ended with {done.returncode}; ARGOS_BENCH_CADDY may name a binary instead")
    return Path(done.stdout.strip().splitlines()[-1])


def declared(upstream_port: int) -> Document:
    """Hosts that differ in nothing but sign-on, and, once rendered, in who decides."""
    upstreams = (Upstream(f"http://127.0.0.1:{upstream_port}"),)
    off = Tls(mode="off")
    return Document(
        owner="bench",
        settings=Settings(
            edge=EdgeSettings(PANEL_HOST, "bench.example", tls=off, auth_proxies=("127.0.0.0/8",)),
            crowdsec=CrowdsecSettings(enabled=False),
        ),
        hosts=(
            Host(OPEN_HOST, upstreams=upstreams, tls=off, access_log=False),
            *(
                Host(name, upstreams=upstreams, tls=off, access_log=False, auth=Auth(required=True))
                for name in (CLOSED_HOST, WAITRESS_HOST, PEER_HOST, LEAN_PEER_HOST)
            ),
        ),
    )


def prepare(stack: Stack) -> State:
    """Write the declaration, a person and a session into the database; start the upstream."""
    stack.ports["upstream"] = port = free_port()
    stack.pids["upstream"] = stack.processes.start(
        "upstream",
        [sys.executable, str(Path(__file__).with_name("upstream.py")), str(port)],
        core=stack.cores.driving,
        environ=stack.environ,
        ready=lambda: listens(port),
    )
    application = stack.application()
    try:
        planned = plan(State(), declared(port))
        now = application.clock.now()
        with application.storage.write() as connection:
            revision = revisions.begin(connection, planned, str(ACTOR), now)
            revisions.activate(connection, revision, planned, stack.context(80), now)
        _sign_in(stack, application)
    finally:
        application.close()
    return planned.state


def begin_session(stack: Stack) -> None:
    """Make the person and the session that passes, where nothing is declared yet."""
    application = stack.application()
    try:
        _sign_in(stack, application)
    finally:
        application.close()


def _sign_in(stack: Stack, application: Application) -> None:
    person = application.accounts.create(ACTOR, USER, name="Bench", email="bench@bench.example", email_verified=True)
    stack.token = application.sessions.begin(ACTOR, person.id, "127.0.0.1").edge_token


def add_sessions(application: Application, user_id: int, number: int) -> list[str]:
    """Add sessions in bulk, beyond what one person may have; return their tokens."""
    from argos.sessions.tokens import new_token, token_hash

    now = application.clock.now()
    tokens = [new_token() for _unused in range(number)]
    rows = [
        {
            "user_id": user_id,
            "panel_token_hash": secrets.token_bytes(32),
            "edge_token_hash": token_hash(token),
            "assurance": "full",
            "created_at": now,
            "last_seen_at": now,
            "expires_at": now + 86400,
            "address": "127.0.0.1",
        }
        for token in tokens
    ]
    with application.storage.write() as connection:
        connection.execute(insert(sessions), rows)
    return tokens


def start_gate(stack: Stack) -> int:
    """Start ``argos gate`` beside Caddy."""
    stack.pids["gate"] = stack.processes.start(
        "gate",
        [*ARGOS, "gate"],
        core=stack.cores.measured,
        environ=stack.environ,
        ready=lambda: listens(stack.directory / "gate.sock"),
    )
    return stack.pids["gate"]


def start_panel(stack: Stack, *, nice: int = 0) -> int:
    """Start ``argos serve`` beside Caddy; it also beats the epoch that the gate's cache needs.

    ``nice`` is 0 where it decides, so that it is compared as an equal; elsewhere :data:`UNIT_NICE`.
    """
    stack.pids["argos"] = stack.processes.start(
        "argos",
        ["nice", "-n", str(nice), *ARGOS, "serve"],
        core=stack.cores.measured,
        environ=stack.environ,
        # The admin socket is opened after the panel's: whoever applies at once needs both.
        ready=lambda: all(listens(stack.directory / name) for name in ("panel.sock", "admin.sock")),
    )
    return stack.pids["argos"]


def start_caddy(stack: Stack, name: str, state: State, change: Callable[[dict[str, Any]], None] | None = None) -> int:
    """Start a Caddy on the rendering of ``state``; ``change`` may replace who decides.

    Returns its pid; its port is ``stack.ports[name]``.
    """
    stack.ports[name] = port = free_port()
    config = render(state, stack.context(port))
    servers = config["apps"]["http"]["servers"]
    del servers["edge"]  # no host has TLS
    servers["plain"]["listen"] = [f"127.0.0.1:{port}"]
    if change is not None:
        change(config)
    path = stack.directory / f"{name}.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    stack.pids[name] = stack.processes.start(
        name,
        [str(stack.caddy_binary), "run", "--config", str(path)],
        core=stack.cores.measured,
        environ=caddy_environ(stack.directory),
        ready=lambda: listens(port),
    )
    return stack.pids[name]


def caddy_environ(directory: Path) -> Mapping[str, str]:
    """Caddy's environment: one core, and a home of its own."""
    return {"PATH": os.environ["PATH"], "HOME": str(directory), "GOMAXPROCS": "1"}


def decide_elsewhere(config: dict[str, Any], host: str, route: dict[str, Any]) -> None:
    """Let ``host`` ask the named route ``route`` in the gate's place; all else stays as rendered."""
    server = config["apps"]["http"]["servers"]["plain"]
    _asking, *after = server["named_routes"][GATE_ROUTE]["handle"]
    server["named_routes"][host] = {**route, "handle": [*route["handle"], *after]}
    maps = [handler for route in server["routes"] for handler in _handlers(route) if handler["handler"] == "host_map"]
    routes = [route for one in maps for route in one["hosts"].get(host, ())]
    asking = [handler for route in routes for handler in _handlers(route) if handler.get("name") == GATE_ROUTE]
    if len(asking) != 1:
        raise AssertionError(f"{host}: {asking} ask the gate, not one handler: the rendering has changed")
    asking[0]["name"] = host


def _handlers(route: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for handler in route["handle"]:
        yield handler
        for inner in handler.get("routes", ()):
            yield from _handlers(inner)


def listens(address: int | Path) -> bool:
    """Tell whether somebody accepts at a loopback port or a socket's path."""
    family = socket.AF_INET if isinstance(address, int) else socket.AF_UNIX
    with socket.socket(family) as probe:
        probe.settimeout(1)
        try:
            probe.connect(("127.0.0.1", address) if isinstance(address, int) else str(address))
        except OSError:
            return False
    return True
