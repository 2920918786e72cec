"""The threads beside the listeners: heartbeat, last-seen, reconcile, sweep, mail, free space."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from argos.doctor.database import check_disk

logger = logging.getLogger(__name__)

_DIGEST = 32  # bytes of a datagram: SHA-256 of an edge token
_SEEN_BATCH = 500
_SEEN_EVERY = 2.0
_RECONCILE_EVERY = 60.0
_RETRY_AFTER = 5.0
_LOOK_FOR_CADDY_EVERY = 1.0
_LOOK_FOR_DRIFT_EVERY = 5.0
_SWEEP_EVERY = 300.0
_COPY_EVERY = 2.0
_SPACE_EVERY = 60.0
_MAIL_EVERY = 3.0


class Background:
    """Named threads that end together; what one does wrong is logged and tried again, never fatal."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def stopping(self) -> threading.Event:
        """Set when all are to end."""
        return self._stopping

    def every(self, seconds: float, name: str, work: Callable[[], object], *, at_once: bool = True) -> None:
        """Call ``work`` every ``seconds``; a failure is said once until it works again."""
        self.run(name, lambda: self._repeat(seconds, name, work, at_once))

    def run(self, name: str, body: Callable[[], None]) -> None:
        """Run ``body`` in a thread of its own; it looks at :attr:`stopping`."""
        thread = threading.Thread(target=body, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self, patience: float = 3.0) -> None:
        """Let all end, at most ``patience`` seconds together."""
        self._stopping.set()
        until = time.monotonic() + patience
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _repeat(self, seconds: float, name: str, work: Callable[[], object], at_once: bool) -> None:
        said = ""
        if not at_once:
            self._stopping.wait(seconds)
        while not self._stopping.is_set():
            try:
                work()
            except Exception as error:  # a thread that ends would be a silent loss
                text = f"{type(error).__name__}: {error}"
                if text != said:
                    logger.warning("%s: %s", name, text)
                said = text
            else:
                if said:
                    logger.info("%s: works again", name)
                said = ""
            self._stopping.wait(seconds)


def read_seen(path: Path, stopping: threading.Event, touch: Callable[[list[bytes]], object]) -> None:
    """Take the gate's datagrams from ``path`` and hand them to ``touch`` in batches, each digest once.

    What is not 32 bytes is dropped. The socket is made anew at each start: the gate
    sends to the name, and drops while nobody listens.
    """
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as inbox:
        inbox.bind(str(path))
        path.chmod(0o660)
        inbox.settimeout(_SEEN_EVERY)
        while not stopping.is_set():
            batch = _one_batch(inbox)
            if not batch:
                continue
            try:
                touch(batch)
            except Exception as error:  # last-seen is worth no more than a line
                logger.warning("last-seen of %d sessions was not stored: %s", len(batch), type(error).__name__)


def _one_batch(inbox: socket.socket) -> list[bytes]:
    batch: dict[bytes, None] = {}
    until = time.monotonic() + _SEEN_EVERY
    while len(batch) < _SEEN_BATCH and time.monotonic() < until:
        try:
            datagram = inbox.recv(_DIGEST + 1)
        except TimeoutError:
            break
        if len(datagram) == _DIGEST:
            batch[datagram] = None
    return list(batch)


class CaddyWatch:
    """Reconciles once a minute, and sooner when there is a reason.

    Within about a second after Caddy started anew (each start makes a new file of its admin
    socket, so its identity tells), at each look while ``unsettled``, and within 5 s of ``drifted``.
    """

    def __init__(
        self,
        caddy_socket: Path,
        reconcile: Callable[[], object],
        unsettled: Callable[[], bool] = lambda: False,
        drifted: Callable[[], bool] = lambda: False,
    ) -> None:
        self._socket = caddy_socket
        self._reconcile = reconcile
        self._unsettled = unsettled
        self._drifted = drifted
        self._drift_due = 0.0
        self._seen: tuple[int, int] | None = None
        self._due = 0.0

    def look(self) -> None:
        """One look; call it every second. A failed reconcile is tried again after 5 s."""
        identity = self._identity()
        restarted = identity is not None and identity != self._seen
        if not restarted and not self._unsettled() and time.monotonic() < self._due and not self._has_drifted():
            return
        self._seen = identity
        self._due = time.monotonic() + _RETRY_AFTER  # stands if the reconcile below fails
        if identity is not None:
            self._reconcile()
            self._due = time.monotonic() + _RECONCILE_EVERY

    def _has_drifted(self) -> bool:
        if time.monotonic() < self._drift_due:
            return False
        self._drift_due = time.monotonic() + _LOOK_FOR_DRIFT_EVERY
        return self._drifted()

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._socket)  # noqa: PTH116  # PERF: once a second
        except OSError:
            return None
        return status.st_ino, status.st_ctime_ns


class SpaceWatch:
    """Says when space runs out where we write, and when there is some again: once each."""

    def __init__(self, written: list[Path]) -> None:
        self._written = written
        self._said = "ok"

    def look(self) -> None:
        """One look."""
        finding = check_disk(self._written)
        if finding.state != self._said:
            level = logging.INFO if finding.state == "ok" else logging.ERROR
            logger.log(level, "%s %s", finding.message, finding.advice)
        self._said = finding.state


def start(
    background: Background,
    *,
    beat: Callable[[], object],
    seen_socket: Path,
    touch_seen: Callable[[list[bytes]], object],
    caddy_socket: Path,
    reconcile: Callable[[], object],
    unsettled: Callable[[], bool],
    drifted: Callable[[], bool],
    sweep: Callable[[], object],
    mail: Callable[[], object],
    written: list[Path],
    copy: Callable[[], object] | None = None,
) -> None:
    """Start all of them. The epoch must have been advanced before: the heartbeat vouches for it.

    ``written`` are the directories whose free space is watched.
    ``copy`` copies the record of changes to the journal, where that is wanted.
    """
    background.every(1.0, "heartbeat", beat)
    background.run("seen", lambda: read_seen(seen_socket, background.stopping, touch_seen))
    watch = CaddyWatch(caddy_socket, reconcile, unsettled, drifted)
    background.every(_LOOK_FOR_CADDY_EVERY, "reconcile", watch.look)
    background.every(_SWEEP_EVERY, "sweep", sweep)
    background.every(_MAIL_EVERY, "mail", mail)
    background.every(_SPACE_EVERY, "free space", SpaceWatch(written).look)
    if copy is not None:
        background.every(_COPY_EVERY, "journal copy", copy)
