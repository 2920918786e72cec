"""A file is the old one or the new one, and a refused write leaves nothing beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
from argos import durable_files


def test_the_new_content_stands_with_its_mode_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "caddy.json"
    path.write_bytes(b"old")
    durable_files.replace(path, b"new", 0o440)
    assert durable_files.content_of(path) == b"new"
    assert path.stat().st_mode & 0o7777 == 0o440
    assert [entry.name for entry in tmp_path.iterdir()] == ["caddy.json"]


def test_a_refused_write_leaves_the_old_one_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "caddy.json"
    (path / "something").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        durable_files.replace(path, b"new", 0o640)
    assert [entry.name for entry in tmp_path.iterdir()] == ["caddy.json"]
    assert (path / "something").is_dir()


def test_a_link_in_the_drafts_place_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"theirs")
    path = tmp_path / "edge" / "caddy.json"
    path.parent.mkdir()
    path.with_name(".caddy.json.new").symlink_to(outside)
    with pytest.raises(OSError, match="symbolic link"):
        durable_files.replace(path, b"ours", 0o640)
    assert outside.read_bytes() == b"theirs"
    assert durable_files.content_of(path) is None
