"""Every variable that an inventory may set is described, on docs/variables.md too, and no other is silently ignored."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

TOP = Path(__file__).resolve().parents[2]
PLAYBOOKS = [*sorted((TOP / "playbooks").glob("*.yml")), TOP / "playbooks/vars/site.yml"]
TEMPLATES = sorted((TOP / "playbooks/templates").glob("*.j2"))
SPECS = sorted((TOP / "roles").glob("*/meta/argument_specs.yml"))
SETTERS = re.compile(r"^ *(?:register: |(?=argos_\w+:))(argos_\w+)", re.MULTILINE)
EDGE = "{ansible_connection: local, ansible_python_interpreter: '{{ ansible_playbook_python }}'}"


def documented() -> set[str]:
    """Every option of every role's specs, those of the playbooks among them."""
    return {
        name
        for path in SPECS
        for entry in yaml.safe_load(path.read_text())["argument_specs"].values()
        for name in entry.get("options", {})
    }


def role_vars() -> dict[str, Any]:
    return yaml.safe_load((TOP / "roles/site/vars/main.yml").read_text())


def run_site(inventory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run what always runs of playbooks/site.yml, the checks, on this machine as the edge; it changes nothing."""
    command = [str(TOP / ".venv/bin/ansible-playbook"), "-i", str(inventory), str(TOP / "playbooks/site.yml")]
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(TOP / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(TOP / ".build"),
        "ANSIBLE_NOCOLOR": "1",
    }
    return subprocess.run(
        [*command, "--check", "--tags", "no-task-has-it", *arguments],
        cwd=TOP, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def inventory_with(directory: Path, edge: str = "{}", everywhere: str = "") -> Path:
    path = directory / "inventory.yml"
    path.write_text(
        f"all:\n  vars: {{argos_guest_provider: existing, argos_domain: home.example{everywhere}}}\n"
        f"edge:\n  hosts: {{edge1: {EDGE}}}\n  vars: {edge}\n"
    )
    return path


def test_every_variable_that_the_playbooks_read_is_described() -> None:
    texts = [re.sub(r"^\s*#.*$", "", path.read_text(), flags=re.MULTILINE) for path in PLAYBOOKS + TEMPLATES]
    read = {name for text in texts for name in re.findall(r"\bargos_\w+\b", text)}
    unknown = read - documented() - set(role_vars()["_site_own"])
    assert unknown == set()


def test_every_variable_of_a_playbook_is_read_by_one() -> None:
    text = "\n".join(path.read_text() for path in PLAYBOOKS + TEMPLATES)
    for entry in yaml.safe_load((TOP / "roles/site/meta/argument_specs.yml").read_text())["argument_specs"].values():
        assert [name for name in entry["options"] if name not in text] == []


def test_what_roles_and_playbooks_set_themselves_is_known() -> None:
    files = [*PLAYBOOKS, *(TOP / "roles").glob("*/tasks/*.yml"), *(TOP / "roles").glob("*/handlers/*.yml")]
    found = {name for path in files for name in SETTERS.findall(path.read_text())}
    assert found - documented() <= set(role_vars()["_site_own"])


def test_the_role_reads_the_specs_of_every_role() -> None:
    assert role_vars()["_site_roles"] == [path.parent.parent.name for path in SPECS]


def test_the_reference_is_what_the_specs_say() -> None:
    ran = subprocess.run(
        [sys.executable, str(TOP / "scripts/generate_variables.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    page = (TOP / "docs/variables.md").read_text()
    assert [name for name in documented() if f"| `{name}` |" not in page] == []


def test_a_misspelt_variable_stops_the_run_and_is_named(tmp_path: Path) -> None:
    ran = run_site(inventory_with(tmp_path, "{argos_edge_host: [], argos_edge_settings: {}}"))
    assert ran.returncode != 0
    assert "unknown variables: argos_edge_host (did you mean argos_edge_hosts?). " in ran.stdout + ran.stderr


def test_one_for_the_guest_is_named_before_a_guest_is_made(tmp_path: Path) -> None:
    ran = run_site(inventory_with(tmp_path, everywhere=", argos_guest_memroy: 1G"))
    assert ran.returncode != 0
    assert "argos_guest_memroy (did you mean argos_guest_memory?)" in ran.stdout + ran.stderr
    assert "argos.edge.guest :" not in ran.stdout


def test_described_variables_and_those_of_other_names_pass(tmp_path: Path) -> None:
    edge = "{argos_edge_hosts: [], vault_argos_token: x, my_argos_edge_host: 1, argosity: 1}"
    ran = run_site(inventory_with(tmp_path, edge), "-e", "argos_backup_dest=/srv argos_site_welcome=false")
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_value_of_another_type_is_refused_by_name_and_a_secret_is_not_shown(tmp_path: Path) -> None:
    ran = run_site(inventory_with(tmp_path, "{argos_edge_secrets: hunter2}"), "-vvvv")
    told = ran.stdout + ran.stderr
    assert ran.returncode != 0
    assert "argument 'argos_edge_secrets' is of type str" in told
    assert "hunter2" not in told
