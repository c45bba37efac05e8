from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from engine.students.checkpoints import MARKER, complete_steps, read_state
from tests.engine.students.conftest import WAYS, WAYS_TOGETHER
from tests.engine.students.runs import (
    BASES,
    ENCODER_DECODERS,
    events,
    make_run,
    numbers,
    results,
    rows,
    run_ranks,
)


def test_a_run_goes_from_a_directory_to_a_tested_student(alone) -> None:
    run = alone.runs["nano"]
    assert alone.codes["nano"] == 0, alone.log
    kinds = [event["event"] for event in events(run)]
    assert kinds[:5] == ["starting", "starting", "starting", "loaded", "phase"]
    assert kinds[-2:] == ["exported", "done"]
    assert [step["step"] for step in events(run, "step")] == list(range(1, 13))
    assert [point["step"] for point in events(run, "checkpoint")] == [5, 6, 10, 12]
    [loaded] = events(run, "loaded")
    assert loaded["world_size"] == 1 and loaded["rows"] == 60 and loaded["steps"] == 12
    assert numbers(run)[12][0] < numbers(run)[1][0]


def test_what_a_run_leaves_agrees_with_what_it_reported(alone) -> None:
    run = alone.runs["nano"]
    evaluation = json.loads((run / "evaluation.json").read_text())
    predictions = [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]
    assert [p["question_id"] for p in predictions if p["split"] == "test"] == list(range(68, 77))
    assert [p["question_id"] for p in predictions if p["split"] == "dev"] == list(range(60, 68))
    for row in evaluation["results"]:
        answers = [p for p in predictions if (p["split"], p["task"]) == (row["split"], row["task"])]
        assert row["n"] == len(answers) and row["correct"] == sum(p["correct"] for p in answers)
        assert row["low"] <= row["accuracy"] <= row["high"]
        expected = (row["split"], row["task"], evaluation["step"], row["n"], row["correct"])
        assert expected in results(run)
    assert {row["task"] for row in evaluation["results"]} == {"coin", "flip"}
    card = (run / "student" / "README.md").read_text()
    digest = json.loads((run / "spec.json").read_text())["manifest_digest"]
    assert digest in card and "95 %" in card and "seed 0" in card and "60 rows" in card


def test_another_evaluation_asks_the_finished_student_again_and_trains_nothing(alone, tmp_path) -> None:
    whole, run = alone.runs["nano"], tmp_path / "run"
    shutil.copytree(whole, run)
    before, told = json.loads((run / "evaluation.json").read_text()), len(events(run))
    spec = json.loads((run / "spec.json").read_text())
    assert before["evaluation"]["max_new_tokens"] == spec["evaluation"]["max_new_tokens"]
    [(_, codes, log)] = run_ranks(run)
    assert codes == [0] and [event["event"] for event in events(run)[told:]] == ["done"], log
    for most, samples in ((2, 3), (spec["evaluation"]["max_new_tokens"], 0)):
        now = spec["evaluation"] | {"max_new_tokens": most, "samples": samples}
        (run / "spec.json").write_text(json.dumps(spec | {"evaluation": now}))
        told = len(events(run))
        [(_, codes, log)] = run_ranks(run)
        assert codes == [0], log
        said = events(run)[told:]
        assert not [event for event in said if event["event"] in ("step", "checkpoint", "loaded", "exported")]
        assert said[-1] | {"at": 0} == events(whole)[-1] | {"at": 0}, "it ended as its training did"
        after = json.loads((run / "evaluation.json").read_text())
        assert after["evaluation"]["max_new_tokens"] == most
        assert {row.get("majority_of") for row in after["results"]} == {None, *([samples] if samples else [])}
        changed = (run / "predictions.jsonl").read_bytes() != (whole / "predictions.jsonl").read_bytes()
        assert changed == (samples > 0), "asked as before, it answers as before"
        card = (run / "student" / "README.md").read_text()
        assert (card != (whole / "student" / "README.md").read_text()) == (samples > 0)
        assert f"max_new_tokens={most})" in card and ("The majority of 3" in card) == (samples > 0)
    weights = [path.read_bytes() for path in sorted(run.glob("student/*.safetensors"))]
    assert weights == [path.read_bytes() for path in sorted(whole.glob("student/*.safetensors"))]


