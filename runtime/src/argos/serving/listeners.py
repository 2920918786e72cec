"""waitress listeners, each with a thread pool and a loop of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from waitress.channel import HTTPChannel  # type: ignore[import-untyped]
from waitress.server import create_server  # type: ignore[import-untyped]
from waitress.task import ErrorTask  # type: ignore[import-untyped]

logger = logging.getLogger(__name__)

PANEL_BODY_LIMIT = 1024 * 1024
ADMIN_BODY_LIMIT = 16 * 1024 * 1024
_HEADER_LIMIT = 64 * 1024
_SOCKET_MODE = "660"  # the directory is setgid, so the group is the directory's

Headers = Sequence[tuple[str, str]]
WSGIApplication = Callable[..., Any]


class Listener:
    """One listening socket, its event loop and its worker threads.

    ``error_headers`` go on the answers that waitress makes itself (a request it
    cannot parse, a body over the limit), so that no answer is without them (ING-7).
    """

    def __init__(
        self, name: str, application: WSGIApplication, *, error_headers: Headers = (), **adjustments: Any
    ) -> None:
        self.name = name
        self._server: Any = create_server(
            application,
            ident="argos",
            expose_tracebacks=False,
            clear_untrusted_proxy_headers=False,  # the application believes none of them
            max_request_header_size=_HEADER_LIMIT,
            channel_timeout=60,
            cleanup_interval=10,
            **adjustments,
        )
        self._server.channel_class = _channel_class(error_headers)
        self._thread = threading.Thread(target=self._server.run, name=f"listener-{name}", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self, patience: float = 5.0) -> None:
        """Accept nothing more and let the requests under way finish, at most ``patience`` seconds."""
        server = self._server
        server.accepting = False
        server.del_channel()
        server.socket.close()
        server.pull_trigger()
        until = time.monotonic() + patience
        while time.monotonic() < until and any(_busy(channel) for channel in list(server.active_channels.values())):
            time.sleep(0.05)
        server.task_dispatcher.shutdown(timeout=max(0.0, until - time.monotonic()))


def unix_listener(
    name: str,
    application: WSGIApplication,
    path: Path,
    *,
    threads: int,
    body_limit: int,
    connections: int,
    error_headers: Headers = (),
) -> Listener:
    """Listen on the Unix socket ``path``, mode 0660, replacing a socket left behind.

    Raises:
        OSError: the directory is missing or not writable.
    """
    return Listener(
        name,
        application,
        error_headers=error_headers,
        unix_socket=str(path),
        unix_socket_perms=_SOCKET_MODE,
        threads=threads,
        max_request_body_size=body_limit,
        connection_limit=connections,
    )


def tcp_listener(
    name: str,
    application: WSGIApplication,
    listen: str,
    *,
    threads: int,
    body_limit: int,
    connections: int,
    error_headers: Headers = (),
) -> Listener:
    """Listen on ``host:port``.

    Raises:
        OSError: the address is taken or not ours.
    """
    return Listener(
        name,
        application,
        error_headers=error_headers,
        listen=listen,
        threads=threads,
        max_request_body_size=body_limit,
        connection_limit=connections,
    )


def _busy(channel: Any) -> bool:
    return bool(channel.requests) or channel.total_outbufs_len > 0


def _channel_class(error_headers: Headers) -> type[HTTPChannel]:
    class GuardedErrorTask(ErrorTask):  # type: ignore[misc]  # waitress carries no types
        def execute(self) -> None:
            self.response_headers.extend(error_headers)
            super().execute()

    class GuardedChannel(HTTPChannel):  # type: ignore[misc]
        error_task_class = GuardedErrorTask

    return GuardedChannel
