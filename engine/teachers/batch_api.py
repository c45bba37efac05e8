"""OpenAI's Batch API: a file of chat completions, one a line, and files of answers; pure functions of its wire form.

The input's line is `{custom_id, method, url, body}`, the answer's `{id, custom_id, response, error}`, in any
order. `response` is the status and the body that a single request would have got; `error` stands in its
place for a request that was never executed (the batch expired, or was cancelled). A stored raw body of
this dialect is the answer's whole line. It knows no HTTP and no files.
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
"""The API takes 200 MB; some are left for the form around the file."""
MARK = "coterie_batch"
"""The metadata that a batch is found again by."""

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


def input_line(custom_id: str, body: Mapping[str, object]) -> bytes:
    """One request, as a line of the input file."""
    row = {"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": body}
    return json.dumps(row).encode() + b"\n"


def create_body(input_file_id: str, mark: str) -> dict[str, object]:
    """The body that makes a batch of an uploaded file."""
    return {
        "input_file_id": input_file_id,
        "endpoint": ENDPOINT,
        "completion_window": "24h",
        "metadata": {MARK: mark},
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchError:
    """One reason for which a batch was refused as a whole."""

    code: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchInfo:
    """A batch as the provider tells it. `created_at` is Unix seconds; `mark` is ours, or empty."""

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
        """Whether nothing more will become of it."""
        return self.status in ENDED


def refusal(errors: Sequence[BatchError]) -> tuple[Refusal, str]:
    """What the errors of a batch that failed as a whole mean, and the provider's words as one safe line.

    `no-room`: its queue of tokens is full. `passing`: its own fault. `lasting`: only a person can help.
    """
    said = "; ".join(f"{each.code}: {each.message}".strip(": ") for each in errors[:3])
    kind: Refusal = "no-room" if _NO_ROOM.search(said) else "passing" if _PASSING.search(said) else "lasting"
    return kind, safe_line(said)[:500] or "the provider gave no reason"


def read_batch(payload: object) -> BatchInfo:
    """A batch object.

    Raises:
        MalformedAnswer: it is none.
    """
    top = top_of(payload)
    key, status, created = top.get("id"), top.get("status"), top.get("created_at")
    if not isinstance(key, str) or not key or not isinstance(status, str):
        raise MalformedAnswer("the answer is no batch")
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
    """A page of the list of batches, and whether more follow; what is no batch in it is passed over.

    Raises:
        MalformedAnswer: it is no list.
    """
    top = top_of(payload)
    rows = top.get("data")
    if not isinstance(rows, list):
        raise MalformedAnswer("the answer is no list of batches")
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
        MalformedAnswer: there is none.
    """
    key = plain(top_of(payload).get("id"))
    if key is None:
        raise MalformedAnswer("the answer is no file")
    return key


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of an output or error file. `body` is None where the request was never executed."""

    custom_id: str
    status: int
    body: object
    request_id: str | None
    code: str
    message: str

    @property
    def answered(self) -> bool:
        """Whether it was executed and is billed."""
        return 200 <= self.status < 300

    @property
    def never_run(self) -> bool:
        """Whether the batch ended before its turn came."""
        return not self.status and self.code in NEVER_RUN

    def failure(self, secrets: tuple[str, ...] = ()) -> Failure:
        """What a row that was not answered means."""
        if self.status:
            raw = json.dumps(self.body).encode() if self.body is not None else b""
            return classify_status(self.status, {}, raw, wall=0.0, secrets=secrets)
        what = self.message or self.code or "no answer and no error"
        return Failure(
            kind="transient", reason=safe_line(f"not executed: {what}"), reached=not self.never_run
        )


def read_row(line: bytes) -> Row:
    """A line of an output or error file.

    Raises:
        MalformedAnswer: it is none.
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
