"""DAT-1: no statement is put together out of texts, anywhere in the runtime."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "runtime" / "src" / "argos"
RUNS_SQL = {"execute", "executemany", "executescript", "exec_driver_sql", "text", "literal_column", "scalar", "scalars"}
# Alembic's own scripts build tables by name; they take nothing from anybody.
FILES = sorted(path for path in SOURCE.rglob("*.py") if "migrations" not in path.parts)


def built(node: ast.expr) -> bool:
    """Whether ``node`` puts a text together."""
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(part, ast.FormattedValue) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        return any(isinstance(side, ast.JoinedStr | ast.Constant | ast.BinOp) for side in (node.left, node.right))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in {"format", "join", "replace", "format_map"}
    return False


def offences(source: str) -> list[int]:
    """The lines in which a text that was put together is run as SQL, by way of a name too."""
    tree = ast.parse(source)
    runs = RUNS_SQL if "sqlalchemy" in source else RUNS_SQL - {"text"}  # else it is somebody's own function
    names = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and built(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        first = node.args[0]
        if called in runs and (built(first) or (isinstance(first, ast.Name) and first.id in names)):
            found.append(node.lineno)
    return found


@pytest.mark.threat("DAT-1")
@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_sql_is_put_together(path: Path) -> None:
    assert offences(path.read_text(encoding="utf-8")) == []


@pytest.mark.threat("DAT-1")
@pytest.mark.parametrize(
    "line",
    [
        "c.execute(f'SELECT {name}')",
        "c.execute('SELECT ' + name)",
        "c.execute('SELECT %s' % name)",
        "c.exec_driver_sql('SELECT {}'.format(name))",
        "from sqlalchemy import text\ntext(f'x = {name}')",
        "query = f'SELECT {name}'\nc.execute(query)",
        "c.execute(' '.join(parts))",
    ],
)
def test_the_rule_sees_each_way_to_do_it(line: str) -> None:
    assert offences(line)


@pytest.mark.threat("DAT-1")
def test_the_rule_lets_parameters_pass_and_there_is_sql_to_look_at() -> None:
    assert offences("c.execute('SELECT ?', (name,))\nc.execute(select(users).where(users.c.id == number))") == []
    assert sum("execute" in path.read_text(encoding="utf-8") for path in FILES) > 20
