"""A new dialect is one new file: a copy of the program with that file added speaks it, from configuration to client."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

DIALECT = '''
from __future__ import annotations

from collections.abc import Mapping

from engine.teachers.dialects.base import BodyFields, Dialect, DialectSettings
from engine.teachers.dialects.paths import merge
from engine.teachers.dialects.shared import settled
from engine.teachers.failures import MalformedAnswer
from engine.teachers.messages import Completion, Request


class Settings(DialectSettings):
    throwaway_tier: int = 1
    """Service tier."""

    @property
    def price_share(self) -> float:
        return self.throwaway_tier / 4


def build(request: Request, model: str, extra_body: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    body: dict[str, object] = {
        "contents": [{"parts": [{"text": message.content} for message in request.messages]}],
        "generationConfig": {
            "maxOutputTokens": request.max_tokens,
            "temperature": request.temperature,
            "stopSequences": list(request.stop),
        },
    }
    merge(body, extra_body)
    return f"/models/{model}:generate", body


def parse(payload: object, request: Request) -> list[Completion]:
    if not isinstance(payload, dict) or "candidate" not in payload:
        raise MalformedAnswer("no candidate")
    text = str(payload["candidate"])
    return [Completion(text=text, usage=settled(request, [text], prompt=3, completion=5))]


DIALECT = Dialect(
    name="throwaway",
    api="An API that wraps its sampling parameters",
    build=build,
    parse=parse,
    fields=BodyFields(
        token_limit="generationConfig.maxOutputTokens",
        reserved=("contents", "generationConfig.candidateCount"),
        streaming=("generationConfig.live",),
        parameters={"temperature": "generationConfig.temperature", "stop": "generationConfig.stopSequences"},
    ),
    key_header="x-throwaway-key",
    headers={"x-version": "7"},
    settings=Settings,
    supports_n=True,
)
'''

SCRIPT = """
import asyncio, json, sys
from pathlib import Path

from aiohttp import web
from pydantic import SecretStr

from engine.config import document, load_config
from engine.errors import ConfigError
from engine.teachers.dialects import dialect, read_stored
from engine.teachers.messages import Message, Request
from engine.teachers.transport import make_client

FOLDER = Path(sys.argv[1])
HEAD = '[teachers.a]\\nbase_url = "URL"\\nmodel = "m"\\n'
PLAN = '\\n[[plans]]\\nname = "p"\\n'


def load(text):
    (FOLDER / "config.toml").write_text(text)
    return load_config(FOLDER / "config.toml")


def said(lines, dialect="throwaway", plan=""):
    try:
        load(f'{HEAD}dialect = "{dialect}"\\n{lines}{PLAN if plan else ""}{plan}'.replace("URL", "http://x/v1"))
    except ConfigError as error:
        return error.message.replace(f"{FOLDER}/", "")
    return ""


async def ask():
    seen = {}

    async def handle(request):
        seen.update(path=request.path, body=await request.json(), headers=dict(request.headers))
        return web.json_response({"candidate": "Four."})

    app = web.Application()
    app.router.add_post("/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    lines = 'dialect = "throwaway"\\nomit = ["temperature"]\\nthrowaway_tier = 2\\n'
    extra = "extra_body = { generationConfig = { topK = 40 } }\\n"
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    config = load((HEAD + lines + extra).replace("URL", url)).teachers["a"]
    async with make_client(config) as client:
        request = Request(messages=(Message("user", "2 + 2?"),), temperature=0.7, max_tokens=64, stop=("END",))
        answer = await client.send(request, request_id="r-1", key=SecretStr("sk-1"))
    await runner.cleanup()
    stored = read_stored({"candidate": "Four."}, 0, request, "openai-chat").text
    return seen, answer.completions[0].text, config.settings.price_share, stored


seen, text, share, stored = asyncio.run(ask())
tables = {
    "module": dialect("throwaway").build.__code__.co_filename,
    "seen": seen,
    "text": text,
    "share": share,
    "stored": stored,
    "documented": [line for line in document.document().splitlines() if "throwaway" in line],
    "messages": {
        "limit": said("extra_body = { generationConfig = { maxOutputTokens = 9000 } }"),
        "whole": said("extra_body = { generationConfig = 5 }"),
        "n": said("extra_body = { generationConfig = { candidateCount = 2 } }"),
        "live": said("extra_body = { generationConfig = { live = true } }"),
        "omit": said('omit = ["stop"]\\nextra_body = { generationConfig = { stopSequences = ["x"] } }'),
        "good": said(""),
        "typo": said("throwaway_teir = 2"),
        "type": said('throwaway_tier = "two"'),
        "other": said("throwaway_tier = 2", dialect="openai-chat"),
        "unknown": said("", dialect="throwawai"),
        "per_request": said("", plan="per_request = 2\\n"),
        "logprobs": said("", plan="logprobs = 2\\n"),
    },
}
print(json.dumps(tables))
"""


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("program")
    for room in ("engine", "state"):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "engine" / "teachers" / "dialects" / "throwaway.py").write_text(DIALECT)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["module"].startswith(str(folder))
    return found


def test_its_requests_and_responses(result) -> None:
    seen = result["seen"]
    assert seen["path"] == "/v1/models/m:generate"
    assert seen["body"] == {
        "contents": [{"parts": [{"text": "2 + 2?"}]}],
        "generationConfig": {"maxOutputTokens": 64, "stopSequences": ["END"], "topK": 40},
    }
    assert (seen["headers"]["x-throwaway-key"], seen["headers"]["x-version"]) == ("sk-1", "7")
    assert "Authorization" not in seen["headers"]
    assert (result["text"], result["stored"], result["share"]) == ("Four.", "Four.", 0.5)


def test_its_configuration(result) -> None:
    messages = result["messages"]
    head = "config.toml:5: teachers.a.extra_body: "
    decided = "cannot be set here: the teacher's model or the plan determines it"
    assert messages == {
        "limit": f"{head}generationConfig.maxOutputTokens {decided}",
        "whole": f"{head}generationConfig {decided}",
        "n": f"{head}generationConfig.candidateCount {decided}",
        "live": f'{head}generationConfig.live cannot be used here: the teacher\'s key stream (true, false or "auto")'
        " decides how responses come; remove it",
        "omit": "config.toml:1: teachers.a: stop is in both extra_body and omit: remove one of them",
        "good": "",
        "typo": 'config.toml:5: teachers.a.throwaway_teir: unknown key; did you mean "throwaway_tier"?',
        "type": 'config.toml:5: teachers.a.throwaway_tier: expected a whole number (got "two")',
        "other": 'config.toml:1: teachers.a: throwaway_tier is only for dialect = "throwaway": remove it',
        "unknown": 'config.toml:4: teachers.a.dialect: expected "openai-chat", "anthropic-messages",'
        ' "openai-completions", "openai-responses", "throwaway" or "openai-batch" (got "throwawai");'
        ' did you mean "throwaway"?',
        "per_request": "",
        "logprobs": "config.toml:8: plans.p.logprobs: teacher a (throwaway) returns no log-probabilities: remove"
        " logprobs, or use teachers that speak openai-chat, openai-completions, openai-responses or openai-batch",
    }


def test_its_documentation(result) -> None:
    named, own, table = result["documented"]
    assert named.startswith("| `dialect` |") and '"throwaway"' in named
    assert own == "| `throwaway_tier` | whole number | `1` | `throwaway`: Service tier. |"
    assert table == "| `throwaway` | An API that wraps its sampling parameters. Supports `per_request`. |"