def test_the_test_split_is_read_once_after_dev_has_chosen(alone) -> None:
    for name in ("nano", "patient", *BASES):
        told = events(alone.runs[name])
        tested = [
            place for place, event in enumerate(told) if event["event"] == "eval" and event["split"] == "test"
        ]
        last = max(place for place, event in enumerate(told) if event["event"] in ("step", "checkpoint"))
        assert tested and min(tested) > last
        asked = [told[place]["task"] for place in tested]
        assert len(asked) == len(set(asked))
        evaluation = json.loads((alone.runs[name] / "evaluation.json").read_text())
        assert {told[place]["step"] for place in tested} == {evaluation["step"]}


def test_only_the_newest_checkpoints_and_the_best_one_stay(alone) -> None:
    run = alone.runs["nano"]
    steps = complete_steps(run / "checkpoints")
    state = read_state(run / "checkpoints", steps[-1])
    assert steps[-2:] == [10, 12]
    assert set(steps) == {10, 12, state.best.step}
    assert state.finished == "complete"


@pytest.mark.parametrize("name", BASES)
def test_a_local_base_trains_and_its_export_answers_the_same_in_plain_transformers(alone, name) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    run = alone.runs[name]
    two_sides = name in ENCODER_DECODERS
    assert alone.codes[name] == 0, alone.log
    assert numbers(run)[12][0] < numbers(run)[1][0]
    auto = AutoModelForSeq2SeqLM if two_sides else AutoModelForCausalLM
    assert f"import {auto.__name__}, AutoTokenizer" in (run / "student" / "README.md").read_text()
    model = auto.from_pretrained(run / "student", dtype="auto")
    tokenizer = AutoTokenizer.from_pretrained(run / "student")
    assert model.dtype == (torch.bfloat16 if name == "llama" else torch.float32)
    if name == "llama":
        return  # in bf16, sums differ with the batch: greedy ties may fall either way
    questions = [json.loads(line) for line in (run / "questions.jsonl").read_text().splitlines()]
    for line in (run / "predictions.jsonl").read_text().splitlines():
        prediction = json.loads(line)
        question = next(q["question"] for q in questions if q["question_id"] == prediction["question_id"])
        prompt = question if two_sides else f"{question} ###"
        inputs = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
        output = model.generate(**inputs, max_new_tokens=12)
        start = 1 if two_sides else inputs["input_ids"].shape[1]
        text = tokenizer.decode(output[0, start:], skip_special_tokens=True)
        assert text == prediction["text"]


def test_dev_is_answered_once_where_it_is_not_evaluated_during_training(alone) -> None:
    assert {row[2] for row in results(alone.runs["qwen"]) if row[0] == "dev"} == {12}


def test_a_run_learns_distributions_and_says_how_many_tokens_have_one(alone) -> None:
    run = alone.runs["distribution"]
    assert alone.codes["distribution"] == 0, alone.log
    [said] = [note["message"] for note in events(run, "note") if "distribution" in note["message"]]
    share = re.search(r"\((\d+)%\)", said)
    assert share is not None and int(share[1]) > 50, said
    assert numbers(run)[12][0] < numbers(run)[1][0]


def test_test_questions_are_asked_in_each_format_of_the_rows(alone) -> None:
    run = alone.runs["distribution"]
    tested = [row for row in events(run, "eval") if row["split"] == "test"]
    assert {name for row in tested for name in row["formats"]} == {"answer", "shots-cot"}
    assert not [row for row in events(run, "eval") if row["split"] == "dev" and "formats" in row]
    lines = [json.loads(line) for line in (run / "predictions_by_format.jsonl").read_text().splitlines()]
    for row in tested:
        for name, found in row["formats"].items():
            own = [each for each in lines if (each["format"], each["task"]) == (name, row["task"])]
            assert (found["n"], found["correct"]) == (len(own), sum(each["correct"] for each in own))
    by_question = {
        name: [each for each in lines if each["format"] == name] for name in ("answer", "shots-cot")
    }
    longer = zip(by_question["answer"], by_question["shots-cot"], strict=True)
    assert all(one["prompt_tokens"] < other["prompt_tokens"] for one, other in longer)


def test_patience_ends_a_run_that_gets_no_better(alone) -> None:
    run = alone.runs["patient"]
    [done] = events(run, "done")
    dev = sorted({event["step"] for event in events(run, "eval") if event["split"] == "dev"})
    assert done["reason"] == "patience" and len(dev) == 2
    assert done["step"] == dev[-1] and 2 <= events(run, "step")[-1]["epoch"] < 2.1


