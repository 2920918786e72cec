"""The one client of CrowdSec's local API (LAPI), v1.

Decisions are listed with the bouncer's key, as LAPI shows them to bouncers only, and
made and deleted as a machine, whose token is kept until LAPI refuses it: a token dies
with CrowdSec's restart. APPSEC (DEP-4): LAPI may be dead or hostile, so every answer
is bounded in time and size and decoded into structs, and no text of it is trusted.
"""

from __future__ import annotations

import hashlib
import http
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from argos import bounded_http
from argos.errors import Refused
from argos.threat.errors import CredentialsStale, LapiUnavailable

DEADLINE = 10.0  # seconds for one exchange
ANSWER_LIMIT = 16 * 1024 * 1024  # bytes; a decision takes about 200
OBJECTS_LIMIT = 100_000  # in one answer: tiny objects would grow a hundredfold when decoded
AT_ONCE = 4  # a slow LAPI must not hold every thread of the panel
AGENT = "argos-runtime/1"
_TOKEN_LIMIT = 4096
_REFUSED_FOR = 10.0  # seconds that the same refused credentials are not tried again: a login costs LAPI a bcrypt
_TEXT_LIMIT = 256
_DENIED = frozenset({401, 403})
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")
_GO_DURATION = re.compile(r"-?(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+")
_GO_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_GO_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class Machine(msgspec.Struct, frozen=True):
    """The credentials of one machine (watcher), as role crowdsec keeps them."""

    login: str
    password: str


class Decision(msgspec.Struct, frozen=True):
    """One decision in force. ``seconds`` are what is left of it; ``scenario`` is the reason of a manual one."""

    id: int
    value: str
    scope: str
    type: str
    origin: str
    scenario: str
    seconds: int


class _Raw(msgspec.Struct):
    id: int
    value: str
    scope: str
    type: str
    origin: str
    scenario: str
    duration: str


class _Login(msgspec.Struct):
    token: str


class _Deleted(msgspec.Struct):
    nbDeleted: str  # noqa: N815  # LAPI's name


