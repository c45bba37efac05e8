"""Reads server-sent events from bytes as they arrive, and puts the response together.

Lines may end in LF, CRLF or CR, and may be split anywhere, even within a character. Comments, `id:` and `retry:` are
skipped. `data:` is read with and without a space behind it; several lines of it are one event, or one each where a
server forgets the empty lines. A line of bare JSON is an event too: some gateways write errors that way.
"""

from __future__ import annotations

import codecs
import json
import re

from engine.teachers.decode import decode_json
from engine.teachers.dialects.streaming import Assembly
from engine.teachers.failures import MalformedAnswer

HEAD = 8
"""Bytes that show whether a body is a stream of events."""

_EVENTS = re.compile(rb"(?:data|event|id|retry)?:")
_DONE = b"[DONE]"


def looks_like_events(head: bytes) -> bool | None:
    """Whether a body that begins like this is a stream of events; None: more of it is needed."""
    head = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if codecs.BOM_UTF8.startswith(head):  # nothing yet, or a part of the mark
        return None
    if _EVENTS.match(head):
        return True
    return None if len(head) < HEAD and b"event:data:id:retry:".find(head) >= 0 else False


class EventStream:
    """One response that comes as events."""

    __slots__ = ("_data", "_held", "_name", "_pending", "_ready", "_started", "assembly", "done")

    def __init__(self, assembly: Assembly) -> None:
        self.assembly = assembly
        self.done = False
        """Whether the server said that nothing follows."""
        self._pending: list[bytes] = []
        self._held = b""
        self._data: list[bytes] = []
        self._name = b""
        self._ready: list[bytes] = []
        self._started = False

    @property
    def complete(self) -> bool:
        """Whether the response is whole, so that the end of the connection is no loss."""
        return self.done or self.assembly.ended or self.assembly.whole

    def feed(self, chunk: bytes) -> None:
        """Takes more bytes.

        Raises:
            MalformedAnswer: an event is not JSON.
        """
        if self._held:
            chunk, self._held = self._held + chunk, b""
        if not self._started:
            self._started = True
            chunk = chunk.removeprefix(codecs.BOM_UTF8)
        if b"\r" in chunk:
            if chunk.endswith(b"\r"):  # its LF may follow
                chunk, self._held = chunk[:-1], b"\r"
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if b"\n" not in chunk:
            self._pending.append(chunk)
            return
        first, *lines = chunk.split(b"\n")
        self._line(b"".join((*self._pending, first)) if self._pending else first)
        last = lines.pop()
        for line in lines:
            self._line(line)
        self._pending = [last] if last else []
        if self._ready:
            self._decode()

    def close(self) -> None:
        """The body ended: the last event may lack its empty line, or be cut off."""
        rest = b"".join(self._pending)
        self._pending = []
        try:
            if rest:
                self._line(rest)
            self._dispatch()
            self._decode()
        except MalformedAnswer:
            return  # cut off within an event

    def raw(self) -> bytes:
        """The response so far, as the body of one that is not streamed."""
        payload = self.assembly.payload()
        try:
            return json.dumps(payload, ensure_ascii=False).encode()
        except (
            UnicodeEncodeError
        ):  # half of a character that was split between two events, or a lone surrogate
            return json.dumps(payload).encode()

    def _line(self, line: bytes) -> None:
        if not line:
            if self._data:
                self._dispatch()
            self._name = b""
        elif line.startswith(b"data:"):
            data = line[6:] if line[5:6] == b" " else line[5:]
            if self._data and data[:1] in (b"{", b"[") and self._data[-1].endswith(b"}"):
                self._dispatch()  # the empty line is missing
            self._data.append(data)
        elif line.startswith(b"event:"):
            self._name = line[6:].strip()
        elif line[:1] == b"{":
            self._data.append(line)

    def _dispatch(self) -> None:
        """An event is complete."""
        data, self._data = self._data, []
        if len(data) == 1:
            self._take(data[0])
            return
        self._decode()
        try:
            payload = decode_json(b"\n".join(data)) if data else None
        except MalformedAnswer:
            for each in data:
                self._take(each)
            return
        self._event(payload)

    def _take(self, data: bytes) -> None:
        """The data of one event; what is not JSON keeps a connection alive."""
        if data[:1] == b"{" and not self._name:
            self._ready.append(data)
            return
        data = data.strip()
        if data == _DONE:
            self.done = True
        elif data[:1] in (b"{", b"["):
            self._decode()
            self._event(decode_json(data))

    def _decode(self) -> None:
        """Decodes the events that are here, in one go: that takes half the time of one by one."""
        ready, self._ready = self._ready, []
        if len(ready) > 1:
            try:
                payloads = decode_json(b"[%b]" % b",".join(ready))
            except MalformedAnswer:
                payloads = None
            if isinstance(payloads, list) and len(payloads) == len(ready):
                for payload in payloads:
                    self._event(payload)
                return
        for each in ready:
            self._event(decode_json(each))

    def _event(self, payload: object) -> None:
        if isinstance(payload, list) and payload:  # Google wraps errors in a list
            payload = payload[0]
        if not isinstance(payload, dict):
            return
        event: dict[str, object] = payload
        if self._name == b"error" and not event.get("error"):
            event = {"error": payload}
        self.assembly.add(event)
