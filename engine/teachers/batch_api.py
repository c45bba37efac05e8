"""The wire format of OpenAI's Batch API: lines of input and output files, batch objects, lists. Pure functions.

A line of the input file is `{custom_id, method, url, body}`; a line of the output is `{id, custom_id, response, error}`,
in any order. `response` holds the status and body that a single request would have received; `error` is set instead
for a request that was never executed (the batch expired or was cancelled).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.teachers.classify import classify_status
from engine.teachers.decode import clean, decode_json
from engine.teachers.dialects.shared import plain, top_of
from engine.teachers.failures import Failure, MalformedAnswer
from state.safe import safe_line

ENDPOINT = "/v1/chat/completions"
MOST_REQUESTS = 50_000
MOST_BYTES = 190 * 1000 * 1000
"""The API accepts 200 MB; the rest is left for the multipart form around the file."""
MARK = "coterie_batch"
"""The metadata key by which a batch is found again."""

NEVER_RUN = frozenset({"batch_expired", "batch_cancelled"})

Status = Literal[
    "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
]
ENDED = frozenset({"failed", "completed", "expired", "cancelled"})

Refusal = Literal["no-room", "passing", "lasting"]
_NO_ROOM = re.compile(
    r"token_limit_exceeded|enqueued token|batch queue|queue (?:limit|is full)", re.IGNORECASE
)
_PASSING = re.compile(
    r"server_error|internal[_ ]error|time.?out|unavailable|overload|try again", re.IGNORECASE
)


def input_line(custom_id: str, body: Mapping[str, object], replicates: Sequence[int] = ()) -> bytes:
    """One request as a line of the input file. `replicates` are for the built-in teacher."""
    row: dict[str, object] = {"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": body}
    if replicates:
        row["replicates"] = list(replicates)
    return json.dumps(row).encode() + b"\n"


def create_body(input_file_id: str, mark: str) -> dict[str, object]:
    """The body that creates a batch from an uploaded file."""
    return {
        "input_file_id": input_file_id,
        "endpoint": ENDPOINT,
        "completion_window": "24h",
        "metadata": {MARK: mark},
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchError:
    """One reason why a whole batch was rejected."""

    code: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchInfo:
    """A batch as the provider reports it. `created_at` is Unix time in seconds; `mark` is ours, or empty."""

    id: str
    status: str
    created_at: int
    mark: str
    output_file_id: str | None
    error_file_id: str | None
    total: int
    completed: int
    failed: int
    errors: tuple[BatchError, ...]

    @property
    def ended(self) -> bool:
        """Whether its state is final."""
        return self.status in ENDED


def refusal(errors: Sequence[BatchError]) -> tuple[Refusal, str]:
    """The kind of error that failed a whole batch, and the provider's message as one printable line.

    `no-room`: the provider's token queue is full. `passing`: a fault of the provider. `lasting`: the user must act.
    """
    said = "; ".join(f"{each.code}: {each.message}".strip(": ") for each in errors[:3])
    kind: Refusal = "no-room" if _NO_ROOM.search(said) else "passing" if _PASSING.search(said) else "lasting"
    return kind, safe_line(said)[:500] or "the provider gave no reason"


def read_batch(payload: object) -> BatchInfo:
    """Parses a batch object.

    Raises:
        MalformedAnswer: it is not a batch.
    """
    top = top_of(payload)
    key, status, created = top.get("id"), top.get("status"), top.get("created_at")
    if not isinstance(key, str) or not key or not isinstance(status, str):
        raise MalformedAnswer("the response is not a batch")
    metadata, counts = top.get("metadata"), top.get("request_counts")
    mark = metadata.get(MARK) if isinstance(metadata, dict) else None
    numbers = counts if isinstance(counts, dict) else {}
    return BatchInfo(
        id=clean(key),
        status=clean(status),
        created_at=created if isinstance(created, int) else 0,
        mark=mark if isinstance(mark, str) else "",
        output_file_id=plain(top.get("output_file_id")),
        error_file_id=plain(top.get("error_file_id")),
        total=_whole(numbers.get("total")),
        completed=_whole(numbers.get("completed")),
        failed=_whole(numbers.get("failed")),
        errors=_errors(top.get("errors")),
    )


def read_page(payload: object) -> tuple[list[BatchInfo], bool]:
    """A page of the list of batches, and whether more follow; items that are not batches are skipped.

    Raises:
        MalformedAnswer: it is not a list.
    """
    top = top_of(payload)
    rows = top.get("data")
    if not isinstance(rows, list):
        raise MalformedAnswer("the response is not a list of batches")
    found = []
    for row in rows:
        try:
            found.append(read_batch(row))
        except MalformedAnswer:
            continue
    return found, top.get("has_more") is True


def read_file_id(payload: object) -> str:
    """The id of an uploaded file.

    Raises:
        MalformedAnswer: the payload has no id.
    """
    key = plain(top_of(payload).get("id"))
    if key is None:
        raise MalformedAnswer("the response is not a file")
    return key


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of an output or error file. `body` is None if the request was never executed."""

    custom_id: str
    status: int
    body: object
    request_id: str | None
    code: str
    message: str

    @property
    def answered(self) -> bool:
        """Whether the request was executed, and so is billed."""
        return 200 <= self.status < 300

    @property
    def never_run(self) -> bool:
        """Whether the batch ended before the request was executed."""
        return not self.status and self.code in NEVER_RUN

    def failure(self, secrets: tuple[str, ...] = ()) -> Failure:
        """The failure for a row without a response."""
        if self.status:
            raw = json.dumps(self.body).encode() if self.body is not None else b""
            return classify_status(self.status, {}, raw, wall=0.0, secrets=secrets)
        what = self.message or self.code or "no answer and no error"
        return Failure(
            kind="transient", reason=safe_line(f"not executed: {what}"), reached=not self.never_run
        )


def read_row(line: bytes) -> Row:
    """Parses a line of an output or error file.

    Raises:
        MalformedAnswer: the line is not a row.
    """
    top = top_of(decode_json(line))
    custom_id = top.get("custom_id")
    if not isinstance(custom_id, str) or not custom_id:
        raise MalformedAnswer("a line has no custom_id")
    response, error = top.get("response"), top.get("error")
    response = response if isinstance(response, dict) else {}
    error = error if isinstance(error, dict) else {}
    return Row(
        custom_id=custom_id,
        status=_whole(response.get("status_code")),
        body=response.get("body"),
        request_id=plain(response.get("request_id")),
        code=plain(error.get("code")) or "",
        message=plain(error.get("message")) or "",
    )


def _errors(value: object) -> tuple[BatchError, ...]:
    rows = value.get("data") if isinstance(value, dict) else None
    return tuple(
        BatchError(code=plain(row.get("code")) or "", message=plain(row.get("message")) or "")
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict)
    )


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else 0
