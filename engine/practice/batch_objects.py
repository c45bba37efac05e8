"""OpenAI's File and Batch objects, and the checks of an input file's lines."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

WINDOW_S = 86_400


@dataclass(slots=True)
class File:
    """An uploaded file, or a result file of a batch."""

    id: str
    name: str
    purpose: str
    content: bytes
    created_at: int

    def as_json(self) -> dict[str, Any]:
        """In OpenAI's form."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.content),
            "created_at": self.created_at,
            "filename": self.name,
            "purpose": self.purpose,
            "status": "processed",
            "expires_at": None,
        }


@dataclass(slots=True)
class Batch:
    """A batch and its progress."""

    id: str
    number: int
    input_file_id: str
    endpoint: str
    metadata: dict[str, str]
    times: dict[str, int]
    fault: str = ""
    status: str = "validating"
    total: int = 0
    completed: int = 0
    failed: int = 0
    output: list[bytes] = field(default_factory=list)
    error_lines: list[bytes] = field(default_factory=list)
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """In OpenAI's form."""
        names = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "input_file_id": self.input_file_id,
            "completion_window": "24h",
            "status": self.status,
            "created_at": self.times["created"],
            "expires_at": self.times["created"] + WINDOW_S,
            **{f"{name}_at": self.times.get(name) for name in names},
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            "errors": {"object": "list", "data": self.errors} if self.errors else None,
            "request_counts": {"total": self.total, "completed": self.completed, "failed": self.failed},
            "metadata": self.metadata or None,
        }


def check_line(
    line: bytes, endpoint: str, seen: set[str], rows: list[dict[str, Any]]
) -> tuple[str, str, str] | None:
    """The error in a line as code, message and field; a valid line is appended to `rows` and returns None."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return "invalid_json_line", "This line is not parseable as valid JSON.", ""
    if not isinstance(row, dict) or not isinstance(row.get("custom_id"), str):
        return "invalid_request", "'custom_id' must be a string.", "custom_id"
    if row["custom_id"] in seen:
        return "duplicate_custom_id", f"The custom_id {row['custom_id'][:64]!r} is used twice.", "custom_id"
    if row.get("method") != "POST":
        return "invalid_method", "'method' must be POST.", "method"
    if row.get("url") != endpoint:
        return "mismatched_url", f"The url of this line is not the batch's endpoint {endpoint}.", "url"
    if not isinstance(row.get("body"), dict):
        return "invalid_request", "'body' must be an object.", "body"
    seen.add(row["custom_id"])
    rows.append(row)
    return None
