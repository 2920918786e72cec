"""What ``make up`` keeps of its own duration, and which checks of this machine it makes first."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import up
from guest_provider import guest_provider
from up import is_whole

EXAMPLE = Path(__file__).resolve().parents[2] / "inventory/example"


@pytest.mark.parametrize("arguments", [[], ["--diff"], ["-e", "argos_sample=false"], ["-v", "--forks", "4"]])
def test_a_run_of_the_whole_site_counts(arguments: list[str]) -> None:
    assert is_whole(arguments)


@pytest.mark.parametrize(
    "arguments", [["--tags", "guest"], ["--tags=guest"], ["-t", "guest"], ["--skip-tags", "guest"], ["--check"]]
)
def test_a_run_of_a_part_is_no_figure_of_the_whole(arguments: list[str]) -> None:
    assert not is_whole(arguments)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("inventory.yml", "all:\n  vars:\n    argos_guest_provider: existing\n"),
        ("inventory.ini", "[edge]\nedge1\n[all:vars]\nargos_guest_provider=existing\n"),
        ("inventory.yml", "all: {vars: {argos_domain: home.example, 'argos_guest_provider': 'existing'}}\n"),
        ("group_vars/all.yml", "argos_guest_provider: existing\n"),
        ("group_vars/all/edge.yml", "---\nargos_guest_provider: existing   # a VM\n"),
    ],
)
def test_a_machine_of_ones_own_is_seen_in_the_inventory(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / "inventory.yml").write_text("edge: {hosts: {edge1: {}}}\n")
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(text)
    assert guest_provider(tmp_path, []) == "existing"
    inventory = file if file.startswith("inventory") else "inventory.yml"
    assert guest_provider(tmp_path / inventory, []) == "existing"


def test_without_a_word_it_is_a_container(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("# argos_guest_provider: existing\nedge: {hosts: {}}\n")
    assert guest_provider(tmp_path, []) == "lxc"


@pytest.mark.parametrize(
    "arguments",
    [
        ["-e", "argos_guest_provider=existing"],
        ["-eargos_guest_provider=existing"],
        ["--extra-vars", '{"argos_guest_provider": "existing"}'],
        ["--check", "--extra-vars=argos_sample=false argos_guest_provider=existing"],
    ],
)
def test_the_command_line_goes_before_the_inventory(arguments: list[str]) -> None:
    assert guest_provider(EXAMPLE, arguments) == "existing"


@pytest.mark.parametrize(("provider", "only_python_and_disk"), [("lxc", False), ("existing", True)])
def test_a_copy_of_the_example_is_checked_like_the_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: str, *, only_python_and_disk: bool
) -> None:
    home = tmp_path / "home"
    shutil.copytree(EXAMPLE, home)
    variables = home / "group_vars/all.yml"
    variables.write_text(variables.read_text().replace("provider: lxc", f"provider: {provider}"))
    asked: list[list[str]] = []

    def refuse(command: list[str]) -> int:
        asked.append(command)
        return 1

    monkeypatch.setattr(up.subprocess, "call", refuse)
    monkeypatch.setattr(sys, "argv", ["up.py", "--guest", "argos-x", "--inventory", str(home)])
    assert up.main() == 1
    assert ("--existing" in asked[0]) is only_python_and_disk
