"""Reads a page's markup into elements, strictly: what is not closed as it was opened is an error."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


@dataclass(eq=False)
class Element:
    """One element: what it says of itself, the elements around it, and all text within."""

    tag: str
    attributes: dict[str, str]
    around: tuple[Element, ...]
    text: str = ""

    def get(self, name: str) -> str:
        """An attribute; empty when it is not there."""
        return self.attributes.get(name, "")

    @property
    def words(self) -> str:
        """The text as it reads."""
        return " ".join(self.text.split())


@dataclass(eq=False)
class Page:
    """A page's elements, in their order."""

    address: str
    elements: list[Element] = field(default_factory=list)

    def all(self, *tags: str) -> list[Element]:
        """Every element of these kinds."""
        return [one for one in self.elements if one.tag in tags]

    @property
    def ids(self) -> list[str]:
        """Every id, as often as it stands there."""
        return [one.get("id") for one in self.elements if "id" in one.attributes]


class _Reader(HTMLParser):
    def __init__(self, page: Page) -> None:
        super().__init__(convert_charrefs=True)
        self.page = page
        self.open: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _unused in attrs]
        assert len(names) == len(set(names)), f"{self.page.address}: <{tag}> says an attribute twice: {names}"
        made = Element(tag, {name: value or "" for name, value in attrs}, tuple(self.open))
        self.page.elements.append(made)
        if tag not in _VOID:
            self.open.append(made)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"{self.page.address}: </{tag}> closes nothing"
        assert self.open[-1].tag == tag, f"{self.page.address}: </{tag}> stands where <{self.open[-1].tag}> is open"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for one in self.open:
            one.text += data


def read(address: str, html: str) -> Page:
    """The page behind ``html``; every element must be closed, in its order."""
    page = Page(address)
    reader = _Reader(page)
    reader.feed(html)
    reader.close()
    assert not reader.open, f"{address}: never closed: {[one.tag for one in reader.open]}"
    return page
