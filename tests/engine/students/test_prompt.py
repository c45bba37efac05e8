"""A prompt that is searched for: what the form makes of it, and a run of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.forms import PromptedForm
from engine.methods import METHODS
from engine.students.operations.base import LearnedRows
from tests.engine.students.runs import events, rows
from tests.engine.students.test_merge_and_prune import branches, made, operate
from tests.engine.students.test_operations import Killed, content, form_of
from tests.lazily import Lazy

torch, transformers = Lazy("torch"), Lazy("transformers")
architecture, exported = Lazy("engine.students.architecture"), Lazy("engine.students.exported_student")
operation, opened_copy = Lazy("engine.students.operations.prompt"), Lazy("engine.students.opened_copy")
prompt_search, train = Lazy("engine.students.prompt_search"), Lazy("engine.students.train")
tokens = Lazy("engine.students.token_rows")

SEARCH = {"prompt": {"tokens": 3, "candidates": 4, "steps": 6, "batch": 4}, "calibration": 12}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prompts")


def searching(place: Path, **values: Any) -> Any:
    model = exported.load_copy(place, "cpu")
    tokenizer = transformers.AutoTokenizer.from_pretrained(place)
    form = form_of(model, tokenizer)
    learned, _ = tokens.tokenize(form, rows()[0][:12], max_length=60)
    own = LearnedRows(
        texts=rows()[0][:12],
        tokens=learned,
        architecture=architecture.architecture_of(model),
        tokenizer=tokenizer,
        form=form,
    )
    settings = {"tokens": 3, "candidates": 4, "batch": 4, "ranked": True, "seed": 0, **values}
    return prompt_search.PromptSearch(model, own, **settings)


def test_the_form_puts_the_prompt_before_each_question(folder: Path) -> None:
    place = branches(folder, "llama")[0]
    tokenizer = transformers.AutoTokenizer.from_pretrained(place)
    inner = form_of(exported.load_copy(place, "cpu"), tokenizer)
    form = PromptedForm(inner, 'say "so" {x}')
    question = rows()[1][0].question
    [ids] = form.prompt_ids([question])
    assert ids == inner.prompt_ids([f'say "so" {{x}} {question}'])[0]
    assert form.row_ids(rows()[0][:1])[0][1] == inner.row_ids(rows()[0][:1])[0][1], "what is learned stays"
    assert form.outline.asked(question).startswith('say "so" {x} ') and form.shown.startswith('say "so" {x} ')
    assert form.parse("so. --> 3") == inner.parse("so. --> 3")
    tokenizer.chat_template = form.template
    for content_ in (question, [{"type": "text", "text": question}]):
        asked = [{"role": "user", "content": content_}]
        found = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=True)
        assert found["input_ids"] == ids
    assert METHODS["fine-tune-cot"] is form.method


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_candidates_are_ranked_by_what_they_would_gain(folder: Path, kind: str) -> None:
    search = searching(branches(folder, kind)[0], batch=12)
    state = search.start()
    assert len(state.tokens) == 3 and search.start() == state
    order = search.ranking(state.tokens, 1, range(12))
    assert sorted(order) == sorted(search.allowed)
    true = {
        token: search.loss((state.tokens[0], token, state.tokens[2]))
        for token in order
        if search.stands((state.tokens[0], token, state.tokens[2])) is not None
    }
    ranked = [token for token in order if token in true]
    best, worst = (sum(true[token] for token in part) / 8 for part in (ranked[:8], ranked[-8:]))
    assert best < worst, "the gradient tells them apart"
    now = state
    for _ in range(4):
        now = search.step(now)
    assert (now.step, now.passes) == (4, 4 * (1 + prompt_search.GRADIENT_PASSES + 4))
    random = searching(branches(folder, kind)[0], ranked=False)
    assert random.step(random.start()).passes == 1 + prompt_search.GRADIENT_PASSES + 4, "equally many"


def test_a_search_that_dies_ends_with_the_same_bytes_and_is_asked_with_its_prompt(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [place, _] = branches(folder, "llama")
    whole = operate(tmp_path / "whole", "prompt", [place], **SEARCH)
    assert train.main([str(whole)]) == 0
    figures = made(whole)
    assert figures["loss"] <= figures["loss_start"] and figures["forward_passes"] == 6 * 8
    text = json.loads((whole / "student" / "prompt.json").read_text())["prompt"]
    assert text == figures["prompt"] and text
    template = json.loads((whole / "student" / "tokenizer_config.json").read_text())["chat_template"]
    assert json.dumps(text + " ", ensure_ascii=False) in template
    card = (whole / "student" / "README.md").read_text()
    assert "a searched prompt" in card and f"{text} {{question}}" in card
    one, other = (exported.load_copy(each, "cpu").state_dict() for each in (place, whole / "student"))
    assert all(torch.equal(one[name], other[name]) for name in one), "the weights are the student's"
    predictions = [json.loads(line) for line in (whole / "predictions.jsonl").read_text().splitlines()]
    plain = form_of(exported.load_copy(place, "cpu"), transformers.AutoTokenizer.from_pretrained(place))
    for row in rows()[1]:
        [own] = [each for each in predictions if each["question_id"] == row.question_id]
        assert own["prompt_tokens"] == len(PromptedForm(plain, text).prompt_ids([row.question])[0])
    step, calls = prompt_search.PromptSearch.step, []

    def dying(self: Any, state: Any) -> Any:
        calls.append(state.step)
        if calls == [0, 1, 2, 3]:
            raise Killed
        return step(self, state)

    monkeypatch.setattr(prompt_search.PromptSearch, "step", dying)
    run = operate(tmp_path / "run", "prompt", [place], **SEARCH)
    with pytest.raises(Killed):
        train.main([str(run)])
    assert train.main([str(run)]) == 0 and calls == [0, 1, 2, 3, 3, 4, 5]
    assert content(run / "student") == content(whole / "student")
    assert events(run)[-1]["event"] == "done"
