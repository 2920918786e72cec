"""Hosts, drawn at random over every field that refers to nothing else in a declaration."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from own_chain import CHAIN

HOSTILE = (
    "{file./etc/hostname}",
    "{env.HOME}",
    "\\{env.HOME}",
    "{{env.HOME}}",
    "{env.{env.HOME}}",
    "{",
    "}",
    "\\",
    '"',
)
_WORDS = st.text(alphabet="abcXYZ019 -_.,;:!'<>&%$é", max_size=12)
TEXT = st.lists(st.sampled_from(HOSTILE) | _WORDS, max_size=3).map("".join)
HEADER = st.from_regex(r"X-[A-Za-z0-9!#$%&'+.^`|~-]{1,12}", fullmatch=True).filter(
    lambda name: (
        not name.lower().startswith(("x-auth", "x-forwarded", "x-real")) and not name.lower().startswith("x-auth.")
    )
)
SECRET = st.fixed_dictionaries({"secret": st.sampled_from(["one", "two"])})
PATH = TEXT.map(lambda text: "/" + "".join(letter for letter in text if letter not in "[]\\?#"))
PLAIN_PATH = st.from_regex(r"/[a-z0-9%_-]{0,8}(/[a-z]{1,4})?", fullmatch=True).map(
    lambda path: path.replace("%", "%20")
)
NETWORK = st.sampled_from(["10.0.0.0/8", "203.0.113.7", "2001:db8::/32", "fe80::1", "0.0.0.0/0"])
NETWORKS = st.lists(NETWORK, max_size=3)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object with any of ``fields``."""
    return st.fixed_dictionaries({}, optional=fields)


@st.composite
def group(draw: st.DrawFn, *, most: int = 3) -> dict[str, Any]:
    """Upstreams of one scheme, and how they are spoken to."""
    tls = draw(st.booleans())
    address = st.sampled_from(["10.0.0.5", "app.lan", "[2001:db8::5]"])
    upstream = st.fixed_dictionaries(
        {"url": st.builds("{}://{}:{}".format, st.just("https" if tls else "http"), address, st.integers(1, 65535))},
        optional={"max_requests": st.integers(0, 100)},
    )
    upstreams = draw(st.lists(upstream, min_size=1, max_size=most))
    verified = {"tls_server_name": st.just("a.lan"), "trusted_ca": st.just(CHAIN)}
    secured = draw(st.sampled_from([verified, {"verify_tls": st.booleans()}]))
    proxy = draw(
        some(
            algorithm=st.sampled_from(["round_robin", "least_conn", "ip_hash", "random"]),
            sticky_cookie=st.sampled_from(["", "kept_at"]),
            health_check=some(
                path=st.sampled_from(["/", "/health?deep=1"]),
                interval=st.integers(5, 300),
                timeout=st.integers(1, 30),
                fails=st.integers(1, 10),
                passes=st.integers(1, 10),
                status=st.sampled_from(["200", "204", "200-299", "500-599", "200,204", "200-399,401"]),
            ),
            passive_check=some(fails=st.integers(0, 100), window=st.integers(1, 3600)),
            timeouts=some(
                dial=st.integers(1, 60),
                response_header=st.integers(0, 3600),
                read=st.integers(0, 86400),
                write=st.integers(0, 86400),
            ),
            preserve_host=st.booleans(),
            **(secured if tls else {"h2c": st.booleans()}),
        )
    )
    if "algorithm" not in proxy and not proxy.get("sticky_cookie"):
        for entry in upstreams:
            entry["weight"] = draw(st.integers(1, 256))
    return {"upstreams": upstreams, "proxy": proxy}


