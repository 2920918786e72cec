"""The migrations lead to the tables that the code declares, and never back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from argos.clock import FixedClock
from argos.storage.engine import Storage, schema_version
from argos.storage.tables import metadata
from argos.storage.upgrade import MIGRATIONS, REVISIONS, SchemaTooNew
from sqlalchemy import create_engine, inspect, text


def test_the_migrated_schema_is_the_declared_one(storage: Storage) -> None:
    with storage.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_the_migrated_schema_is_the_declared_one_to_the_letter(storage: Storage, tmp_path: Path) -> None:
    # Alembic compares neither CHECKs nor collations nor autoincrement: so what SQLite itself keeps is compared.
    query = text(
        "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL "
        "AND name NOT LIKE 'alembic%' AND name NOT LIKE 'sqlite%'"
    )
    declared = create_engine(f"sqlite:///{tmp_path / 'declared.db'}")
    metadata.create_all(declared)

    def words(sql: str) -> list[str]:
        # Columns that a migration added and table constraints may stand in another order.
        parts, depth = [""], 0
        for character in " ".join(sql.split()).removesuffix(")"):
            depth += {"(": 1, ")": -1}.get(character, 0)
            if character == "," and depth == 1:
                parts.append("")
            else:
                parts[-1] += character
        head, _bracket, first = parts[0].partition("(")
        return [head.strip(), *sorted(part.strip() for part in [first, *parts[1:]])]

    with declared.connect() as connection:
        wanted = {name: words(sql) for name, sql in connection.execute(query)}
    with storage.read() as connection:
        found = {name: words(sql) for name, sql in connection.execute(query)}
    assert found == wanted
    declared.dispose()


def test_the_known_revisions_are_the_files() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    history = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(history)) == REVISIONS


def test_migrating_twice_changes_nothing(storage: Storage) -> None:
    storage.migrate()
    with storage.read() as connection:
        assert schema_version(connection) == REVISIONS[-1]


def test_a_newer_schema_is_refused_with_what_to_do(storage: Storage) -> None:
    with storage.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaTooNew, match=r"its schema is 9999.*newer version"):
        storage.migrate()
    with storage.read() as connection:
        assert schema_version(connection) == "9999"


def test_a_failing_migration_leaves_the_file_as_it_was(
    tmp_path: Path, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "migrations"
    (broken / "versions").mkdir(parents=True)
    for name in ("env.py", "versions/0001_first.py"):
        source = (
            (MIGRATIONS / name)
            .read_text()
            .replace('op.create_table(\n        "sessions"', 'op.fails(\n        "sessions"')
        )
        (broken / name).write_text(source)
    monkeypatch.setattr("argos.storage.upgrade.MIGRATIONS", broken)
    storage = Storage(tmp_path / "argos.db", clock)
    with pytest.raises(AttributeError):
        storage.migrate()
    with storage.read() as connection:
        assert inspect(connection).get_table_names() == []
    storage.close()


def test_a_current_database_needs_no_alembic_in_memory(storage: Storage, database: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from argos.clock import SystemClock; from argos.storage.engine import Storage\n"
        "Storage(Path(sys.argv[1]), SystemClock()).migrate()\n"
        "print('alembic' in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", program, str(database)], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "False"
