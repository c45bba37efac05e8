"""OpenAI's files, as far as batches need them. They are kept in memory and are lost when the server ends.

POST /v1/files    GET /v1/files[/ID[/content]]    DELETE /v1/files/ID
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from aiohttp import BodyPartReader, web

from engine.practice.apis.base import Json, Refusal
from engine.practice.batch_objects import File

MOST_BYTES = 200 * 1000 * 1000
LONGEST_PAGE = 10_000


class Listed(Protocol):
    """What is shown in a list."""

    @property
    def id(self) -> str:
        """Its id."""

    def as_json(self) -> Json:
        """In OpenAI's form."""


L = TypeVar("L", bound=Listed)


class FileStore:
    """The files and their handlers."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._files: dict[str, File] = {}
        self._count = 0

    def routes(self) -> list[tuple[str, str, Callable[[web.Request], Any]]]:
        """Methods, paths and handlers."""
        return [
            ("POST", "/files", self._upload),
            ("GET", "/files", self._list),
            ("GET", "/files/{id}", self._show),
            ("GET", "/files/{id}/content", self._content),
            ("DELETE", "/files/{id}", self._delete),
        ]

    def get(self, key: object) -> File | None:
        """The file with this id."""
        return self._files.get(key) if isinstance(key, str) else None

    def keep(self, name: str, purpose: str, content: bytes) -> File:
        """Adds a file."""
        count = self._count  # of all there ever were: a deleted file's id is not given again
        self._count += 1
        key = f"file-{count:06d}-{random.Random(f'{self._seed}{count}').getrandbits(48):012x}"
        self._files[key] = File(key, name, purpose, content, int(time.time()))
        return self._files[key]

    async def _upload(self, request: web.Request) -> web.Response:
        if not request.content_type.startswith("multipart/"):
            raise Refusal(400, "The file must come as multipart/form-data.")
        purpose, name, content = "", "", b""
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                continue
            if part.name == "purpose":
                purpose = await part.text()
            elif part.name == "file":
                name, content = part.filename or "", await _whole(part)
        if purpose != "batch":
            raise Refusal(400, "'purpose' must be 'batch' here.", param="purpose")
        return web.json_response(self.keep(name, "batch", content).as_json())

    def _file(self, request: web.Request) -> File:
        file = self.get(request.match_info["id"])
        if file is None:
            raise Refusal(404, f"No such File object: {request.match_info['id'][:100]}", param="id")
        return file

    async def _list(self, request: web.Request) -> web.Response:
        purpose = request.query.get("purpose")
        files = [file for file in self._files.values() if purpose in (None, file.purpose)]
        if request.query.get("order") != "asc":
            files.reverse()
        return web.json_response(page(request, files, LONGEST_PAGE))

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response(self._file(request).as_json())

    async def _content(self, request: web.Request) -> web.Response:
        return web.Response(body=self._file(request).content, content_type="application/octet-stream")

    async def _delete(self, request: web.Request) -> web.Response:
        key = self._file(request).id
        del self._files[key]
        return web.json_response({"id": key, "object": "file", "deleted": True})


def page(request: web.Request, rows: Sequence[L], default: int) -> Json:
    """One page of a list in OpenAI's form, from the query's `after` and `limit`.

    Raises:
        Refusal: 400, the limit is not a number of rows.
    """
    after, limit = request.query.get("after"), request.query.get("limit", str(default))
    if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit[:9]) <= LONGEST_PAGE:
        raise Refusal(400, f"'limit' must be a whole number from 1 to {LONGEST_PAGE}.", param="limit")
    if after:
        ids = [row.id for row in rows]
        rows = rows[ids.index(after) + 1 :] if after in ids else []
    shown = rows[: int(limit)]
    return {
        "object": "list",
        "data": [row.as_json() for row in shown],
        "first_id": shown[0].id if shown else None,
        "last_id": shown[-1].id if shown else None,
        "has_more": len(rows) > len(shown),
    }


async def _whole(part: BodyPartReader) -> bytes:
    """The content of an uploaded file, which may be larger than other bodies."""
    chunks: list[bytes] = []
    size = 0
    while chunk := await part.read_chunk(1024 * 1024):
        size += len(chunk)
        if size > MOST_BYTES:
            raise Refusal(413, "File is too large.")
        chunks.append(bytes(chunk))
    return b"".join(chunks)