def test_one_rank_in_float32_has_no_stage(alone) -> None:
    """Its numbers and its checkpoints are those of stage 0."""
    assert numbers(alone.runs["stage2"]) == numbers(alone.runs["stage0"])
    [newest] = complete_steps(alone.runs["stage2"] / "checkpoints")[-1:]
    assert read_state(alone.runs["stage2"] / "checkpoints", newest).stage == 0


def test_the_stage_does_not_change_the_numbers_in_bf16_either(alone) -> None:
    # At stage 0 DeepSpeed has another optimizer for bf16, which begins with a step of its own.
    expected = numbers(alone.runs["llama"])
    for other in ("llama0", "llama3"):
        assert alone.codes[other] == 0, alone.log
        found = numbers(alone.runs[other])
        assert len(found) == 12
        for step in expected:
            assert found[step] == pytest.approx(expected[step], rel=1e-4)


@pytest.mark.parametrize("name", WAYS)
def test_what_saves_memory_does_not_change_the_numbers(alone, name) -> None:
    assert alone.codes[name] == 0, alone.log
    run, reference = alone.runs[name], alone.runs["stage2"]
    expected, found = numbers(reference), numbers(run)
    assert len(found) == 12
    for step in expected:
        assert found[step] == pytest.approx(expected[step], rel=2e-5)
    assert (run / "predictions.jsonl").read_text() == (reference / "predictions.jsonl").read_text()
    notes = [event["message"] for event in events(run, "note")]
    assert notes == [] if "off" not in name else "offload has no effect" in notes[0]


def test_the_export_of_stage_3_is_that_of_stage_0(alone, together) -> None:
    import torch
    from safetensors.torch import load_file

    whole, cut = (
        load_file(runs["stage3"] / "student" / "model.safetensors") for runs in (alone.runs, together.runs)
    )
    assert whole.keys() == cut.keys()
    for name, weight in whole.items():
        if weight.ndim > 1:  # the gradient of a key's bias is zero but for rounding, which Adam makes large
            torch.testing.assert_close(cut[name], weight, rtol=1e-3, atol=1e-5)


def test_built_in_encoder_decoders_learn_packed_rows(alone) -> None:
    run = alone.runs["nano-t5"]
    assert alone.codes["nano-t5"] == 0, alone.log
    [loaded] = events(run, "loaded")
    assert loaded["packed"] and loaded["parameters"] < 80_000
    assert numbers(run)[12][0] < 0.7 * numbers(run)[1][0]


@pytest.mark.parametrize("name", WAYS_TOGETHER)
def test_what_saves_memory_at_stage_3_does_not_change_the_numbers(alone, together, name) -> None:
    expected, found = numbers(alone.runs["stage0"]), numbers(together.runs[name])
    assert len(found) == 12
    for step in expected:
        assert found[step] == pytest.approx(expected[step], rel=2e-5)


@pytest.mark.parametrize("stage", ["stage0", "stage1", "stage2", "stage3", "t5", "lora", "select"])
def test_two_ranks_do_what_one_does_with_accumulation(alone, together, stage) -> None:
    # GPT-2 and T5 have dropout: it, too, depends on the micro-batch and not on the rank.
    assert together.ranks[0][1] == together.ranks[1][1] == [0] * 15, together.ranks[0][2]
    expected, found = numbers(alone.runs[stage]), numbers(together.runs[stage])
    assert len(found) == 12
    for step in expected:
        assert found[step] == pytest.approx(expected[step], rel=2e-5)
    assert results(together.runs[stage]) == results(alone.runs[stage])


def test_neither_a_compiler_nor_a_client_is_imported_where_none_is_used(together) -> None:
    assert [log.splitlines()[-2] for _, _, log in together.ranks] == ["imported: []"] * 2


def test_an_orphan_ends_with_a_checkpoint_and_says_why(alone) -> None:
    run = alone.runs["orphan"]
    assert alone.codes["orphan"] == 0
    last = events(run)[-1]
    step = last["step"]
    assert last["event"] == "stopped" and step < 30_000
    assert complete_steps(run / "checkpoints") == ([step] if step else [])  # none where it had not begun
    [note] = [event["message"] for event in events(run, "note") if "orphan" in event["message"]]
    assert note == (
        "no daemon has come back to this run for 0.0001 hours (daemon.orphan_hours): the run ends with a checkpoint, and a"
        " daemon of its database resumes it"
    )
    assert note in alone.log


