"""`coterie init`: what it writes passes `coterie check` up to the key, and nothing is overwritten."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

import pytest

from daemon.cli.init import ORDER
from daemon.cli.starters import STARTERS
from engine.config import load_config
from engine.grading.formats import FORMATS
from engine.teachers.dialects import DIALECTS
from tests.daemon.site import coterie

KEYS = {"OPENAI_API_KEY": "sk-test", "ANTHROPIC_API_KEY": "sk-test"}


def rows(path: Path, *golds: str, question: str = "Q") -> None:
    lines = [json.dumps({"question": f"{question} {n}?", "answer": gold}) for n, gold in enumerate(golds * 3)]
    path.write_text("\n".join(lines))


@pytest.mark.parametrize("name", STARTERS)
def test_what_is_written_passes_check_up_to_the_key(tmp_path: Path, name: str) -> None:
    done = coterie(tmp_path, "init", name)
    assert done.returncode == 0, done.stderr
    starter = STARTERS[name]
    if starter.key_env:
        assert f"export {starter.key_env}=…" in done.stdout
        unset = dict.fromkeys(KEYS, "")
        refused = coterie(tmp_path, "check", env=unset)
        assert refused.returncode == 2 and starter.key_env in refused.stderr
    checked = coterie(tmp_path, "check", env=KEYS)
    assert checked.returncode == 0, checked.stderr
    assert "estimate: about " in checked.stdout and "warning" not in checked.stdout
    assert "needs one request" not in checked.stdout
    plans = load_config(tmp_path / "config.toml").plans
    chat = DIALECTS[starter.dialect].chat and not starter.builtin
    assert {plan.strategy for plan in plans} == {"zero-shot-cot-chat" if chat else "zero-shot-cot"}


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("mine")
    done = coterie(tmp_path, "init", "openai")
    assert done.returncode == 2 and "config.toml exists, and is left as it is" in done.stderr
    assert file.read_text() == "mine"
    assert coterie(tmp_path, "init", "-c", "new/other.toml").returncode == 0
    assert (tmp_path / "new" / "other.toml").exists()


@pytest.mark.parametrize(
    ("golds", "answer"),
    [
        (("yes", "no", "no"), "yes_no"),
        (("12", "3,400", "-5"), "number"),
        (("03/04/2015", "12/24/2014", "01/01/2001"), "date"),
        (("Paris", "a river", "blue"), "text"),
        ((r"\\frac{1}{2}", "3", r"\\sqrt{2}"), "math"),
    ],
)
def test_the_answer_format_is_the_first_that_reads_every_gold_answer(
    tmp_path: Path, golds: tuple[str, ...], answer: str
) -> None:
    rows(tmp_path / "My Data.jsonl", *golds)
    assert coterie(tmp_path, "init", "--data", "My Data.jsonl", "--student", "none").returncode == 0
    written = tomllib.loads((tmp_path / "config.toml").read_text())
    assert written["tasks"] == {"my_data": {"source": "My Data.jsonl", "answer": answer}}
    assert "students" not in written
    assert coterie(tmp_path, "check").returncode == 0


def test_choices_are_seen_by_their_options(tmp_path: Path) -> None:
    rows(tmp_path / "quiz.jsonl", "A", "B", "A", question="Which?\n(A) one\n(B) two\nSay")
    assert coterie(tmp_path, "init", "--data", "quiz.jsonl").returncode == 0
    assert tomllib.loads((tmp_path / "config.toml").read_text())["tasks"]["quiz"]["answer"] == "choice"
    assert set(ORDER) == set(FORMATS)


def test_paths_are_relative_to_the_file_that_is_written(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    rows(tmp_path / "data" / "q.jsonl", "1", "2")
    assert coterie(tmp_path, "init", "--data", "data/q.jsonl", "-c", "runs/one.toml").returncode == 0
    written = tomllib.loads((tmp_path / "runs" / "one.toml").read_text())
    assert written["tasks"]["q"]["source"] == os.path.join("..", "data", "q.jsonl")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--data", "nothing.jsonl"), "nothing.jsonl: no such file. Expected a file of questions"),
        (("--data", "builtin:coins"), "unknown built-in task; there are "),
        (("--data", "hf:someone/thing"), "say how its answers are read: --answer "),
        (("--data", "bad.jsonl"), "bad.jsonl"),
        (("--student", "builtin:huge"), "unknown; there are builtin:nano"),
        (("opneai",), "did you mean openai?"),
    ],
)
def test_what_cannot_be_written_names_the_alternatives(
    tmp_path: Path, argv: tuple[str, ...], said: str
) -> None:
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n')
    done = coterie(tmp_path, "init", *argv)
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert not (tmp_path / "config.toml").exists()


def test_a_chat_model_that_is_asked_in_two_steps_is_noticed(tmp_path: Path) -> None:
    coterie(tmp_path, "init", "openai")
    file = tmp_path / "config.toml"
    file.write_text(file.read_text().replace("zero-shot-cot-chat", "zero-shot-cot"))
    said = coterie(tmp_path, "check", env=KEYS).stdout
    assert "note: plans.diverse: strategy zero-shot-cot sends two requests" in said
    assert 'strategy = "zero-shot-cot-chat" needs one request' in said
    file.write_text(file.read_text().replace('dialect = "openai-chat"', 'dialect = "openai-completions"'))
    assert "needs one request" not in coterie(tmp_path, "check", env=KEYS).stdout
