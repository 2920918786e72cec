"""Taking known secrets out of text: the only place that does.

Caddy quotes a DNS token in its error, a library a password in a traceback. Text
that came from elsewhere goes through here before it is logged, audited or answered.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable
from typing import Any

from argos.spellings import SHORTEST, Spelling, fold, spellings

REDACTED = "[redacted]"
MOST_HELD = 400_000
"""Spellings of what is held. A token has some 4 to 15 of them, an RSA key of 4096 bits some 300."""
MOST_FORMER = 100_000
FORMER = 100
"""So many values that were replaced or refused are known as well: an error may quote one later."""
MOST = MOST_HELD + MOST_FORMER


class Scrubber:
    """Knows secret values and removes them from text, in every spelling they may travel in.

    PERF: spellings are found by their first six characters, so that a text costs the same however many there are.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        # Readers take no lock: each entry is replaced whole.
        self._index: dict[str, tuple[Spelling, ...]] = {}
        self._known: Counter[Spelling] = Counter()  # of how many values it is one
        self._values: Counter[str] = Counter()  # how often it is held or remembered
        self._held: dict[str, str] = {}
        self._former: deque[str] = deque()
        self._sizes: dict[str, int] = {}
        self.know(*values)

    def __len__(self) -> int:
        """How many spellings are looked for."""
        return len(self._known)

    def know(self, *values: str) -> None:
        """Learn secrets for as long as the process runs; a value under 6 characters is not learnt."""
        for value in values:
            self.hold(f"={value}", value)

    def hold(self, name: str, value: str) -> None:
        """``name`` has this value now; the one of before is known for a while."""
        with self._lock:
            before = self._held.get(name)
            if before == value:
                return
            if value in self._former:
                self._former.remove(value)
            else:
                self._add(value)
            self._held[name] = value
            if before is not None:
                self._retire(before)

    def release(self, name: str) -> None:
        """Nothing goes by that name any more; its value is known for a while."""
        with self._lock:
            if (value := self._held.pop(name, None)) is not None:
                self._retire(value)

    def remember(self, value: str) -> None:
        """Know a value for a while that may yet be refused."""
        with self._lock:
            if value not in self._values:
                self._add(value)
                self._retire(value)

    def has_room(self, name: str, value: str) -> bool:
        """Whether :data:`MOST_HELD` is kept when ``name`` gets this value."""
        wanted = len(spellings(value))
        with self._lock:
            others = sum(self._sizes[held] for key, held in self._held.items() if key != name)
        return others + wanted <= MOST_HELD

    def held(self) -> list[str]:
        """The names that have a value."""
        with self._lock:
            return list(self._held)

    def scrub(self, text: str) -> str:
        """Return ``text`` with every known secret replaced by ``[redacted]``."""
        index = self._index
        if not index:
            return text
        folded = fold(text)
        starts = [at for at in range(len(text) - SHORTEST + 1) if folded[at : at + SHORTEST] in index]
        pieces, done = [], 0
        for at in starts:
            length = self._length_at(text, folded, at) if at >= done else 0
            if length:
                pieces += [text[done:at], REDACTED]
                # The rest of a long one goes along unseen: better too much than half of a secret.
                done = at + length
        return "".join([*pieces, text[done:]]) if pieces else text

    def scrub_value(self, value: Any) -> Any:
        """Scrub every string inside a value made of dicts, lists and plain values; keys too."""
        if isinstance(value, str):
            return self.scrub(value)
        if isinstance(value, dict):
            return {self.scrub(str(key)): self.scrub_value(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.scrub_value(item) for item in value]
        return value

    def _length_at(self, text: str, folded: str, at: int) -> int:
        """The characters of the longest spelling that stands at ``at``; 0 for none."""
        for spelling in self._index.get(folded[at : at + SHORTEST], ()):
            if (folded if spelling.folded else text).startswith(spelling.head, at):
                return spelling.length
        return 0

    def _add(self, value: str) -> None:
        self._values[value] += 1
        if self._values[value] > 1:
            return
        forms = spellings(value)
        self._sizes[value] = len(forms)
        for form in forms:
            self._known[form] += 1
            if self._known[form] == 1:
                there = self._index.get(form.prefix, ())
                place = bisect_left(there, form)
                self._index[form.prefix] = (*there[:place], form, *there[place:])

    def _retire(self, value: str) -> None:
        """Move one use of a value to those of before, and let the oldest of them go over the bound."""
        self._former.append(value)
        while len(self._former) > FORMER or sum(self._sizes[one] for one in self._former) > MOST_FORMER:
            self._drop(self._former.popleft())

    def _drop(self, value: str) -> None:
        self._values[value] -= 1
        if self._values[value]:
            return
        del self._values[value], self._sizes[value]
        for form in spellings(value):
            self._known[form] -= 1
            if not self._known[form]:
                del self._known[form]
                left = tuple(one for one in self._index[form.prefix] if one != form)
                if left:
                    self._index[form.prefix] = left
                else:
                    del self._index[form.prefix]
