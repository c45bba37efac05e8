"""The examples: each is checked whole, and its sampling runs against a server on this machine."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.daemon.site import ROOT, coterie, count, query, run_to_end, teacher

EXAMPLES = ROOT / "examples"
WRITTEN = ("openai", "openai-batch", "anthropic", "vllm")
KEYS = {"OPENAI_API_KEY": "sk-test", "ANTHROPIC_API_KEY": "sk-test"}


@pytest.mark.parametrize("name", WRITTEN)
def test_an_example_is_what_init_writes(tmp_path: Path, name: str) -> None:
    shutil.copy(EXAMPLES / "questions.jsonl", tmp_path)
    done = coterie(tmp_path, "init", name, "--data", "questions.jsonl", "-c", "example/config.toml")
    assert done.returncode == 0, done.stderr
    written = (tmp_path / "example" / "config.toml").read_text()
    assert written == (EXAMPLES / name / "config.toml").read_text()
    checked = coterie(tmp_path, "check", "-c", "example/config.toml", env=KEYS)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("name", WRITTEN)
def test_an_example_samples_from_a_server_of_its_kind(tmp_path: Path, name: str) -> None:
    shutil.copy(EXAMPLES / "questions.jsonl", tmp_path)
    folder = tmp_path / "example"
    folder.mkdir()
    text = (EXAMPLES / name / "config.toml").read_text().partition("[[students]]")[0]
    with teacher(tmp_path, "--latency-ms", "2", "--error-rate", "0", "--batch-seconds", "0.1") as server:
        text = re.sub(r'base_url = ".*"', f'base_url = "{server.url}"', text)
        text = re.sub(r'model = ".*"', 'model = "practice-large"', text)
        if name == "openai-batch":
            text = text.replace("[tasks.", "batch_poll_seconds = 0.2\n\n[tasks.", 1)
        (folder / "config.toml").write_text(text)
        code, output = run_to_end(folder, env=KEYS)
    assert code == 0, output
    stored = 27 * 4 + 10  # of 30 training questions a tenth are dev
    assert query(folder, "SELECT sum(stored), sum(failed) FROM plan") == [(stored, 0)]
    assert count(folder, "sample", "verdict = 1") == stored


def test_the_offline_example_samples_and_is_checked(tmp_path: Path) -> None:
    text = (EXAMPLES / "real" / "config.toml").read_text()
    (tmp_path / "config.toml").write_text(re.sub(r'base = ".*"', 'base = "builtin:nano"', text))
    checked = coterie(tmp_path, "check")
    assert checked.returncode == 0 or "builtin" in checked.stderr, checked.stderr
    text = text.partition("# What training makes of the base")[0]
    (tmp_path / "config.toml").write_text(re.sub(r"(train|test) = \d+", r"\1 = 6", text))
    code, output = run_to_end(tmp_path)
    assert code == 0, output
    assert query(tmp_path, "SELECT sum(stored) FROM plan") == [(2 * (6 * 4 + 6),)]
