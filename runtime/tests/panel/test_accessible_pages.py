"""Every page of the panel as its markup stands: what a screen reader, a keyboard and a strict CSP need of it."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlencode

import falcon.inspect
import pytest
from argos.application import Application
from argos.audit import Actor
from argos.panel import navigation
from argos.panel.app import panel_app
from falcon import testing
from identity_pages import identity_pages
from page_reader import Element, Page, read
from sample_state import fill

NO_PAGES = {"/static/{name}", "/backups/{name}", "/audit/export"}
HEADERS = {
    "Host": "argos.home.example",
    "Argos-Client-Ip": "203.0.113.5",
    "Origin": "https://argos.home.example",
    "Content-Type": "application/x-www-form-urlencoded",
}
# Forms with mistakes, and the fields that must be told of them.
MISTAKES = {
    "/hosts/new": ({"do": "save", "name": "Not A Name", "upstreams": "ftp://x", "requests": "many"}, "name upstreams"),
    "/hosts/photos.home.example": (
        {"do": "plan", "upstreams": "http://10.0.0.5", "waf_mode": "block", "paranoia": "9"},
        "upstreams paranoia",
    ),
    "/people": ({"username": "<b>", "email": "nobody", "groups": "A B!"}, "username email groups"),
    "/people/alice": ({"do": "save", "email": "nobody", "name": "typed before"}, "email"),
    "/mail": (
        {"do": "save", "host": "no host", "sender": "nobody", "recipients": "a@home.example x", "port": "many"},
        "host sender recipients port",
    ),
    "/secrets": ({"do": "set", "name": "Not a name", "value": "a value that is secret"}, "name"),
}
COLUMN_LESS = "act"  # the cell of a row's buttons needs no word before it on a phone


_walked: dict[str, list[Page]] = {}


@pytest.fixture(params=["empty", "full"])
def pages(request: pytest.FixtureRequest, application: Application) -> list[Page]:
    """Every page there is, as everybody who may see it; walked once."""
    if request.param not in _walked:
        _walked[request.param] = list(walk(application, full=request.param == "full"))
    return _walked[request.param]


def walk(application: Application, *, full: bool) -> Iterator[Page]:
    examples = filled(application) if full else {}
    app = panel_app(application)
    routes = [
        route.path
        for route in falcon.inspect.inspect_routes(app)
        if any(method.method == "GET" and not method.internal for method in route.methods)
    ]
    client = testing.TestClient(app, headers=HEADERS)
    for route in routes:
        if route in NO_PAGES or route.startswith("/api/"):
            continue
        found = [route, *examples.get(route, [])] if "{" not in route else examples.get(route, [])
        assert found or not full, f"{route}: sample_state.py names no address of it"
        for address in found or [re.sub(r"\{[^}]*\}", "nothing-here", route)]:
            for who in ("root-admin", "alice", "newcomer", ""):
                # A sign-in for each: some pages make the tokens anew.
                answer = client.simulate_get(address, headers=cookie_of(application, who))
                if answer.status_code not in {302, 303}:
                    yield read(f"{address} as {who or 'nobody'}: {answer.status_code}", answer.text)


def filled(application: Application) -> dict[str, list[str]]:
    with application.storage.write() as connection:
        examples = fill(
            lambda statement, *values: connection.exec_driver_sql(statement, values), application.settings.waf_log
        )
    application.accounts.create(Actor("system", "test"), "invited", "member")
    return examples


def client_of(application: Application, who: str) -> testing.TestClient:
    return testing.TestClient(panel_app(application), headers={**HEADERS, **cookie_of(application, who)})


def cookie_of(application: Application, who: str) -> dict[str, str]:
    if not who:
        return {}
    issued = application.sessions.begin(Actor("user", who), application.accounts.get(who).id, "203.0.113.5")
    return {"Cookie": f"__Host-argos_panel={issued.panel_token}"}


def test_every_page_is_built_as_its_readers_need_it(pages: list[Page]) -> None:
    assert len(pages) > 30
    said = [f"{page.address}: {problem}" for page in pages for problem in problems_of(page)]
    assert not said, "\n".join(said)


def test_the_pages_of_a_sign_in_are_built_so_in_each_of_their_states(application: Application) -> None:
    filled(application)
    seen = list(identity_pages(application))
    assert len(seen) > 20
    said = [f"{page.address}: {problem}" for page in seen for problem in problems_of(page)]
    assert not said, "\n".join(said)


def test_no_two_pages_have_one_title(pages: list[Page]) -> None:
    mine = [page for page in pages if page.address.endswith("as root-admin: 200")]
    titles = Counter((page.all("title")[0].words, page.address.partition(" ")[0].partition("?")[0]) for page in mine)
    twice = [title for title, count in Counter(title for title, _address in titles).items() if count > 1]
    # /confirm, /password and /login lead a signed-in person on.
    assert not [title for title in twice if not title.startswith(("Signed in", "One moment"))], twice


def test_each_page_of_the_menu_marks_itself_in_it(pages: list[Page]) -> None:
    addresses = [entry.address for group in navigation.GROUPS for entry in group.entries]
    for address in (navigation.OVERVIEW.address, *addresses):
        of_admin = [page for page in pages if page.address.startswith(f"{address} as root-admin:")]
        assert len(of_admin) == 1, address
        page = of_admin[0]
        assert page.address.endswith((": 200", ": 503")), page.address
        links = [one for one in page.all("a") if any(outer.tag == "nav" for outer in one.around)]
        assert [one.get("href") for one in links] == [navigation.OVERVIEW.address, *addresses]
        assert [one.get("href") for one in links if one.get("aria-current") == "page"] == [address]
        assert not [problem for problem in problems_of(page) if "menu" in problem]


@pytest.mark.parametrize("address", MISTAKES)
def test_a_refused_form_keeps_what_was_typed_and_tells_each_field(application: Application, address: str) -> None:
    filled(application)
    form, wrong = MISTAKES[address]
    answer = client_of(application, "root-admin").simulate_post(address, body=urlencode(form))
    assert answer.status_code == 400, answer.text
    page = read(f"POST {address}", answer.text)
    assert not problems_of(page), problems_of(page)
    inputs = {one.get("id"): one for one in page.all("input", "select", "textarea")}
    told = {name for name, one in inputs.items() if one.get("aria-invalid") == "true"}
    assert set(wrong.split()) <= told
    summary = next(one for one in page.elements if one.get("role") == "alert")
    links = {one.get("href") for one in page.all("a") if summary in one.around}
    assert links == {f"#{name}" for name in told}
    by_id = {one.get("id"): one for one in page.elements}
    for name in told:
        assert by_id[f"{name}-problem"].words
        assert f"{name}-problem" in inputs[name].get("aria-describedby").split()
    for name, value in form.items():
        one = inputs.get(name)
        if one is not None and name != "value" and one.tag != "select":
            assert value in (one.get("value"), one.words), f"{name} was typed and is lost"
    assert "a value that is secret" not in answer.text, "a secret is never shown again"


def problems_of(page: Page) -> list[str]:
    checks = (_frame, _labels, _words, _regions, _references, _policy, _tables)
    return [problem for check in checks for problem in check(page)]


def _frame(page: Page) -> Iterator[str]:
    if page.all("html")[0].get("lang") != "en":
        yield "no language"
    if not page.all("title")[0].words.removesuffix("· Argos").strip():
        yield "no title"
    mains = page.all("main")
    if len(mains) != 1:
        yield f"{len(mains)} <main>"
    headings = page.all("h1", "h2", "h3", "h4", "h5", "h6")
    levels = [int(one.tag[1]) for one in headings]
    if levels.count(1) != 1 or levels[0] != 1:
        yield f"headings begin {levels[:3]}, with {levels.count(1)} <h1>"
    if any(after > before + 1 for before, after in itertools.pairwise(levels)):
        yield f"a heading skips a level: {levels}"
    if any(not one.words for one in headings):
        yield "an empty heading"
    if page.all("nav"):
        first = page.all("a")[0]
        if first.get("href") != "#main" or "skip" not in first.get("class"):
            yield "the first link does not skip the menu"
        if not page.all("nav")[0].get("aria-label"):
            yield "the menu has no name"


def _labels(page: Page) -> Iterator[str]:
    labels = {one.get("for"): one for one in page.all("label")}
    for one in page.all("input", "select", "textarea"):
        if one.get("type") == "hidden" or "hidden" in one.attributes:
            continue
        wrapping = any(outer.tag == "label" and outer.words for outer in one.around)
        label = labels.get(one.get("id"))
        if not wrapping and not (label is not None and label.words) and not one.get("aria-label"):
            yield f"the field {one.get('name')!r} has no label"
        if one.get("type") == "radio" and not any(outer.tag == "fieldset" for outer in one.around):
            yield f"the choice {one.get('name')!r} stands in no fieldset"


def _words(page: Page) -> Iterator[str]:
    for one in page.all("button", "a", "summary", "legend", "th"):
        if not one.words and not one.get("aria-label"):
            yield f"a <{one.tag}> without words: {one.attributes}"
    yield from (f"no alternative text: {one.attributes}" for one in page.all("img") if "alt" not in one.attributes)
    for one in page.all("svg"):
        if one.get("aria-hidden") != "true" and not any(outer.get("role") == "img" for outer in one.around):
            yield "a picture without words"
        if not one.get("viewbox"):
            yield "a picture that keeps its size where it is given another"


def _regions(page: Page) -> Iterator[str]:
    for one in page.elements:
        if one.get("role") in {"region", "img"} and not (one.get("aria-label") or one.get("aria-labelledby")):
            yield f"a {one.get('role')} without a name"
        # What scrolls is out of a keyboard's reach without this (WCAG 2.1.1).
        if (one.tag == "pre" or "table" in one.get("class").split()) and one.get("tabindex") != "0":
            yield f"<{one.tag}> scrolls and takes no focus: {one.words[:60]}"


def _references(page: Page) -> Iterator[str]:
    ids = page.ids
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        yield f"ids twice: {twice}"
    for one in page.elements:
        for name in ("for", "aria-describedby", "aria-labelledby", "popovertarget"):
            yield from (
                f"{name} names {each!r}, which is not there" for each in one.get(name).split() if each not in ids
            )
        href = one.get("href")
        if one.tag == "a" and href.startswith("#") and href[1:] not in ids:
            yield f"a link to {href}, which is not there"


def _policy(page: Page) -> Iterator[str]:
    for one in page.elements:
        if one.tag in {"script", "style", "iframe", "object", "embed"}:
            yield f"<{one.tag}>"
        inline = [name for name in one.attributes if name == "style" or name.startswith("on")]
        if inline:
            yield f"inline {inline} at <{one.tag}>"
        if one.get("href").lower().startswith(("javascript:", "data:")):
            yield f"a link to {one.get('href')[:40]}"
        if one.get("target") == "_blank":
            yield "a link opens a new window without saying so"


def _tables(page: Page) -> Iterator[str]:
    for cell in page.all("th"):
        if cell.get("scope") not in {"col", "row"}:
            yield f"the heading {cell.words!r} says not what it heads"
    for cell in page.all("td"):
        if cell.text.strip() and not _said(cell):
            yield f"on a phone the cell {cell.words[:40]!r} has no word before it"


def _said(cell: Element) -> bool:
    return bool(cell.get("data-label")) or COLUMN_LESS in cell.get("class").split()
