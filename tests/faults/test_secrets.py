"""Canary keys, by every way in which a key is given, echoed by the teacher: no output of any kind holds one."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import zlib
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

from engine.students.launch import free_port
from tests.daemon.site import ENV, ROOT, coterie, count, daemon, query, wait_until
from tests.faults.fault_server import Asked, body, fault_server, refuses, says

KEYS = {
    "a": "sk-canary-environment-1",
    "b": "sk-canary-variables-2",
    "c": "sk-canary-file-3",
    "header": "sk-canary-header-4",
    "named-header": "sk-canary-named-5",
    "query": "sk-canary-query-6",
    "named-query": "sk-canary+named/query=7",
    "proxy": "sk-canary-password-8",
    "address": "sk-canary-signature-9",
}
"""One secret for each place in which it can stand, by the name of its teacher."""
QUESTIONS = 8
STUDENT = """
[[students]]
name = "cot"
train_at = ["complete"]
training = { steps = 2 }
evaluation = { dev_evaluations = 0, max_new_tokens = 4 }
"""


ENVIRONMENT = {"A_KEY": KEYS["a"], "SOME_TOKEN": KEYS["a"]}


def configure(folder: Path, url: str, port: int) -> None:
    """A teacher for each place; the last file is a key's."""
    rows = "".join(
        json.dumps({"question": f"What is {n}?", "answer": "4", "split": split}) + "\n"
        for split in ("train", "test")
        for n in (range(QUESTIONS) if split == "train" else range(100, 102))
    )
    (folder / "sums.jsonl").write_text(rows)
    for name, text in (("keys.env", f"B_KEY={KEYS['b']}\n{named(url)}"), ("key", KEYS["c"])):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(text)
    given = {
        "a": 'api_key_env = "A_KEY"',
        "b": 'api_key_env = "B_KEY"',
        "c": 'api_key_file = "key"',
        "header": f'headers = {{ X-Gateway = "{KEYS["header"]}" }}',
        "named-header": 'headers = { Authorization = "Token env:HEADER_KEY" }',
        "query": "",
        "named-query": "",
        "proxy": 'proxy = "env:PROXY_URL"',
        "address": "",
    }
    queries = {"query": f"?api-version=1&api-key={KEYS['query']}", "named-query": "?code=env:QUERY_KEY"}
    urls = {name: f"{url}/{name}/v1{queries.get(name, '')}" for name in given} | {"address": "env:ADDRESS"}
    text = f'[daemon]\nenv_file = "keys.env"\nhttp = "127.0.0.1:{port}"\n[tasks.sums]\nsource = "sums.jsonl"\nanswer = "number"\ndev = 0\n'
    for name, key in given.items():
        text += (
            f'[teachers.{name}]\nbase_url = "{urls[name]}"\nmodel = "{name}"\n{key}\n'
            f'[[plans]]\nname = "{name}"\nteachers = ["{name}"]\nstrategy = "zero-shot-cot-chat"\nrationales = 1\n'
        )
    (folder / "config.toml").write_text(text)


def named(url: str) -> str:
    """The variables that configured values refer to."""
    address = f"{url}/address/v1?sig={KEYS['address']}"
    values = {"HEADER_KEY": KEYS["named-header"], "QUERY_KEY": KEYS["named-query"], "ADDRESS": address}
    values["PROXY_URL"] = f"http://someone:{KEYS['proxy']}@{url.removeprefix('http://')}"
    return "".join(f"{name}={value}\n" for name, value in values.items())


def basic(key: str) -> str:
    """A password as a proxy is sent it."""
    return base64.b64encode(f"someone:{key}".encode()).decode()


