from __future__ import annotations

import io
import json
from typing import Any, cast

import pytest

from daemon.batches.batch_rows import Tally
from daemon.batches.fetch_batch import Fetch
from daemon.batches.outstanding import OutBatch
from engine.teachers.batch_api import Row

KEY = 'sk-canary/é"1234'


class Stored:
    """A settler that keeps what it is given."""

    def __init__(self) -> None:
        self.rows: list[tuple[Row, bytes]] = []

    async def settle(self, _teacher: Any, _out: Any, row: Row, raw: bytes, *_more: Any) -> None:
        self.rows.append((row, raw))


@pytest.mark.anyio
async def test_no_row_holds_a_key_however_it_is_written() -> None:
    spelled = [
        json.dumps(KEY)[1:-1],
        json.dumps(KEY, ensure_ascii=False)[1:-1],
        "".join(f"\\u{ord(char):04X}" for char in KEY),
        json.dumps(KEY)[1:-1].replace("/", "\\/"),
    ]
    lines = [
        f'{{"custom_id": "{number}", "response": {{"status_code": 200, "body": {{"text": "key {each}."}}}}}}'
        for number, each in enumerate(spelled)
    ]
    assert all(json.loads(line)["response"]["body"]["text"] == f"key {KEY}." for line in lines)
    stored = Stored()
    rows = {str(number): cast(Any, object()) for number in range(len(lines))}
    batch = OutBatch(1, "m", len(lines), 0, rows, 0.0, 1.0)
    fetch = Fetch(batch, cast(Any, None), cast(Any, stored), Tally(), (KEY,))
    await fetch.store(io.BytesIO("\n".join(lines).encode() + b"\n"), output=True, going=lambda: True)
    assert len(stored.rows) == len(lines)
    for row, raw in stored.rows:
        assert row.body == {"text": "key [redacted]."}
        assert json.loads(raw)["response"]["body"] == row.body
