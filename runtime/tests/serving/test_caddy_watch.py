"""Caddy started anew is brought to the active revision at once, and looked at every minute besides."""

from __future__ import annotations

from pathlib import Path

import pytest
from argos.serving import background
from argos.serving.background import CaddyWatch


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(background.time, "monotonic", lambda: now[0])
    return now


def test_each_start_of_caddy_and_each_minute(tmp_path: Path, time: list[float]) -> None:
    socket, calls = tmp_path / "caddy.sock", []
    watch = CaddyWatch(socket, lambda: calls.append(1))
    watch.look()
    assert calls == [], "no Caddy, nothing to bring up to date"
    socket.touch()
    watch.look()
    assert len(calls) == 1
    for _unused in range(5):
        time[0] += 1
        watch.look()
    assert len(calls) == 1
    (tmp_path / "new").touch()
    (tmp_path / "new").rename(socket)  # another file of the same name: Caddy has restarted
    watch.look()
    assert len(calls) == 2
    time[0] += 61
    watch.look()
    assert len(calls) == 3


def test_a_failure_is_tried_again_after_five_seconds_not_every_second(tmp_path: Path, time: list[float]) -> None:
    socket, calls = tmp_path / "caddy.sock", []
    socket.touch()

    def fail() -> None:
        calls.append(1)
        raise OSError("not now")

    watch = CaddyWatch(socket, fail)
    for second in range(12):
        time[0] = 1000.0 + second
        try:
            watch.look()
        except OSError:
            continue
    assert len(calls) == 3


def test_while_caddy_may_take_a_late_load_each_look_counts(tmp_path: Path, time: list[float]) -> None:
    socket, calls, unsettled = tmp_path / "caddy.sock", [], [True]
    socket.touch()
    watch = CaddyWatch(socket, lambda: calls.append(1), lambda: unsettled[0])
    for _unused in range(4):
        time[0] += 1
        watch.look()
    assert len(calls) == 4
    unsettled[0] = False
    time[0] += 1
    watch.look()
    assert len(calls) == 4


def test_a_caddy_that_was_changed_by_hand_is_seen_within_five_seconds(tmp_path: Path, time: list[float]) -> None:
    socket, calls, drifted, asked = tmp_path / "caddy.sock", [], [False], []
    socket.touch()

    def look_for_drift() -> bool:
        asked.append(time[0])
        return drifted[0]

    watch = CaddyWatch(socket, lambda: calls.append(time[0]), drifted=look_for_drift)
    for second in range(20):
        time[0] = 1000.0 + second
        drifted[0] = second >= 12
        watch.look()
        if len(calls) == 2:
            break
    assert calls[0] == 1000.0
    assert 1012.0 <= calls[1] <= 1017.0
    assert len(asked) <= 4, "not each second: it costs Caddy the writing of its whole configuration"
