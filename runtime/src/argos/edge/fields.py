"""Read declared input field by field and collect every error, not only the first.

msgspec stops at its first error; an operator who got three fields wrong wants one
message that names all three.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from argos.errors import FieldError

T = TypeVar("T")

Check = Callable[[str], str | None]
"""Says what is wrong with a text, or None."""

_MISSING: Final = object()
MAX_ERRORS = 200


class Fields:
    """The members of one declared object, at ``path`` within ``resource``.

    Every reader returns a usable value and notes an error when the input was wrong;
    :meth:`finish` notes the members that nobody asked for.
    """

    def __init__(self, raw: object, resource: str, path: str, errors: list[FieldError]) -> None:
        self.resource, self.path, self.errors = resource, path, errors
        self._known: list[str] = []
        self._raw: Mapping[Any, Any] = {}
        if isinstance(raw, Mapping):
            self._raw = raw
        elif raw is not None:
            self.wrong("", f"is {kind_of(raw)}", "an object")

    def wrong(self, name: str, problem: str, expected: str) -> None:
        """Note one error about the member ``name``; the path itself when empty."""
        if len(self.errors) < MAX_ERRORS:
            self.errors.append(FieldError(self.resource, self.at(name), problem, expected))

    def at(self, name: str) -> str:
        """The path of the member ``name``, such as ``upstreams[0].url``."""
        if not self.path or not name or name.startswith("["):
            return self.path + name
        return f"{self.path}.{name}"

    def raw(self, name: str, default: object = None) -> Any:
        """The member as it came; marks it as known."""
        self._known.append(name)
        return self._raw.get(name, default)

    def given(self, name: str) -> bool:
        """Whether the member stands there and is not null."""
        self._known.append(name)
        return self._raw.get(name) is not None

    def text(
        self,
        name: str,
        default: object = _MISSING,
        *,
        limit: int = 1024,
        expected: str = "text",
        check: Check | None = None,
    ) -> str:
        """A string of at most ``limit`` characters that ``check`` accepts; required when it has no default."""
        value = self.raw(name, _MISSING)
        if value is _MISSING or value is None:
            if default is _MISSING:
                self.wrong(name, "is missing", expected)
                return ""
            return str(default)
        return self.checked_text(name, value, limit=limit, expected=expected, check=check)

    def checked_text(self, name: str, value: object, *, limit: int, expected: str, check: Check | None = None) -> str:
        """``value`` when it is a fitting string; otherwise an error at ``name`` and an empty string."""
        if not isinstance(value, str):
            self.wrong(name, f"is {kind_of(value)}", expected)
            return ""
        if len(value) > limit:
            self.wrong(name, f"has {len(value)} characters", f"at most {limit} characters")
            return ""
        problem = None if check is None else check(value)
        if problem is not None:
            self.wrong(name, problem, expected)
            return ""
        return value

    def integer(self, name: str, default: object = _MISSING, *, low: int, high: int) -> int:
        """A whole number within ``low`` and ``high``, both included."""
        expected = f"a whole number from {low} to {high}"
        value = self.raw(name, _MISSING)
        if value is _MISSING or value is None:
            if isinstance(default, int):
                return default
            self.wrong(name, "is missing", expected)
            return low
        if isinstance(value, bool) or not isinstance(value, int):
            self.wrong(name, f"is {shown(value)}", expected)
            return low
        if not low <= value <= high:
            self.wrong(name, f"is {shown(value)}", expected)
            return low
        return value

    def boolean(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self.raw(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.wrong(name, f"is {shown(value)}", "true or false")
            return default
        return value

    def choice(self, name: str, options: tuple[str, ...], default: str) -> Any:
        """One of ``options``. YAML 1.1 reads a bare ``off`` as false: where ``off`` is an option, false means it."""
        value = self.raw(name)
        if value is None:
            return default
        if value is False and "off" in options:
            return "off"
        if not isinstance(value, str) or value not in options:
            self.wrong(name, f"is {shown(value)}", "one of " + ", ".join(options))
            return default
        return value

    def items(self, name: str, *, limit: int) -> Iterable[tuple[str, Any]]:
        """The members of a list as ``("name[0]", value)``; at most ``limit``."""
        value = self.raw(name)
        if value is None:
            return
        if not isinstance(value, list | tuple):
            self.wrong(name, f"is {kind_of(value)}", "a list")
            return
        if len(value) > limit:
            self.wrong(name, f"has {len(value)} members", f"at most {limit} members")
            return
        for index, member in enumerate(value):
            yield f"{name}[{index}]", member

    def texts(
        self, name: str, *, limit: int, each: int = 1024, expected: str = "text", check: Check | None = None
    ) -> tuple[str, ...]:
        """A list of at most ``limit`` strings of at most ``each`` characters."""
        return tuple(
            self.checked_text(place, member, limit=each, expected=expected, check=check)
            for place, member in self.items(name, limit=limit)
        )

    def mapping(self, name: str, *, limit: int) -> Iterable[tuple[str, str, Any]]:
        """The members of an object with free keys as ``(path, key, value)``."""
        value = self.raw(name)
        if value is None:
            return
        if not isinstance(value, Mapping):
            self.wrong(name, f"is {kind_of(value)}", "an object")
            return
        if len(value) > limit:
            self.wrong(name, f"has {len(value)} members", f"at most {limit} members")
            return
        for key, member in value.items():
            if not isinstance(key, str):
                self.wrong(name, f"has the key {shown(key)}", "keys that are text")
                continue
            yield f"{name}.{key[:80]}", key, member

    def inner(self, name: str) -> Fields:
        """The object in the member ``name``; an absent one reads as empty."""
        if self.given(name):
            return self.nested(name, self.raw(name))
        return Fields(self.raw(name), self.resource, self.at(name), self.errors)

    def nested(self, place: str, raw: object) -> Fields:
        """An object that :meth:`items` gave. When it is none, that is said once, and not of each of its members."""
        if not isinstance(raw, Mapping):
            self.wrong(place, f"is {kind_of(raw)}", "an object")
            return Fields({}, self.resource, self.at(place), [])
        return Fields(raw, self.resource, self.at(place), self.errors)

    def finish(self) -> None:
        """Note every member that is not known, with the nearest one that is."""
        for key in self._raw:
            if key in self._known:
                continue
            near = difflib.get_close_matches(str(key), self._known, n=1)
            expected = f"did you mean {near[0]!r}?" if near else "one of " + ", ".join(sorted(set(self._known)))
            self.wrong(str(key)[:80], "is not a known field", expected)


def shown(value: object) -> str:
    """A short, printable form of a refused value."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def kind_of(value: object) -> str:
    """What a refused value is, in the words of JSON."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, str):
        return "text"
    return "a number"
