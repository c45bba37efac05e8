from __future__ import annotations

import io
import json

import pytest

from daemon.batches.batch_files import lines_of, spool
from engine.config import TeacherConfig
from engine.teachers.batch_client import BatchClient
from engine.teachers.messages import Message, Request

pytestmark = pytest.mark.anyio

ASK = Request(messages=(Message("user", "2 + 2?"),))


async def test_a_file_holds_as_many_requests_as_fit_in_order_and_at_least_one() -> None:
    config = TeacherConfig.model_validate(
        {"model": "m", "base_url": "http://localhost/v1", "dialect": "openai-batch"}
    )
    async with BatchClient(config) as client:
        requests = [(f"a{n}", ASK) for n in range(5)]
        length = len(client.line(ASK, "a0"))
        for room, count in ((10**9, 5), (3 * length, 3), (3 * length + 1, 3), (4 * length - 1, 3), (1, 1)):
            made = spool(client, requests, room)
            with made.file as file:
                lines = file.read().splitlines(keepends=True)
            assert (made.lines, made.size) == (count, count * length) == (len(lines), sum(map(len, lines)))
            assert [json.loads(line)["custom_id"] for line in lines] == [f"a{n}" for n in range(count)]


@pytest.mark.parametrize(
    ("raw", "lines"),
    [
        (b"", []),
        (b"a\nb\r\n\nc", [b"a", b"b", b"c"]),
        (b"a\n" + b"x" * 25 + b"\nb\n", [b"a", b"b"]),  # longer than a line may be
        (b"x" * 25, []),
        (b"123456789\n" * 7, [b"123456789"] * 7),
    ],
)
def test_lines_come_some_at_a_time(raw: bytes, lines: list[bytes]) -> None:
    file = io.BytesIO(raw)
    read = []
    while part := lines_of(file, 2, 12):
        assert len(part) <= 2
        read += part
    assert read == lines
