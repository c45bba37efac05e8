"""The server's ledger: one entry for each request, with what was answered and billed. Tests check clients against it.

The last 200,000 entries are kept in memory. With a file, each entry is also one line, written at once: it survives a crash
of the server, but not of the machine.
"""

from __future__ import annotations

import json
import os
from collections import deque
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from engine.errors import UsageError

KEPT = 200_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One request.

    `n` counts entries from 0; `received_at` is UTC milliseconds. `answered`: the full body was written to the socket.
    `billed`: its tokens count as paid, those of the prompt once for all its `choices`. `sha256` is the digest of the full
    body, even if it was not sent.
    """

    n: int
    request_id: str
    received_at: int
    model: str
    path: str
    status: int
    answered: bool
    billed: bool
    prompt_tokens: int
    completion_tokens: int
    sha256: str
    fault: str
    choices: int = 0


class Ledger:
    """The entries, in the order in which requests ended."""

    def __init__(self, path: Path | None = None) -> None:
        """Opens the file, if one is given.

        Raises:
            UsageError: the file cannot be written.
        """
        self._entries: deque[Entry] = deque(maxlen=KEPT)
        self._count = 0
        self._file: int | None = None
        if path is not None:
            try:
                self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            except OSError as error:
                raise UsageError(f"--ledger {path}: cannot be written: {error.strerror}") from None

    def __len__(self) -> int:
        return self._count

    def add(
        self,
        *,
        request_id: str,
        received_at: int,
        model: str,
        path: str,
        status: int,
        answered: bool,
        billed: bool = False,
        tokens: tuple[int, int] = (0, 0),
        sha256: str = "",
        fault: str = "",
        choices: int = 0,
    ) -> None:
        """Writes an entry. `tokens` are those of prompt and completion; they count only if the request was billed."""
        entry = Entry(
            n=self._count,
            request_id=request_id,
            received_at=received_at,
            model=model,
            path=path,
            status=status,
            answered=answered,
            billed=billed,
            prompt_tokens=tokens[0] if billed else 0,
            completion_tokens=tokens[1] if billed else 0,
            sha256=sha256,
            fault=fault,
            choices=choices if billed else 0,
        )
        self._count += 1
        self._entries.append(entry)
        if self._file is not None:
            os.write(self._file, json.dumps(asdict(entry)).encode() + b"\n")

    def since(self, n: int) -> list[Entry]:
        """The entries whose number is at least `n`."""
        first = self._count - len(self._entries)
        return list(islice(self._entries, max(0, n - first), None))

    def close(self) -> None:
        """Syncs the file to disk and closes it."""
        if self._file is not None:
            os.fsync(self._file)
            os.close(self._file)
            self._file = None
