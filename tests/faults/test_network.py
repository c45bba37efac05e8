"""A network that is gone for a while, with real sockets: what a person sees, and that it costs no attempt.

Two hours of it are in `tests/simulation/test_outages.py`, in virtual time; a name that is never found and an address
where nobody listens are in `test_answers.py`.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from tests.daemon.ledgers import check_promise
from tests.daemon.site import Teacher, configure, coterie, count, daemon, query, wait_until


def shown(folder: Path) -> dict[str, Any]:
    """The teacher, as `coterie status --json` tells it."""
    status = json.loads(coterie(folder, "status", "--json").stdout)
    return dict(status["teachers"][0])


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_a_network_that_goes_and_comes_back_costs_no_attempt(tmp_path: Path) -> None:
    port = free_port()
    first = Teacher(tmp_path, "--port", str(port), "--latency-ms", "50")
    configure(tmp_path, first.url, train=30, teacher="concurrency = 4", strategy="zero-shot-cot-chat")
    with daemon(tmp_path, "--until-idle") as running:
        wait_until("some are stored", lambda: count(tmp_path, "sample", "state = 'stored'") >= 5)
        first.stop()
        gone = f"no connection to 127.0.0.1:{port}: Connection refused"
        wait_until("it cools", lambda: gone in running.output(), 60)
        seen = wait_until("status tells it", lambda: (now := shown(tmp_path))["state"] == "cooling" and now)
        assert seen["reason"] == gone
        assert f"! teacher school is failing: {gone}" in coterie(tmp_path, "status").stdout
        back = Teacher(tmp_path, "--port", str(port))  # the same ledger
        try:
            assert running.wait() == 0, running.output()
        finally:
            back.stop()
        assert "school answers again, after" in running.output()
        assert query(tmp_path, "SELECT sum(attempts) FROM sample") == [(0,)]
        assert query(tmp_path, "SELECT sum(failed), sum(wanted) - sum(stored) FROM plan") == [(0, 0)]
        check_promise(tmp_path, back.ledger())


def test_a_name_that_is_not_found_for_a_while_costs_nothing(tmp_path: Path) -> None:
    configure(tmp_path, "http://api.no-such-host.invalid/v1", train=4, teacher="concurrency = 2")
    said = "cannot resolve the host 'api.no-such-host.invalid'"
    with daemon(tmp_path) as running:
        wait_until("it is told", lambda: f"school keeps failing: {said}" in running.output())
        seen = wait_until("status tells it", lambda: (now := shown(tmp_path))["state"] == "cooling" and now)
        assert seen["reason"] == said
        running.terminate()
        assert running.wait() == 130
    assert query(tmp_path, "SELECT sum(attempts), sum(unknowns), sum(cost_micros) FROM sample") == [(0, 0, 0)]
