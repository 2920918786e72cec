"""CrowdSec: whether the edge enforces its decisions, and whether the runtime can read and make them."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from argos import bounded_http, unix_http
from argos.doctor.finding import Finding
from argos.doctor.neighbours import restart_advice
from argos.settings import Settings

if TYPE_CHECKING:
    from argos.threat.lapi import Lapi

_ANSWER_AGE = 60  # seconds; the bouncer asks every 10
_ANSWER_LIMIT = 1024 * 1024
_TIMEOUT = 3.0
_UNHEARD = bounded_http.FAILURES


def check_lapi(url: str, key_file: Path, caddy_socket: Path) -> Finding:
    """LAPI answers, takes the bouncer's key, and Caddy has had an answer of late."""
    name = "CrowdSec"
    try:
        key = key_file.read_text(encoding="ascii").strip()
    except PermissionError:
        return Finding(name, "unknown", f"{key_file} cannot be read by this user.", "Run as root: sudo argos doctor.")
    except (OSError, ValueError):
        key = ""
    if not key:
        return Finding(
            name,
            "failed",
            f"{key_file} contains no bouncer key: Caddy enforces known bans and learns no new ones.",
            "Run role crowdsec again, then run: systemctl restart argos-credentials argos-caddy.",
        )
    status = _lapi_status(f"{url}/v1/decisions?ip=192.0.2.1", key)
    if status is None:
        return Finding(
            name,
            "failed",
            f"CrowdSec's LAPI does not answer at {url}: known bans hold, but no new ones are made.",
            restart_advice("crowdsec"),
        )
    if status in {401, 403}:
        return Finding(
            name,
            "failed",
            "LAPI refuses the bouncer's key.",
            "Run: sudo argos crowdsec credentials. Role crowdsec makes a new key too.",
        )
    if status >= 500:
        return Finding(name, "failed", f"LAPI answers {status}.", "See: journalctl -u crowdsec.")
    return _caddys_view(name, caddy_socket, key)


def check_machine(settings: Settings, lapi: Lapi | None) -> Finding:
    """The runtime's own credentials open LAPI: without them decisions can be neither made nor ended here."""
    from argos.threat.errors import CredentialsStale, LapiUnavailable

    name = "CrowdSec credentials"
    try:
        if lapi is None:
            _asked_apart(settings)
        else:
            lapi.check()
    except CredentialsStale as error:
        return Finding(
            name,
            "failed",
            f"{error.message.partition(';')[0]}. Bans hold, but Argos cannot make or lift any.",
            "Run: sudo argos crowdsec credentials. Or run the playbook with --tags crowdsec,runtime.",
        )
    except LapiUnavailable as error:
        return Finding(name, "unknown", f"{error.message}.", "Fix CrowdSec first.")
    return Finding(name, "ok", "LAPI accepts them.")


def edge_view(caddy_socket: Path) -> dict[str, Any] | None:
    """What Caddy's bouncer counts: decisions, age of the last answer, errors; None when Caddy does not tell."""
    try:
        status, body = unix_http.get(caddy_socket, "/argos/crowdsec")
        view = json.loads(body) if status == 200 else None
    except _UNHEARD:
        view = None
    return view if isinstance(view, dict) else None


def _asked_apart(settings: Settings) -> None:
    """Ask by a vault of its own, as no service has one open in this process."""
    from argos.application import opened
    from argos.threat.access import lapi_of

    with opened(settings) as here:
        lapi_of(settings, here.storage, here.secrets, here.scrubber).check()


def _caddys_view(name: str, caddy_socket: Path, key: str) -> Finding:
    view = edge_view(caddy_socket)
    if view is None:
        return Finding(name, "unknown", "LAPI accepts the key, but Caddy does not say when it last asked.")
    if not view.get("running"):
        return Finding(
            name, "warning", "Caddy enforces no bans: settings.crowdsec.enabled is false, or nothing is applied."
        )
    age, error = view.get("seconds_since_answer"), shown_error(view, key) or "no answer yet"
    look = "See: journalctl -u argos-caddy -u crowdsec."
    if not isinstance(age, int):
        return Finding(name, "failed", f"Caddy has had no answer from LAPI since it started: {error}.", look)
    if age > _ANSWER_AGE:
        return Finding(name, "failed", f"Caddy's last answer from LAPI is {age} s old: {error}.", look)
    return _bans_held(name, view, look) or Finding(
        name, "ok", f"{view.get('decisions', 0)} decisions; LAPI answered Caddy {age} s ago."
    )


def _bans_held(name: str, view: dict[str, Any], look: str) -> Finding | None:
    """What keeps Caddy, which has LAPI's answer, from enforcing all of it for good."""
    if view.get("state_error"):
        return Finding(name, "failed", "Caddy cannot save its decisions; a restart would lose them.", look)
    left_out = view.get("left_out")
    if isinstance(left_out, int) and left_out > 0:
        return Finding(
            name,
            "failed",
            f"{left_out} bans are not enforced: Caddy holds {view.get('decisions', 0)} and has room for no more of "
            "their kind. Those it held before stay.",
            "Unsubscribe from a blocklist that you can do without; Caddy looks for room every 10 minutes.",
        )
    return None


def shown_error(view: dict[str, Any], *secrets: str) -> str:
    """The bouncer's last error as one short printable line, without the key: a hostile LAPI may have a part in it."""
    from argos.scrub import Scrubber

    text = Scrubber(secrets).scrub(str(view.get("error") or ""))
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:200]


def _lapi_status(url: str, key: str) -> int | None:
    headers = {"X-Api-Key": key, "User-Agent": "argos-doctor"}
    try:
        status, _body = bounded_http.exchange(
            "GET", url, headers, None, deadline=_TIMEOUT, limit=_ANSWER_LIMIT, connect=_connect
        )
    except _UNHEARD:
        return None
    return status


def _connect(host: str, port: int) -> socket.socket:
    return bounded_http.dial(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
