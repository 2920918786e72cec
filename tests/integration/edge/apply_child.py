"""Applies in a process of its own, as a second ``argos`` command does, and may kill itself on the way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from argos.edge.decode import decode_document
from argos.errors import ArgosError
from crash_points import watch
from edge_rig import ACTOR, Edge


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


def run_until(answer: str, where: tuple[str, str, tuple[int, int]], document: dict[str, Any], last: int) -> None:
    """Apply, note each durable step in the file ``answer``, and end by SIGKILL at step number ``last``; 0: never."""
    os.setsid()  # the group of this process alone is killed
    edge = edge_at(*where)
    watch(Path(answer), last)
    edge.engine.apply(ACTOR, decode_document(document))
