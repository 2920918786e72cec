"""The modules ``decision`` and ``decision_info`` against a real runtime's admin socket, run by ansible-playbook."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hostile_lapi import HostileLapi, saying
from panel_runtime import Runtime
from single_tasks import Tasks

VALUE = "203.0.113.50"


@pytest.fixture
def tasks(runtime: Runtime, tmp_path: Path) -> Tasks:
    return Tasks(runtime, tmp_path)


def test_a_ban_is_planned_made_kept_changed_and_ended(tasks: Tasks, lapi: HostileLapi) -> None:
    wanted = {"value": VALUE, "duration": "7d", "reason": "scans every night"}
    planned, _printed = tasks.run("decision", "--check", "--diff", **wanted)
    assert planned["changed"]
    assert lapi.standing() == []
    made, _printed = tasks.run("decision", "--diff", **wanted)
    assert (made["changed"], made["diff"]) == (True, planned["diff"])
    assert json.loads(made["diff"][0]["after"]) == {**wanted, "scope": "ip"}
    for flags in (("--diff",), ("--check", "--diff")):
        kept, _printed = tasks.run("decision", *flags, **wanted)
        assert (kept["changed"], kept["diff"]) == (False, [])
    found, _printed = tasks.run("decision_info", ip=VALUE)
    assert [(one["value"], one["origin"], one["scenario"]) for one in found["decisions"]] == [
        (VALUE, "argos", "scans every night")
    ]
    longer, _printed = tasks.run("decision", **{**wanted, "duration": "8d"})
    assert (longer["before"]["duration"], longer["after"]["duration"]) == ("7d", "8d")

    lapi.decide("203.0.113.0/24", origin="lists", scenario="tor")
    ending, _printed = tasks.run("decision", "--check", "--diff", value=VALUE, state="absent")
    ended, printed = tasks.run("decision", "--diff", value=VALUE, state="absent")
    assert (ended["changed"], ended["diff"]) == (True, ending["diff"])
    assert "stays banned by 203.0.113.0/24" in printed
    again, printed = tasks.run("decision", value=VALUE, state="absent")
    assert not again["changed"]
    assert "stays banned by 203.0.113.0/24" in printed


def test_a_refusal_names_the_option_and_what_would_be_right(tasks: Tasks, lapi: HostileLapi) -> None:
    refused, printed = tasks.run("decision", value="10.0.0.1", duration="a while", reason="x" * 201)
    assert "FAILED!" in printed
    for text in ("value: is 10.0.0.1: a private range (expected another one, or force)", "duration", "reason"):
        assert text in refused["msg"]
    lapi.answers["/v1/"] = saying(500, b"{}")
    refused, printed = tasks.run("decision", value=VALUE)
    assert "FAILED!" in printed
    assert refused["code"] == "unavailable"
    refused, printed = tasks.run("decision_info", limit=0)
    assert "FAILED!" in printed
