"""The collection's modules: exact in check mode and diff, idempotent, and plain about mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lab.admin_api import AdminApi, Declaration
from lab.guest import Guest
from lab.playbook import Tasks

OWNER = "e2e-modules"  # the suite's own declarations prune what is theirs


@pytest.fixture
def tasks(guest: Guest, tmp_path: Path) -> Tasks:
    return Tasks(guest, tmp_path)


@pytest.fixture
def host(declaration: Declaration) -> dict[str, Any]:
    return {**declaration.host("e2e-module", waf={"mode": "detect"}), "owner": OWNER}


def named(api: AdminApi, name: str) -> dict[str, Any] | None:
    return next((found for found in api.get("/v1/hosts")["hosts"] if found["name"] == name), None)


def test_a_host_is_planned_published_kept_changed_and_taken_back(
    tasks: Tasks, api: AdminApi, host: dict[str, Any]
) -> None:
    planned = tasks.run("host", "--check", "--diff", **host)
    assert planned.changed
    assert named(api, host["name"]) is None, "check mode changed something"

    published = tasks.run("host", "--diff", **host)
    assert published.changed
    assert published.result["diff"] == planned.result["diff"], "the plan is not what was done"
    assert published.result["changes"] == planned.result["changes"]
    assert '"mode": "detect"' in published.result["diff"][0]["after"]
    found = named(api, host["name"])
    assert found is not None
    assert found["waf"]["mode"] == "detect"

    again = tasks.run("host", "--diff", **host)
    assert not again.changed
    assert again.result["changes"] == []

    blocking = {**host, "waf": {"mode": "block"}}
    change = tasks.run("host", "--check", "--diff", **blocking)
    assert change.changed
    assert '"mode": "detect"' in change.result["diff"][0]["before"]
    assert '"mode": "block"' in change.result["diff"][0]["after"]

    taken = tasks.run("host", "--diff", name=host["name"], state="absent", owner=OWNER)
    assert taken.changed
    assert taken.result["diff"][0]["after"] == ""
    assert named(api, host["name"]) is None
    assert not tasks.run("host", name=host["name"], state="absent", owner=OWNER).changed


def test_every_mistake_is_told_at_once_in_words(tasks: Tasks, host: dict[str, Any]) -> None:
    broken = {
        **host,
        "upstreams": [{"url": "gopher://127.0.0.1:70", "weight": 900}],
        "rate_limit": {"requests": 0, "window": 10},
    }
    refused = tasks.run("host", **broken)
    assert refused.failed
    for field in ("upstreams[0].url", "upstreams[0].weight", "rate_limit.requests"):
        assert field in refused.result["msg"], refused.result["msg"]
    assert host["name"] in refused.result["msg"]
    assert "Traceback" not in refused.printed


def test_a_whole_declaration_is_one_plan_and_loses_a_race_plainly(
    tasks: Tasks, api: AdminApi, declaration: Declaration, host: dict[str, Any]
) -> None:
    spec = {key: value for key, value in host.items() if key != "owner"}
    other = declaration.host("e2e-module-two", auth={"required": True})
    document = {"owner": "e2e-config", "prune": True, "hosts": [spec, other]}

    planned = tasks.run("config", "--check", "--diff", **document)
    assert planned.changed
    assert named(api, other["name"]) is None
    seen = planned.result["etag"]

    applied = tasks.run("config", "--diff", **document, etag=seen)
    assert applied.changed
    assert applied.result["changes"] == planned.result["changes"]
    assert {change["name"] for change in applied.result["changes"]} == {spec["name"], other["name"]}
    assert not tasks.run("config", "--diff", **document).changed

    late = tasks.run("config", **{**document, "hosts": [spec]}, etag=seen)
    assert "etag" in late.result["msg"].lower() or "changed" in late.result["msg"].lower(), late.result
    assert named(api, other["name"]) is not None, "a lost race changed something"

    pruned = tasks.run("config", "--diff", owner="e2e-config", prune=True, hosts=[])
    assert {change["action"] for change in pruned.result["changes"]} == {"delete"}
    assert named(api, spec["name"]) is None


def test_host_info_reads_one_all_and_none(tasks: Tasks, declaration: Declaration) -> None:
    everything = tasks.run("host_info")
    assert not everything.changed
    assert declaration.name("e2e-guarded") in {found["name"] for found in everything.result["hosts"]}
    one = tasks.run("host_info", name=declaration.name("e2e-guarded"))
    assert [found["auth"]["required"] for found in one.result["hosts"]] == [True]
    assert tasks.run("host_info", name="nowhere.example").result["hosts"] == []


def test_without_a_runtime_check_mode_plans_and_a_real_run_says_what_to_do(tasks: Tasks, host: dict[str, Any]) -> None:
    absent = {"socket": "/run/argos-admin/nobody-home.sock"}
    planned = tasks.run("host", "--check", "--diff", **host, **absent)
    assert planned.changed
    assert planned.result["diff"][0]["before"] == ""
    assert "by its types only" in planned.printed
    refused = tasks.run("host", **host, **absent)
    assert "argos.edge.runtime" in refused.result["msg"]