def headers(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Changes of a header."""
    named = st.dictionaries(HEADER.map(str.title), values, max_size=3)
    return some(set=named, add=named, remove=st.lists(HEADER, max_size=2))


@st.composite
def limit(draw: st.DrawFn) -> dict[str, Any]:
    """What is limited, and by what it is counted."""
    key = draw(st.sampled_from(["ip", "header", "global"]))
    found = {"requests": draw(st.integers(1, 2000)), "window": draw(st.integers(1, 3600)), "key": key}
    return found | ({"header": draw(HEADER)} if key == "header" else {})


MATCH = some(
    path=st.lists(PATH, max_size=2),
    path_exact=st.lists(PATH.map(lambda path: path.replace("*", "")), max_size=2),
    method=st.lists(st.sampled_from(["GET", "delete", "M-SEARCH"]), max_size=2),
    header=st.dictionaries(HEADER, st.lists(TEXT, max_size=2) | TEXT, max_size=2),
    query=st.dictionaries(TEXT.filter(bool), st.lists(TEXT, max_size=2), max_size=2),
    remote_ip=NETWORKS,
    host_header=st.lists(st.sampled_from(["a.home.example", "*.home.example"]), max_size=2),
)
LOCATION = st.builds(
    "{}{}".format,
    st.sampled_from(["/new", "https://new.example/", "{http.request.scheme}://{http.request.host}/"]),
    st.sampled_from(["", "{http.request.uri}", "{env.HOME}", "?a={file./etc/hostname}&b={http.request.uri.query}"]),
)
ACTION = st.one_of(
    st.just({"type": "block"}),
    group(most=2).map(lambda found: {"type": "forward", **found}),
    st.fixed_dictionaries(
        {"type": st.just("redirect"), "location": LOCATION},
        optional={"status": st.sampled_from([301, 302, 307, 308])},
    ),
    st.fixed_dictionaries({"type": st.just("rewrite"), "path": PLAIN_PATH}),
    st.fixed_dictionaries(
        {"type": st.just("rewrite"), "strip_prefix": PLAIN_PATH}, optional={"add_prefix": PLAIN_PATH}
    ),
    st.fixed_dictionaries(
        {"type": st.just("fixed_response")},
        optional={"status": st.integers(200, 599), "body": TEXT, "content_type": TEXT},
    ),
)
RAW = st.sampled_from(
    [
        {"handler": "headers", "response": {"set": {"X-Raw": ["{http.request.method}"]}}},
        {"handler": "subroute", "routes": [{"match": [{"path": ["/raw"]}], "handle": [{"handler": "error"}]}]},
    ]
)


@st.composite
def host(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """One host with any of its fields."""
    wild = name.startswith("*")
    rules = draw(st.lists(st.fixed_dictionaries({"action": ACTION}, optional={"match": MATCH}), max_size=3))
    found: dict[str, Any] = {
        "name": name,
        **draw(group()),
        "rules": [{"priority": index, **rule} for index, rule in enumerate(rules)],
        **draw(
            some(
                rate_limit=limit(),
                path_limits=st.lists(st.builds(lambda one, path: {**one, "path": [path]}, limit(), PATH), max_size=2),
                max_concurrent=st.integers(1, 1000),
                max_concurrent_per_client=st.integers(0, 1000),
                body_limit=st.integers(0, 1 << 40),
                request_headers=headers(TEXT | SECRET),
                response_headers=headers(TEXT),
                keep_headers=st.lists(st.sampled_from(["api_key", "my.app", "a_b.c"]), max_size=2, unique=True),
                trailing_slash=st.sampled_from(["keep", "add", "remove"]),
                maintenance=some(enabled=st.booleans(), text=TEXT, retry_after=st.integers(1, 86400), allow=NETWORKS),
                grpc=st.booleans(),
                access_log=st.booleans(),
                raw_handlers=st.lists(RAW, max_size=2),
            )
        ),
    }
    if found.get("raw_handlers"):
        found["raw_unrestricted"] = draw(st.booleans())
    if draw(st.booleans()):
        found |= {"lan_only": True, "lan_networks": draw(NETWORKS)}
    if not wild:
        found["www"] = draw(st.sampled_from(["none", "add", "remove"]))
    if not found.get("grpc"):
        found["compression"] = draw(st.booleans())
    return found