def test_a_signal_to_one_rank_stops_all_with_a_checkpoint(together) -> None:
    run = together.runs["stopped"]
    last = events(run)[-2:]
    assert [event["event"] for event in last] == ["checkpoint", "stopped"]
    step = last[-1]["step"]
    assert 20 <= step <= 320 and complete_steps(run / "checkpoints") == [step]
    assert not (run / "student").exists()


def test_a_run_that_is_finished_early_is_exported_and_tested_by_all_ranks(together) -> None:
    run = together.runs["early"]
    done = events(run, "done")[-1]
    trained = done["trained"]
    assert 1 <= trained < 3000 and (done["reason"], done["steps"]) == ("early", 3000)
    assert {event["step"] for event in events(run, "eval")} == {trained}
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert (evaluation["selected_by"], evaluation["trained"]) == ("dev", trained)
    assert {row["split"] for row in evaluation["results"]} == {"dev", "test"}
    card = (run / "student" / "README.md").read_text()
    assert f"| finished early | after step {trained} of 3000: by hand |" in card
    assert "finished early" not in (together.runs["stage2"] / "student" / "README.md").read_text()


@pytest.mark.parametrize("stage", [0, 2, 3])
def test_two_ranks_go_on_where_one_stopped(alone, together, stage) -> None:
    moved(together.runs[f"moved{stage}"], alone.runs[f"stage{stage}"], "universal" if stage else "exact")
    [note] = events(together.runs[f"moved{stage}"], "note")
    assert "was made by 1 rank at ZeRO stage" in note["message"] and "2 ranks" in note["message"]


def moved(run: Path, whole: Path, how: str) -> None:
    """Whether a run that went on with another number of ranks ended in the numbers of one that did not."""
    loaded = events(run, "loaded")[-1]
    expected, found = numbers(whole), numbers(run)
    assert loaded["resumed"] == how and 0 < loaded["resumed_from"] < max(expected)
    assert found.keys() == expected.keys()
    for step in expected:
        assert found[step] == pytest.approx(expected[step], rel=2e-5, abs=1e-6)
    assert not list((run / "checkpoints").glob("*.universal"))


