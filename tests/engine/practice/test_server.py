from __future__ import annotations

import asyncio
import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from engine.errors import UsageError
from tests.engine.practice.serving import COIN, STEP1, Client, teacher

pytestmark = pytest.mark.anyio


async def test_a_completion_has_openais_form() -> None:
    async with teacher() as client:
        chat = await client.chat(temperature=0)
        assert chat.status == 200 and chat.headers["Content-Type"].startswith("application/json")
        assert chat.json["object"] == "chat.completion" and chat.json["model"] == "practice-large"
        (choice,) = chat.json["choices"]
        assert choice["message"]["role"] == "assistant" and choice["finish_reason"] == "stop"
        usage = chat.json["usage"]
        assert usage["prompt_tokens"] > 30 and usage["completion_tokens"] > 20
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
        text = await client.text(temperature=0)
        assert text.json["object"] == "text_completion"
        assert text.texts == [" " + chat.texts[0]]  # a text goes on after a blank
        models = await client.get("/v1/models")
        assert [row["id"] for row in models["data"]] == ["practice-large", "practice-small"]
        assert (await client.get("/healthz"))["status"] == "ok"


async def test_temperature_0_repeats_itself_and_others_do_not() -> None:
    async with teacher() as client, teacher() as other:
        assert len({(await client.chat(temperature=0)).texts[0] for _ in range(5)}) == 1
        first = [(await client.chat(temperature=0.7)).texts[0] for _ in range(8)]
        assert len(set(first)) >= 4
        assert first == [(await other.chat(temperature=0.7)).texts[0] for _ in range(8)]
        seeded = [(await client.chat(temperature=0.7, seed=5)).texts[0] for _ in range(3)]
        assert len(set(seeded)) == 1


async def test_n_choices_are_what_n_requests_would_be() -> None:
    async with teacher() as client, teacher() as other:
        together = await client.chat(temperature=0.9, n=4)
        assert [choice["index"] for choice in together.json["choices"]] == [0, 1, 2, 3]
        assert together.texts == [(await other.chat(temperature=0.9)).texts[0] for _ in range(4)]
        assert together.json["usage"]["completion_tokens"] > 100
        assert (await client.chat(temperature=0.9)).texts[0] not in together.texts[:1]


async def test_stop_and_length() -> None:
    async with teacher() as client:
        whole = (await client.chat(temperature=0)).texts[0]
        stopped = await client.chat(temperature=0, stop="Carla")
        assert stopped.texts[0] == whole[: whole.index("Carla")]
        assert stopped.json["choices"][0]["finish_reason"] == "stop"
        assert (await client.chat(temperature=0, stop=["zzz", "Carla", "Ben"])).texts[0] == whole[
            : whole.index("Ben")
        ]
        short = await client.chat(temperature=0, max_tokens=7)
        assert short.json["choices"][0]["finish_reason"] == "length"
        assert short.json["usage"]["completion_tokens"] == 7
        assert whole.startswith(short.texts[0]) and short.texts[0]
        newer = await client.chat(temperature=0, max_tokens=None, max_completion_tokens=7)
        assert newer.texts == short.texts


async def test_several_prompts_and_messages() -> None:
    async with teacher() as client:
        two = await client.text([STEP1, STEP1], temperature=0, n=2)
        assert len(two.texts) == 4 and len(set(two.texts)) == 1
        parts = [{"type": "text", "text": "Q: "}, {"type": "text", "text": COIN}]
        said = [{"role": "system", "content": "Reason."}, {"role": "user", "content": parts}]
        answer = await client.chat(messages=said, temperature=0)
        assert answer.status == 200 and "up" in answer.texts[0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"messages": []}, "'messages' must be a list"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.[0]: expected an object with a role"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages.[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "list of text parts"),
        ({"model": ""}, "you must provide a model"),
        ({"n": 0}, "'n' must be a whole number from 1 to 128, got 0"),
        ({"n": True}, "'n' must be"),
        ({"max_tokens": -1}, "'max_tokens' must be"),
        ({"max_completion_tokens": 0}, "'max_completion_tokens' must be"),
        ({"temperature": 3}, "'temperature' must be a number from 0 to 2"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "'stop' must be"),
        ({"stop": [""]}, "'stop' must be"),
        ({"seed": "x"}, "'seed' must be"),
        ({"stream": 3}, "'stream' must be true or false"),
        ({"stream_options": {"include_usage": True}}, "only allowed when 'stream' is enabled"),
        ({"stream": True, "stream_options": 1}, "'stream_options' must be an object"),
        ({"top_logprobs": 2}, "only allowed when 'logprobs' is true"),
    ],
)
async def test_a_bad_body_is_400(fields, message: str) -> None:
    async with teacher() as client:
        answer = await client.chat(**fields)
        assert answer.status == 400 and answer.json["error"]["type"] == "invalid_request_error"
        assert message in answer.json["error"]["message"]


