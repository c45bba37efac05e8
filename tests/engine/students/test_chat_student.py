"""A student of a base with a chat template, trained by a real process: what it is asked and writes is what its users see."""

from __future__ import annotations

import json
import re

import pytest
from aiohttp import web

from engine.students.evaluation_server import Served, ServerFailed
from engine.students.ranks import StopFlag
from engine.students.room import Asked
from tests.engine.forms.families import FAMILIES
from tests.engine.forms.test_chat import QUESTIONS, SYSTEM, exported, opened
from tests.engine.students.runs import events, rows
from tests.lazily import Lazy

torch, transformers = Lazy("torch"), Lazy("transformers")


def test_what_decides_the_run_is_written_down(alone) -> None:
    run = alone.runs["chat"]
    assert json.loads((run / "spec.json").read_text())["form"] == {
        "type": "chat",
        "system": "",
        "reasoning": "auto",
    }
    notes = [event["message"] for event in events(run, "note")]
    assert any("learned as the template's own reasoning (reasoning_content)" in note for note in notes)


def test_a_user_s_program_sees_the_evaluated_answers(alone) -> None:
    student = alone.runs["chat"] / "student"
    model = transformers.AutoModelForCausalLM.from_pretrained(student)
    tokenizer = transformers.AutoTokenizer.from_pretrained(student)
    questions = {row.question_id: row.question for row in rows()[1]}
    lines = (alone.runs["chat"] / "predictions.jsonl").read_text().splitlines()
    assert len(lines) == len(questions)
    turn = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert model.generation_config.eos_token_id == turn
    texts = []
    for line in map(json.loads, lines[:6]):
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": questions[line["question_id"]]}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=False,
        )
        written = model.generate(ids, max_new_tokens=8)[0, ids.shape[1] :].tolist()
        texts.append(tokenizer.decode(written[: written.index(turn)] if turn in written else written))
        assert line["text"] == texts[-1]
    assert len(set(texts)) > 1


def test_the_card_s_program_runs(alone, monkeypatch, capsys) -> None:
    student = alone.runs["chat"] / "student"
    card = (student / "README.md").read_text()
    [program] = re.findall(r"```python\n(.*?)```", card, re.S)
    monkeypatch.chdir(student)
    exec(compile(program, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith(
        "<|im_start|>user\nA question?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert r"`<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n`" in card
    assert r"`<think>\n{rationale}\n</think>\n\n{answer}<|im_end|>`" in card


@pytest.mark.parametrize("name", ["nano", "gpt2", "t5", "nano-t5"])
def test_the_export_of_another_form_has_a_template_that_writes_its_prompt(alone, name) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(alone.runs[name] / "student")
    asked = [{"role": "user", "content": rows()[1][0].question}]
    mark = "" if "t5" in name else " ###"
    assert (
        tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=False)
        == tokenizer(rows()[1][0].question + mark)["input_ids"]
    )


class Loopback:
    """An OpenAI-compatible server that makes tokens as vLLM does and remembers them. It writes a think block."""

    def __init__(self, tokenizer, *, takes_ids: bool = True) -> None:
        self.tokenizer, self.takes_ids, self.seen = tokenizer, takes_ids, []

    async def completions(self, request: web.Request) -> web.Response:
        prompt = (await request.json())["prompt"]
        if isinstance(prompt, str):
            prompt = self.tokenizer(prompt)["input_ids"]
        elif not self.takes_ids:
            return web.json_response({"error": {"message": "prompt: expected a string"}}, status=400)
        self.seen.append(prompt)
        choice = {"index": 0, "text": "<think>\nSo </b>.\n</think>\n\n4", "finish_reason": "stop"}
        return web.json_response({"object": "text_completion", "choices": [choice]})

    async def chat(self, request: web.Request) -> web.Response:
        messages = (await request.json())["messages"]
        self.seen.append(
            self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        )
        message = {"role": "assistant", "content": "4"}
        return web.json_response({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})

    async def __aenter__(self) -> str:
        app = web.Application()
        app.add_routes(
            [web.post("/v1/completions", self.completions), web.post("/v1/chat/completions", self.chat)]
        )
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def __aexit__(self, *_args) -> None:
        await self._runner.cleanup()


@pytest.mark.anyio
@pytest.mark.parametrize("name", FAMILIES)
async def test_a_server_reads_the_trained_tokens_from_messages_and_from_an_evaluation(name, tmp_path) -> None:
    import aiohttp

    form, tokenizer = opened(name, system=SYSTEM)
    prompts = form.prompt_ids(QUESTIONS)
    server = Loopback(exported(form, tokenizer, tmp_path))
    async with server as url, aiohttp.ClientSession() as session:
        for question in QUESTIONS:
            body = {"model": "m", "messages": [{"role": "user", "content": question.strip()}]}
            async with session.post(f"{url}/chat/completions", json=body) as response:
                assert response.status == 200
        served = Served(url, "m", 1, StopFlag())
        asked = [Asked(ids, 8) for ids in prompts]
        texts = await served._write(asked, None, 0)
    assert server.seen == prompts * 2
    assert [each.text for each in texts] == ["<think>\nSo </b>.\n</think>\n\n4"] * 3


@pytest.mark.anyio
async def test_a_server_that_takes_texts_only_is_asked_with_texts_that_are_the_same_tokens(tmp_path) -> None:
    form, tokenizer = opened("qwen2.5")
    prompts = form.prompt_ids(QUESTIONS)
    server = Loopback(tokenizer, takes_ids=False)
    texts = [form.outline.asked(each.strip()) for each in QUESTIONS]
    async with server as url:
        served = Served(url, "m", 1, StopFlag())
        await served._write(
            [Asked(ids, 8, "", text) for ids, text in zip(prompts, texts, strict=True)], None, 0
        )
        with pytest.raises(ExceptionGroup) as found:
            await served._write([Asked(prompts[0], 8)], None, 0)
    assert server.seen == prompts
    assert found.group_contains(ServerFailed, match="expected a string")
