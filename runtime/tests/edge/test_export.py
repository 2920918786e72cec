"""The whole state as a file and back: nothing is lost, and nothing odd comes in."""

from __future__ import annotations

import typing
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from argos.edge.decode import decode_document
from argos.edge.decode.kinds import KINDS
from argos.edge.export import documents_of, state_of
from argos.edge.export_file import from_yaml, to_yaml
from argos.edge.model import SETTINGS
from argos.edge.plan import State, plan, replacing
from argos.errors import Invalid
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def chain() -> str:
    """A certificate of an operator's own, in PEM."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1)
    made = made.not_valid_before(datetime.now(UTC) - timedelta(days=1))
    made = made.not_valid_after(datetime.now(UTC) + timedelta(days=30))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("*.home.example")]), critical=True)
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


UPSTREAM = {"upstreams": [{"url": "http://10.0.0.5:80"}]}
# One of each kind with many fields said: a new kind wants its line here. New fields are found by their type.
EXAMPLES: dict[str, dict[str, Any]] = {
    "certificate": {"name": "wildcard", "certificate": chain(), "key": {"secret": "wildcard-key"}},
    "waf_policy": {
        "name": "strict",
        "mode": "detect",
        "paranoia": 3,
        "exclusions": [{"id": 942100, "path": "/api/*"}],
        "body_limit": 100000,
    },
    "dns_provider": {"name": "zone", "type": "cloudflare", "api_token": {"secret": "cloudflare-token"}},
    "host": {
        "name": "photos.home.example",
        "upstreams": [{"url": "http://10.0.0.5:2342", "weight": 3}, {"url": "http://nas.lan:8080"}],
        "auth": {
            "required": True,
            "users": ["alice"],
            "groups": ["family"],
            "emails": ["a@home.example"],
            "domains": ["home.example"],
            "second_factor": "required",
            "paths": [{"path": "/static/*", "access": "public"}],
        },
        "waf": {
            "mode": "detect",
            "paranoia": 3,
            "custom_rules": ['SecRule ARGS:pet "@streq unicorn" "id:100001,phase:2,deny"'],
        },
        "rate_limit": {"requests": 9, "window": 60},
        "tls": {"mode": "internal", "email": "root@home.example"},
        "request_headers": {"set": {"X-A": "yes: [1, 2] # no", "X-B": {"secret": "token"}}, "remove": ["X-C"]},
        "response_headers": {"set": {"X-D": "no"}, "remove": ["Server"]},
        "rules": [
            {"priority": 1, "match": {"path": ["/a*"], "method": ["GET"]}, "action": {"type": "block"}},
            {"priority": 2, "match": {"header": {"X": ["1"]}}, "action": {"type": "redirect", "location": "/b"}},
            {
                "priority": 3,
                "match": {"query": {"q": ["~"]}},
                "action": {"type": "fixed_response", "body": " \n\t'\"é"},
            },
        ],
        "access_log": False,
    },
}
SINGLETONS: dict[str, dict[str, Any]] = {
    "edge": {
        "panel_host": "argos.home.example",
        "parent_domain": "home.example",
        "tls": {"mode": "internal", "email": ""},
        "trusted_proxies": ["10.0.0.0/8"],
        "auth_proxies": ["10.1.0.0/16"],
    },
    "session": {"absolute_hours": 10, "idle_hours": 2},
    "crowdsec": {"enabled": False, "lapi_url": "http://127.0.0.1:8081"},
    "oidc": {
        "enabled": False,
        "name": "2026-11-24",
        "issuer": "https://id.home.example",
        "client_id": "012",
        "client_secret": {"secret": "oidc"},
        "allowed_groups": ["yes", "0x10", "~"],
        "group_map": {"no": ["everyone"]},
    },
    "mail": {
        "enabled": False,
        "host": "smtp.home.example",
        "port": 2525,
        "security": "tls",
        "username": "on",
        "password": {"secret": "smtp"},
        "sender": "argos@home.example",
        "recipients": ["no@home.example"],
        "timeout": 7,
        "events": ["login_ban"],
    },
}
TEXTS = st.sampled_from([
    "", "a", "alice", "family", "/a", "/static/*", "a.home.example", "b.home.example", "home.example", "http://10.0.0.5:80",
    "https://10.0.0.6:8443", "GET", "X-A", "1.2.3.4", "10.0.0.0/8", "text/plain", "yes", "null", "1e3", "2026-11-24",
    "é ü", "- x", "a: b # c", "token", "a@home.example",
])  # fmt: skip

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)


def anything(hint: Any) -> st.SearchStrategy[Any]:
    """JSON values that look like ``hint``; whether a field takes them is for the decoder to say."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return st.sampled_from(inner)
    if origin is tuple:
        return st.lists(anything(inner[0]), max_size=2)
    if origin is dict:
        return st.dictionaries(TEXTS, anything(inner[1]), max_size=2)
    if inner:
        return st.one_of(*(anything(member) for member in inner))
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        tag = hint.__struct_config__.tag
        return fields_of(hint).map(lambda found: {**found, "type": tag} if tag else found)
    simple = {
        bool: st.booleans(),
        int: st.integers(0, 500),
        float: st.floats(0, 500),
        str: TEXTS,
        type(None): st.none(),
        Any: PLAIN,
    }
    return simple[hint]


