"""Finding the host that Caddy refuses, and telling its reason in few words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from argos.edge import attribution
from argos.edge.attribution import MOST, Blame, Found, NoAnswer, culprit, culprits, short_reason, validation
from argos.edge.decode import decode_document
from argos.edge.plan import Plan, State, plan
from hypothesis import given
from hypothesis import strategies as st

LONG = (
    "loading config: loading new config: loading http app module: provision http: server edge: setting up route "
    "handlers: route 2: loading handler modules: position 0: loading module 'subroute': provision "
    "http.handlers.subroute: setting up subroutes: route 0: loading handler modules: position 2: loading module 'waf': "
    'provision http.handlers.waf: waf policy "block-1" of host "a.home.example": invalid'
)


def test_the_way_to_a_reason_is_cut_and_the_reason_kept() -> None:
    assert short_reason(LONG) == 'waf policy "block-1" of host "a.home.example": invalid'
    assert short_reason("something new: happened") == "something new: happened"
    assert short_reason("loading config") == "loading config"


@given(st.integers(1, 40), st.data())
def test_halving_finds_the_one_bad_host(count: int, data: st.DataObject) -> None:
    bad = data.draw(st.integers(0, count - 1))
    hosts = [{"name": f"h{n}.home.example", "upstreams": [{"url": "http://10.0.0.5:80"}]} for n in range(count)]
    planned = plan(State(), decode_document({"hosts": hosts}))
    asked = []

    def validate(state: State) -> str | None:
        asked.append(state)
        return "no" if ("host", f"h{bad}.home.example") in state.resources else None

    found = culprit(State(), planned.changes, planned.state, "no", validate)
    assert found == Blame(("host", f"h{bad}.home.example"), "no")
    assert len(asked) <= 7


def two_hosts(**document: Any) -> Plan:
    names = ("a.home.example", "b.home.example")
    hosts = [{"name": name, "upstreams": [{"url": "http://10.0.0.5:80"}]} for name in names]
    return plan(State(), decode_document({"hosts": hosts, **document}))


def test_a_host_that_caddy_names_is_believed_and_a_longer_name_is_another() -> None:
    hosts = [
        {"name": name, "upstreams": [{"url": "http://10.0.0.5:80"}]} for name in ("a.home.example", "b.home.example")
    ]
    planned = plan(State(), decode_document({"hosts": hosts}))

    def never(_unused: State) -> str | None:
        raise AssertionError

    assert culprit(State(), planned.changes, planned.state, LONG, never) == Blame(("host", "a.home.example"), LONG)
    other = LONG.replace("a.home.example", "xa.home.example")
    assert culprit(State(), planned.changes, planned.state, other, lambda _unused: None) is None, (
        "nobody is blamed unproven"
    )


def test_settings_that_caddy_refuses_are_not_blamed_on_a_host() -> None:
    planned = two_hosts(settings={"crowdsec": {"lapi_url": "http://127.0.0.1:8081"}})

    def validate(state: State) -> str | None:
        return "no" if ("settings", "crowdsec") in state.resources else None

    assert culprit(State(), planned.changes, planned.state, "no", validate) == Blame(("settings", "crowdsec"), "no")


@given(st.sets(st.integers(0, 199), min_size=1, max_size=4), st.booleans())
def test_every_bad_host_among_many_is_named_with_its_own_reason(bad: set[int], caddy_names_them: bool) -> None:
    names = {n: f"h{n}.home.example" for n in range(200)}
    hosts = [{"name": name, "upstreams": [{"url": "http://10.0.0.5:80"}]} for name in names.values()]
    planned = plan(State(), decode_document({"hosts": hosts}))

    def validate(state: State) -> str | None:
        there = [n for n in sorted(bad) if ("host", names[n]) in state.resources]
        if not there:
            return None
        return f"waf of {names[there[0]]}: reason {there[0]}" if caddy_names_them else f"reason {there[0]}"

    reason = validate(planned.state)
    assert reason is not None
    found = culprits(State(), planned.changes, planned.state, reason, validate, seconds=60)
    assert found.whole
    assert {blame.key[1]: blame.reason.split()[-1] for blame in found.blames} == {names[n]: str(n) for n in bad}


def test_the_search_ends_when_its_time_is_over_and_says_that_there_may_be_more() -> None:
    hosts = [{"name": f"h{n}.home.example", "upstreams": [{"url": "http://10.0.0.5:80"}]} for n in range(40)]
    planned = plan(State(), decode_document({"hosts": hosts}))

    def all_are_bad(state: State) -> str | None:
        return "no" if state.resources else None

    found = culprits(State(), planned.changes, planned.state, "no", all_are_bad, seconds=60)
    assert (len(found.blames), found.whole) == (MOST, False)
    found = culprits(State(), planned.changes, planned.state, "no", all_are_bad, seconds=0)
    assert (found.blames, found.whole) == ((), False)


def test_silence_proves_nothing() -> None:
    planned = two_hosts()

    def silent(state: State) -> str | None:
        if len(state.resources) < 2:
            raise NoAnswer("argos-caddy took more than 15 s")
        return "no"

    found = culprits(State(), planned.changes, planned.state, "no", silent, seconds=60)
    assert (found.blames, found.whole) == ((), False), "nobody is blamed, and nobody is cleared"
    found = culprits(State(), planned.changes, planned.state, LONG, silent, seconds=60)
    assert found == Found((Blame(("host", "a.home.example"), LONG),), False), "whom Caddy named is, and no more is said"


def test_a_caddy_that_is_not_there_or_does_not_end_accepts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rendered(_state: State) -> dict[str, Any]:
        return {"apps": {}}

    with pytest.raises(NoAnswer, match="No such file"):
        validation(tmp_path / "argos-caddy", rendered)(State())
    endless = tmp_path / "endless"
    endless.write_text("#!/bin/sh\nexec sleep 600\n")
    endless.chmod(0o755)
    monkeypatch.setattr(attribution, "VALIDATE_TIMEOUT_S", 0.3)
    with pytest.raises(NoAnswer, match="endless took more than"):
        validation(endless, rendered)(State())
