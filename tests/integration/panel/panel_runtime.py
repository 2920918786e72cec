"""Starts ``argos serve`` and speaks to it as a browser, as a module and as root's command line do."""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import sqlite3
import subprocess
import sys
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import httpx
from ports import free_port
from waiting import until

PANEL_HOST = "argos.home.example"
PARENT = "home.example"
GUARDED = "photos.home.example"
PASSWORD = "correct horse battery"
EDGE = {
    "panel_host": PANEL_HOST,
    "parent_domain": PARENT,
    "tls": {"mode": "internal", "email": ""},
    "trusted_proxies": [],
    "auth_proxies": ["127.0.0.2/32"],
}
HOST = {
    "name": GUARDED,
    "upstreams": [{"url": "http://10.0.0.5:2342", "weight": 1}],
    "auth": {"required": True},
    "waf": {"mode": "block", "paranoia": 1, "custom_rules": []},
}


class Runtime:
    """One installation in ``root``; nothing in it touches the machine's own."""

    def __init__(self, root: Path, mode: str) -> None:
        self.mode = mode
        self.root = root
        for name in ("data", "edge", "run", "credentials"):
            (root / name).mkdir()
        self.database = root / "data" / "argos.db"
        self.panel_socket = root / "run" / "panel.sock"
        self.admin_socket = root / "run" / "admin.sock"
        self.epoch = root / "run" / "epoch"
        self.seen = root / "run" / "seen.sock"
        self.log = root / "serve.log"
        self.port = free_port()
        self.key = base64.b64encode(secrets.token_bytes(32)).decode()
        self.extra: dict[str, str] = {}  # more of the environment
        self.command = [sys.executable, "-m", "argos", "serve"]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What the process is started with."""
        run = self.root / "run"
        return {
            "PATH": os.environ["PATH"],
            "ARGOS_MODE": self.mode,
            "ARGOS_MASTER_KEY": self.key,
            "ARGOS_DATA_DIR": str(self.root / "data"),
            "ARGOS_EDGE_DIR": str(self.root / "edge"),
            "ARGOS_PANEL_SOCKET": str(self.panel_socket),
            "ARGOS_PANEL_LISTEN": f"127.0.0.1:{self.port}",
            "ARGOS_PANEL_HOSTS": "127.0.0.1",
            "ARGOS_ADMIN_SOCKET": str(self.admin_socket),
            "ARGOS_CADDY_SOCKET": str(run / "caddy.sock"),
            "ARGOS_GATE_SOCKET": str(run / "gate.sock"),
            "ARGOS_SEEN_SOCKET": str(self.seen),
            "ARGOS_EPOCH_FILE": str(self.epoch),
            "ARGOS_CREDENTIALS_DIR": str(self.root / "credentials"),
            "ARGOS_ACCESS_LOG": str(run / "access.log"),
            **self.extra,
        }

    @property
    def host(self) -> str:
        """The Host header by which a browser reaches the panel."""
        return PANEL_HOST if self.mode == "behind_caddy" else f"{PANEL_HOST}:{self.port}"

    @property
    def origin(self) -> str:
        """The panel's origin as a browser writes it."""
        return f"{'https' if self.mode == 'behind_caddy' else 'http'}://{self.host}"

    @property
    def panel_cookie(self) -> str:
        """The name of the panel's cookie in this mode."""
        return "__Host-argos_panel" if self.mode == "behind_caddy" else "argos_panel"

    @property
    def edge_cookie(self) -> str:
        """The name of the published hosts' cookie in this mode."""
        return "__Secure-argos_session" if self.mode == "behind_caddy" else "argos_session"

    def start(self) -> None:
        """Start it, and wait until both listeners answer."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, env=self.environment, stdout=log, stderr=log)
        until(self._answers, told=self.log.read_text)

    def _answers(self) -> bool:
        assert self.process is None or self.process.poll() is None, f"argos serve ended: {self.log.read_text()}"
        try:
            return self.admin("GET", "/v1/secrets").status_code == 200 and Browser(self).get("/login").status_code < 500
        except httpx.TransportError:
            return False

    def stop(self) -> int | None:
        """Stop it as systemd does; its exit code, None when it was not running."""
        if self.process is None:
            return None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self.process = None
        return code

    def argos(self, *arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the command line."""
        return subprocess.run(
            [sys.executable, "-m", "argos", *arguments],
            env={**self.environment, **environment},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def admin(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """Ask the admin API."""
        transport = httpx.HTTPTransport(uds=str(self.admin_socket), verify=False)  # no TLS here
        with httpx.Client(transport=transport, timeout=60) as client:
            return client.request(method, f"http://localhost{path}", json=body, headers=headers)

    def panel_client(self, address: str = "127.0.0.1") -> httpx.Client:
        """A client that follows nothing and keeps no cookies; ``address`` is its own in ``lan``."""
        # No TLS here, and reading the machine's roots for each client takes longer than the request.
        if self.mode == "behind_caddy":
            return httpx.Client(transport=httpx.HTTPTransport(uds=str(self.panel_socket), verify=False), timeout=60)
        return httpx.Client(transport=httpx.HTTPTransport(local_address=address, verify=False), timeout=60)

    def declare(self) -> None:
        """Put a declared edge and one protected host into the database, as an activated revision leaves them."""
        rule = json.dumps({"required": True})
        rows = [("settings", "edge", json.dumps(EDGE)), ("host", GUARDED, json.dumps(HOST))]
        with sqlite3.connect(self.database, timeout=30) as connection:
            for kind, name, spec in rows:
                connection.execute(
                    "INSERT OR REPLACE INTO resources VALUES (?, ?, ?, 'test', 0)",
                    (kind, name, spec),
                )
            connection.execute("INSERT OR REPLACE INTO gate_hosts VALUES (?, ?)", (GUARDED, rule))
            connection.execute(
                "INSERT OR REPLACE INTO gate_settings VALUES (1, ?, ?, 86400)", (self.origin, self.edge_cookie)
            )
        connection.close()

    def people(self) -> None:
        """Make an admin and a member, whose passwords are their own already."""
        for name, role in (("root-admin", "admin"), ("alice", "member")):
            self.person(name, role)

    def person(self, name: str, role: str = "member", *, must_change: bool = False) -> None:
        """Make one account through the admin API."""
        body = {"username": name, "password": PASSWORD, "role": role, "must_change_password": must_change}
        answer = self.admin("POST", "/v1/users", body)
        assert answer.status_code == 201, answer.text

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Look into the database, beside the runtime."""
        connection = sqlite3.connect(self.database, timeout=30)
        try:
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()

    def write(self, query: str, *values: object) -> None:
        """Change the database behind the runtime's back."""
        with sqlite3.connect(self.database, timeout=30) as connection:
            connection.execute(query, values)
        connection.close()


class Browser:
    """Keeps cookies and sends what a browser sends; follows no redirect by itself."""

    def __init__(self, runtime: Runtime, address: str = "203.0.113.10", host: str | None = None) -> None:
        self.runtime = runtime
        self.address = address
        self.host = host or runtime.host
        self.cookies: dict[str, str] = {}

    def get(self, path: str, **headers: str | None) -> httpx.Response:
        """Open a page."""
        return self.send("GET", path, headers={"Accept": "text/html", **headers})

    def post(self, path: str, form: dict[str, str] | None = None, **headers: str | None) -> httpx.Response:
        """Send one of the panel's own forms."""
        own = {"Origin": self.origin, "Content-Type": "application/x-www-form-urlencoded"}
        content = httpx.QueryParams(form or {})
        return self.send("POST", path, headers={**own, **headers}, content=str(content).encode())

    def send(
        self, method: str, path: str, *, headers: dict[str, str | None] | None = None, content: bytes = b""
    ) -> httpx.Response:
        """Send anything; a header of None is left out. An underscore in a header's name stands for a dash."""
        wanted: dict[str, str | None] = {"Host": self.host, "Cookie": self.cookie_header() or None}
        source = "127.0.0.1"
        if self.runtime.mode == "behind_caddy":
            wanted["Argos-Client-Ip"] = self.address
        elif self.address.startswith("127."):
            source = self.address
        wanted |= {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        sent = {name: value for name, value in wanted.items() if value is not None}
        port = f":{self.runtime.port}" if self.runtime.mode == "lan" else ""
        with self.runtime.panel_client(source) as client:
            answer = client.request(method, f"http://127.0.0.1{port}{path}", headers=sent, content=content)
        self._keep(answer)
        return answer

    def sign_in(self, username: str = "alice", password: str = PASSWORD, rd: str = "/") -> httpx.Response:
        """Fill in the sign-in form."""
        return self.post("/login", {"username": username, "password": password, "rd": rd})

    @property
    def origin(self) -> str:
        """The origin of the pages this browser has open."""
        return f"{'https' if self.runtime.mode == 'behind_caddy' else 'http'}://{self.host}"

    def cookie_header(self) -> str:
        """What it sends as ``Cookie``."""
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def _keep(self, answer: httpx.Response) -> None:
        for line in answer.headers.get_list("set-cookie"):
            for name, morsel in SimpleCookie(line).items():
                if morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value


def set_cookies(answer: httpx.Response) -> dict[str, str]:
    """The ``Set-Cookie`` lines of an answer by the cookie's name."""
    return {line.partition("=")[0]: line for line in answer.headers.get_list("set-cookie")}
