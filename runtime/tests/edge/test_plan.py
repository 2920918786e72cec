"""Plans: what changes, whose it is, and what a state's ETag says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from argos.api.config import document_of
from argos.clock import SystemClock
from argos.edge.decode import decode_document
from argos.edge.decode.kinds import KINDS
from argos.edge.model import Document, canonical
from argos.edge.plan import Plan, State, plan
from argos.edge.revisions import read_state
from argos.errors import Unavailable
from argos.storage.engine import Storage
from hypothesis import given
from hypothesis import strategies as st

EDGE = {"panel_host": "argos.home.example", "parent_domain": "home.example"}


def host(name: str, **more: Any) -> dict[str, Any]:
    return {"name": f"{name}.home.example", "upstreams": [{"url": "http://10.0.0.5:80"}], **more}


def planned(state: State, owner: str = "ansible", **document: Any) -> Plan:
    return plan(state, decode_document({"owner": owner, **document}))


def shown(result: Plan) -> list[tuple[str, str]]:
    return [(f"{change.kind}/{change.name}", change.action) for change in result.changes]


@pytest.fixture
def state() -> State:
    first = planned(State(), settings={"edge": EDGE}, hosts=[host("a"), host("b")]).state
    return planned(first, owner="panel", hosts=[host("c")]).state


def test_the_same_document_again_changes_nothing(state: State) -> None:
    again = planned(state, settings={"edge": EDGE}, hosts=[host("b"), host("a")])
    assert not again.changed
    assert again.state == state
    assert again.state.etag() == again.etag == state.etag()


def test_a_partial_document_leaves_the_rest_alone(state: State) -> None:
    result = planned(state, hosts=[host("a", auth={"required": True})])
    assert shown(result) == [("host/a.home.example", "update")]
    (change,) = result.changes
    assert change.before is not None
    assert change.after is not None
    assert {key for key in change.after if change.before[key] != change.after[key]} == {"auth"}
    assert result.etag == state.etag() != result.state.etag()


def test_absent_removes_and_removing_what_is_not_there_is_no_change(state: State) -> None:
    gone = {"name": "a.home.example", "state": "absent"}
    result = planned(state, hosts=[gone])
    assert shown(result) == [("host/a.home.example", "delete")]
    assert result.changes[0].after is None
    assert not planned(result.state, hosts=[gone]).changed


def test_prune_removes_only_what_the_same_owner_manages_and_no_settings(state: State) -> None:
    assert shown(planned(state, prune=True, hosts=[host("a")])) == [("host/b.home.example", "delete")]
    assert shown(planned(state, prune=True)) == [("host/a.home.example", "delete"), ("host/b.home.example", "delete")]
    assert not planned(state, owner="other", prune=True).changed


def test_taking_a_host_over_is_a_change_and_is_warned_of(state: State) -> None:
    result = planned(state, hosts=[host("c")])
    assert shown(result) == [("host/c.home.example", "update")]
    assert "'panel'" in result.warnings[0]
    assert "'ansible'" in result.warnings[0]


def test_a_state_survives_its_own_json(state: State) -> None:
    assert State.from_json(state.as_json()) == state
    assert State.from_json(state.as_json()).etag() == state.etag()


def test_a_spec_stored_by_an_earlier_version_gets_the_defaults_it_lacks_and_is_no_change() -> None:
    """An upgrade that adds a field must neither lose a host nor report a change that nobody made."""
    old = [
        ("settings", "edge", json.dumps(EDGE), "ansible"),
        ("host", "a.home.example", json.dumps(host("a") | {"a_field_that_went": 1}), "ansible"),
        ("kind_of_a_later_version", "x", "{}", "ansible"),
    ]
    state = State.from_rows(old)
    assert set(state.resources) == {("settings", "edge"), ("host", "a.home.example")}
    assert not planned(state, settings={"edge": EDGE}, hosts=[host("a")]).changed
    assert state.etag() == planned(State(), settings={"edge": EDGE}, hosts=[host("a")]).state.etag()


def test_a_stored_spec_that_cannot_be_read_names_its_resource() -> None:
    with pytest.raises(Unavailable, match=r"host/a\.home\.example"):
        State.from_rows([("host", "a.home.example", '{"name": 1}', "")])


def test_every_kind_has_its_list_in_the_document_and_in_an_export(state: State) -> None:
    for kind in KINDS.values():
        assert getattr(Document(), kind.field) == ()
    assert decode_document(document_of(state)).hosts == state.hosts()


def test_settings_have_defaults_until_they_are_declared(state: State) -> None:
    assert State().edge is None
    assert state.session.idle_hours == 24
    assert state.crowdsec.enabled
    assert planned(state, settings={"session": {"idle_hours": 3}}).state.session.idle_hours == 3


NAMES = st.sampled_from(["a", "b", "c", "d"])
HOSTS = st.lists(
    st.builds(
        lambda name, required, absent: host(name, auth={"required": required}, state="absent" if absent else "present"),
        NAMES,
        st.booleans(),
        st.booleans(),
    ),
    max_size=4,
    unique_by=lambda one: one["name"],
)


@given(st.lists(st.tuples(HOSTS, st.sampled_from(["x", "y"]), st.booleans()), max_size=5))
def test_applying_a_plan_twice_is_applying_it_once(documents: list[tuple[list[dict[str, Any]], str, bool]]) -> None:
    state = State()
    for hosts, owner, prune in documents:
        first = planned(state, owner=owner, prune=prune, hosts=hosts)
        assert first.changed == (first.state.etag() != state.etag())
        assert not planned(first.state, owner=owner, prune=prune, hosts=hosts).changed
        state = first.state


def test_what_is_stored_is_read_anew_exactly_when_a_row_differs(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "argos.db", SystemClock())
    storage.migrate()

    def read() -> State:
        with storage.read() as connection:
            return read_state(connection)

    def write(statement: str, *values: object) -> None:
        with storage.write() as connection:
            connection.exec_driver_sql(statement, values)

    spec = canonical(decode_document({"hosts": [host("a")]}).hosts[0])
    assert read() == State()
    write("INSERT INTO resources VALUES ('host', 'a.home.example', ?, 'one', 1)", spec)
    first = read()
    assert [host.name for host in first.hosts()] == ["a.home.example"]
    write("UPDATE resources SET updated_at = 2")
    assert read() is first
    write("UPDATE resources SET owner = 'two'")
    assert read().resources["host", "a.home.example"].owner == "two"
    write("UPDATE resources SET spec = ?", spec.replace('"max_concurrent":512', '"max_concurrent":7'))
    assert read().hosts()[0].max_concurrent == 7
    assert read().etag() != first.etag()
    write("DELETE FROM resources")
    assert read() == State()
    storage.close()
