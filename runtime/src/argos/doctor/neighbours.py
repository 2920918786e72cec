"""The other processes of the edge: Caddy, the gate."""

from __future__ import annotations

import http.client
import json
import subprocess
from pathlib import Path

from argos import unix_http
from argos.doctor.finding import Finding

_UNHEARD = (OSError, http.client.HTTPException, ValueError)


def check_caddy(socket: Path, active: Path) -> Finding:
    """Caddy answers on its admin socket and runs what ``active`` (``caddy.json``) holds."""
    name = "Caddy"
    try:
        status, body = unix_http.get(socket, "/config/")
        running = json.loads(body)
    except PermissionError:
        return Finding(name, "unknown", f"{socket} cannot be opened by this user.", "Run as root: sudo argos doctor.")
    except _UNHEARD as error:
        return Finding(
            name, "failed", f"Caddy does not answer at {socket}: {_short(error)}.", restart_advice("argos-caddy")
        )
    if status != 200:
        return Finding(name, "failed", f"Caddy's admin socket answers {status}.", restart_advice("argos-caddy"))
    return _compared(name, running, active)


def _compared(name: str, running: object, active: Path) -> Finding:
    try:
        wanted = json.loads(active.read_bytes())
    except FileNotFoundError:
        return Finding(name, "ok", "Caddy is running; nothing has been applied yet.")
    except _UNHEARD as error:
        return Finding(name, "failed", f"{active} cannot be read: {_short(error)}.", "Apply the declaration again.")
    if running == wanted:
        return Finding(name, "ok", "Caddy is running the active revision.")
    return Finding(
        name,
        "failed",
        "Caddy is running a different configuration from the active revision.",
        "The runtime corrects this within seconds. If it does not, see: journalctl -u argos -u argos-caddy.",
    )


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
            f"The gate does not answer: {_short(error)}. Protected hosts turn everybody away.",
            restart_advice("argos-gate.socket argos-gate"),
        )
    if status == 200:
        return Finding(name, "ok", "The gate answers.")
    reason = body[:200].decode("utf-8", "replace").strip()
    return Finding(
        name,
        "failed",
        f"The gate cannot decide: {reason}. Protected hosts turn everybody away.",
        "See: journalctl -u argos-gate.",
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
        return Finding(name, "ok", "The gate is running, according to systemd.")
    if not word:
        return Finding(
            name, "unknown", "The gate's socket cannot be opened by this user.", "Run as root: sudo argos doctor."
        )
    return Finding(name, "failed", f"The gate is {word}, according to systemd.", restart_advice("argos-gate"))


def restart_advice(units: str) -> str:
    """What to try when units do not answer."""
    return f"Try: systemctl restart {units}. Then see: journalctl -u {units.split(' ', maxsplit=1)[0]}."


def _short(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