class Lapi:
    """Speaks to the LAPI that is declared at the moment of each request.

    Args:
        url: LAPI's address without a trailing slash.
        machine: the machine's credentials, None where there are none.
        bouncer_key: the bouncer's key, empty where there is none.
        deadline: seconds for one exchange.
    """

    def __init__(
        self,
        url: Callable[[], str],
        machine: Callable[[], Machine | None],
        bouncer_key: Callable[[], str],
        *,
        deadline: float = DEADLINE,
    ) -> None:
        self._url, self._machine, self._bouncer_key = url, machine, bouncer_key
        self._deadline = deadline
        self._at_once = threading.Semaphore(AT_ONCE)
        self._lock = threading.Lock()
        self._token: tuple[str, str] = ("", "")  # of whom, and the token
        self._refused: tuple[str, float] = ("", 0.0)  # whose login, until when

    def decisions(self, address: str = "") -> list[Decision]:
        """Every decision in force; with ``address`` those on it and on ranges around it. Newest first.

        Raises:
            LapiUnavailable: there is no such answer.
            CredentialsStale: LAPI refuses the bouncer's key.
        """
        key = self._bouncer_key()
        if not key:
            raise CredentialsStale("there is no bouncer key")
        query = {"dedup": "false", **({"ip": address} if address else {})}
        status, body = self._exchange("GET", f"/v1/decisions?{urlencode(query)}", {"X-Api-Key": key}, None)
        if status in _DENIED:
            raise CredentialsStale("LAPI refuses the bouncer's key")
        raw = self._decoded(status, body, list[_Raw] | None) or []
        found = [_decision(one) for one in raw]
        return sorted((one for one in found if one.seconds > 0), key=lambda one: -one.id)

    def add(self, value: str, scope: str, seconds: int, reason: str, origin: str) -> None:
        """Ban ``value`` (``ip`` or ``range``) for ``seconds`` from now.

        Raises:
            LapiUnavailable, CredentialsStale: as :meth:`decisions`, of the machine.
            Refused: LAPI does not want this decision.
        """
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        known = "Ip" if scope == "ip" else "Range"
        decision = {
            "duration": f"{seconds}s",
            "origin": origin,
            "scenario": reason,
            "scope": known,
            "type": "ban",
            "value": value,
        }
        alert = {
            "capacity": 0,
            "decisions": [decision],
            "events": [],
            "events_count": 1,
            "leakspeed": "0",
            "message": reason,
            "scenario": reason,
            "scenario_hash": "",
            "scenario_version": "",
            "simulated": False,
            "source": {"scope": known, "value": value, known.lower(): value},
            # LAPI counts a decision's duration from stop_at.
            "start_at": now,
            "stop_at": now,
            "created_at": now,
        }
        status, body = self._as_machine("POST", "/v1/alerts", msgspec.json.encode([alert]))
        self._decoded(status, body, list[str], good=http.HTTPStatus.CREATED)

    def delete(self, number: int) -> None:
        """End one decision by its id; one that is gone already is no error.

        Raises:
            LapiUnavailable, CredentialsStale, Refused: as :meth:`add`.
        """
        status, body = self._as_machine("DELETE", f"/v1/decisions/{number}", None)
        if status in {http.HTTPStatus.NOT_FOUND, http.HTTPStatus.GONE}:
            return
        # 1.4 answers 500 for an id that it does not have.
        if status == http.HTTPStatus.INTERNAL_SERVER_ERROR and b"doesn't exist" in body:
            return
        self._decoded(status, body, _Deleted)

    def check(self) -> None:
        """Ask the smallest question as the machine.

        Raises:
            LapiUnavailable, CredentialsStale: as :meth:`decisions`.
        """
        status, _body = self._as_machine("GET", "/v1/heartbeat", None)
        if status != http.HTTPStatus.OK:
            raise LapiUnavailable(f"CrowdSec's LAPI answered {status}")

    def _as_machine(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        """Ask with the token; a refused one is replaced once."""
        machine = self._machine()
        if machine is None:
            raise CredentialsStale("there are no machine credentials")
        status, answer = self._with_token(method, path, body, self._token_of(machine, unlike=""))
        if status == http.HTTPStatus.UNAUTHORIZED:
            with self._lock:
                spent = self._token[1]
            status, answer = self._with_token(method, path, body, self._token_of(machine, unlike=spent))
        if status in _DENIED:
            raise CredentialsStale("LAPI refuses the machine's token")
        return status, answer

    def _with_token(self, method: str, path: str, body: bytes | None, token: str) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {token}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        return self._exchange(method, path, headers, body)

    def _token_of(self, machine: Machine, *, unlike: str) -> str:
        """The machine's token, by a login where there is none, or only the spent one."""
        whose = hashlib.sha256(f"{self._url()}\0{machine.login}\0{machine.password}".encode()).hexdigest()
        with self._lock:
            known, token = self._token
            if known == whose and token and token != unlike:
                return token
            if self._refused[0] == whose and time.monotonic() < self._refused[1]:
                raise CredentialsStale("LAPI refuses the machine's password")
            token = self._login(machine, whose)
            self._token = (whose, token)
            return token

    def _login(self, machine: Machine, whose: str) -> str:
        body = msgspec.json.encode({"machine_id": machine.login, "password": machine.password, "scenarios": []})
        status, answer = self._exchange("POST", "/v1/watchers/login", {"Content-Type": "application/json"}, body)
        if status in _DENIED:
            self._refused = (whose, time.monotonic() + _REFUSED_FOR)
            raise CredentialsStale("LAPI refuses the machine's password")
        token: str = self._decoded(status, answer, _Login).token
        # It becomes a header of ours.
        if len(token) > _TOKEN_LIMIT or not _TOKEN.fullmatch(token):
            raise LapiUnavailable("CrowdSec's LAPI answered a login with something that is no token")
        return token

    def _exchange(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> tuple[int, bytes]:
        if not self._at_once.acquire(timeout=self._deadline):
            raise LapiUnavailable("Too many requests wait for CrowdSec's LAPI", retry_after=5)
        try:
            return bounded_http.exchange(
                method,
                self._url() + path,
                {"User-Agent": AGENT, **headers},
                body,
                deadline=self._deadline,
                limit=ANSWER_LIMIT,
                connect=_connect,
            )
        except bounded_http.FAILURES as error:
            problem = bounded_http.reason(error)
            raise LapiUnavailable(f"CrowdSec's LAPI does not answer: {problem}", retry_after=10) from None
        finally:
            self._at_once.release()

    def _decoded(self, status: int, body: bytes, shape: Any, *, good: int = http.HTTPStatus.OK) -> Any:
        if status >= 500 or (status < 400 and status != good):
            raise LapiUnavailable(f"CrowdSec's LAPI answered {status}", retry_after=10)
        if status != good:
            raise Refused(f"CrowdSec's LAPI refuses this ({status}): {_said(body)}")
        if body.count(b"{") > OBJECTS_LIMIT:
            raise LapiUnavailable(f"CrowdSec's LAPI answered more than {OBJECTS_LIMIT} decisions; search by address")
        try:
            return msgspec.json.decode(body, type=shape)
        except (msgspec.DecodeError, RecursionError):
            raise LapiUnavailable("CrowdSec's LAPI answered something that was not asked for") from None


def machine_from(text: str) -> Machine | None:
    """The machine's credentials from their JSON, or None when they are none."""
    try:
        return msgspec.json.decode(text, type=Machine)
    except msgspec.DecodeError:
        return None


def go_seconds(text: str) -> int:
    """Whole seconds, rounded up, of a duration as Go writes it (``3h59m57.8s``); 0 for anything else or past."""
    if len(text) > 64 or text.startswith("-") or not _GO_DURATION.fullmatch(text):
        return 0
    seconds = sum(float(number) * _GO_UNITS[unit] for number, unit in _GO_PART.findall(text))
    return int(-(-seconds // 1)) if seconds < 2**53 else 0


def _decision(raw: _Raw) -> Decision:
    return Decision(
        id=raw.id,
        value=_line(raw.value),
        scope=_line(raw.scope).lower(),
        type=_line(raw.type),
        origin=_line(raw.origin),
        scenario=_line(raw.scenario),
        seconds=go_seconds(raw.duration),
    )


def _line(text: str) -> str:
    """A text of LAPI's as one printable line: it is shown in terminals and logs."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:_TEXT_LIMIT])


def _said(body: bytes) -> str:
    try:
        message = msgspec.json.decode(body[:4096], type=dict[str, Any]).get("message")
    except msgspec.DecodeError:
        message = None
    return _line(message) if isinstance(message, str) else "no reason given"


def _connect(host: str, port: int) -> socket.socket:
    return bounded_http.dial(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