@pytest.mark.parametrize(
    "data", [b"{", b"[]", b"\xff", b"", b"[" * 99_999, b'{"model": "practice-large", "prompt": [1]}']
)
async def test_a_body_that_is_no_request_is_400(data: bytes) -> None:
    async with teacher() as client:
        assert (await client.post("/completions", data=data)).status == 400


async def test_a_huge_body_is_413() -> None:
    async with teacher() as client:
        answer = await client.post("/completions", data=io.BytesIO(b"x" * 5_000_000))
        assert answer.status == 413 and "larger than" in answer.json["error"]["message"]


async def test_a_prompt_without_a_known_question_is_told_what_is_known() -> None:
    async with teacher() as client:
        chat = await client.chat("What is the capital of France?")
        assert chat.status == 200 and "practice teacher" in chat.texts[0] and "coin_flip" in chat.texts[0]
        said = [
            {"role": "user", "content": "What is the capital of France?"},
            {"role": "assistant", "content": chat.texts[0]},
            {"role": "user", "content": "Well?"},
        ]
        assert (await client.chat(messages=said)).texts == chat.texts  # it does not answer its own messages
        assert (await client.text("Once upon a time")).texts == [" " + chat.texts[0]]
        assert [entry["billed"] for entry in await client.get("/ledger")] == [True] * 3


async def test_an_unknown_question_is_404_where_it_is_to_be_refused() -> None:
    async with teacher(refuse_unknown=True) as client:
        question = await client.chat("What is the capital of France?")
        assert question.status == 404 and question.json["error"]["code"] == "unknown_question"
        assert "builtin tasks" in question.json["error"]["message"]
        assert question.json["error"]["param"] == "messages"
        assert [entry["billed"] for entry in await client.get("/ledger")] == [False]
        assert (await client.chat()).status == 200


async def test_an_unknown_model_is_404() -> None:
    async with teacher() as client:
        model = await client.chat(model="gpt-7")
        assert model.status == 404 and model.json["error"]["code"] == "model_not_found"
        assert "practice-small" in model.json["error"]["message"]
        assert [entry["billed"] for entry in await client.get("/ledger")] == [False]


async def test_a_wrong_key_is_401() -> None:
    async with teacher(keys=("good", "other")) as client:
        assert (await client.chat()).status == 401
        wrong = await client.chat(headers={"Authorization": "Bearer wrong"})
        assert wrong.status == 401 and wrong.json["error"]["code"] == "invalid_api_key"
        for key in ("good", "other"):
            assert (await client.chat(headers={"Authorization": f"Bearer {key}"})).status == 200


async def test_the_answer_follows_from_the_rationale_even_if_that_is_wrong() -> None:
    async with teacher(error_rate=0.0) as client:
        ends = "\nTherefore, the answer is"
        assert (await client.text(f"{STEP1} So the coin is heads up.{ends}")).texts == [" yes."]
        assert (await client.text(f"{STEP1} So the coin is tails up.{ends}")).texts == [" no."]
        said = [
            {"role": "user", "content": STEP1},
            {"role": "assistant", "content": "It is heads, then tails."},
            {"role": "user", "content": "Therefore, the answer is"},
        ]
        assert (await client.chat(messages=said)).texts == ["no."]
        one_turn = await client.chat(f'{COIN}\n\nThink step by step. End with a line "Answer: …".')
        assert one_turn.texts[0].endswith("\nAnswer: no")


