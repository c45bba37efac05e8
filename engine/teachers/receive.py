"""Receives the body of a response within bounds: in one piece, or as a stream of events.

Which of both it is shows in its first bytes: servers stream without being asked to, and answer in one piece though they were
asked for a stream.
"""

from __future__ import annotations

import aiohttp
import anyio

from engine.teachers.dialects.streaming import Streaming
from engine.teachers.event_stream import EventStream, looks_like_events
from engine.teachers.failures import MalformedAnswer
from engine.teachers.patience import Wait

STREAM_BODY = 8
"""A stream may have this many times the bytes of a body: each token has an envelope, and only its text is kept."""
DONE_S = 1.0
"""How long the end of a stream's body is waited for after the server said that nothing follows."""
WHOLE_S = 15.0
"""The same after the last finish reason: the usage may follow."""


async def receive(
    response: aiohttp.ClientResponse,
    wait: Wait,
    most: int,
    streaming: Streaming | None,
    choices: int,
    events: list[EventStream],
) -> bytes:
    """The decompressed body. One that is a stream of events goes into `events` as it arrives, and is empty.

    Args:
        response: the response, whose head was received.
        wait: hears of each byte.
        most: maximum bytes of a body.
        streaming: the dialect's streams; None: any body is read in one piece.
        choices: the choices that were asked for.
        events: gets the stream, if it is one.

    Raises:
        MalformedAnswer: the body is larger than the cap, or an event is not JSON; the connection is closed.
    """
    content = response.content
    head = b""
    while chunk := await content.readany():
        wait.hear()
        head = head + chunk if head else chunk
        found = False if streaming is None or head[:1] == b"{" else looks_like_events(head)
        if found is None and len(head) <= most:
            continue
        if not found or streaming is None:
            return await collect(response, wait, most, head)
        stream = EventStream(streaming.assembly())
        events.append(stream)
        try:
            await _follow(response, wait, most * STREAM_BODY, stream, head, choices)
        except MalformedAnswer:
            response.close()
            raise
        return b""
    return head


async def collect(response: aiohttp.ClientResponse, wait: Wait, most: int, head: bytes = b"") -> bytes:
    """A body in one piece that begins with `head`; never more than the cap is held in memory.

    Raises:
        MalformedAnswer: the body is larger than the cap; the connection is closed.
    """
    content = response.content
    chunks = [head] if head else []
    size = len(head)
    while size <= most and (chunk := await content.readany()):
        size += len(chunk)
        wait.hear()
        chunks.append(chunk)
    if size > most:
        response.close()
        raise MalformedAnswer(f"the response is larger than {most} bytes")
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _follow(
    response: aiohttp.ClientResponse, wait: Wait, most: int, stream: EventStream, head: bytes, choices: int
) -> None:
    """Reads events to the end of the body; once the answer is whole, the end is not waited for long.

    Raises:
        MalformedAnswer: as `receive`.
    """
    content = response.content
    size, chunk = 0, head
    while chunk:
        size += len(chunk)
        if size > most:
            raise MalformedAnswer(f"the response is larger than {most} bytes")
        wait.hear()
        stream.feed(chunk)
        ended = stream.done or stream.assembly.ended
        whole = ended or (stream.assembly.whole and stream.assembly.begun >= choices)
        try:
            if not whole:
                chunk = await content.readany()
            else:
                with anyio.fail_after(DONE_S if ended else WHOLE_S):
                    chunk = await content.readany()
        except (aiohttp.ClientError, OSError, TimeoutError):
            if not whole:
                raise
            response.close()
            return
    stream.close()
