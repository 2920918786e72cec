"""Applies in a process of its own, as a second ``argos`` command does, and may kill itself on the way."""

from __future__ import annotations

import functools
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from argos import durable_files
from argos.audit import Audit
from argos.edge import apply, revisions
from argos.edge.active_config import ActiveConfig
from argos.edge.caddy import CaddyAdmin
from argos.edge.decode import decode_document
from argos.epoch import EpochWriter
from argos.errors import ArgosError
from edge_rig import ACTOR, Edge

# Each step of an apply that leaves a trace outside the process; it may end before and after each.
STEPS: tuple[tuple[Any, str], ...] = (
    (revisions, "begin"),
    (apply, "write_credentials"),
    (CaddyAdmin, "load"),
    (revisions, "activate"),
    (Audit, "record"),
    (EpochWriter, "advance"),
    (ActiveConfig, "keep"),
    (durable_files, "replace"),
)


def edge_at(place: str, binary: str, ports: tuple[int, int]) -> Edge:
    """The same edge, with connections of this process's own; Caddy is the parent's."""
    return Edge(Path(place), Path(binary), http_port=ports[0], https_port=ports[1])


def run(answer: str, where: tuple[str, str, tuple[int, int]], document: dict[str, Any], etag: str | None) -> None:
    """Apply, and write to the file ``answer`` what came of it."""
    edge = edge_at(*where)
    try:
        edge.engine.apply(ACTOR, decode_document(document), etag)
        came = "done"
    except ArgosError as error:
        came = type(error).__name__
    Path(answer).write_text(came)


def run_until(answer: str, where: tuple[str, str, tuple[int, int]], document: dict[str, Any], last: int | None) -> None:
    """Apply, and end by SIGKILL at the point number ``last``; None: pass all, and write their names."""
    passed: list[str] = []

    def point(name: str) -> None:
        passed.append(name)
        if len(passed) - 1 == last:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(call: Callable[..., Any], name: str) -> Callable[..., Any]:
        @functools.wraps(call)
        def wrapped(*arguments: Any, **named: Any) -> Any:
            point(f"before {name}")
            came = call(*arguments, **named)
            point(f"after {name}")
            return came

        return wrapped

    edge = edge_at(*where)
    for owner, name in STEPS:
        setattr(owner, name, around(getattr(owner, name), name))
    edge.engine.apply(ACTOR, decode_document(document))
    Path(answer).write_text(json.dumps(passed))