async def test_requests_a_minute_are_limited_and_said() -> None:
    async with teacher(requests_per_minute=2, tokens_per_minute=10_000) as client:
        first, second, third = [await client.chat(temperature=0) for _ in range(3)]
        assert [first.status, second.status, third.status] == [200, 200, 429]
        assert first.headers["x-ratelimit-limit-requests"] == "2"
        assert [a.headers["x-ratelimit-remaining-requests"] for a in (first, second, third)] == [
            "1",
            "0",
            "0",
        ]
        assert first.headers["x-ratelimit-reset-requests"].endswith("s")
        used = first.json["usage"]["total_tokens"]
        assert int(first.headers["x-ratelimit-remaining-tokens"]) == 10_000 - used
        assert (
            third.json["error"]["code"] == "rate_limit_exceeded"
            and "(RPM): Limit 2" in third.json["error"]["message"]
        )
        milliseconds = int(third.headers["retry-after-ms"])
        assert 25_000 < milliseconds <= 30_000
        assert int(third.headers["Retry-After"]) == -(-milliseconds // 1000)
        other = await client.chat(headers={"Authorization": "Bearer another"})
        assert other.status == 200  # limits are those of each key


async def test_tokens_a_minute_are_limited() -> None:
    async with teacher(tokens_per_minute=150) as client:
        assert (await client.chat(temperature=0)).status == 200
        refused = await client.chat(temperature=0)
        assert refused.status == 429 and "(TPM): Limit 150" in refused.json["error"]["message"]


async def test_a_refused_request_uses_up_no_replicate() -> None:
    async with teacher(requests_per_minute=1) as client, teacher() as other:

        async def ask(key: str) -> str | None:
            answer = await client.chat(temperature=0.9, headers={"Authorization": f"Bearer {key}"})
            return answer.texts[0] if answer.status == 200 else None

        got = [await ask(key) for key in ("a", "a", "a", "b")]
        assert got == [
            (await other.chat(temperature=0.9)).texts[0],
            None,
            None,
            (await other.chat(temperature=0.9)).texts[0],
        ]


async def test_requests_at_a_time_are_limited() -> None:
    async with teacher(concurrency=2, latency_ms=500.0) as client:
        answers = await asyncio.gather(*(client.chat() for _ in range(6)))
        assert sorted(answer.status for answer in answers) == [200, 200, 429, 429, 429, 429]
        refused = next(answer for answer in answers if answer.status == 429)
        assert refused.json["error"]["code"] == "concurrency_limit_exceeded"
        assert (await client.chat()).status == 200


async def test_the_ledger_says_what_was_answered_and_billed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    async with teacher(ledger=path) as client:
        answer = await client.chat(headers={"X-Request-Id": "mine-1"})
        assert answer.headers["x-request-id"] == "mine-1"
        await client.chat(model="nobody")
        first, second = await client.get("/ledger")
        assert first["request_id"] == "mine-1" and first["status"] == 200 and first["n"] == 0
        assert first["answered"] and first["billed"] and first["fault"] == ""
        assert first["path"] == "/v1/chat/completions" and first["model"] == "practice-large"
        assert first["prompt_tokens"] == answer.json["usage"]["prompt_tokens"]
        assert first["completion_tokens"] == answer.json["usage"]["completion_tokens"]
        assert first["sha256"] == hashlib.sha256(answer.body).hexdigest()
        assert first["received_at"] > 1_600_000_000_000
        assert (second["status"], second["answered"], second["billed"]) == (404, True, False)
        assert second["request_id"] and second["prompt_tokens"] == 0
        assert await client.get("/ledger?since=1") == [second]
        assert await client.get("/ledger?since=2") == []
        assert "error" in await client.get("/ledger?since=-1")
        lines = path.read_text().splitlines()  # there while the server still runs
    assert [json.loads(line) for line in lines] == [first, second]


async def test_a_client_that_leaves_is_billed_but_not_answered() -> None:
    async with teacher(latency_ms=500.0) as client:
        asking = asyncio.create_task(client.chat())
        await eventually(client, "/healthz", lambda health: health["in_flight"] == 1)
        asking.cancel()
        entries = await eventually(client, "/ledger", bool)
        assert [(e["status"], e["answered"], e["billed"]) for e in entries] == [(200, False, True)]


async def eventually(client: Client, path: str, wanted: Callable[[Any], bool]) -> Any:
    for _ in range(1000):
        if wanted(shown := await client.get(path)):
            return shown
        await asyncio.sleep(0.01)
    raise AssertionError(f"{path} stays {shown}")


async def test_an_address_in_use_is_named() -> None:
    async with teacher() as client:
        port = int(client.url.split(":")[2].split("/")[0])
        with pytest.raises(UsageError, match=rf"cannot listen on 127\.0\.0\.1:{port}: .*in use"):
            async with teacher(port=port):
                pass


async def test_a_ledger_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--ledger .*: cannot be written: No such file"):
        async with teacher(ledger=tmp_path / "none" / "ledger"):
            pass


async def test_hundreds_at_once() -> None:
    async with teacher(latency_ms=20.0) as client:
        answers = await asyncio.gather(*(client.chat(temperature=0.7) for _ in range(300)))
        assert {answer.status for answer in answers} == {200}
        assert len({answer.texts[0] for answer in answers}) > 40
        assert len(await client.get("/ledger")) == 300


async def test_statuses_on_request() -> None:
    for name, kind in (("500", "server_error"), ("529", "overloaded_error"), ("429", "requests"), ("quota", "insufficient_quota")):  # fmt: skip
        async with teacher(f"{name}=1") as client:
            answers = [await client.chat() for _ in range(6)]
            assert {answer.status for answer in answers} == {int(name) if name.isdigit() else 429}
            assert answers[0].json["error"]["type"] == kind
            waits = {answer.headers.get("retry-after-ms") for answer in answers}
            assert waits == ({None, "250"} if name == "429" else {None})
            entries = await client.get("/ledger")
            assert all(e["fault"] == name and e["answered"] and not e["billed"] for e in entries)


async def test_a_reset_cuts_before_or_after_billing() -> None:
    async with teacher("reset=1") as client:
        for _ in range(12):
            with pytest.raises((aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
                await client.chat()
        entries = await client.get("/ledger")
        assert len(entries) == 12 and {e["billed"] for e in entries} == {True, False}
        assert all(not e["answered"] and e["fault"] == "reset" for e in entries)
        assert all((e["completion_tokens"] > 0) == e["billed"] for e in entries)


async def test_a_truncated_body_is_cut_in_the_middle_and_billed() -> None:
    async with teacher("truncate=1") as client:
        for _ in range(3):
            with pytest.raises(aiohttp.ClientPayloadError):
                await client.chat()
        entries = await client.get("/ledger")
        assert [(e["status"], e["answered"], e["billed"], e["fault"]) for e in entries] == [
            (200, False, True, "truncate")
        ] * 3


async def test_a_slow_answer_comes_in_the_end() -> None:
    async with teacher("slow=1", slow_seconds=0.2) as client:
        loop = asyncio.get_running_loop()
        started = loop.time()
        answer = await client.chat()
        assert answer.status == 200 and answer.texts and loop.time() - started > 0.15
        (entry,) = await client.get("/ledger")
        assert entry["answered"] and entry["billed"] and entry["fault"] == "slow"
        assert entry["sha256"] == hashlib.sha256(answer.body).hexdigest()


async def test_malformed_answers_are_of_four_kinds() -> None:
    async with teacher("malformed=1") as client:
        answers = [await client.chat() for _ in range(24)]
        assert {answer.status for answer in answers} == {200}

        def kind(body: bytes) -> str:
            if not body:
                return "empty"
            try:
                return "no-choices" if json.loads(body)["choices"] == [] else "fine"
            except ValueError:
                return "html" if body.startswith(b"<!doctype") else "broken"

        assert {kind(answer.body) for answer in answers} == {"empty", "no-choices", "html", "broken"}
        entries = await client.get("/ledger")
        assert all(e["billed"] and e["answered"] and e["fault"] == "malformed" for e in entries)
        assert [e["sha256"] for e in entries] == [hashlib.sha256(a.body).hexdigest() for a in answers]


async def test_faults_come_at_their_rates_and_by_seed() -> None:
    async def faults(seed: int) -> list[str]:
        async with teacher("500=0.2,malformed=0.1", seed=seed) as client:
            for _ in range(200):
                await client.chat()
            return [entry["fault"] for entry in await client.get("/ledger")]

    first = await faults(1)
    assert 25 <= first.count("500") <= 55 and 8 <= first.count("malformed") <= 35
    assert first == await faults(1) != await faults(2)


async def test_a_daemon_says_which_replicates_it_asks_for() -> None:
    async with teacher() as client:
        counted = [(await client.chat()).texts[0] for _ in range(4)]

    async def asked(replicates: str, **fields: Any) -> list[str]:
        return (await client.chat(headers={"X-Replicates": replicates}, **fields)).texts

    async with teacher() as client:
        assert await asked("3") == counted[3:] and await asked("0") == counted[:1]
        assert await asked("0,2", n=2) == [counted[0], counted[2]]
        assert await asked("1", n=3) == counted[1:]
        assert (await client.chat()).texts == counted[:1], "what was asked by replicate counts"
        for number, wrong in enumerate(("", "x", "1,,2"), start=1):
            assert await asked(wrong) == [counted[number]]
