"""DAT-3: a walk over all mutating routes and forms, which demands of each the rows that it must leave."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import argos
import falcon.inspect
import pytest
from argos.api.routes import admin_app
from argos.application import Application
from argos.panel.app import panel_app
from falcon import testing

from .conftest import PASSWORD
from .mutations import (
    ACTIONS_ELSEWHERE,
    API,
    ARCHIVE,
    COMMANDS,
    NEW_PASSWORD,
    PANEL_FORMS,
    SECRET,
    Elsewhere,
    Form,
    Given,
    Walk,
)

pytestmark = pytest.mark.threat("DAT-3")

CHECKOUT = Path(__file__).parents[3]
DRIVEN_FORMS = {
    (path, do): form for path, forms in PANEL_FORMS.items() for do, form in forms.items() if isinstance(form, Form)
}
DRIVEN_API = {route: form for route, form in API.items() if isinstance(form, Form)}
_ACTION = re.compile(r"(?:user|session|second_factor|oidc|secret|backup|key|config|mail|decision|audit)\.[a-z_]+")
_NO_ACTIONS = ("html", "secret", "id")  # templates, and places of secrets


def mutating(app: falcon.App[Any, Any], prefix: str) -> set[tuple[str, str]]:
    return {
        (method.method, route.path)
        for route in falcon.inspect.inspect_routes(app)
        for method in route.methods
        if not method.internal and method.method != "GET" and route.path.startswith(prefix)
    }


def filled(text: Any, given: Given) -> Any:
    """``text`` with what the preparation gave in its places."""
    if not isinstance(text, str):
        return text
    return re.sub(r"\{(\w+)\}", lambda place: given.get(place[1], place[0]), text)


def in_clear(application: Application) -> str:
    with application.storage.read() as connection:
        return str(connection.exec_driver_sql("SELECT * FROM audit").all())


def demand(walk: Walk, before: int, form: Form, actor: str) -> None:
    found = walk.rows(before)
    assert len(found) == len(form.rows), found
    for (who, action, target), (wanted_action, wanted_target) in zip(found, form.rows, strict=True):
        assert (who, action) == (actor, wanted_action)
        assert target.startswith(wanted_target) if wanted_target.endswith("/") else target == wanted_target
    assert walk.application.audit.verify() is None
    everything = in_clear(walk.application)
    assert not any(secret in everything for secret in (PASSWORD, NEW_PASSWORD, SECRET))


def test_every_route_and_form_is_walked(application: Application) -> None:
    assert mutating(admin_app(application), "/v1") == set(API), "a new route gets a line in mutations.py"
    forms = mutating(panel_app(application), "/")
    assert {path for _unused, path in forms if not path.startswith("/api/v1")} == set(PANEL_FORMS)
    mounted = {(method, path.removeprefix("/api")) for method, path in forms if path.startswith("/api/v1")}
    assert mounted == set(API)


@pytest.mark.parametrize(("path", "do"), DRIVEN_FORMS, ids=lambda part: part.replace("/", "_") or "-")
def test_a_form_of_the_panel_leaves_its_rows(application: Application, path: str, do: str) -> None:
    form, walk = DRIVEN_FORMS[path, do], Walk(application)
    given = {"username": "alice", "name": "token", **form.prepare(walk)}
    token = given.get("token") or (walk.session(form.who).panel_token if form.who else None)
    before = len(walk.rows())
    fields = {name: filled(value, given) for name, value in form.body.items()}
    answer = walk.post(filled(path, given), fields, token)
    assert answer.status_code in {200, 303}, answer.text
    demand(walk, before, form, form.actor or f"user:{form.who}")


@pytest.mark.parametrize(("method", "path"), DRIVEN_API, ids=lambda part: part.replace("/", "_"))
def test_a_route_of_the_api_leaves_its_rows(application: Application, method: str, path: str) -> None:
    form, walk = DRIVEN_API[method, path], Walk(application)
    given = {"username": "alice", "name": ARCHIVE if "backups" in path else "token", **form.prepare(walk)}
    before = len(walk.rows())
    client = testing.TestClient(admin_app(application), headers={"Argos-Actor": "ansible:carol"})
    body = None if method == "DELETE" else json.dumps(form.body)
    answer = client.simulate_request(method, filled(path, given), body=body)
    assert answer.status_code in {200, 201, 202}, answer.text
    assert SECRET not in answer.text
    demand(walk, before, form, "admin_api:ansible:carol")


@pytest.mark.parametrize("action", COMMANDS)
def test_what_only_a_command_does_leaves_its_row(application: Application, action: str) -> None:
    walk = Walk(application)
    before = len(walk.rows())
    COMMANDS[action](application)
    assert ("system:test", action) in {(who, what) for who, what, _unused in walk.rows(before)}
    assert application.audit.verify() is None


def elsewhere() -> Iterator[tuple[str, str]]:
    """Every action that another test stands for, and that test."""
    yield from ((action, f"{path}::{name}") for action, path, name in ACTIONS_ELSEWHERE)
    for form in [*API.values(), *(form for forms in PANEL_FORMS.values() for form in forms.values())]:
        if isinstance(form, Elsewhere):
            yield form.action, form.test


@pytest.mark.parametrize(("action", "test"), sorted(set(elsewhere())))
def test_what_is_walked_elsewhere_is_asserted_there(action: str, test: str) -> None:
    path, _unused, name = test.partition("::")
    functions = {node.name: node for node in ast.parse(text_of(path)).body if isinstance(node, ast.FunctionDef)}
    assert name in functions, f"{path} has no {name}"
    asserted = {
        constant.value
        for statement in ast.walk(functions[name])
        if isinstance(statement, ast.Assert)
        for constant in ast.walk(statement)
        if isinstance(constant, ast.Constant) and isinstance(constant.value, str)
    }
    assert any(action in text for text in asserted), f"{test} does not assert {action}"


@cache
def text_of(path: str) -> str:
    return (CHECKOUT / path).read_text(encoding="utf-8")


def test_every_action_of_the_record_is_demanded_by_a_test() -> None:
    """Whatever the runtime's source names as an action."""
    sources = sorted(Path(argos.__file__).parent.rglob("*.py"))
    assert len(sources) > 100
    named = {
        node.value
        for source in sources
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _ACTION.fullmatch(node.value)
    }
    named = {action for action in named if action.rpartition(".")[2] not in _NO_ACTIONS}
    driven = {action for form in [*DRIVEN_FORMS.values(), *DRIVEN_API.values()] for action, _target in form.rows}
    assert named == driven | set(COMMANDS) | {action for action, _test in elsewhere()}
