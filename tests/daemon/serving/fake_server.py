"""Stands for the server of a student: `fake_server.py RUN_DIR NAME PORT --with-parent`. Writes down each start and each question.

A file `ends` in the run directory makes it end at once.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

directory = Path(sys.argv[1])


def note(what: str) -> None:
    with (directory.parent / "notes.txt").open("a") as file:
        file.write(f"{directory.name} {what}\n")


note(f"start {os.getpid()}")
if (directory / "ends").exists():
    sys.stderr.write("no memory\n")
    sys.exit(7)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        note(f"asked {asked['messages'][0]['content']}")
        said = {"role": "assistant", "content": " because --> yes END"}
        body = json.dumps(
            {
                "model": asked["model"],
                "choices": [{"index": 0, "message": said, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 4},
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def end_with_parent() -> None:
    while os.read(0, 100):
        pass
    note("end")
    os._exit(0)


threading.Thread(target=end_with_parent, daemon=True).start()
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
sys.stdout.write(f"serving at http://127.0.0.1:{server.server_address[1]}/v1\n")
sys.stdout.flush()
server.serve_forever()
