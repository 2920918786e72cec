"""Resident memory of each service, at rest and, for the gate, with ten thousand sessions in its cache."""

from __future__ import annotations

import socket
import time

from bench import stack as stacks
from bench.figures import Figures, Run, figure
from bench.load import drive
from bench.machine import rss_mb
from bench.preflight import check_protected
from bench.processes import Processes

SESSIONS = 10_000
BATCH = 100


@figure
def memory(run: Run) -> Figures:
    """``rss_mb.…``: after a second of load, in 2²⁰ octets."""
    with Processes(run.directory) as processes:
        stack = stacks.Stack(run.directory, run.cores, processes, stacks.find_caddy())
        state = stacks.prepare(stack)
        application = stack.application()
        try:
            tokens = stacks.add_sessions(application, application.accounts.get("bench").id, SESSIONS)
        finally:
            application.close()
        argos = stacks.start_panel(stack)
        gate = stacks.start_gate(stack)
        caddy = stacks.start_caddy(stack, "caddy", state)
        target = stack.target(stacks.CLOSED_HOST)
        check_protected("stock", target)
        drive(target, 1, run.cores.driving)
        time.sleep(1)
        figures = {"rss_mb.gate": rss_mb(gate), "rss_mb.argos": rss_mb(argos), "rss_mb.caddy": rss_mb(caddy)}
        _see_all(stack, tokens)
        return figures | {"rss_mb.gate_10000_sessions": rss_mb(gate)}


def _see_all(stack: stacks.Stack, tokens: list[str]) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(stack.directory / "gate.sock"))
        answers = connection.makefile("rb")
        for begin in range(0, len(tokens), BATCH):
            batch = tokens[begin : begin + BATCH]
            connection.sendall(b"".join(_request(token) for token in batch))
            for _unused in batch:
                _expect_pass(answers)


def _request(token: str) -> bytes:
    return (
        f"GET /verify HTTP/1.1\r\nHost: gate\r\nArgos-Host-Id: {stacks.CLOSED_HOST}\r\n"
        f"Cookie: __Secure-argos_session={token}\r\n\r\n"
    ).encode("ascii")


def _expect_pass(answers: object) -> None:
    lines = [line for line in iter(answers.readline, b"\r\n") if line]  # type: ignore[attr-defined]
    if not lines or not lines[0].startswith(b"HTTP/1.1 200"):
        raise AssertionError(f"the gate answered {lines[:1]!r} to a valid session")
