"""The settings file is read as systemd reads it."""

from __future__ import annotations

import pytest
from argos.cli.environment_file import parse
from argos.cli.exits import NO_PERMISSION, Stop
from argos.cli.privileges import read_environment


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("A=1\nB=two words\n", {"A": "1", "B": "two words"}),
        ("# A=1\n; B=2\n\n  C = 3 \n", {"C": "3"}),
        ('A="x y"\nB=\'$x "q"\'\n', {"A": "x y", "B": '$x "q"'}),
        ('A="say \\"hi\\" \\\\"\n', {"A": 'say "hi" \\'}),
        ("A=one\\\ntwo\n", {"A": "onetwo"}),
        ("no assignment\nA=b=c==\n", {"A": "b=c=="}),
        ("A=1\nA=2\n", {"A": "2"}),
        ("A=\n", {"A": ""}),
        ("A=end\\", {"A": "end"}),
    ],
)
def test_a_line_means_what_systemd_makes_of_it(text: str, expected: dict[str, str]) -> None:
    assert parse(text) == expected


def test_what_the_process_was_given_wins_over_the_file(tmp_path) -> None:
    path = tmp_path / "argos.env"
    path.write_text("ARGOS_MODE=lan\nARGOS_LOG_LEVEL=DEBUG\n")
    merged = read_environment({"ARGOS_MODE": "behind_caddy"}, path)
    assert merged == {"ARGOS_MODE": "behind_caddy", "ARGOS_LOG_LEVEL": "DEBUG"}
    assert read_environment({"A": "1"}, tmp_path / "missing") == {"A": "1"}


def test_a_file_for_root_alone_asks_for_root_unless_the_key_is_there_already(tmp_path, monkeypatch) -> None:
    def closed(*_unused: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "argos.env"
    monkeypatch.setattr(type(path), "read_text", closed)
    with pytest.raises(Stop, match="sudo") as stopped:
        read_environment({}, path)
    assert stopped.value.code == NO_PERMISSION
    assert read_environment({"ARGOS_MASTER_KEY": "x"}, path) == {"ARGOS_MASTER_KEY": "x"}
