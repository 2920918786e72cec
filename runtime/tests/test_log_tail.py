"""A log in a directory of another user's: its end is read, and nothing else that lies there."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from argos.doctor.clients import check_clients
from argos.edge import waf_events
from argos.errors import Unavailable
from argos.log_tail import tail


def pipe(place: Path) -> None:
    os.mkfifo(place)


def link(place: Path) -> None:
    secret = place.with_name("only-ours")
    secret.write_text('{"request_id": "stolen", "host_id": "x"}\n')
    place.symlink_to(secret)


def listener(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(place))


def directory(place: Path) -> None:
    place.mkdir()


def test_the_last_whole_lines_are_read(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"first\nsecond\nthird\n")
    assert tail(log, 100) == b"first\nsecond\nthird\n"
    assert tail(log, 19) == b"first\nsecond\nthird\n"
    assert tail(log, 8) == b"third\n"
    assert tail(log, 3) == b""
    with pytest.raises(FileNotFoundError):
        tail(tmp_path / "none", 100)


@pytest.mark.parametrize("lay", [pipe, link, listener, directory])
def test_what_is_no_log_is_refused_at_once(tmp_path: Path, lay: object) -> None:
    """A pipe would pin the thread that opens it for good."""
    log = tmp_path / "waf.log"
    lay(log)  # type: ignore[operator]
    with pytest.raises(Unavailable, match="no plain file"):
        waf_events.recent(log)
    with pytest.raises(Unavailable, match="no plain file"):
        waf_events.find(log, "0" * 16)
    found = check_clients(log)
    assert (found.state, "no plain file" in found.message) == ("unknown", True)
