"""`argos serve`: everything up in the one right order, and down again."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import threading

from argos.application import Application
from argos.audit.journal import JournalCopy
from argos.errors import Unavailable
from argos.serving import background, listeners
from argos.serving.process import notify_ready
from argos.settings import Settings
from argos.storage.engine import Storage

logger = logging.getLogger(__name__)

_PANEL_THREADS = 16  # more than may wait for a password hash (application.SIGN_INS_WAITING)
_ADMIN_THREADS = 3
_DAMAGED = 3  # the child's exit code
_END_S = 30.0  # twice what the steps of ending wait together; systemd would wait for 90 s, and a reboot with it


def migrate_apart(settings: Settings) -> None:
    """Bring the schema up to date and look for damage in a child, so that this process never carries Alembic's 20 MB.

    The child's outcome is not asked for but for one: opening the database afterwards
    does what it left undone, and says what is wrong.

    Raises:
        Unavailable: the file is damaged. Serving from it could bring ended sessions back, and would
            make the damage worse.
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            from argos.clock import SystemClock

            storage = Storage(settings.database, SystemClock())
            storage.migrate()
            code = _DAMAGED if storage.damage() else 0
        except BaseException:  # the parent meets the same error and says it
            os._exit(1)
        os._exit(code)
    _unused, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) == _DAMAGED:
        raise Unavailable(
            f"Database {settings.database}: it is damaged and cannot be used. `argos doctor` says where; "
            "restore a backup with `argos restore`"
        )


def serve(application: Application) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code.

    The epoch advances before anything answers or beats: what the gate cached under
    an earlier life of this process is worth nothing from here on.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_unused: stop.set())
    settings = application.settings
    application.epoch.advance()
    doors = _listeners(application)
    threads = background.Background()
    background.start(
        threads,
        beat=application.epoch.beat,
        seen_socket=settings.seen_socket,
        touch_seen=application.sessions.touch_seen,
        caddy_socket=settings.caddy_socket,
        reconcile=application.reconcile,
        unsettled=application.engine.unsettled,
        drifted=application.engine.drifted,
        sweep=application.sweep,
        mail=application.mail.send_due,
        written=[settings.data_dir, settings.edge_dir, settings.access_log.parent],
        copy=JournalCopy(application.storage).copy if settings.audit_journal else None,
    )
    for door in doors:
        door.start()
    notify_ready()
    logger.info("serving (%s)", application.settings.mode)
    # A signal that reached a stopped process (systemd-shutdown stops all before SIGTERM) may be taken by another
    # thread, which does not wake this one: look again each second.
    while not stop.wait(1.0):
        pass
    logger.info("stopping")
    end_within(_END_S)
    for door in doors:
        door.stop()
    threads.stop()
    application.leave_checkpoint()
    application.close()
    return 0


def end_within(seconds: float) -> None:
    """End this process with status 1 after so long, whatever holds it up, and say on stderr where each thread was."""
    faulthandler.dump_traceback_later(seconds, exit=True)


def _listeners(application: Application) -> list[listeners.Listener]:
    from argos.api.routes import admin_app
    from argos.panel.app import panel_app
    from argos.panel.security_headers import ON_ERRORS

    settings = application.settings
    limits = {"threads": _PANEL_THREADS, "body_limit": listeners.PANEL_BODY_LIMIT, "connections": 500}
    panel = panel_app(application)
    if settings.mode == "behind_caddy":
        door = listeners.unix_listener("panel", panel, settings.panel_socket, error_headers=ON_ERRORS, **limits)
    else:
        host, port = settings.panel_listen
        name = f"[{host}]" if ":" in host else host
        door = listeners.tcp_listener("panel", panel, f"{name}:{port}", error_headers=ON_ERRORS, **limits)
    admin = listeners.unix_listener(
        "admin",
        admin_app(application),
        settings.admin_socket,
        threads=_ADMIN_THREADS,
        body_limit=listeners.ADMIN_BODY_LIMIT,
        connections=50,
    )
    return [door, admin]
