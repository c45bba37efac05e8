from __future__ import annotations

import re
from contextlib import closing

from state import sqlite
from state.database import database_id, open_writer
from state.migrations import FOLDER, SCHEMA, STEPS, VERSION, steps_from
from state.schema import FILE, generate

CREATE = re.compile(r"\s+")


def shape(connection: sqlite.Connection) -> dict[tuple[str, str], str]:
    """Every table and index with its SQL, white space squeezed."""
    rows = connection.execute("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
    return {(kind, name): CREATE.sub(" ", sql).strip() for kind, name, sql in rows}


def test_the_schema_file_is_what_the_tables_say() -> None:
    assert FILE.read_text(encoding="utf-8") == generate(), "run `python -m state.schema`"


def test_all_steps_together_make_the_newest_schema() -> None:
    with (
        closing(sqlite.dbapi.connect(":memory:")) as stepped,
        closing(sqlite.dbapi.connect(":memory:")) as direct,
    ):
        for script in steps_from(0):
            stepped.executescript(script)
        direct.executescript(SCHEMA)
        assert shape(stepped) == shape(direct)


def test_money_of_older_databases_is_sorted_into_spent_and_unknown() -> None:
    with closing(sqlite.dbapi.connect(":memory:")) as old:
        old.executescript("".join(steps_from(0)[:2]))

        def insert(table: str, **values: object) -> None:
            """A row; whatever is not given is 0, empty or null."""
            columns = old.execute(
                f"SELECT name, type, \"notnull\" FROM pragma_table_info('{table}')"
            ).fetchall()
            row = {
                name: (0 if kind != "TEXT" else "") if need else None for name, kind, need in columns
            } | values
            marks = ", ".join("?" for _ in row)
            names = ", ".join(f'"{name}"' for name in row)
            old.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))

        insert("teacher", id=1, name="a", spent_micros=111, reserved_micros=5)
        insert("plan", id=1, name="p", spent_micros=106, reserved_micros=5)
        insert("plan", id=2, name="adopted", spent_micros=5)
        for sample, plan, cost in ((1, 1, 103), (2, 1, 3), (3, 2, 8)):
            insert("sample", id=sample, plan_id=plan, question_id=sample, cost_micros=cost)
        for attempt, sample, outcome, estimated, reserved, cost in (
            (1, 1, "ok", 0, 9, 3),
            (2, 1, "unknown", 0, 60, 60),
            (3, 1, "malformed", 1, 40, 40),
            (4, 2, "ok", 1, 9, 3),
            (5, 2, None, 0, 5, 0),
            (6, 3, "unknown", 1, 8, 8),
        ):
            insert(
                "attempt",
                id=attempt,
                sample_id=sample,
                teacher_id=1,
                outcome=outcome,
                estimated=estimated,
                reserved_micros=reserved,
                cost_micros=cost,
            )
        old.executescript("".join(steps_from(2)))
        found = old.execute("SELECT id, cost_micros, unknown_micros FROM attempt").fetchall()
        assert found == [(1, 3, 0), (2, 0, 60), (3, 0, 40), (4, 3, 0), (5, 0, 0), (6, 0, 8)]
        money = "SELECT spent_micros, unknown_micros, reserved_micros FROM"
        assert old.execute(f"{money} teacher").fetchall() == [(3, 108, 5)]
        assert old.execute(f"{money} plan ORDER BY id").fetchall() == [(6, 100, 5), (0, 5, 0)]
        assert old.execute("SELECT cost_micros FROM sample ORDER BY id").fetchall() == [(3,), (3,), (0,)]


def test_steps_are_numbered_without_a_gap() -> None:
    assert list(STEPS) == list(range(1, VERSION + 1))
    assert steps_from(VERSION) == []
    assert len(steps_from(0)) == len(list(FOLDER.glob("*.sql")))


def test_every_table_is_strict_and_every_foreign_key_leads_somewhere(tmp_path) -> None:
    with closing(open_writer(tmp_path / "state.db")) as connection:
        tables = connection.execute(
            "SELECT name, strict FROM pragma_table_list WHERE name NOT LIKE 'sqlite_%'"
        )
        strict = dict(tables.fetchall())
        assert len(strict) == 25
        assert set(strict.values()) == {1}
        for name in strict:
            for row in connection.execute(f"PRAGMA foreign_key_list('{name}')"):
                assert row[2] in strict


def test_a_wrong_type_is_refused(tmp_path) -> None:
    with closing(open_writer(tmp_path / "state.db")) as connection:
        try:
            connection.execute(
                "INSERT INTO event (at, level, kind, subject, message, data) VALUES ('now', '', '', '', '', '')"
            )
        except sqlite.IntegrityError as error:
            assert "INTEGER" in str(error)
        else:
            raise AssertionError("a text was taken for a time")


def test_an_older_database_and_its_backup_get_the_same_identity() -> None:
    with closing(sqlite.dbapi.connect(":memory:")) as old, closing(sqlite.dbapi.connect(":memory:")) as copy:
        old.executescript("".join(steps_from(0)[:4]) + "PRAGMA user_version = 4;")
        old.execute(
            "INSERT INTO boot (pid, pid_started, host, version, started_at, config) VALUES (7, 1.0, '', '', 99, '{}')"
        )
        old.commit()
        old.backup(copy)
        before = database_id(old)
        for each in (old, copy):
            each.executescript("".join(steps_from(4)) + "PRAGMA user_version = 5;")
        assert database_id(old) == database_id(copy) == before == f"{99:016x}{7:016x}"
