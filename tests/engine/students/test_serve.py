"""`engine.students.serve`: a student answers over OpenAI's API what it answered in its evaluation."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.config.students import EvaluationConfig, TrainingConfig
from engine.forms import FIRST
from engine.students.ranks import Ranks, StopFlag
from engine.students.run import Run, read_spec
from engine.students.serve import HOST, taken
from engine.students.spec import Spec, write_rows
from tests.daemon.site import wait_until
from tests.engine.students.runs import make_base, rows
from tests.forked import Forked
from tests.lazily import Lazy

aiohttp_test = Lazy("aiohttp.test_utils")
web = Lazy("aiohttp.web")
torch = Lazy("torch")
transformers = Lazy("transformers")
evaluate = Lazy("engine.students.evaluate")
exported = Lazy("engine.students.exported_student")
opened_student = Lazy("engine.students.opened_student")
served_student = Lazy("engine.students.served_student")
serving_api = Lazy("engine.students.serving_api")

QUESTIONS = rows()[1]
MINE = {"role": "user", "content": QUESTIONS[0].question}


def make_student(folder: Path, kind: str, method: str) -> Path:
    """A run directory with an exported student of random weights and its predictions."""
    directory = folder / f"{kind}-{method}"
    directory.mkdir()
    base = make_base(folder / f"{kind}-{method}-base", kind)
    shutil.copytree(base, directory / "student")
    spec = Spec(
        run_id=3,
        student="small",
        scope="coin",
        trigger="complete",
        method=method,
        base=str(base),
        form=FIRST,
        training=TrainingConfig(),
        evaluation=EvaluationConfig(max_new_tokens=12, batch_size=4),
        manifest_digest=write_rows(directory / "manifest.jsonl", []),
    )
    (directory / "spec.json").write_text(spec.to_json(), encoding="utf-8")
    run = run_of(directory)
    opened = opened_student.open_student(run)
    model = exported.load_student(directory, opened.device)
    evaluate.prepare_generation(model, opened.tokenizer, opened.form)
    model.generation_config.save_pretrained(directory / "student")
    write = evaluate.writer(model, opened.tokenizer, opened.form, spec.evaluation, stopping=lambda: False)
    found = evaluate.evaluate(
        write,
        QUESTIONS,
        spec.evaluation,
        reader=opened.form,
        judge=evaluate.judge_with(spec.evaluation.grader),
        ranks=run.ranks,
        method=run.method,
    )
    lines = "".join(f"{each.model_dump_json()}\n" for each in found)
    (directory / "predictions.jsonl").write_text(lines, encoding="utf-8")
    return directory


def run_of(directory: Path) -> Run:
    return Run(
        directory=directory,
        spec=read_spec(directory),
        ranks=Ranks(rank=0, local_rank=0, world=1),
        stop=StopFlag(),
        progress=None,
        make_judge=evaluate.judge_with,
    )


def open_served(directory: Path) -> SimpleNamespace:
    run = run_of(directory)
    opened = opened_student.open_student(run)
    model = exported.load_student(directory, opened.device)
    student = served_student.ServedStudent(opened, model, run.method, "none", most=12, batch_size=4)
    said = [json.loads(line) for line in (directory / "predictions.jsonl").read_text().splitlines()]
    return SimpleNamespace(student=student, model=model, opened=opened, predictions=said, directory=directory)


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory) -> SimpleNamespace:
    return open_served(make_student(tmp_path_factory.mktemp("served"), "gpt2", "fine-tune-cot"))


def ask(served: SimpleNamespace, *requests: tuple[str, dict]) -> list[tuple[int, object]]:
    """The status and body of each request, which are sent at the same time."""

    async def go() -> list[tuple[int, object]]:
        app = web.Application()
        app.add_routes(serving_api.Api(served.student, "small").routes())
        async with aiohttp_test.TestClient(aiohttp_test.TestServer(app)) as client:

            async def one(path: str, body: dict) -> tuple[int, object]:
                response = await (client.post(path, json=body) if body else client.get(path))
                text = await response.text()
                streamed = response.content_type == "text/event-stream"
                return response.status, text if streamed else json.loads(text)

            return await asyncio.gather(*(one(*request) for request in requests))

    return asyncio.run(go())


def chat(question: str, **more) -> tuple[str, dict]:
    return "/v1/chat/completions", {
        "model": "small",
        "messages": [{"role": "user", "content": question}],
        **more,
    }


@pytest.mark.parametrize(("kind", "method"), [("gpt2", ""), ("t5", "fine-tune-cot"), ("llama", "socratic")])
def test_every_stored_prediction_is_answered_with_the_same_text(kind, method, gpt2, tmp_path) -> None:
    served = gpt2 if not method else open_served(make_student(tmp_path, kind, method))
    assert len(served.predictions) == len(QUESTIONS) == 17
    answers = ask(served, *(chat(row.question) for row in QUESTIONS))
    for (status, body), stored in zip(answers, served.predictions, strict=True):
        assert status == 200
        assert body["choices"][0]["message"]["content"] == stored["text"]
        assert body["usage"]["completion_tokens"] == stored["tokens"]
        assert body["choices"][0]["finish_reason"] == ("stop" if stored["complete"] else "length")


def test_the_same_question_many_times_at_once_is_answered_each_time(gpt2) -> None:
    answers = ask(gpt2, *[chat(QUESTIONS[0].question)] * 11)
    assert {body["choices"][0]["message"]["content"] for _, body in answers} == {gpt2.predictions[0]["text"]}


def test_completions_go_on_with_a_prompt_of_text_or_tokens(gpt2) -> None:
    form = gpt2.opened.form
    texts = [form.outline.asked(row.question) for row in QUESTIONS[:3]]
    ids = form.prompt_ids([row.question for row in QUESTIONS[:3]])
    found = ask(
        gpt2,
        ("/v1/completions", {"prompt": texts}),
        ("/v1/completions", {"prompt": ids, "max_tokens": 12}),
        *(("/v1/completions", {"prompt": each}) for each in ids),
    )
    wanted = [each["text"] for each in gpt2.predictions[:3]]
    assert [each["text"] for each in found[0][1]["choices"]] == wanted
    assert [each["text"] for each in found[1][1]["choices"]] == wanted
    assert [body["choices"][0]["text"] for _, body in found[2:]] == wanted


def test_log_probabilities_are_those_of_the_model(gpt2) -> None:
    form = gpt2.opened.form
    [ids] = form.prompt_ids([QUESTIONS[0].question])
    (_, body), (_, scored), (_, told) = ask(
        gpt2,
        ("/v1/completions", {"prompt": ids, "max_tokens": 4, "logprobs": 2, "echo": True}),
        ("/v1/completions", {"prompt": ids, "max_tokens": 0, "logprobs": 1, "echo": True}),
        chat(QUESTIONS[0].question, logprobs=True, top_logprobs=1, max_tokens=4),
    )
    given = body["choices"][0]["logprobs"]
    assert given["token_logprobs"][0] is None and given["top_logprobs"][0] is None
    assert len(given["tokens"]) == len(ids) + body["usage"]["completion_tokens"] - (
        body["choices"][0]["finish_reason"] == "stop"
    )
    with torch.inference_mode():
        log = gpt2.model(input_ids=torch.tensor([ids])).logits[0].float().log_softmax(-1)
    expected = [float(log[at, ids[at + 1]]) for at in range(len(ids) - 1)]
    assert given["token_logprobs"][1 : len(ids)] == pytest.approx(expected, abs=1e-4)
    assert scored["choices"][0]["logprobs"]["token_logprobs"][1:] == pytest.approx(expected, abs=1e-4)
    greedy = told["choices"][0]["logprobs"]["content"]
    assert [each["token"] for each in greedy] == [each["top_logprobs"][0]["token"] for each in greedy]
    assert scored["choices"][0]["text"] == QUESTIONS[0].question + " ###"


def test_choices_are_drawn_by_their_seed_and_stop_strings_cut(gpt2) -> None:
    question = QUESTIONS[0].question
    (_, first), (_, again), (_, other), (_, cut) = ask(
        gpt2,
        chat(question, n=3, temperature=1.0, seed=5),
        chat(question, n=3, temperature=1.0, seed=5),
        chat(question, n=3, temperature=1.0, seed=50),
        chat(question, stop=[gpt2.predictions[0]["text"][3:6]]),
    )
    texts = [[each["message"]["content"] for each in body["choices"]] for body in (first, again, other)]
    assert texts[0] == texts[1] != texts[2] and len(set(texts[0])) > 1
    assert cut["choices"][0]["message"]["content"] == gpt2.predictions[0]["text"][:3]
    assert cut["choices"][0]["finish_reason"] == "stop"


def test_a_stream_has_the_choice_as_an_event_and_ends(gpt2) -> None:
    [(status, text)] = ask(gpt2, chat(QUESTIONS[0].question, stream=True))
    events = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert status == 200 and events[-1] == "[DONE]"
    assert json.loads(events[0])["choices"][0]["delta"]["content"] == gpt2.predictions[0]["text"]


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/v1/completions", {"model": "other", "prompt": "a"}, 404, "this server has 'small'"),
        ("/v1/completions", {"prompt": []}, 400, "at least one"),
        ("/v1/completions", {"prompt": [10**6]}, 400, "tokens from 0 to"),
        ("/v1/completions", {"prompt": "a", "n": 0}, 400, "n: "),
        ("/v1/completions", {"prompt": "a", "top_p": 0.5}, 400, "top_p is not supported"),
        ("/v1/completions", {"prompt": "a", "suffix": "b"}, 400, "suffix is not supported"),
        (
            "/v1/completions",
            {"prompt": "a", "top_p": 1, "suffix": None, "max_tokens": 0, "user": "me"},
            200,
            None,
        ),
        ("/v1/chat/completions", {"messages": [MINE], "tools": [{}]}, 400, "tools is not supported"),
        ("/v1/chat/completions", {"messages": [MINE, MINE]}, 400, "no chat template"),
        ("/v1/completions", {"prompt": "Ann flips. " * 900}, 400, "the student's context"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": 3}]}, 400, "as a text"),
        ("/v1/models/other", {}, 404, "does not exist"),
    ],
)
def test_what_cannot_be_answered_says_why(gpt2, path, body, status, words) -> None:
    [(found, told)] = ask(gpt2, (path, body))
    assert found == status and (words is None or words in told["error"]["message"]), told


def test_the_model_is_listed(gpt2) -> None:
    (_, models), (_, model) = ask(gpt2, ("/v1/models", {}), ("/v1/models/small", {}))
    assert [each["id"] for each in models["data"]] == ["small"] and model["id"] == "small"


def test_a_port_that_is_in_use_is_one_message_before_anything_is_loaded(tmp_path) -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "engine.students.serve", str(tmp_path), "small", str(port)],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 2 and done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith(f"coterie: port {port} of 127.0.0.1 cannot be used: Address already in use.")
    with taken(0) as free:
        assert free.getsockname()[0] == HOST


def test_a_signal_ends_it_with_zero(gpt2, tmp_path) -> None:
    told, errors = tmp_path / "told", tmp_path / "errors"
    with open(os.devnull) as nothing, told.open("w") as out, errors.open("w") as err:
        process = Forked(
            *("engine.students.serve", [str(gpt2.directory), "small", "0"]),
            cwd=tmp_path,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            stdin=nothing.fileno(),
            stdout=out.fileno(),
            stderr=err.fileno(),
        )
    try:
        wait_until("it says where it serves", lambda: "\n" in told.read_text() or process.poll() is not None)
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=60)
    finally:
        process.kill()
    said = told.read_text()
    assert said.startswith("serving small (run 3, coin, "), errors.read_text()
    assert "http://127.0.0.1:" in said
    assert code == 0 and "Traceback" not in errors.read_text()
