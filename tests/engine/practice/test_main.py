from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def start(*flags: str, **options) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "engine.practice", "--port", "0", *flags]
    return subprocess.Popen(
        command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options
    )


def test_it_says_where_it_is_and_ends_with_its_parent() -> None:
    with start("--exit-with-parent") as process:
        assert process.stdout is not None and process.stdin is not None
        url = json.loads(process.stdout.readline())["url"]
        with urllib.request.urlopen(f"{url}/models", timeout=30) as answer:
            assert json.load(answer)["data"]
        process.stdin.close()
        assert process.wait(30) == 0
        assert process.stdout.read() == ""


def test_it_ends_on_a_signal_and_keeps_its_ledger(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    with start("--ledger", str(ledger), "--latency-ms", "0") as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        request = urllib.request.Request(f"{url}/completions", data=b"{}", headers={"X-Request-Id": "r1"})
        try:
            urllib.request.urlopen(request, timeout=30)
        except urllib.error.HTTPError as error:
            assert error.code == 400
            error.close()
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(30) == 0
    assert json.loads(ledger.read_text())["request_id"] == "r1"


def test_a_mistake_is_one_line_and_exit_code_2() -> None:
    with start("--fault", "bogus=1", stderr=subprocess.PIPE) as process:
        _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert err.startswith("fault 'bogus': unknown; known: reset") and err.count("\n") == 1


def test_it_imports_no_training_library() -> None:
    code = "import sys, engine.practice.__main__, engine.tasks; print([m for m in ('torch', 'transformers', 'deepspeed', 'pyarrow') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
