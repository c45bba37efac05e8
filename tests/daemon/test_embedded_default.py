"""The manifests of the first embedded default hold what version 0.1 made of it, to the byte.

`embedded_default_0_1.toml` is that default; the one of today trains longer and on another task. Its whole train plan is sampled, without its limits of a minute and without students; then each student's rows are exported.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from state.database import open_reader
from tests.daemon.site import coterie, run_to_end

ROWS = {
    ("fine-tune", "coin_flip"): "7729c3ae6c665fc9d3ed866e4604d4fe69343925b49fa8cd2306fa7a159f9340",
    ("fine-tune", "multi_step_arithmetic"): "d3900f20b2dc9a7cbd7dc5d6b5b11122d1efcd2edce2b9c338c2c2236e726872",
    ("fine-tune-cot", "coin_flip"): "080d30c4a19f37301a7b8663bea4351875a6890b0aba9d35246eac6a99c84133",
    ("fine-tune-cot", "multi_step_arithmetic"): "28327fbbdb1fae8967fc35d829ffecbe2375e556a08b6cdc2c37bd1d2a01f6ef",
    ("fine-tune-cot-diverse", "coin_flip"): "7920237122f8508db58a2c666adea70f97adf1a2734eb1987153d0c96f0d5362",
    ("fine-tune-cot-diverse", "multi_step_arithmetic"): "622584d5b754fc616930be29443749f16e20b1552171ecae7dc56e8840a2b954",
}  # fmt: skip
"""Of the rows without their sample ids, which follow the order of the claims and so the machine's luck."""

MANIFESTS = {
    "coin_flip": "12c6b73482c52e3939e2299a197c3fb78f898865de6e3e5a787ecfb69525bc6d",
    "multi_step_arithmetic": "366a661dca1834c09c1730fbc2af972dcd9b8451c5a2e2a1894923d5ef8c42e7",
}
"""The whole manifests of fine-tune, which names no samples."""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the rows of all students and their card."""
    path = tmp_path_factory.mktemp("default")
    text = (Path(__file__).parent / "embedded_default_0_1.toml").read_text(encoding="utf-8")
    text = re.sub(r"^(requests|tokens)_per_minute = .*\n", "", text, flags=re.MULTILINE)
    sampling, students = text[: text.index("[[students]]")], text[text.index("[[students]]") :]
    (path / "config.toml").write_text(sampling, encoding="utf-8")
    code, output = run_to_end(path)
    assert code == 0, output
    (path / "config.toml").write_text(sampling + students, encoding="utf-8")
    written = coterie(path, "export", "dataset", "--card", "-o", "rows.jsonl")
    assert written.returncode == 0, written.stderr
    return path


def test_its_students_read_what_they_read_in_version_0_1(exported: Path) -> None:
    found: dict[tuple[str, str], Any] = defaultdict(hashlib.sha256)
    with closing(open_reader(exported / "state.db")) as connection:
        ids = {key: number for number, key in connection.execute("SELECT id, key FROM question")}
    with (exported / "rows.jsonl").open(encoding="utf-8") as file:
        for row in map(json.loads, file):
            kept = {"question_id": ids[row["question_id"]]}  # manifests have the numbers of the database
            kept |= {key: row[key] for key in ("question", "rationale", "answer")}
            line = json.dumps(kept, ensure_ascii=False) + "\n"
            found[row["student"], row["scope"]].update(line.encode())
    assert {key: digest.hexdigest() for key, digest in found.items()} == ROWS


def test_the_manifests_without_samples_are_the_same_to_the_byte(exported: Path) -> None:
    card = (exported / "README.md").read_text(encoding="utf-8")
    assert all(digest in card for digest in MANIFESTS.values())