def test_an_interrupted_run_ends_in_the_same_numbers(alone, stopped, together, bases, tmp_path) -> None:
    run, lora, whole = stopped["gpt2"], stopped["lora"], alone.runs["gpt2"]
    prefix, chosen = stopped["prefix"], stopped["select"]
    for each in (run, lora, prefix, chosen):
        assert [event["event"] for event in events(each)][-2:] == ["checkpoint", "stopped"]
    assert 3 <= events(run)[-1]["step"] < 12

    [(code, _, log)] = run_ranks(run, strike="9:0:SIGKILL")
    assert code == -9, log
    assert complete_steps(run / "checkpoints")[-1] == 6 and not (run / "student").exists()
    assert events(run, "loaded")[-1]["resumed_from"] >= 3
    # A line that the kill tore, and a checkpoint that it left unfinished.
    with (run / "progress.jsonl").open("a") as file:
        file.write('{"at": 1, "event": "st')
    (run / "checkpoints" / "11").mkdir()
    (run / "checkpoints" / "9.partial").mkdir()

    [(code, _, log)] = run_ranks(run, strike="export:0:SIGKILL")
    assert code == -9, log
    assert numbers(run) == numbers(whole)
    assert not (run / "student").exists() and (run / "student.partial").is_dir()
    steps = len(events(run, "step"))
    damaged = tmp_path / "damaged"
    shutil.copytree(run, damaged)
    [weights] = (damaged / "checkpoints" / "12").glob("mp_rank*")
    weights.write_bytes(weights.read_bytes()[:-100])

    spoilt = tmp_path / "spoilt"  # the weights of its best dev result are damaged
    shutil.copytree(run, spoilt)
    marker = spoilt / "checkpoints" / "12" / MARKER
    state = json.loads(marker.read_text())
    state["dev"] = [{"step": 10, "n": 8, "correct": 8}, {"step": 12, "n": 8, "correct": 1}]
    marker.write_text(json.dumps(state))
    [best] = (spoilt / "checkpoints" / "10").glob("mp_rank*")
    best.write_bytes(best.read_bytes()[:-100])

    three = {"accumulation": 2, "zero_stage": 3}
    other = make_run(tmp_path / "t5", base=str(bases["t5"]), training=three)
    [(code, _, log)] = run_ranks(other, strike="9:0:SIGKILL")
    assert code == -9, log

    # What two ranks began at stage 3, one ends, which needs no stage; two at another stage keep the weights alone.
    back, restaged = together.runs["back"], tmp_path / "restaged"
    assert [event["event"] for event in events(back)][-2:] == ["checkpoint", "stopped"]
    shutil.copytree(back, restaged)
    spec = json.loads((restaged / "spec.json").read_text())
    spec["training"]["zero_stage"] = 1
    (restaged / "spec.json").write_text(json.dumps(spec))

    again = tmp_path / "again"
    shutil.copytree(restaged, again)

    [(code, codes, log)] = run_ranks(run, run, other, lora, prefix, chosen, back, restaged, damaged, spoilt)
    assert codes == [0] * 10, log
    ranks = run_ranks(again, world=2)
    assert [codes for _, codes, _ in ranks] == [[0]] * 2, ranks[0][2]
    *_, note = (event["message"] for event in events(spoilt, "note"))
    assert note.startswith(
        f"the checkpoint of step 10, which has the best dev result, is damaged ({best.name} has "
    )
    assert json.loads((spoilt / "evaluation.json").read_text())["step"] == 12
    *_, note = (event["message"] for event in events(damaged, "note"))
    assert note.startswith(f"the checkpoint of step 12 is damaged ({weights.name} has ")
    assert note.endswith("resumed from that of step 10")
    assert events(damaged, "loaded")[-1]["resumed_from"] == 10
    same(damaged, whole)
    moved(back, alone.runs["back"], "universal")
    moved(restaged, alone.runs["back"], "universal")
    assert events(again, "loaded")[-1]["resumed"] == "weights"
    assert "the optimizer's moments start at zero" in events(again, "note")[-1]["message"]
    before, after = numbers(alone.runs["back"]), numbers(again)
    first = events(again, "loaded")[-1]["resumed_from"] + 1
    assert after[first][0] == pytest.approx(before[first][0], rel=1e-5), "the same weights and rows"
    assert after[30][0] != before[30][0]
    assert events(other, "loaded")[-1]["resumed_from"] == 6
    same(other, alone.runs["t5"])
    same(lora, alone.runs["lora"])
    same(chosen, alone.runs["select"])
    assert [event.get("extra") for event in events(chosen, "step")] == [
        event["extra"] for event in events(alone.runs["select"], "step")
    ]
    same(prefix, alone.runs["prefix"], "student/adapter_model.safetensors")
    assert len(events(run, "step")) == steps, "a finished training is not repeated"
    assert [event["event"] for event in events(run)][-3:] == ["exported", "done", "done"]
    assert results(run) == results(whole)
    final = read_state(run / "checkpoints", 12)
    assert [result.step for result in final.dev] == [6, 12], (
        "an evaluation that is in a checkpoint is not repeated"
    )
    same(run, whole)


def test_a_step_too_large_for_the_memory_goes_on_in_parts(alone, bases, tmp_path) -> None:
    many = [row.model_copy(update={"sample_id": number}) for number, row in enumerate(rows()[0] * 50)]
    large = {"batch_tokens": 40_000, "steps": 4, "checkpoint_steps": 1}
    run, whole = (
        make_run(tmp_path / name, base=str(bases["llama"]), training=large, train=many)
        for name in ("run", "whole")
    )
    [(_, codes, log)] = run_ranks(run, strike="2:0:MEMORY")
    assert codes == [1], log
    [failed] = events(run, "failed")
    assert failed["memory"] and failed["message"].startswith("out of memory: lower training.batch_tokens")
    spec = json.loads((run / "spec.json").read_text())
    (run / "spec.json").write_text(json.dumps(spec | {"pieces": 3}))
    [(_, codes, log)] = run_ranks(run, whole)
    assert codes == [0, 0], log
    assert events(run, "loaded")[-1]["resumed_from"] == 2 and events(run, "loaded")[-1]["pieces"] == 3
    for step, expected in numbers(whole).items():
        assert numbers(run)[step] == pytest.approx(expected, rel=1e-4)


