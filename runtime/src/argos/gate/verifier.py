"""Turns the headers of one ``GET /verify`` into the bytes of its answer, from a cache or from the database.

FWD-2: a ready-made answer is kept at most 30 s, and only under the epoch that was read
before it was looked up. Any revocation advances the epoch, which empties the cache; without
a fresh heartbeat nothing is cached at all.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Protocol

import msgspec

from argos.gate.cookies import session_tokens
from argos.gate.decision import (
    ANONYMOUS_MARK,
    STRANGE,
    UNDECIDED,
    Decision,
    GateSettings,
    RequestFacts,
    SessionFacts,
    decide,
    is_live,
)
from argos.gate.sights import Sight, Sights
from argos.gate.store import Store, StoreUnavailable

ANSWER_SECONDS = 30.0
"""Longest life of a ready-made answer (FWD-2)."""

CACHED_ANSWERS = 20_000
"""Entries kept; the oldest is dropped for a new one."""

REASONS = {200: "OK", 302: "Found", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden"}

log = logging.getLogger("argos.gate")


class Epoch(Protocol):
    """What the gate wants to know of an epoch: its counter, and whether the heartbeat is fresh."""

    @property
    def counter(self) -> int:
        """The number that every revocation advances."""

    @property
    def fresh(self) -> bool:
        """Whether the runtime's heartbeat is at most 3 s old."""


class EpochReader(Protocol):
    """Reads the current epoch; see argos.epoch."""

    def read(self) -> Epoch:
        """Return the epoch of this moment."""


class _Answer:
    """A ready-made 200: its bytes, when it was looked up (monotonic), and until when the session can live."""

    __slots__ = ("expires_at", "idle_seconds", "made_at", "sight", "text")

    def __init__(self, text: bytes, made_at: float, session: SessionFacts, idle_seconds: int, sight: Sight) -> None:
        self.text = text
        self.made_at = made_at
        self.expires_at = session.expires_at
        self.idle_seconds = idle_seconds
        self.sight = sight


def response(decision: Decision) -> bytes:
    """Return the HTTP/1.1 response of a decision: its page, or its reason as plain text."""
    body = (decision.page or (f"{decision.reason}\n" if decision.reason else "")).encode()
    lines = [f"HTTP/1.1 {decision.status} {REASONS[decision.status]}"]
    for name, value in decision.headers:
        if "\r" in value or "\n" in value:  # APPSEC: decide() encodes; this is the last line of defence
            raise ValueError(f"{name} holds a line break")
        lines.append(f"{name}: {value}")
    if body:
        lines.append(f"Content-Type: text/{'html' if decision.page else 'plain'}; charset=utf-8")
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body


_STRANGE = response(STRANGE)
_UNDECIDED = response(UNDECIDED)


