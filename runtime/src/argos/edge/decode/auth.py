"""Read who may enter a host."""

from __future__ import annotations

import re

from argos.accounts.groups import EXPECTED, GROUP, ROLES
from argos.edge.fields import Fields
from argos.edge.model import Auth, AuthPath
from argos.edge.names import host_name_problem
from argos.gate.public_paths import LONGEST, declared_path_problem

MOST_NAMES = 256
MOST_PATHS = 64

_USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", re.ASCII)
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,64}@[A-Za-z0-9.-]{1,189}")


def decode_auth(fields: Fields) -> Auth:
    """Decode a host's ``auth``, noting every error in ``fields``."""
    auth = Auth(
        required=fields.boolean("required", False),
        users=fields.texts("users", limit=MOST_NAMES, each=64, expected="usernames", check=_user_problem),
        groups=fields.texts(
            "groups",
            limit=MOST_NAMES,
            each=63,
            expected=f"a group's name ({EXPECTED}), role:admin or role:member",
            check=_group_problem,
        ),
        emails=fields.texts(
            "emails", limit=MOST_NAMES, each=254, expected="an address such as alice@home.example", check=_email_problem
        ),
        domains=fields.texts(
            "domains",
            limit=MOST_NAMES,
            each=253,
            expected="the part of an e-mail behind the @, such as home.example",
            check=host_name_problem,
        ),
        second_factor=fields.choice("second_factor", ("optional", "required"), "optional"),
        paths=tuple(_path(fields.nested(place, raw)) for place, raw in fields.items("paths", limit=MOST_PATHS)),
    )
    if not auth.required:
        for name in ("users", "groups", "emails", "domains", "paths"):
            if getattr(auth, name):
                fields.wrong(name, "is given while required is false", "required: true, or nothing here")
        if auth.second_factor == "required":
            fields.wrong("second_factor", "is required while required is false", "required: true, or optional")
    fields.finish()
    return auth


def _path(fields: Fields) -> AuthPath:
    path = AuthPath(
        fields.text(
            "path",
            limit=LONGEST,
            expected="a plain path such as /health or /static/*, without encoding, '//', ';' or dot segments",
            check=declared_path_problem,
        ),
        fields.choice("access", ("public",), "public"),
    )
    if not fields.given("access"):
        fields.wrong("access", "is missing", "public")
    fields.finish()
    return path


def _user_problem(text: str) -> str | None:
    return None if _USERNAME.fullmatch(text) else f"is {text[:80]!r}"


def _group_problem(text: str) -> str | None:
    return None if text in ROLES or GROUP.match(text) else f"is {text[:80]!r}"


def _email_problem(text: str) -> str | None:
    return None if _EMAIL.fullmatch(text) else f"is {text[:80]!r}"
