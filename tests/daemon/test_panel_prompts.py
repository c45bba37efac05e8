"""What the teachers of a panel are sent over HTTP, word for word: three members, three rounds, one question."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.daemon.site import query, run_to_end

QUESTION = "Ann has 3 apples and buys 4. How many does she have?"
SAID = {
    "small-a": ("First I count: 3 and 4 are 8.\nAnswer: 8", "They say 7, so I count again: 7.\nAnswer: 7", "7 it is.\nAnswer: 7"),
    "small-b": ("3 + 4 = 7.\nAnswer: 7", "Still 3 + 4 = 7.\nAnswer: 7", "I am sure.\nAnswer: 7"),
    "small-c": (f"{'So long. ' * 8}3 times 4 is 12.\nAnswer: 12", "I keep 12.\nAnswer: 12", "7 then.\nAnswer: 7"),
}  # fmt: skip
"""What each answers by round; nobody agrees before the third."""
CHARACTERS = 60
FORM = "one last line of the form\nAnswer: X\nwhere X is a number in digits, and nothing else."
FIRST = f"{QUESTION}\n\nThink step by step. Then end with {FORM}"
CONFIG = """\
[tasks.sums]
source = "sums.jsonl"
answer = "number"
[[plans]]
name = "panel"
strategy = "brainstorm"
teachers = ["small-a", "small-b", "small-c"]
rounds = 3
peer_characters = {characters}
"""


class _Recording(BaseHTTPRequestHandler):
    """Answers by model and round, and keeps each request."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server: Any = self.server
        with server.lock:
            turn = sum(each["model"] == body["model"] for each in server.bodies)
            server.bodies.append(body)
        message = {"role": "assistant", "content": SAID[body["model"]][turn]}
        answer = {
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18},
        }
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@contextmanager
def recording() -> Iterator[Any]:
    """A server on a free port; `bodies` are the requests, in the order of their arrival."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Recording)
    server.bodies, server.lock = [], threading.Lock()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def sampled(folder: Path) -> list[dict[str, Any]]:
    """The requests that a daemon sends for one question."""
    with recording() as server:
        url = f"http://127.0.0.1:{server.server_port}/v1"
        teachers = "".join(f'[teachers.{name}]\nbase_url = "{url}"\nmodel = "{name}"\n' for name in SAID)
        (folder / "config.toml").write_text(teachers + CONFIG.format(characters=CHARACTERS))
        row = {"question": QUESTION, "answer": "7", "split": "train"}
        (folder / "sums.jsonl").write_text(json.dumps(row) + "\n")
        code, output = run_to_end(folder)
        assert code == 0, output
        return list(server.bodies)


def kept(text: str) -> str:
    """The end of a peer's text, as its length allows."""
    return text if len(text) <= CHARACTERS else f"…{text[1 - CHARACTERS :]}"


def prompt(member: str, turn: int) -> str:
    """The prompt of a member in a round, written anew: the others' texts of the round before in order, its own once."""
    if turn == 0:
        return FIRST
    peers = [kept(texts[turn - 1]) for name, texts in SAID.items() if name != member]
    told = "\n\n".join(f"Solution {number}:\n{text}" for number, text in enumerate(peers, 1))
    return (
        f"{QUESTION}\n\nYour last answer:\n{SAID[member][turn - 1]}\n\nOthers were asked the same question. Their solutions:\n\n{told}"
        f"\n\nSolutions can be wrong, yours too. Compare them, and think again step by step. Then end with {FORM}"
    )


def test_each_member_is_sent_the_others_answers_of_the_round_before(tmp_path: Path) -> None:
    bodies = sampled(tmp_path)
    by_member = {name: [each for each in bodies if each["model"] == name] for name in SAID}
    for name, own in by_member.items():
        assert [each["messages"] for each in own] == [
            [{"role": "user", "content": prompt(name, turn)}] for turn in range(3)
        ]
    rounds = [[name for name in by_member for _ in range(1)] for _ in range(3)]
    assert [
        sorted(each["model"] for each in bodies[3 * turn : 3 * turn + 3]) for turn in range(3)
    ] == rounds, "nobody is asked again before all have answered"
    assert (
        query(tmp_path, "SELECT extracted, verdict, flags FROM sample ORDER BY id")
        == [("7", 1, '["consensus"]')] * 3
    )


if __name__ == "__main__":  # prints them: python -m tests.daemon.test_panel_prompts FOLDER
    for number, each in enumerate(sampled(Path(sys.argv[1]))):
        sys.stdout.write(
            f"--- round {number // 3 + 1}, {each['model']}\n{each['messages'][0]['content']}\n\n"
        )
