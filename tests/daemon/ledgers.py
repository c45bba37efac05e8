"""Compares what the teacher's own ledger says with what was stored: the promise, checked from outside."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path
from typing import Any

from tests.daemon.site import query

EMPTY = hashlib.sha256(b"").hexdigest()


def check_promise(folder: Path, ledger: list[dict[str, Any]]) -> dict[str, int]:
    """No received completion is lost; every payment is stored, or explained by an attempt marked unknown."""
    attempts = {
        request: (outcome, raw)
        for request, outcome, raw in query(
            folder,
            "SELECT a.request_id, a.outcome, c.raw FROM attempt a LEFT JOIN completion c ON c.attempt_id = a.id"
            " WHERE a.choice = 0",
        )
    }
    ids = [entry["request_id"] for entry in ledger]
    assert len(ids) == len(set(ids)), "the teacher received a request id twice"
    billed = [entry for entry in ledger if entry["billed"]]
    stored = unknown = 0
    for entry in billed:
        assert entry["request_id"] in attempts, (
            "the teacher was asked something that was not written down first"
        )
        outcome, raw = attempts[entry["request_id"]]
        if raw is not None:
            stored += 1
            digest = hashlib.sha256(zlib.decompress(raw)).hexdigest()
            assert not entry["answered"] or digest == entry["sha256"], "a stored body is not what was sent"
        else:
            unknown += 1
            # An empty body leaves nothing to keep.
            nothing = outcome == "malformed" and entry["sha256"] == EMPTY
            assert nothing or outcome in ("unknown", None), f"a payment ended as {outcome} without its body"
    answered = {entry["request_id"] for entry in ledger if entry["answered"]}
    for request, (outcome, _) in attempts.items():
        if outcome == "ok":
            assert request in answered, "an answer was stored that the teacher never gave"
    doubled = query(
        folder,
        "SELECT sample_id, turn, count(*) FROM attempt WHERE outcome = 'ok' GROUP BY 1, 2 HAVING count(*) > 1",
    )
    assert not doubled, "a turn was paid for twice although its answer was stored"
    counters = query(
        folder,
        "SELECT (SELECT sum(spent_micros) FROM teacher), (SELECT sum(cost_micros) FROM attempt),"
        " (SELECT sum(spent_micros) FROM plan), (SELECT sum(cost_micros) FROM sample)",
    )[0]
    assert len(set(counters)) == 1, f"the accounts differ: {counters}"
    return {"billed": len(billed), "stored": stored, "unknown": unknown}
