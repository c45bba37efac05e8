"""A stand-in for the API of a model hub: the calls that huggingface_hub makes for an upload, kept in memory.

Files under 1 kB arrive in the commit, larger ones through Git LFS: batch, upload, verification. `answer` says what a call gets
instead, to test errors.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SMALL = 1000
TOKEN = "hf_" + "tok" * 8


@dataclass
class Repository:
    private: bool
    branches: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"main": {}})
    heads: dict[str, str] = field(default_factory=lambda: {"main": "0" * 40})
    messages: list[str] = field(default_factory=list)


class Hub:
    """Repositories by kind and name, blobs by digest, and every call, as "METHOD path"."""

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.calls: list[str] = []
        self.tokens: set[str | None] = set()
        self.answer: Callable[[str], int | None] = lambda call: None
        self.url = ""

    def handle(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """The status and JSON of a call."""
        if (method, path) == ("POST", "/api/repos/create"):
            return self._create(json.loads(body))
        if (method, path) == ("POST", "/api/validate-yaml"):
            return (200, {"errors": [], "warnings": []})
        if found := re.fullmatch(r"/lfs/([0-9a-f]{64})", path):
            if hashlib.sha256(body).hexdigest() != found[1]:
                return 400, {"error": "other bytes"}
            self.blobs[found[1]] = body
            return 200, {}
        if path == "/verify":
            known = self.blobs.get(json.loads(body)["oid"], b"")
            return (200 if len(known) == json.loads(body)["size"] else 404), {}
        if found := re.fullmatch(r"/(datasets/)?([\w.-]+/[\w.-]+)\.git/info/lfs/objects/batch", path):
            return 200, {"objects": [self._lfs(each) for each in json.loads(body)["objects"]]}
        found = re.fullmatch(r"/api/(model|dataset)s/([\w.-]+/[\w.-]+)(?:/(\w+)/([^/]+))?", path)
        repository = self.repositories.get((found[1], found[2])) if found else None
        if found is None or repository is None:
            return 404, {"error": "Repository not found"}
        verb, branch = found[3] or "revision", found[4] or "main"
        if verb == "branch":
            repository.branches[branch] = dict(repository.branches["main"])
            repository.heads[branch] = repository.heads["main"]
            return 200, {}
        if verb == "revision":
            return 200, {"id": found[2], "sha": repository.heads[branch], "private": repository.private}
        files = repository.branches[branch]
        if verb == "preupload":
            return 200, {"files": [self._mode(each, files) for each in json.loads(body)["files"]]}
        assert verb == "commit", path
        header, *changes = map(json.loads, body.splitlines())
        for change in changes:
            value = change["value"]
            small = change["key"] == "file"
            files[value["path"]] = base64.b64decode(value["content"]) if small else self.blobs[value["oid"]]
        repository.messages.append(header["value"]["summary"])
        repository.heads[branch] = hashlib.sha1(body + repository.heads[branch].encode()).hexdigest()
        return 200, {
            "commitUrl": f"{self.url}/{found[2]}/commit/{repository.heads[branch]}",
            "commitOid": repository.heads[branch],
        }

    def _create(self, wanted: dict[str, Any]) -> tuple[int, Any]:
        name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
        kind = wanted.get("type") or "model"
        answer = {"url": f"{self.url}/{'datasets/' if kind == 'dataset' else ''}{name}"}
        if (kind, name) in self.repositories:
            return 409, answer
        self.repositories[kind, name] = Repository(wanted.get("visibility") == "private")
        return 200, answer

    def _mode(self, wanted: dict[str, Any], files: dict[str, bytes]) -> dict[str, Any]:
        content, small = files.get(wanted["path"]), wanted["size"] < SMALL
        oid = None
        if content is not None:
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content)
            oid = (blob if small else hashlib.sha256(content)).hexdigest()
        mode = "regular" if small else "lfs"
        return {"path": wanted["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid}

    def _lfs(self, wanted: dict[str, Any]) -> dict[str, Any]:
        if wanted["oid"] in self.blobs:
            return wanted
        places = {"upload": f"{self.url}/lfs/{wanted['oid']}", "verify": f"{self.url}/verify"}
        return wanted | {"actions": {name: {"href": href} for name, href in places.items()}}


@contextmanager
def hub_server() -> Iterator[Hub]:
    """Serves one on loopback."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            path = self.path.partition("?")[0]
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            call = f"{self.command} {path}"
            hub.calls.append(call)
            # Storage has its own authorization, and the library asks about itself without a token.
            if not path.startswith(("/lfs/", "/api/agent-harnesses")):
                hub.tokens.add(self.headers.get("Authorization"))
            status = hub.answer(call)
            code, answer = (
                (status, {"error": f"no, {TOKEN}"}) if status else hub.handle(self.command, path, body)
            )
            data = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = respond

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
