"""What was wrong with a form: all of it on top, and each part beside its field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from argos.errors import ArgosError, Invalid, Stale

CHANGED_MEANWHILE = "Somebody has changed the configuration since you opened this page. Check it, then save again."


@dataclass(frozen=True)
class Problem:
    """One thing that was wrong; ``field`` is the id of the input it is about, empty for the whole form."""

    text: str
    field: str = ""


@dataclass(frozen=True)
class Problems:
    """A form's problems, in the order in which they were found; none is false."""

    found: tuple[Problem, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.found)

    def at(self, field: str) -> str:
        """What is wrong with the input ``field``; empty when nothing is."""
        return " ".join(problem.text for problem in self.found if problem.field == field)

    @classmethod
    def of(
        cls,
        error: ArgosError,
        places: Mapping[str, tuple[str, str]] | None = None,
        scrub: Callable[[str], str] = str,
    ) -> Problems:
        """What ``error`` says.

        Args:
            error: why nothing was changed.
            scrub: takes known secrets out of the words of others.
            places: for each field of the model (``waf`` stands for all below it) the input's id and its label.
        """
        if isinstance(error, Stale):
            return cls((Problem(CHANGED_MEANWHILE),))
        if not isinstance(error, Invalid):
            return cls((Problem(f"{scrub(error.message).removesuffix('.')}."),))
        known = places or {}
        return cls(tuple(_problem(one.resource, one.field, one.problem, one.expected, known) for one in error.errors))


def _problem(resource: str, field: str, problem: str, expected: str, places: Mapping[str, tuple[str, str]]) -> Problem:
    path = field.replace("[", ".")
    while path and path not in places:
        path = path.rpartition(".")[0]
    place, label = places.get(path, ("", field or resource))
    return Problem(f"{label} {problem}; expected: {expected}.", place)
