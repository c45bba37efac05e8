"""Writes `schema.sql` from the tables: `python -m state.schema`."""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlmodel import SQLModel

import state.tables

FILE = Path(__file__).parent / "schema.sql"


def generate() -> str:
    """The SQL of all tables and indexes, in the order in which the modules of `state.tables` define them."""
    dialect = sqlite.dialect()
    parts = [f"-- Generated from {state.tables.__name__} by `python -m state.schema`; do not edit."]
    for table in SQLModel.metadata.tables.values():
        statements = [str(CreateTable(table).compile(dialect=dialect))]
        statements += [
            str(CreateIndex(index).compile(dialect=dialect))
            for index in sorted(table.indexes, key=lambda index: str(index.name))
        ]
        parts += [
            re.sub(r"[ \t]+\n", "\n", text).strip().replace("\n STRICT", " STRICT") + ";"
            for text in statements
        ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    FILE.write_text(generate(), encoding="utf-8")
