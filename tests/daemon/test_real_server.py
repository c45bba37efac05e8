"""The daemon against a server that is not ours: `transformers serve` with a tiny model made from a configuration.

Its answers are noise; what counts is that its API is somebody else's. It takes one request at a time, gives usage,
refuses fields that it does not know, and says nothing when it is asked for several choices: one comes.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.daemon.site import query, run_to_end, wait_until

pytestmark = pytest.mark.skipif(
    not (find_spec("fastapi") and find_spec("uvicorn")), reason="transformers serve needs fastapi and uvicorn"
)

TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
WORDS = "Q: A coin is heads up. Ada flips the coin. Is it still heads up? A: Let's think step by step. yes no"


def make_model(folder: Path) -> None:
    """A Llama of some 20,000 random parameters, with a tokenizer and a chat template."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<pad>", "<eos>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([WORDS], trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<pad>")
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(fast),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=512,
            bos_token_id=1,
            eos_token_id=1,
            pad_token_id=0,
        )
    )
    model.generation_config.do_sample = True
    model.save_pretrained(folder)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Base URL and model of a running server."""
    folder = tmp_path_factory.mktemp("server")
    make_model(folder / "model")
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    argv = ["-m", "transformers.cli.transformers", "serve", str(folder / "model")]
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *argv, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:

        def healthy() -> bool:
            assert process.poll() is None, (folder / "log.txt").read_text()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False

        wait_until("transformers serve answers", healthy, 120.0)
        yield f"http://127.0.0.1:{port}/v1", str(folder / "model")
    finally:
        process.kill()
        process.wait()


def configure(folder: Path, url: str, model: str, *, dialect: str, teacher: str = "", plan: str = "") -> None:
    """A few questions, two rationales each."""
    with (folder / "coins.jsonl").open("w") as rows:
        for number in range(4):
            question = f"A coin is heads up. Ada flips the coin {number} times. Is it still heads up?"
            row = {"id": f"c{number}", "question": question, "answer": "no" if number % 2 else "yes"}
            rows.write(json.dumps({**row, "split": "train"}) + "\n")
    (folder / "config.toml").write_text(
        f"""
[teachers.other]
base_url = "{url}"
model = "{model}"
dialect = "{dialect}"
concurrency = 4
usd_per_million_input = 1.0
usd_per_million_output = 2.0
{teacher}

[tasks.coins]
source = "coins.jsonl"
answer = "yes_no"

[[plans]]
name = "diverse"
rationales = 2
max_tokens = 12
answer_max_tokens = 4
{plan}
"""
    )


@pytest.mark.parametrize("dialect", ["openai-chat", "openai-completions"])
def test_two_turns_with_usage_a_seed_and_stop_strings(tmp_path: Path, server, dialect: str) -> None:
    configure(tmp_path, *server, dialect=dialect, plan='seed = 7\nstop = ["zzz"]')
    code, output = run_to_end(tmp_path)
    assert code == 0, output
    assert query(tmp_path, "SELECT stored = wanted, stored >= 6 FROM plan") == [(1, 1)]
    rows = query(
        tmp_path,
        "SELECT a.turn, a.prompt_tokens, a.completion_tokens, a.cost_micros, a.estimated, a.request_id, a.provider_id"
        " FROM attempt a WHERE a.outcome = 'ok'",
    )
    for turn, prompt, completion, cost, estimated, ours, theirs in rows:
        assert not estimated and prompt > 20
        assert 1 <= completion <= (4 if turn else 12)
        assert cost == prompt + 2 * completion
        assert ours == theirs, "it gives the id that was sent along back"
    assert len(query(tmp_path, "SELECT DISTINCT rationale FROM sample")) > 1


def test_it_gives_one_choice_for_several_and_all_come_all_the_same(tmp_path: Path, server) -> None:
    plan = 'strategy = "zero-shot-cot-chat"\nper_request = 2\nlogprobs = 2'
    configure(tmp_path, *server, dialect="openai-chat", plan=plan)
    code, output = run_to_end(tmp_path)
    assert code == 0, output
    assert query(tmp_path, "SELECT stored = wanted, stored >= 6 FROM plan") == [(1, 1)]
    ok = query(tmp_path, "SELECT count(*) FROM attempt WHERE outcome = 'ok'")[0][0]
    assert [(ok, ok)] == query(tmp_path, "SELECT requests, answered FROM teacher"), (
        "something was asked for twice"
    )
    assert query(tmp_path, "SELECT stored FROM plan") == [(ok,)]
    (told,) = query(tmp_path, "SELECT message FROM event WHERE kind = 'AskedOneByOne'")
    assert "the answer had 1 of 2 choices" in told[0]
    assert query(tmp_path, "SELECT count(*) FROM logprob") == [(0,)], "it gives no log-probabilities"


def test_a_field_that_it_does_not_know_is_told_before_much_is_asked(tmp_path: Path, server) -> None:
    configure(tmp_path, *server, dialect="openai-chat", teacher="extra_body = { frob = 1 }")
    code, output = run_to_end(tmp_path)
    assert code == 1 or "frob" in output
    reasons = {reason for (reason,) in query(tmp_path, "SELECT reason FROM attempt")}
    assert any("Unexpected fields" in (reason or "") for reason in reasons), reasons
    assert query(tmp_path, "SELECT sum(spent_micros) FROM teacher") == [(0,)]
