"""The other processes of the edge: Caddy, CrowdSec's LAPI, the gate."""

from __future__ import annotations

import http.client
import json
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from argos.doctor import unix_http
from argos.doctor.finding import Finding

_ANSWER_AGE = 60  # seconds; the bouncer asks every 15
_UNHEARD = (OSError, http.client.HTTPException, ValueError)


def check_caddy(socket: Path, active: Path) -> Finding:
    """Caddy answers on its admin socket and runs what ``active`` (``caddy.json``) holds."""
    name = "Caddy"
    try:
        status, body = unix_http.get(socket, "/config/")
        running = json.loads(body)
    except PermissionError:
        return Finding(name, "unknown", f"{socket} may not be opened from here.", "Run as root: sudo argos doctor.")
    except _UNHEARD as error:
        return Finding(name, "failed", f"Caddy does not answer at {socket}: {_short(error)}.", _restart("argos-caddy"))
    if status != 200:
        return Finding(name, "failed", f"Caddy's admin socket answers {status}.", _restart("argos-caddy"))
    return _compared(name, running, active)


def _compared(name: str, running: object, active: Path) -> Finding:
    try:
        wanted = json.loads(active.read_bytes())
    except FileNotFoundError:
        return Finding(name, "ok", "Caddy runs; nothing has been applied yet.")
    except _UNHEARD as error:
        return Finding(name, "failed", f"{active} cannot be read: {_short(error)}.", "Apply the declaration again.")
    if running == wanted:
        return Finding(name, "ok", "Caddy runs the active revision.")
    return Finding(
        name,
        "failed",
        "Caddy runs something else than the active revision.",
        "The runtime mends this within a minute; if it does not: journalctl -u argos -u argos-caddy.",
    )


def check_lapi(url: str, key_file: Path, caddy_socket: Path) -> Finding:
    """LAPI answers, takes the bouncer's key, and Caddy has had an answer of late."""
    name = "CrowdSec"
    try:
        key = key_file.read_text(encoding="ascii").strip()
    except PermissionError:
        return Finding(name, "unknown", f"{key_file} may not be read from here.", "Run as root: sudo argos doctor.")
    except (OSError, ValueError):
        key = ""
    if not key:
        return Finding(
            name,
            "failed",
            f"{key_file} holds no bouncer key: Caddy enforces the bans it remembers and learns no new ones.",
            "Run role crowdsec again, then: systemctl restart argos-credentials argos-caddy.",
        )
    status = _lapi_status(f"{url}/v1/decisions?ip=192.0.2.1", key)
    if status is None:
        return Finding(
            name,
            "failed",
            f"CrowdSec's LAPI does not answer at {url}: known bans hold, new ones are not made.",
            _restart("crowdsec"),
        )
    if status in {401, 403}:
        return Finding(
            name, "failed", "LAPI refuses the bouncer's key.", "Run role crowdsec again; it makes a new one."
        )
    if status >= 500:
        return Finding(name, "failed", f"LAPI answers {status}.", "Look at: journalctl -u crowdsec.")
    return _caddys_view(name, caddy_socket)


def _caddys_view(name: str, caddy_socket: Path) -> Finding:
    try:
        status, body = unix_http.get(caddy_socket, "/argos/crowdsec")
        view = json.loads(body) if status == 200 else None
    except _UNHEARD:
        view = None
    if not isinstance(view, dict):
        return Finding(name, "unknown", "LAPI takes the key; Caddy does not say when it last asked.")
    if not view.get("running"):
        return Finding(
            name, "warning", "Caddy enforces no bans: settings.crowdsec.enabled is false, or nothing is applied."
        )
    age, error = view.get("seconds_since_answer"), str(view.get("error") or "no answer yet")[:200]
    look = "Look at: journalctl -u argos-caddy -u crowdsec."
    if not isinstance(age, int):
        return Finding(name, "failed", f"Caddy has had no answer from LAPI since it started: {error}.", look)
    if age > _ANSWER_AGE:
        return Finding(name, "failed", f"Caddy's last answer from LAPI is {age} s old: {error}.", look)
    if view.get("state_error"):
        return Finding(name, "failed", "Caddy cannot save its decisions: a restart would forget them.", look)
    return Finding(name, "ok", f"{view.get('decisions', 0)} decisions; Caddy heard from LAPI {age} s ago.")


def _lapi_status(url: str, key: str) -> int | None:
    request = urllib.request.Request(url, headers={"X-Api-Key": key, "User-Agent": "argos-doctor"})  # noqa: S310
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=3) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except _UNHEARD:
        return None


def check_gate(socket: Path) -> Finding:
    """The gate answers ``/healthz`` with 200; where its socket may not be entered, systemd says whether it runs."""
    name = "gate"
    try:
        status, body = unix_http.get(socket, "/healthz")
    except PermissionError:
        return _gate_by_systemd(name)
    except _UNHEARD as error:
        return Finding(
            name,
            "failed",
            f"The gate does not answer: {_short(error)}. Protected hosts deny everybody.",
            _restart("argos-gate.socket argos-gate"),
        )
    if status == 200:
        return Finding(name, "ok", "The gate answers.")
    reason = body[:200].decode("utf-8", "replace").strip()
    return Finding(
        name,
        "failed",
        f"The gate cannot decide: {reason}. Protected hosts deny everybody.",
        "Look at: journalctl -u argos-gate.",
    )


def _gate_by_systemd(name: str) -> Finding:
    try:
        word = subprocess.run(
            ["/usr/bin/systemctl", "is-active", "argos-gate"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
            env={"PATH": "/usr/bin:/bin"},
        ).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        word = ""
    if word == "active":
        return Finding(name, "ok", "systemd says that the gate runs.")
    if not word:
        return Finding(
            name, "unknown", "The gate's socket may not be opened from here.", "Run as root: sudo argos doctor."
        )
    return Finding(name, "failed", f"systemd says that the gate is {word}.", _restart("argos-gate"))


def _restart(units: str) -> str:
    return f"Try: systemctl restart {units}; then: journalctl -u {units.split(' ', maxsplit=1)[0]}."


def _short(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