class Verifier:
    """Decides requests; holds the cache. Not thread-safe: one event loop calls it."""

    def __init__(
        self,
        store: Store,
        epoch: EpochReader,
        sights: Sights,
        now: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store = store
        self.epoch = epoch
        self.sights = sights
        self._now = now
        self._monotonic = monotonic
        self._answers: dict[tuple[bytes, bytes], _Answer] = {}
        self._counter: int | None = None  # the epoch of everything that is cached
        self._settings: GateSettings | None = None
        self._cookie_name = b""
        self._settings_until = 0.0
        self._told_unavailable = ""
        self.cache_hits = 0
        self.passed = 0
        self.denied = 0

    def __len__(self) -> int:
        return len(self._answers)

    def answer(self, headers: dict[bytes, bytes]) -> bytes:
        """Return the whole response to one request, given its headers (names lower-case). Never raises."""
        try:
            text = self._answer(headers)
        except StoreUnavailable as error:
            self._report(str(error))
            text = _UNDECIDED
        except Exception:
            log.exception("a request could not be decided and was denied")
            text = _STRANGE
        if text.startswith(b"HTTP/1.1 200 "):
            self.passed += 1
        else:
            self.denied += 1
        return text

    def _answer(self, headers: dict[bytes, bytes]) -> bytes:
        host_id = headers.get(b"argos-host-id")
        if not host_id:
            return _STRANGE
        epoch = self.epoch.read()  # before any lookup: what is looked up now is stamped with it
        at = self._monotonic()
        settings = self._current_settings(epoch, at)
        tokens = session_tokens(headers.get(b"cookie", b""), self._cookie_name)
        hashes = [sha256(token).digest() for token in tokens]
        if len(hashes) == 1:  # PERF: nearly every request; with planted cookies beside it, always the database
            cached = self._answers.get((hashes[0], host_id))
            if cached is not None and self._is_good(cached, hashes[0], at):
                self.cache_hits += 1
                return cached.text
        return self._look_up(headers, hashes, settings, at, keep=epoch.fresh)

    def _is_good(self, cached: _Answer, token_hash: bytes, at: float) -> bool:
        now = self._now()
        sight = cached.sight
        if at - cached.made_at > ANSWER_SECONDS or now >= cached.expires_at or now >= sight.at + cached.idle_seconds:
            return False
        sight.at = now
        if now >= sight.tell_at:
            self.sights.tell(token_hash, sight)
        return True

    def _current_settings(self, epoch: Epoch, at: float) -> GateSettings:
        if not epoch.fresh or epoch.counter != self._counter:
            self._answers.clear()
            self._settings = None
            self._counter = epoch.counter if epoch.fresh else None
        if self._settings is None or at > self._settings_until:
            self._settings = None
            settings = self.store.settings()
            self._cookie_name = settings.cookie_name.encode("ascii")
            self._settings, self._settings_until = settings, at + ANSWER_SECONDS
        return self._settings

    def _look_up(
        self,
        headers: dict[bytes, bytes],
        hashes: list[bytes],
        settings: GateSettings,
        at: float,
        *,
        keep: bool,
    ) -> bytes:
        now = self._now()
        host_id = headers[b"argos-host-id"]
        rule = self.store.rule(host_id.decode("latin-1"))
        found: dict[bytes, SessionFacts] = {}
        for token_hash in hashes:
            session = self.store.session(token_hash)
            if session is not None:
                found[token_hash] = self._with_own_sight(session, token_hash)
        self._report("")
        decision = decide(_facts(headers, host_id), settings, rule, list(found.values()), now)
        text = response(decision)
        if decision.status == 200 and ANONYMOUS_MARK not in decision.headers:
            token_hash, session = next(
                (key, session) for key, session in found.items() if is_live(session, settings.idle_seconds, now)
            )
            sight = self.sights.saw(token_hash, now)
            # AUT-2: what a public path was answered must never open another path.
            if keep and len(hashes) == 1 and decision.whole_host:
                self._keep((token_hash, host_id), _Answer(text, at, session, settings.idle_seconds, sight))
        return text

    def _with_own_sight(self, session: SessionFacts, token_hash: bytes) -> SessionFacts:
        last = self.sights.last(token_hash)
        if last <= session.last_seen_at:
            return session
        return msgspec.structs.replace(session, last_seen_at=last)

    def _keep(self, key: tuple[bytes, bytes], answer: _Answer) -> None:
        self._answers.pop(key, None)
        self._answers[key] = answer
        if len(self._answers) > CACHED_ANSWERS:
            del self._answers[next(iter(self._answers))]

    def _report(self, unavailable: str) -> None:
        # Said once per change of state: a dead database must not fill the journal.
        if unavailable != self._told_unavailable:
            self._told_unavailable = unavailable
            if unavailable:
                log.error("denying every request: %s", unavailable)
            else:
                log.warning("the database can be read again")


def _facts(headers: dict[bytes, bytes], host_id: bytes) -> RequestFacts:
    def text(name: bytes) -> str:
        return headers.get(name, b"").decode("utf-8", "surrogateescape")

    return RequestFacts(
        host_id=host_id.decode("latin-1"),
        method=text(b"x-forwarded-method"),
        scheme=text(b"x-forwarded-proto"),
        host=text(b"x-forwarded-host"),
        uri=text(b"x-forwarded-uri"),
        accept=text(b"accept"),
        sec_fetch_mode=text(b"sec-fetch-mode"),
        sec_fetch_dest=text(b"sec-fetch-dest"),
        upgrade=text(b"upgrade"),
        x_requested_with=text(b"x-requested-with"),
        cookies=headers.get(b"cookie", b""),
    )
