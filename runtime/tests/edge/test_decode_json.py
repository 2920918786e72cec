"""A document as it came: a resource that came before is remembered, and that changes no answer."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from argos.edge.context import RenderContext
from argos.edge.decode import decode_document, decode_json
from argos.edge.decode.remembered import REMEMBERED, Remembered
from argos.edge.model import Host, canonical
from argos.edge.plan import State, plan
from argos.edge.render import render
from argos.errors import Invalid
from hypothesis import given
from hypothesis import strategies as st


def host(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "upstreams": [{"url": "http://10.0.0.5:80"}], **more}


def said(document: object) -> list[Any]:
    with pytest.raises(Invalid) as invalid:
        decode_document(document)
    with pytest.raises(Invalid) as from_json:
        decode_json(json.dumps(document).encode())
    assert from_json.value.errors == invalid.value.errors
    return from_json.value.errors


def test_what_comes_again_is_not_read_again_and_means_the_same() -> None:
    raw = json.dumps({"owner": "a", "hosts": [host("again.home.example", max_concurrent=7)]}).encode()
    first, again = decode_json(raw), decode_json(raw)
    assert first == decode_document(json.loads(raw))
    assert again.hosts[0] is first.hosts[0]
    # Of another owner, at another place, beside others: what a host means depends on itself alone.
    other = {"owner": "b", "hosts": [host("else.home.example"), json.loads(raw)["hosts"][0]]}
    moved = decode_json(json.dumps(other).encode())
    assert moved.hosts[1] is first.hosts[0]
    assert moved == decode_document(other)


def test_one_changed_byte_is_read() -> None:
    plain = [decode_json(json.dumps({"hosts": [host("a.home.example", body_limit=n)]}).encode()) for n in (1, 2, 1)]
    assert [document.hosts[0].body_limit for document in plain] == [1, 2, 1]


def test_the_same_json_as_another_kind_is_another_resource() -> None:
    both = '{"name": "strict", "state": "absent"}'
    document = decode_json(f'{{"waf_policies": [{both}], "certificates": [{both}]}}'.encode())
    assert type(document.waf_policies[0]) is not type(document.certificates[0])


def test_an_error_is_said_each_time_with_its_own_place() -> None:
    bad = host("bad.home.example", max_concurrent=0)
    nameless = {"upstreams": [{"url": "http://10.0.0.5:80"}]}
    for _unused in range(2):
        assert [error.resource for error in said({"hosts": [bad]})] == ["host/bad.home.example"]
        assert [error.resource for error in said({"hosts": [nameless]})] == ["hosts[0]"]
        assert [error.resource for error in said({"hosts": [host("good.home.example"), nameless]})] == ["hosts[1]"]


def test_a_resource_beyond_the_last_error_that_is_said_is_not_taken_for_sound() -> None:
    wrong = [host(f"h{number}.home.example", max_concurrent=0) for number in range(250)]
    assert len(said({"hosts": wrong})) == 200
    assert [error.resource for error in said({"hosts": wrong[249:]})] == ["host/h249.home.example"]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b'{"hosts": [{"name": "a" "b"}]}',
        b'{"hosts": [{"name": "\xff"}]}',
        b'{"hosts": [{"name": "\\ud800"}]}',
        b'{"hosts": []} {}',
        b'{"hosts": [' + b"[" * 100_000,
    ],
    ids=["nothing", "cut", "comma", "utf-8", "surrogate", "two", "deep"],
)
def test_what_is_no_json_is_said_as_a_whole(raw: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)) as problem:
        msgspec.json.decode(raw)
    with pytest.raises(Invalid) as invalid:
        decode_json(raw)
    assert [error.problem for error in invalid.value.errors] == [f"is not JSON: {problem.value}"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "hosts", "x"]), inner),
    max_leaves=8,
)
HOSTS = st.lists(
    st.builds(host, st.sampled_from(["a.home.example", "b.home.example", "No"]), grpc=st.booleans() | st.integers(0, 1))
    | JSON,
    max_size=4,
)


@given(st.fixed_dictionaries({}, optional={"hosts": HOSTS | JSON, "waf_policies": JSON, "owner": JSON}) | JSON)
def test_both_ways_say_the_same(document: Any) -> None:
    raw = json.dumps(document).encode()
    try:
        expected: Any = decode_document(document)
    except Invalid as invalid:
        expected = invalid.errors
    for _unused in range(2):
        try:
            found: Any = decode_json(raw)
        except Invalid as invalid:
            found = invalid.errors
        assert found == expected


def test_rendering_leaves_what_is_remembered_as_it_was() -> None:
    handler = {"handler": "headers", "response": {"set": {"X-Raw": ["{http.request.uri}"]}}}
    settings = {"edge": {"panel_host": "argos.home.example", "parent_domain": "home.example"}}
    header = {"set": {"X-A": "{b}"}, "add": {"X-C": "d"}}
    raw = {"settings": settings, "hosts": [host("r.home.example", raw_handlers=[handler], request_headers=header)]}
    document = decode_json(json.dumps(raw).encode())
    before = canonical(document)
    render(plan(State(), document).state, RenderContext())
    assert canonical(document) == before


@pytest.mark.threat("DAT-4")
def test_what_is_remembered_is_bounded_in_number_and_size() -> None:
    remembered = Remembered(most=3, most_bytes=100)
    for number in range(5):
        remembered.keep("host", b"%d" % number, Host(str(number)))
        remembered.find("host", b"0")
    assert len(remembered) == 3
    assert remembered.find("host", b"0") == Host("0")  # asked for all the time
    assert remembered.find("host", b"1") is None
    remembered.keep("host", b"x" * 99, Host("long"))
    assert [remembered.find("host", b"%d" % number) for number in range(4)] == [Host("0"), None, None, None]
    remembered.keep("host", b"x" * 101, Host("too long"))
    assert len(remembered) == 0
    assert len(REMEMBERED) <= 8000