async def echoes(request, asked: Asked):  # type: ignore[no-untyped-def]
    """The key in an error, in the answer, in JSON's other spelling, in a header, and all that was sent."""
    key = KEYS[asked.teacher]
    sent = f"{request.rel_url} {dict(request.query)} {dict(request.headers)}"
    assert key in sent or basic(key) in sent, "the key was not used"
    if asked.number == 1:
        return await refuses(500, f"cannot bill {key} {sent}")(request, asked)
    raw = json.dumps(body(f"My key is {key}, spelled KEY. {sent}\nAnswer: 4", model=key))
    raw = raw.replace("KEY", key.replace("-", "\\u002d"))
    return await says(raw.encode(), headers={"X-Request-Id": f"r-{quote(key)}"})(request, asked)


def outputs(folder: Path) -> dict[str, str]:
    """Everything that a user or a program can see."""
    commands = [
        ["status"],
        ["status", "--json"],
        ["check"],
        ["report", "-o", "report-folder"],
        *(["export", what] for what in ("samples", "attempts", "dataset", "predictions", "runs", "events")),
    ]
    found = {" ".join(argv): coterie(folder, *argv, env=ENVIRONMENT) for argv in commands}
    for ran in found.values():
        assert ran.returncode == 0, ran.stderr
    monitor = subprocess.Popen(
        [sys.executable, "-m", "tui", "--plain", "--interval", "30"],
        cwd=folder,
        env=ENV,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert monitor.stdout is not None
    line = monitor.stdout.readline()
    monitor.kill()
    monitor.communicate()
    return {said: ran.stdout + ran.stderr for said, ran in found.items()} | {"tui --plain": line}


def test_a_student_that_comes_by_sighup_is_trained_and_nothing_holds_a_key(tmp_path: Path) -> None:
    with fault_server() as served:
        served.does = dict.fromkeys(KEYS, echoes)
        port = free_port()
        configure(tmp_path, served.url, port)
        with daemon(tmp_path, env=ENVIRONMENT, anew=True) as running:
            wait_until(
                "all is stored",
                lambda: count(tmp_path, "sample", "state = 'stored'") == len(KEYS) * QUESTIONS,
            )
            with (tmp_path / "config.toml").open("a") as file:
                file.write(STUDENT)
            running.process.send_signal(signal.SIGHUP)
            wait_until("it trains", lambda: count(tmp_path, "run", "pid IS NOT NULL"))
            (pid,) = query(tmp_path, "SELECT pid FROM run")[0]
            served_text = [
                urlopen(f"http://127.0.0.1:{port}/{page}").read() for page in ("metrics", "healthz")
            ]
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            arguments = Path(f"/proc/{running.process.pid}/cmdline").read_bytes()
            wait_until("it is trained", lambda: count(tmp_path, "run", "state = 'done'"))
            assert "configuration reloaded: students.cot (new)" in running.output()
            running.terminate()
            assert running.wait() == 130, running.output()
        assert {asked.teacher for asked in served.asked} == set(KEYS)
    assert str(ROOT).encode() in environment
    shown = outputs(tmp_path)
    assert shown["export samples"].count("My key is [redacted], spelled [redacted].") == len(KEYS) * QUESTIONS
    for name in ("keys.env", "key", "config.toml"):
        (tmp_path / name).unlink()
    bodies = [zlib.decompress(raw) for (raw,) in query(tmp_path, "SELECT raw FROM completion")]
    assert len(bodies) == len(KEYS) * QUESTIONS and b"[redacted]" in bodies[0]
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    names = {path.name for path in files}
    assert {"state.db", "daemon.jsonl", "output.txt", "report.md", "log.txt", "spec.json"} <= names
    assert {"manifest.jsonl", "model.safetensors"} <= names
    secrets = {each for key in KEYS.values() for each in (key, quote(key, safe=""), basic(key))}
    for key in secrets:
        assert key.encode() not in environment + arguments + b"".join(served_text)
        for said, text in shown.items():
            assert key not in text, said
        for raw in bodies:
            assert key.encode() not in raw and key not in json.dumps(json.loads(raw))
        for path, data in files.items():
            assert key.encode() not in data, path
