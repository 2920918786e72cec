"""Every example of the modules' pages and of docs/ runs, in check mode, on a real edge of another domain."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.admin_api import AdminApi, Declaration
from lab.guest import CHECKOUT, Guest

sys.path.insert(0, str(CHECKOUT / "tests" / "acme"))

from acme import Authority

OWNER = "e2e-examples"
DOMAIN = "home.example"  # of the examples
ANY = "t" * 40  # as a token, a password and a header's value will do
EDGE_HOSTS = [{"name": f"extra.{DOMAIN}", "upstreams": [{"url": "http://192.0.2.9:80"}]}]
Task = dict[str, Any]


def written_examples() -> Iterator[tuple[str, str]]:
    """Yield each page's name with its YAML."""
    for module in sorted((CHECKOUT / "plugins/modules").glob("*.py")):
        for node in ast.parse(module.read_text()).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "EXAMPLES":
                yield module.stem, ast.literal_eval(node.value)
    for page in [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]:
        for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            if re.search(r"^- (name: .*\n  )?argos\.edge\.", block, re.MULTILINE):
                yield page.name, block


def in_check_mode(page: str, task: Task) -> Iterator[Task]:
    """Yield what a task becomes here: an assertion on what there is must only be one that can be evaluated."""
    named = {**task, "name": f"{page}: {task.get('name', 'unnamed')}"}
    until, retried = named.pop("until", None), {"retries", "delay"}
    said = named.pop("ansible.builtin.assert", {}).get("that", until)
    if any(key.startswith("argos.edge.") for key in named):
        yield {key: value for key, value in named.items() if key not in retried}
    if said is not None:
        yield {"name": f"{named['name']} (condition)", "ansible.builtin.debug": {"msg": f"{{{{ ({said}) }}}}"}}


def named_secrets(part: object) -> Iterator[str]:
    """Yield each name in a ``{secret: name}``."""
    if isinstance(part, dict) and list(part) == ["secret"]:
        yield str(part["secret"])
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from named_secrets(inner)


@pytest.fixture(scope="module")
def examples() -> list[tuple[str, list[Task]]]:
    return [(page, yaml.safe_load(text)) for page, text in written_examples()]


@pytest.fixture
def prepared(
    api: AdminApi, declaration: Declaration, examples: list[tuple[str, list[Task]]], tmp_path: Path
) -> Iterator[Path]:
    """Declare what the examples name, each of which would make it for real before."""
    authority = Authority(tmp_path)
    chain, key = authority.sign(f"*.{declaration.parent}", declaration.parent)
    (tmp_path / "ca-root.pem").write_text(authority.pem)
    (tmp_path / f"{declaration.parent}.chain.pem").write_text(chain)
    values = {name: ANY for _page, tasks in examples for name in named_secrets(tasks)} | {"home-wildcard-key": key}
    for name, value in values.items():
        assert api.request("PUT", f"/v1/secrets/{name}", {"value": value}).status == 200
    document = {
        "owner": OWNER,
        "certificates": [{"name": "home-wildcard", "certificate": chain, "key": {"secret": "home-wildcard-key"}}],
        "dns_providers": [{"name": "cloudflare", "type": "cloudflare", "api_token": {"secret": "cloudflare-token"}}],
        "waf_policies": [{"name": "wiki"}, {"name": "strict"}],
    }
    answer = api.request("POST", "/v1/config/apply", document)
    assert answer.status == 200, answer
    yield tmp_path
    assert api.request("POST", "/v1/config/apply", {"owner": OWNER, "prune": True}).status == 200
    for name in values:
        api.request("DELETE", f"/v1/secrets/{name}")


@pytest.mark.timeout(1500)
def test_every_example_runs_as_it_is_written(
    guest: Guest, api: AdminApi, declaration: Declaration, examples: list[tuple[str, list[Task]]], prepared: Path
) -> None:
    modules = {module.stem for module in (CHECKOUT / "plugins/modules").glob("*.py")}
    assert {page for page, _tasks in examples} >= modules, "a module without examples"
    tasks = [one for page, tasks in examples for task in tasks for one in in_check_mode(page, task)]
    values = dict.fromkeys(re.findall(r"\bvault_\w+", json.dumps(tasks)), ANY) | {"edge_hosts": EDGE_HOSTS}
    play = [{"hosts": "edge", "gather_facts": False, "vars": values, "tasks": tasks}]
    book = prepared / "examples.json"
    # The suite's visitors come from 203.0.113.0/24: where an administrator among them is signed in, no ban is taken.
    book.write_text(json.dumps(play).replace(DOMAIN, declaration.parent).replace("203.0.113.", "192.0.2."))
    before = api.get("/v1/config")
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "--check", "--diff", "-i",
         str(guest.state / "inventory.yml"), str(book)],
        cwd=prepared,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".build"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True, text=True, check=False, timeout=1200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert done.stdout.count("TASK [") == len(tasks)
    warnings = [line for line in done.stderr.splitlines() if "[WARNING]" in line and "was managed by" not in line]
    assert warnings == []
    assert api.get("/v1/config") == before
