"""The files of a batch: writes its input and reads its output line by line, with bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import BinaryIO

from engine.teachers.batch_api import MOST_BYTES
from engine.teachers.batch_client import BatchClient
from engine.teachers.client import MAX_BODY
from engine.teachers.messages import Request


@dataclass(frozen=True, slots=True)
class InputFile:
    """An input file, ready to be read, with its number of lines and bytes."""

    file: BinaryIO
    lines: int
    size: int


def spool(
    client: BatchClient, requests: list[tuple[str, Request]], most_bytes: int = MOST_BYTES
) -> InputFile:
    """Writes an input file of as many requests as fit, in order; at least the first one.

    Args:
        client: formats a line.
        requests: the custom id and the request of each line.
        most_bytes: the size limit of the file.

    Raises:
        OSError: the disk is full.
    """
    file = TemporaryFile()  # without a name: it disappears with the process
    try:
        size = lines = 0
        for request_id, request in requests:
            line = client.line(request, request_id)
            if lines and size + len(line) > most_bytes:
                break
            file.write(line)
            size, lines = size + len(line), lines + 1
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return InputFile(file, lines, size)


def lines_of(file: BinaryIO, count: int, most_bytes: int = MAX_BODY) -> list[bytes]:
    """The next `count` lines of a file, fewer where they are long; an empty list at its end.

    A line longer than `most_bytes` is skipped: no answer is that long.
    """
    lines: list[bytes] = []
    held = 0
    while len(lines) < count and held < most_bytes:
        line = file.readline(most_bytes)
        if not line:
            break
        if len(line) == most_bytes and not line.endswith(b"\n"):
            while (rest := file.readline(most_bytes)) and not rest.endswith(b"\n"):
                pass
            continue
        if line.strip():
            lines.append(line.rstrip(b"\r\n"))
            held += len(line)
    return lines
