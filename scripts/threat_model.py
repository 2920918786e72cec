"""Write docs/threat-model.md: each promise, how it is kept, and the tests that prove it.

    python3 scripts/threat_model.py            write the page
    python3 scripts/threat_model.py --check    fail when the page is not what would be written

Tests are found without running them: functions, classes and modules of test files that
carry ``@pytest.mark.threat("ID")``, and Go tests with ``// threat: ID`` above them.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).resolve().parent.parent
ROWS = CHECKOUT / "docs" / "threat-rows.yml"
PAGE = CHECKOUT / "docs" / "threat-model.md"
PYTHON_TESTS = ("runtime/tests", "tests", "molecule")
GO_TESTS = ("roles/caddy/files/argos-caddy",)
Proofs = dict[str, set[tuple[str, str]]]  # row's id -> (file, test)


def marked(decorators: list[ast.expr]) -> set[str]:
    """Return the ids in ``pytest.mark.threat("ID", …)`` among expressions, lists of them included."""
    found: set[str] = set()
    for expression in decorators:
        if isinstance(expression, ast.List | ast.Tuple):
            found |= marked(expression.elts)
        elif isinstance(expression, ast.Call) and ast.unparse(expression.func) == "pytest.mark.threat":
            found |= {argument.value for argument in expression.args if isinstance(argument, ast.Constant)}
    return found


def proofs_in(body: list[ast.stmt], inherited: set[str]) -> Iterator[tuple[str, str]]:
    """Yield (row's id, test's name) for each marked test of a module or class."""
    for node in body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            inherited = inherited | marked([node.value])
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from proofs_in(node.body, inherited | marked(node.decorator_list))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            for row in inherited | marked(node.decorator_list):
                yield row, node.name


def collect() -> Proofs:
    """Return the tests behind each id, from the sources of all suites."""
    proofs: Proofs = defaultdict(set)
    for top in PYTHON_TESTS:
        for path in sorted((CHECKOUT / top).rglob("test_*.py")):
            name = str(path.relative_to(CHECKOUT))
            if not name.startswith("tests/output/"):
                for row, test in proofs_in(ast.parse(path.read_text(encoding="utf-8")).body, set()):
                    proofs[row].add((name, test))
    for top in GO_TESTS:
        for path in sorted((CHECKOUT / top).rglob("*_test.go")):
            comment = re.compile(r"^// threat: ([A-Z0-9, -]+)\n(?://.*\n)*func (Test\w+|Fuzz\w+)", re.MULTILINE)
            for ids, test in comment.findall(path.read_text(encoding="utf-8")):
                for row in re.findall(r"[A-Z]+-\d+", ids):
                    proofs[row].add((str(path.relative_to(CHECKOUT)), test))
    return proofs


def sentence(test: str) -> str:
    """Return a test's name as the promise it proves."""
    return re.sub(r"^(test_|Test|Fuzz)", "", test).replace("_", " ")


def row_of(row: dict[str, str], proofs: Proofs) -> list[str]:
    """Return one promise's part of the page."""
    lines = [f"### {row['id']}", "", row["promise"], "", f"*Kept by:* {row['kept']}", ""]
    by_file: dict[str, list[str]] = defaultdict(list)
    for path, test in sorted(proofs.get(row["id"], ())):
        by_file[path].append(sentence(test))
    if not by_file:
        return [*lines, "**No test proves this yet.**", ""]
    lines.append("*Proven by:*")
    lines.append("")
    for path, tests in by_file.items():
        lines.append(f"- [{path}](../{path}): {'; '.join(tests)}")
    return [*lines, ""]


def page(known: dict[str, Any], proofs: Proofs) -> str:
    """Return the whole page."""
    rows = [row for group in known["groups"] for row in group["rows"]]
    open_rows = [row["id"] for row in rows if not proofs.get(row["id"])]
    lines = [
        "<!-- Written by scripts/threat_model.py from docs/threat-rows.yml and the tests' markers. Do not edit. -->",
        "# Threat model",
        "",
        "What Argos promises against whoever reaches it from the internet, guesses passwords, or has taken over one of",
        "the things it depends on; how each promise is kept; and the tests that fail when it is not. Those in",
        "`tests/e2e` run against a real guest from outside, those in `tests/integration` against real services, the",
        "others against the code alone. What is not promised stands at the end.",
        "",
        f"{len(rows)} promises, {len(rows) - len(open_rows)} with a test.",
    ]
    if open_rows:
        lines[-1] += f" None yet: {', '.join(open_rows)}."
    lines.append("")
    for group in known["groups"]:
        lines += [f"## {group['title']}", ""]
        for row in group["rows"]:
            lines += row_of(row, proofs)
    lines += ["## What stays a risk", ""]
    lines += [f"- **{risk['title']}.** {risk['text']}" for risk in known["residual"]]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write or check the page; a marker that names no row is an error."""
    known = yaml.safe_load(ROWS.read_text(encoding="utf-8"))
    proofs = collect()
    rows = {row["id"] for group in known["groups"] for row in group["rows"]}
    for row in sorted(set(proofs) - rows):
        for path, test in sorted(proofs[row]):
            print(f"{path}: {test} is marked threat({row!r}), which is no row of {ROWS.name}", file=sys.stderr)
    if set(proofs) - rows:
        return 1
    text = page(known, proofs)
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        print("docs/threat-model.md is not current: run scripts/threat_model.py and commit the page", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
