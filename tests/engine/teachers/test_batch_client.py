"""The Batch API's calls, against a real server on loopback."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from tempfile import TemporaryFile

import pytest
from aiohttp import web
from pydantic import SecretStr

from engine.config import TeacherConfig
from engine.teachers.batch_api import BatchInfo
from engine.teachers.batch_client import BatchClient
from engine.teachers.failures import Failure
from tests.engine.practice.serving import STEP1, teacher
from tests.engine.teachers.conftest import ASK, FaultServer

pytestmark = pytest.mark.anyio

KEY = SecretStr("sk-canary-0123456789")
BATCH = {
    "id": "batch_1",
    "status": "validating",
    "created_at": 1_700_000_000,
    "metadata": {"coterie_batch": "m1"},
}


def config(url: str, **settings: object) -> TeacherConfig:
    return TeacherConfig.model_validate(
        {"model": "practice-large", "base_url": url, "dialect": "openai-batch", **settings}
    )


@pytest.fixture
async def api(faults: FaultServer) -> AsyncIterator[BatchClient]:
    async with BatchClient(config(faults.url), max_download=4096) as client:
        yield client


async def test_a_whole_batch_with_the_practice_server_and_a_large_file() -> None:
    async with teacher(batch_seconds=0.1) as school, BatchClient(config(school.url)) as client:
        body = {"model": "practice-large", "messages": [{"role": "user", "content": STEP1}]}
        rows = [
            {"custom_id": f"a{n}", "method": "POST", "url": "/v1/chat/completions", "body": body}
            for n in range(3)
        ]
        rows[0]["body"] = {**body, "metadata": {"x": "y" * 6_000_000}}  # above the limit of a single request
        file = TemporaryFile()
        file.write(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
        file.seek(0)
        with file:
            file_id = await client.upload(file, "x.jsonl", key=None)
        assert isinstance(file_id, str)
        made = await client.create(file_id, "m1", key=None)
        assert isinstance(made, BatchInfo) and made.mark == "m1"
        found = await client.find("m1", 0.0, key=None)
        assert isinstance(found, BatchInfo) and found.id == made.id
        assert await client.find("m2", 0.0, key=None) is None
        while isinstance(info := await client.look(made.id, key=None), BatchInfo) and not info.ended:
            pass
        assert isinstance(info, BatchInfo) and (info.status, info.completed) == ("completed", 3)
        with TemporaryFile() as output:
            assert await client.download(info.output_file_id or "", output, key=None) is None
            output.seek(0)
            assert sorted(json.loads(line)["custom_id"] for line in output) == ["a0", "a1", "a2"]
        assert await client.forget(file_id, key=None) is None
        gone = await client.forget(file_id, key=None)
        assert isinstance(gone, Failure) and gone.status == 404


async def test_what_is_sent(faults: FaultServer, api: BatchClient) -> None:
    faults.says(json.dumps(BATCH))
    await api.create("file-1", "m1", key=KEY)
    headers, body = faults.seen[0]
    assert faults.paths == ["/v1/batches"]
    assert headers["Authorization"] == "Bearer sk-canary-0123456789"
    assert headers["Idempotency-Key"] == "m1" and headers["Content-Type"] == "application/json"
    assert json.loads(body)["metadata"] == {"coterie_batch": "m1"}
    faults.says('{"id": "file-1"}')
    assert await api.upload(io.BytesIO(b"{}\n"), "m1.jsonl", key=KEY) == "file-1"
    headers, body = faults.seen[1]
    assert headers["Content-Type"].startswith("multipart/form-data; boundary=")
    assert b'name="purpose"' in body and b"batch" in body and b'filename="m1.jsonl"' in body
    line = json.loads(api.line(ASK, "a1"))
    assert line["custom_id"] == "a1" and line["body"]["max_tokens"] == 64


async def test_omitted_fields_are_left_out_of_lines(faults: FaultServer) -> None:
    async with BatchClient(config(faults.url, omit=["temperature"])) as client:
        assert "temperature" not in json.loads(client.line(ASK, "a1"))["body"]


async def test_a_redirect_is_not_followed_with_the_key(
    faults: FaultServer, elsewhere: FaultServer, api: BatchClient
) -> None:
    elsewhere.says("{}")
    faults.says("", status=307, location=elsewhere.url)
    for got in (
        await api.look("batch_1", key=KEY),
        await api.upload(io.BytesIO(b"{}\n"), "x", key=KEY),
        await api.download("file-1", io.BytesIO(), key=KEY),
    ):
        assert isinstance(got, Failure) and got.kind == "parked" and "redirected" in got.reason
    assert elsewhere.paths == []


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, '{"error": {"message": "slow"}}', "limited"),
        (429, '{"error": {"code": "insufficient_quota"}}', "parked"),
        (401, '{"error": {"message": "sk-canary-0123456789 is wrong"}}', "parked"),
        (503, "", "transient"),
        (400, '{"error": {"message": "no"}}', "permanent"),
        (200, "<html>", "malformed"),
        (200, "[]", "malformed"),
    ],
)
async def test_failures_are_classified_as_those_of_requests(
    faults: FaultServer, api: BatchClient, status: int, body: str, kind: str
) -> None:
    faults.says(body, status=status, Retry_After="7")
    got = await api.create("file-1", "m1", key=KEY)
    assert isinstance(got, Failure) and got.kind == kind
    assert "canary" not in got.reason
    assert got.retry_after_s == (7.0 if kind in ("limited", "transient") else None)
    assert isinstance(await api.ping(key=KEY), Failure)


async def test_no_connection_is_told_from_a_lost_answer(faults: FaultServer, api: BatchClient) -> None:
    async def cut(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    faults.handler = cut
    lost = await api.create("file-1", "m1", key=KEY)
    assert isinstance(lost, Failure) and (lost.kind, lost.reached) == ("ambiguous", True)
    async with BatchClient(config("http://127.0.0.1:9/v1")) as nobody:
        refused = await nobody.create("file-1", "m1", key=KEY)
    assert isinstance(refused, Failure) and not refused.reached


async def test_a_list_is_read_page_by_page_until_it_is_too_old(faults: FaultServer, api: BatchClient) -> None:
    pages = [[{**BATCH, "id": f"b{page}-{n}", "metadata": None, "created_at": 1_000_000 - page * 50_000} for n in range(2)]
             for page in range(9)]  # fmt: skip
    asked = []

    async def listed(request: web.Request) -> web.Response:
        asked.append(request.query.get("after"))
        return web.json_response({"data": pages[len(asked) - 1], "has_more": True})

    faults.handler = listed
    assert await api.find("m1", 1_000_000, key=KEY) is None
    assert asked == [None, "b0-1", "b1-1"]  # the third page is more than a day too old
    asked.clear()
    pages[1][0]["metadata"] = {"coterie_batch": "m1"}
    found = await api.find("m1", 1_000_000, key=KEY)
    assert isinstance(found, BatchInfo) and found.id == "b1-0"


async def test_a_file_larger_than_the_bound_is_refused(faults: FaultServer, api: BatchClient) -> None:
    faults.says(b"x" * 5000)
    into = io.BytesIO()
    got = await api.download("file-1", into, key=KEY)
    assert isinstance(got, Failure) and got.kind == "malformed" and len(into.getvalue()) <= 4096


async def test_a_full_disk_is_not_the_connection_s_fault(faults: FaultServer, api: BatchClient) -> None:
    class Full(io.BytesIO):
        def write(self, piece: object) -> int:
            raise OSError(28, "No space left on device")

    faults.says(b"x\n")
    with pytest.raises(OSError, match="No space left"):
        await api.download("file-1", Full(), key=KEY)


async def test_a_query_of_the_base_url_is_kept(faults: FaultServer) -> None:
    async with BatchClient(config(f"{faults.url}?api-version=1")) as client:
        faults.says('{"data": []}')
        assert await client.find("m1", 0.0, key=None) is None
    assert faults.paths == ["/v1/batches?api-version=1&limit=100"]
