"""Applies in a process of its own, as a second ``argos`` command does, and may kill itself on the way."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from acknowledged import PROCESSES
from argos.edge.decode import decode_document
from argos.errors import ArgosError
from edge_rig import ACTOR, Edge
from traced_calls import Call, Point, traced

ACKNOWLEDGED = "acknowledged"
"""The file in the edge's directory that says that an apply was answered."""


def edge_at(place: str, binary: str, ports: tuple[int, int]) -> Edge:
    """The same edge, with connections of this process's own; Caddy is the parent's."""
    return Edge(Path(place), Path(binary), http_port=ports[0], https_port=ports[1])


def begin(edge: Edge, target: Callable[..., None], document: dict[str, Any], *more: Any) -> tuple[Any, Path]:
    """A process that applies beside this one, begun; and where it writes what came of it."""
    answer = edge.place / f"answer-{time.monotonic_ns()}"
    where = (str(edge.place), str(edge.binary), (edge.http_port, edge.https_port))
    process = PROCESSES.Process(target=target, args=(str(answer), where, document, *more))
    process.start()
    return process, answer


def traced_apply(edge: Edge, document: dict[str, Any], point: Point | None) -> tuple[int, list[Call]]:
    """Apply in a process beside this one, killed at ``point``, or to its end: its exit code, and what it did."""
    process, answer = begin(edge, run_until, document, point)
    process.join(200)
    assert process.exitcode == 0, "the tracer failed, and said why"
    status, calls = pickle.loads(answer.read_bytes())
    return status, calls


def run(answer: str, where: tuple[str, str, tuple[int, int]], document: dict[str, Any], etag: str | None) -> None:
    """Apply, and write to the file ``answer`` what came of it."""
    edge = edge_at(*where)
    try:
        edge.engine.apply(ACTOR, decode_document(document), etag)
        came = "done"
    except ArgosError as error:
        came = type(error).__name__
    Path(answer).write_text(came)


def run_until(
    answer: str, where: tuple[str, str, tuple[int, int]], document: dict[str, Any], point: Point | None
) -> None:
    """Apply, killed at ``point``, or to its end, which :data:`ACKNOWLEDGED` then tells; ``answer`` has the calls."""

    def work() -> int:
        edge = edge_at(*where)
        edge.engine.apply(ACTOR, decode_document(document))
        edge.place.joinpath(ACKNOWLEDGED).write_text("done")
        return 0

    Path(answer).write_bytes(pickle.dumps(traced(work, Path(where[0]), point)))
