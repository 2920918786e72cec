"""OIDC-5: a sign-in sends people back to our own hosts and nowhere else.

The cases stand in data/return_urls.json. What is accepted is also read the way
urllib reads it and the way browsers do (the WHATWG URL standard), and both must
come to an allowed host.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from argos.return_url import safe_return_to
from hypothesis import example, given
from hypothesis import strategies as st

pytestmark = pytest.mark.threat("OIDC-5")

CASES = json.loads((Path(__file__).parent / "data" / "return_urls.json").read_text())


@dataclass(frozen=True)
class Site:
    """A panel and its parent domain."""

    panel_host: str
    parent_domain: str | None
    scheme: str

    def safe(self, raw: str) -> str:
        """Return what the function under test makes of ``raw`` on this site."""
        return safe_return_to(raw, self.panel_host, self.parent_domain, self.scheme)

    def allows(self, host: str) -> bool:
        """Tell whether a host (with a port that is not the default) is one of ours."""
        parent = self.parent_domain
        return host == self.panel_host or bool(parent and (host == parent or host.endswith("." + parent)))


SITES = {
    "https": Site("argos.home.example", "home.example", "https"),
    "lan": Site("argos.lan:9080", "lan.home", "http"),
    "no_parent": Site("argos.home.example", None, "https"),
    "address": Site("192.168.1.5:9080", "home.example", "http"),
}


def browsers_host(raw: str, base: Site) -> str | None:
    """Return the host (and port) where a browser would go: the host parsing of the WHATWG URL standard, in short.

    None for what leads to no http(s) host at all.
    """
    text = re.sub(r"[\t\n\r]", "", raw.strip("".join(map(chr, range(0x21)))))
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", text)
    if scheme is None:
        slashes = re.match(r"[/\\]{2,}", text)
        if slashes is None:
            return base.panel_host
        rest = text[slashes.end() :]
        kind = base.scheme
    else:
        kind = scheme[1].lower()
        if kind not in {"http", "https"}:
            return None
        # A special scheme takes any number of slashes, in either direction.
        rest = text[scheme.end() :].lstrip("/\\")
    authority = re.split(r"[/\\?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    host = unquote(authority).translate({0x3002: ".", 0xFF0E: ".", 0xFF61: ".", 0xFF0F: "/"}).lower()
    return host.removesuffix({"http": ":80", "https": ":443"}[kind])


@pytest.mark.parametrize("case", CASES, ids=[f"{case['site']}: {case['why']}: {case['raw'][:40]!a}" for case in CASES])
def test_each_case_of_the_corpus(case: dict[str, str]) -> None:
    assert SITES[case["site"]].safe(case["raw"]) == case["expected"]


def test_the_corpus_is_a_corpus() -> None:
    assert len(CASES) >= 60
    assert len({(case["site"], case["raw"]) for case in CASES}) == len(CASES)


PIECES = st.sampled_from(
    [
        *("/", "//", "\\", ".", "..", "@", ":", "?", "#", "%", "%2f", "%5c", "%2e", "%00", "%250a", "&", "=", ";"),
        *("http", "https", "HTTPS:", "https://", "http://", "javascript:", "data:", "\t", "\n", " ", "\0", "\x7f"),
        *("home.example", "argos.home.example", "photos.", "evil.example", "argos.lan", ":9080", ":443", ":80", "user"),
        *("\u3002", "\uff0e", "\uff0f", "é", "\u2028", "xn--", "[::1]", "192.168.1.5", "lan.home", "a", "-", "_"),
    ]
)
RAW = st.one_of(
    st.text(), st.lists(PIECES, max_size=12).map("".join), st.lists(PIECES | st.text(max_size=3)).map("".join)
)


@given(RAW, st.sampled_from(sorted(SITES)))
@example("https://photos.home.example\\@evil.example/", "https")
def test_whatever_is_accepted_every_reading_comes_to_an_allowed_host(raw: str, name: str) -> None:
    site = SITES[name]
    accepted = site.safe(raw)
    base = f"{site.scheme}://{site.panel_host}"
    by_urllib = urlsplit(urljoin(base + "/login", accepted))
    assert by_urllib.scheme in {"http", "https"}
    assert by_urllib.username is None
    assert site.allows(by_urllib.netloc)
    assert browsers_host(accepted, site) == by_urllib.netloc
    if accepted != "/":
        # The text as it came, too: a page might show it, another program read it.
        assert browsers_host(raw, site) == by_urllib.netloc


@given(RAW)
def test_what_comes_back_can_stand_in_a_header_and_is_stable(raw: str) -> None:
    site = SITES["https"]
    accepted = site.safe(raw)
    assert re.fullmatch(r"[!-~]+", accepted)
    assert not set(accepted) & set('"<>\\')
    assert site.safe(accepted) == accepted
    assert not accepted.startswith("http:")


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='\\"<>`#%'), max_size=200))
def test_a_query_string_comes_back_untouched(query: str) -> None:
    url = f"https://photos.home.example/a?{query}"
    assert SITES["https"].safe(url) == url
