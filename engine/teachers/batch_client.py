"""The Batch API over HTTP: upload, create, poll, find again, download.

Invariants, as in `client.py`: the key is sent only to the configured URL and redirects are not followed; bodies are
bounded; files are streamed from and to disk, whatever their size. Each call returns its result or a `Failure`, and
raises only on cancellation (and OSError for the caller's own file).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import BinaryIO, TypeVar

import aiohttp
import anyio.to_thread
from pydantic import SecretStr
from yarl import URL

from engine.config import TeacherConfig
from engine.teachers.batch_api import (
    BatchInfo,
    create_body,
    input_line,
    read_batch,
    read_file_id,
    read_page,
)
from engine.teachers.classify import classify_exception, classify_status
from engine.teachers.client import TeacherClient
from engine.teachers.decode import decode_json
from engine.teachers.endpoint import Endpoint
from engine.teachers.failures import Failure, MalformedAnswer
from engine.teachers.messages import Request
from engine.teachers.patience import Wait
from engine.teachers.receive import collect

T = TypeVar("T")

MOST_DOWNLOAD = 8 * 1024**3
"""Maximum bytes of a decompressed output file."""
PIECE = 1024 * 1024
PAGE = 100
MOST_PAGES = 200
SKEW_S = 86_400
"""A batch created this long before ours was recorded cannot be ours, even if clocks are wrong."""


class BatchClient(TeacherClient):
    """The connections to one Batch API; opened and closed like a `TeacherClient`."""

    def __init__(
        self,
        config: TeacherConfig,
        *,
        base_url: str | None = None,
        at: Endpoint | None = None,
        max_download: int = MOST_DOWNLOAD,
    ) -> None:
        """Opens no connection yet; needs a running event loop.

        Raises:
            ConfigError: the URL is invalid, or a header contains a line break.
        """
        super().__init__(config, base_url=base_url, at=at)
        self._max_download = max_download

    def line(self, request: Request, custom_id: str) -> bytes:
        """A request as a line of an input file."""
        _, body = self._compose(request)
        return input_line(custom_id, body, request.replicates if self.config.builtin else ())

    async def upload(self, file: BinaryIO, name: str, *, key: SecretStr | None) -> str | Failure:
        """Uploads an input file from its current position; returns the file's id."""
        boundary = uuid.uuid4().hex
        with aiohttp.MultipartWriter("form-data", boundary=boundary) as form:
            form.append("batch").set_content_disposition("form-data", name="purpose")
            part = form.append(file, {"Content-Type": "application/jsonl"})
            part.set_content_disposition("form-data", name="file", filename=name)
            headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
            return await self._ask(
                "POST",
                "/files",
                read_file_id,
                key=key,
                data=form,
                headers=headers,
            )

    async def create(self, input_file_id: str, mark: str, *, key: SecretStr | None) -> BatchInfo | Failure:
        """Creates a batch from an uploaded file; `mark` is stored with it, so that `find` finds it."""
        body = json.dumps(create_body(input_file_id, mark)).encode()
        return await self._ask(
            "POST", "/batches", read_batch, key=key, data=body, headers={"Idempotency-Key": mark}
        )

    async def look(self, batch_id: str, *, key: SecretStr | None) -> BatchInfo | Failure:
        """The batch's current state."""
        return await self._ask("GET", f"/batches/{batch_id}", read_batch, key=key)

    async def find(self, mark: str, since: float, *, key: SecretStr | None) -> BatchInfo | Failure | None:
        """The batch with our mark, or None.

        Args:
            mark: the mark it was created with.
            since: Unix time in seconds when it was recorded; much older batches are not searched.
            key: the API key.
        """
        after = ""
        for _ in range(MOST_PAGES):
            query = {"limit": str(PAGE)} | ({"after": after} if after else {})
            got = await self._ask("GET", "/batches", read_page, key=key, query=query)
            if isinstance(got, Failure):
                return got
            page, more = got
            for info in page:
                if info.mark == mark:
                    return info
            if not more or not page or min(info.created_at for info in page) < since - SKEW_S:
                return None
            after = page[-1].id
        return None

    async def ping(self, *, key: SecretStr | None) -> Failure | str:
        """Lists batches, which costs nothing; on success, what that showed, in words."""
        got = await self._ask("GET", "/batches", read_page, key=key, query={"limit": "1"})
        return got if isinstance(got, Failure) else "batches can be listed"

    async def forget(self, file_id: str, *, key: SecretStr | None) -> Failure | None:
        """Deletes an uploaded file."""
        got = await self._ask("DELETE", f"/files/{file_id}", _anything, key=key)
        return got if isinstance(got, Failure) else None

    async def download(self, file_id: str, into: BinaryIO, *, key: SecretStr | None) -> Failure | None:
        """Writes a file's content to `into`, which the caller then reads.

        Raises:
            OSError: `into` cannot be written.
        """

        async def save(response: aiohttp.ClientResponse, wait: Wait) -> None:
            size, held = 0, bytearray()
            async for chunk in response.content.iter_any():
                wait.hear()
                size += len(chunk)
                if size > self._max_download:
                    response.close()
                    raise MalformedAnswer(f"the file is larger than {self._max_download} bytes")
                held += chunk
                if len(held) >= PIECE:
                    await _write(into, bytes(held))
                    held.clear()
            await _write(into, bytes(held))

        got = await self._ask(
            "GET", f"/files/{file_id}/content", _anything, key=key, headers={"Accept": "*/*"}, save=save
        )
        return got if isinstance(got, Failure) else None

    async def _ask(
        self,
        method: str,
        path: str,
        read: Callable[[object], T],
        *,
        key: SecretStr | None,
        data: object = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        save: Callable[[aiohttp.ClientResponse, Wait], Awaitable[None]] | None = None,
    ) -> T | Failure:
        """One call: its body as `read` parses it, or the failure."""
        secret = key.get_secret_value() if key is not None else ""
        secrets = self.secrets(key)
        sent = {"X-Request-Id": uuid.uuid4().hex, **(headers or {}), **self._authorization(secret)}
        url = self._url(path).update_query(query or {})
        try:
            with self._patience.wait() as wait:
                async with self._session.request(
                    method, url, data=data, headers=sent, allow_redirects=False
                ) as response:
                    status, received = response.status, response.headers
                    good = 200 <= status < 300
                    raw = b""
                    if good and save is not None:
                        await save(response, wait)
                    else:
                        raw = await collect(response, wait, self._max_body)
            if wait.expired:
                raise TimeoutError
            if not good:
                return classify_status(status, received, raw, wall=self._wall(), secrets=secrets)
            return read(None if save is not None else decode_json(raw))
        except _Own as error:
            raise error.inner from None
        except (aiohttp.ClientError, MalformedAnswer, TimeoutError, OSError, UnicodeError) as error:
            return classify_exception(error, secrets=secrets)

    def _authorization(self, secret: str) -> dict[str, str]:
        if not secret:
            return {}
        bearer = self._key_header.lower() == "authorization"
        return {self._key_header: f"Bearer {secret}" if bearer else secret}

    def _url(self, path: str) -> URL:
        return self._base.joinpath(path.lstrip("/")).with_query(self._base.query)


class _Own(Exception):
    """An error of the caller's file, not of the connection."""

    def __init__(self, inner: OSError) -> None:
        super().__init__()
        self.inner = inner


async def _write(into: BinaryIO, piece: bytes) -> None:
    if not piece:
        return
    try:
        await anyio.to_thread.run_sync(partial(into.write, piece))
    except OSError as error:
        raise _Own(error) from None


def _anything(payload: object) -> None:
    return None