def fields_of(struct: Any) -> st.SearchStrategy[dict[str, Any]]:
    hints = {name: hint for name, hint in typing.get_type_hints(struct).items() if name not in {"state", "name"}}
    if not hints:
        return st.just({})
    # Few fields at once, or hardly anything would be accepted.
    return st.lists(st.sampled_from(sorted(hints)), max_size=3, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: anything(hints[name]) for name in names})
    )


def decoded(raw: dict[str, Any]) -> State | None:
    try:
        return plan(State(), decode_document(raw)).state
    except Invalid:
        return None


@st.composite
def states(draw: st.DrawFn) -> State:
    """A state with examples of every kind, changed in fields that hypothesis chose, under several owners."""
    state = State()
    owners = st.sampled_from(["", "ansible", "carol@laptop", "null"])
    for kind in KINDS.values():
        for number in range(draw(st.integers(0, 3))):
            name = f"{number}.{EXAMPLES[kind.name]['name']}" if kind.name == "host" else f"example-{number}"
            base = draw(st.sampled_from([EXAMPLES[kind.name], *([UPSTREAM] if kind.name == "host" else [])]))
            wanted = {**base, **draw(fields_of(kind.struct)), "name": name}
            owner = draw(owners)
            for spec in (wanted, {**base, "name": name}):
                found = decoded({"owner": owner, kind.field: [spec]})
                if found is not None:
                    state = State({**state.resources, **found.resources})
                    break
            else:
                raise AssertionError(f"the example of {kind.name} is refused")
    for name, struct in SETTINGS.items():
        if draw(st.booleans()):
            owner = draw(owners)
            for spec in ({**SINGLETONS[name], **draw(fields_of(struct))}, SINGLETONS[name]):
                found = decoded({"owner": owner, "settings": {name: spec}})
                if found is not None and spec.keys() != {"enabled"}:
                    state = State({**state.resources, **found.resources})
                    break
    return state


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(states())
def test_a_round_trip_through_the_file_loses_nothing(state: State) -> None:
    text = to_yaml(state)
    back = from_yaml(text.encode())
    assert back == state
    assert back.etag() == state.etag(), "owners too"
    assert not replacing(state, back).changed
    assert to_yaml(back) == text


def whole() -> State:
    documents = [
        {"owner": "ansible", "settings": SINGLETONS, **{KINDS[kind].field: [spec] for kind, spec in EXAMPLES.items()}},
        {"owner": "", "hosts": [{"name": "open.home.example", **UPSTREAM}]},
    ]
    return state_of(documents)


def test_every_kind_and_every_singleton_goes_through_with_every_field() -> None:
    assert set(EXAMPLES) == set(KINDS), "a new kind wants an example above"
    assert set(SINGLETONS) == set(SETTINGS)
    state = whole()
    assert from_yaml(to_yaml(state).encode()) == state
    assert [document["owner"] for document in documents_of(state)] == ["", "ansible"]


def refusal(text: str) -> str:
    with pytest.raises(Invalid) as refused:
        from_yaml(text.encode())
    return refused.value.message


def test_what_a_file_may_not_hold_is_named() -> None:
    host = "{name: a.home.example, upstreams: [{url: 'http://10.0.0.5:80'}]}"
    head = "argos: 1\ndeclarations:\n"
    assert from_yaml(f"{head}- hosts: [{host}]\n".encode()).hosts()[0].name == "a.home.example"
    assert "is no export" in refusal("hosts: []")
    assert "is no export" in refusal("argos: 2\ndeclarations: []")
    assert "is no export" in refusal("argos: 1\ndeclarations: []\nmore: 1")
    assert "is no list" in refusal("argos: 1\ndeclarations: {}")
    assert "one document for each resource" in refusal(f"{head}- hosts: [{host}]\n- owner: x\n  hosts: [{host}]\n")
    assert "state: absent" in refusal(f"{head}- hosts: [{{name: a.home.example, state: absent}}]\n")
    assert "an import replaces everything" in refusal(f"{head}- {{owner: x, prune: true, hosts: [{host}]}}\n")
    assert "stands twice" in refusal(f"{head}- hosts: []\n  hosts: [{host}]\n")
    assert "which is no text" in refusal(f"{head}- {{hosts: [], no: 1}}\n")
    assert "references" in refusal(f"{head}- &a {{hosts: []}}\n- *a\n")
    assert "is no YAML" in refusal("argos: [")
    assert "is no YAML" in refusal(f"{head}- !!python/object/apply:os.system ['true']\n")
    assert "is no YAML" in refusal("[" * 5000)
    both = refusal(f"{head}- hosts: [{{name: 'a b'}}]\n- settings: {{session: {{idle_hours: 0}}}}\n")
    assert "host/a b" in both, "every error at once"
    assert "idle_hours" in both


def test_a_small_file_cannot_become_huge() -> None:
    bomb = "argos: 1\ndeclarations:\n- a: &a [x, x]\n  b: &b [*a, *a]\n  c: [*b, *b]\n"
    assert "references" in refusal(bomb)


def test_secrets_stand_by_name_only() -> None:
    text = to_yaml(whole())
    assert "secret: token" in text
    assert "secret: oidc" in text
