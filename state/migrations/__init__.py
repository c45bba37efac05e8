"""Schema versions: `schema.sql` is the newest one, `NNNN_*.sql` are the steps between versions.

A new version is a numbered step here and a regenerated `schema.sql` (`python -m state.schema`); a
test applies all steps to the first version and compares with `schema.sql`.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
APPLICATION_ID = 0x436F7465  # "Cote"
SCHEMA = (FOLDER.parent / "schema.sql").read_text(encoding="utf-8")
NEW_IDENTITY = "INSERT INTO identity (id, database) VALUES (1, lower(hex(randomblob(16))));"
"""What a new database has besides its schema."""
FIRST_WITH_IDENTITY = 5
OLDER_IDENTITY = "SELECT printf('%016x%016x', started_at, pid) FROM boot ORDER BY id LIMIT 1"
"""The identity that `0005_fifth.sql` gives an older database."""
STEPS = {int(path.name[:4]): path for path in sorted(FOLDER.glob("[0-9][0-9][0-9][0-9]_*.sql"))}
VERSION = max(STEPS)


def steps_from(version: int) -> list[str]:
    """The SQL of every step after `version`, in order."""
    return [path.read_text(encoding="utf-8") for number, path in STEPS.items() if number > version]