def test_adapters_alone_are_trained_and_kept_and_the_export_has_them_merged(alone, bases) -> None:
    from safetensors.torch import load_file

    run = alone.runs["lora"]
    assert numbers(run)[12][0] < numbers(run)[1][0]
    before = load_file(bases["gpt2"] / "model.safetensors")
    after = load_file(run / "student" / "model.safetensors")
    assert before.keys() == after.keys()
    changed = {name for name in before if not before[name].equal(after[name])}
    assert changed == {name for name in before if ".c_" in name and name.endswith("weight")}
    card = (run / "student" / "README.md").read_text()
    assert "LoRA of rank 4 (merged, and kept as an adapter)" in card
    assert f'base = AutoModelForCausalLM.from_pretrained("{bases["gpt2"].name}")' in card
    assert sorted(path.name for path in (run / "student" / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    size = sum(file.stat().st_size for file in (run / "checkpoints" / "12").rglob("mp_rank*"))
    whole = alone.runs["stage2"] / "checkpoints" / "12"
    assert size < sum(file.stat().st_size for file in whole.rglob("mp_rank*"))


def test_a_prefix_is_trained_on_a_base_that_stays_and_lies_beside_it(alone, bases) -> None:
    run = alone.runs["prefix"]
    student, base = run / "student", bases["llama"]
    assert numbers(run)[12][0] < numbers(run)[1][0]
    assert (student / "base" / "model.safetensors").read_bytes() == (base / "model.safetensors").read_bytes()
    assert not (student / "model.safetensors").exists()
    card = (student / "README.md").read_text()
    assert "| training | a prefix of 4 tokens, learning rate 0.03" in card
    assert (
        'AutoModelForCausalLM.from_pretrained("base")' in card
        and 'PeftModel.from_pretrained(model, ".")' in card
    )
    size = sum(file.stat().st_size for file in (run / "checkpoints" / "12").rglob("mp_rank*"))
    assert size < (base / "model.safetensors").stat().st_size / 2


def test_rows_are_selected_by_a_policy_that_says_what_its_teachers_count(alone) -> None:
    """Before the first measured step all teachers count half; what was learned is in each checkpoint."""
    run = alone.runs["select"]
    told = [event["extra"] for event in events(run, "step")]
    assert told[0] == told[2] == {"weight.a": 0.5, "weight.b": 0.5}
    assert told[3] != told[0] and told[3] == told[6] != told[7]
    assert all(0.1 < value < 0.9 for each in told for value in each.values())
    [event] = events(run, "selected")
    assert event["figures"] == {f"{name}@coin": value for name, value in told[-1].items()}
    state = json.loads((run / "checkpoints" / "12" / "selection.json").read_text())
    assert len(state["weights"]) == 2 and state["seen"] == [3.0]


def same(run: Path, whole: Path, weights: str = "student/model.safetensors") -> None:
    """Whether two runs reported and left the same."""
    assert numbers(run) == numbers(whole)
    for name in ("predictions.jsonl", weights):
        assert (run / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no rows", "manifest.jsonl has no rows"),
        ("too long", "all 1 training rows are longer than training.max_length = 30"),
        ("no base", "the base model directory /no/such/model does not exist"),
        ("no builtin", "unknown built-in model 'builtin:giant'; known: builtin:nano"),
        ("hub", "'nobody/nothing' cannot be loaded from the model hub"),
        ("no tokenizer", "the tokenizer of "),
        ("another tokenizer", "but the model has 40 embeddings: tokenizer and model do not match"),
        ("diverged", "training has diverged"),
        ("pickled", "safetensors are needed"),
        ("no distributions", "no token of the rationales has a distribution of its teacher"),
        ("no start", "has no decoder_start_token_id"),
        ("mixed", "BartForConditionalGeneration cannot be trained with packed rows: "),
        ("liger", "training.liger = true cannot be used: liger's kernels run on GPUs only"),
        ("flash", 'training.attention = "flash" cannot be used: it needs a GPU'),
    ],
)
def test_a_run_that_cannot_go_on_says_why_in_one_line(alone, name, said) -> None:
    assert alone.codes[name] == 1
    [failed] = events(alone.bad[name], "failed")
    assert said in failed["message"] and "\n" not in failed["message"]
    assert events(alone.bad[name])[-1] == failed
    assert not (alone.bad[name] / "student").exists()
