"""The epoch: a revocation is seen at the next read, and silence is never taken for freshness."""

from __future__ import annotations

import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from argos.epoch import STALE_AFTER_NS, EpochReader, EpochWriter


def _heartbeat(path: Path, age_ns: int) -> None:
    with path.open("r+b") as file:
        file.seek(8)
        file.write(struct.pack("<Q", time.monotonic_ns() - age_ns))


def test_an_advance_is_seen_by_the_next_read(epoch: EpochWriter, epoch_reader: EpochReader) -> None:
    first = epoch_reader.read()
    assert first.fresh
    assert epoch.advance() == first.counter + 1
    assert epoch_reader.read() == (first.counter + 1, True)


def test_the_counter_starts_at_random(tmp_path: Path) -> None:
    counters = set()
    for number in range(8):
        path = tmp_path / str(number)
        path.write_bytes(bytes(16))  # as systemd-tmpfiles makes it
        counters.add(EpochWriter(path).advance())
    assert len(counters) == 8
    assert 0 not in counters


def test_the_words_are_where_the_contract_says(epoch: EpochWriter, epoch_file: Path) -> None:
    counter = epoch.advance()
    before = time.monotonic_ns()
    epoch.beat()
    words = struct.unpack("<QQ", epoch_file.read_bytes())
    assert words[0] == counter
    assert before <= words[1] <= time.monotonic_ns()


def test_the_file_is_written_in_place(epoch: EpochWriter, epoch_file: Path) -> None:
    before = epoch_file.stat().st_ino
    epoch.advance()
    epoch.beat()
    assert epoch_file.stat().st_ino == before
    assert epoch_file.stat().st_size == 16


@pytest.mark.parametrize(("age", "fresh"), [(0, True), (STALE_AFTER_NS, True), (STALE_AFTER_NS + 1, False)])
def test_a_heartbeat_over_three_seconds_old_is_stale(
    epoch: EpochWriter, epoch_reader: EpochReader, monkeypatch: pytest.MonkeyPatch, age: int, fresh: bool
) -> None:
    now = [time.monotonic_ns()]
    monkeypatch.setattr("argos.epoch.time", SimpleNamespace(monotonic_ns=lambda: now[0]))
    epoch.beat()
    now[0] += age
    assert epoch_reader.read().fresh is fresh


def test_a_heartbeat_from_the_future_is_stale(epoch_reader: EpochReader, epoch_file: Path) -> None:
    _heartbeat(epoch_file, -(10**12))
    assert epoch_reader.read().fresh is False


@pytest.mark.parametrize("size", [0, 7, 8, 15])
def test_a_short_file_is_stale(tmp_path: Path, size: int) -> None:
    path = tmp_path / "epoch"
    path.write_bytes(b"\1" * size)
    assert EpochReader(path).read().fresh is False


def test_a_missing_file_is_stale_and_found_when_it_comes(tmp_path: Path) -> None:
    reader = EpochReader(tmp_path / "epoch")
    assert reader.read() == (0, False)
    writer = EpochWriter(tmp_path / "epoch")
    counter = writer.advance()
    writer.beat()
    assert reader.read() == (counter, True)


def test_beats_without_an_advance_are_not_fresh(tmp_path: Path) -> None:
    path = tmp_path / "epoch"
    path.write_bytes(bytes(16))
    EpochWriter(path).beat()
    assert EpochReader(path).read().fresh is False


def test_a_reader_follows_to_a_file_made_anew(epoch_reader: EpochReader, epoch_file: Path) -> None:
    assert epoch_reader.read().fresh
    _heartbeat(epoch_file, STALE_AFTER_NS * 2)
    epoch_file.unlink()
    writer = EpochWriter(epoch_file)
    counter = writer.advance()
    writer.beat()
    assert epoch_reader.read() == (counter, True)


def test_a_reader_keeps_one_descriptor(epoch_reader: EpochReader, epoch_file: Path) -> None:
    def kept() -> int:
        """Descriptors of this file: what else the process holds is the business of other tests."""
        number = 0
        for path in Path("/proc/self/fd").iterdir():
            with suppress(FileNotFoundError):  # closed since
                number += path.samefile(epoch_file)
        return number

    epoch_reader.read()
    _heartbeat(epoch_file, STALE_AFTER_NS * 2)
    before = kept()
    for _unused in range(50):
        epoch_reader.read()
    assert kept() == before


def test_no_advance_is_lost_between_threads_and_processes(epoch: EpochWriter, epoch_file: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from argos.epoch import EpochWriter\n"
        "writer = EpochWriter(Path(sys.argv[1]))\n"
        "for _ in range(500): writer.advance()"
    )
    start = epoch.advance()
    processes = [subprocess.Popen([sys.executable, "-c", program, str(epoch_file)]) for _unused in range(2)]
    threads = [threading.Thread(target=lambda: [epoch.advance() for _unused in range(500)]) for _unused in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.wait() for process in processes] == [0, 0]
    assert epoch.advance() == start + 2001


def test_a_link_in_the_files_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(bytes(16))
    (tmp_path / "epoch").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="epoch"):
        EpochWriter(tmp_path / "epoch")
