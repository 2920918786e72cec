"""What the sample upstream says it received: the end of the way through the edge."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

IDENTITY = ("x-auth-user", "x-auth-email", "x-auth-name", "x-auth-provider")


@dataclass(frozen=True)
class Received:
    """One request as it reached the upstream. ``headers`` keeps each line, in order, names in lower case."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body_sha256: str

    @classmethod
    def of(cls, answer: str | bytes | dict[str, Any]) -> Received:
        """Decode the sample upstream's JSON."""
        told = answer if isinstance(answer, dict) else json.loads(answer)
        headers = tuple((name.lower(), value) for name, value in told["headers"])
        return cls(told["method"], told["path"], headers, told["body_sha256"])

    def all(self, name: str) -> list[str]:
        """Return every value of a header."""
        return [value for key, value in self.headers if key == name.lower()]

    def one(self, name: str) -> str:
        """Return a header's value; fail when it came more than once or not at all."""
        values = self.all(name)
        assert len(values) == 1, f"{name} reached the upstream {len(values)} times: {values}"
        return values[0]

    def identity(self) -> list[tuple[str, str]]:
        """Return every header that an application might take for an identity, however it is written."""
        return [
            (name, value)
            for name, value in self.headers
            if name.replace("_", "-").startswith(("x-auth-", "remote-", "argos-"))
        ]
