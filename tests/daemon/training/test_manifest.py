from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.training.manifest import NO_RATIONALE, RunRequest, materialise, prepare, training_rows
from engine.config import Config, StudentConfig
from engine.curation import ALIKE, FLAGGED, HELD_OUT
from engine.errors import JobFailed
from engine.forms import FIRST
from engine.forms.chat import ChatSettings
from engine.methods import TrainRow
from engine.students.run import read_spec
from engine.students.spec import EvalRow, Spec, digest_of, write_rows
from engine.students.targets import read_targets
from state.enums import SampleState
from state.logprobs import Logprobs, pack, unpack
from state.notes import SetNote, set_notes
from state.outcomes import SampleEnd, Verdict
from state.runs import RunRow, RunSettings, TaskInfo, create_run, unfinished
from tests.daemon.parts import config_of
from tests.state.world import World, make, question_row, question_rows, stored

LONG = "Anna takes the coin to the market and buys {} apples, then walks home along the river slowly."


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = make(tmp_path / "state.db", questions=0)
    found.task(
        "t",
        [
            *question_rows(3),
            *question_rows(2, split="dev", start=3),
            *question_rows(2, split="test", start=5),
        ],
    )
    yield found
    found.connection.close()


def config(world: World, **teachers: bool) -> Config:
    found = config_of(
        world.path.parent,
        teachers={
            name: {"builtin": True, "model": "m", "training_allowed": teachers.get(name, True)}
            for name in "ab"
        },
        tasks={"t": {"source": "x.jsonl", "answer": "yes_no"}},
    )
    return found


def sample(
    world: World, plan: int, *rationales: str | None, correct: bool = True, teacher: str = "a"
) -> None:
    """Claims as many samples and stores these rationales, wrong ones with an answer of their own."""
    claimed = world.claim(plan, len(rationales), teacher=teacher).samples
    verdict = Verdict(grader="g:1", correct=correct, extracted="yes" if correct else "perhaps", reason="")
    world.record(
        *(
            stored(
                each,
                end=SampleEnd(state=SampleState.STORED, rationale=text, answer="x", verdict=verdict),
            )
            for each, text in zip(claimed, rationales, strict=True)
        )
    )


def order(world: World, *plans: int, **settings: object) -> RunRequest:
    student = StudentConfig.model_validate({"name": "s", **settings})
    return RunRequest(
        student=student,
        scope="t",
        trigger="complete",
        fingerprint="r",
        tasks=(TaskInfo(id=world.tasks["t"], name="t", answer_format="yes_no"),),
        plan_ids=plans,
    )


def run(world: World, made: Config, asked: RunRequest) -> RunRow:
    create_run(world.connection, [prepare(world.connection, made, asked)])
    return unfinished(world.connection)[-1]


def rows(directory: Path, name: str = "manifest.jsonl") -> list[dict[str, object]]:
    return [json.loads(line) for line in (directory / name).read_text(encoding="utf-8").split("\n")[:-1]]


def test_a_directory_is_written_from_what_was_decided(world: World) -> None:
    plan, made = world.plan(), config(world)
    sample(world, plan, " because \n", "since", None)
    directory = materialise(world.connection, made, run(world, made, order(world, plan)))
    assert directory == world.path.parent / "runs" / "1"
    assert rows(directory) == [
        {
            "sample_id": 1,
            "question_id": 1,
            "question": "question q0?",
            "rationale": "because",
            "answer": "yes",
        },
        {"sample_id": 2, "question_id": 2, "question": "question q1?", "rationale": "since", "answer": "yes"},
    ]
    assert [(row["split"], row["question_id"]) for row in rows(directory, "questions.jsonl")] == [
        *(("dev", 4), ("dev", 5), ("test", 6), ("test", 7)),
    ]
    spec = Spec.model_validate_json((directory / "spec.json").read_text())
    assert (spec.run_id, spec.student, spec.scope, spec.trigger, spec.base) == (
        1,
        "s",
        "t",
        "complete",
        "builtin:nano",
    )
    assert world.row("SELECT samples, questions, drops, digest FROM run") == (
        *(2, 2, '{"empty rationale": 1}', spec.manifest_digest),
    )


@pytest.mark.parametrize("flag", ["unknown_finish", "content_filter"])
def test_what_may_be_no_whole_answer_is_never_trained_on(world: World, flag: str) -> None:
    plan, made = world.plan(), config(world)
    good, bad = world.claim(plan, 2, teacher="a").samples
    verdict = Verdict(grader="g:1", correct=True, extracted="yes", reason="")
    for each, flags in ((good, ("answer_in_reasoning",)), (bad, (flag,))):
        end = SampleEnd(
            state=SampleState.STORED, rationale="because", answer="x", verdict=verdict, flags=flags
        )
        world.record(stored(each, end=end))
    directory = materialise(
        world.connection, made, run(world, made, order(world, plan, curation={"keep": "all"}))
    )
    assert [row["sample_id"] for row in rows(directory)] == [good.sample_id]
    assert world.row("SELECT drops FROM run") == ('{"not a whole answer": 1}',)


def test_it_can_be_rebuilt_byte_for_byte_whatever_was_sampled_since(world: World) -> None:
    plan, made = world.plan(rationales=3), config(world)
    sample(world, plan, "because", "since \u2028 \U0001f600", "as")
    row = run(world, made, order(world, plan))
    directory = materialise(world.connection, made, row)
    before = (directory / "manifest.jsonl").read_bytes()
    sample(world, plan, "another", "one more")
    world.task("t", [*reversed(question_rows(4)), *question_rows(2, split="test", start=5)])
    for path in directory.iterdir():
        path.unlink()
    materialise(world.connection, made, row)
    assert (directory / "manifest.jsonl").read_bytes() == before


def test_distributions_are_packed_beside_the_rows_and_rebuilt_byte_for_byte(world: World) -> None:
    """Those of its samples alone, of each answer in order; a run whose log-probabilities are others is refused."""
    plan, made = world.plan(rationales=3), config(world)
    sample(world, plan, "because", "since", "as")

    def known(attempt: int, *tokens: str) -> None:
        data = pack(Logprobs(tokens, (-0.5,) * len(tokens), ((),) * len(tokens)))
        world.connection.execute(
            "INSERT INTO logprob (attempt_id, tokens, mean, data) VALUES (?, 1, 0, ?)", (attempt, data)
        )

    attempts = [key for (key,) in world.rows("SELECT id FROM attempt ORDER BY sample_id")]
    for attempt in attempts[:2]:
        known(attempt, "be", "cause")
    row = run(world, made, order(world, plan, training={"objective": "distribution"}))
    directory = materialise(world.connection, made, row)
    data = (directory / "targets.bin").read_bytes()
    spec = Spec.model_validate_json((directory / "spec.json").read_text())
    stored, _ = read_targets(directory / "targets.bin", spec.targets_digest)
    assert [unpack(each).tokens for parts in stored.values() for each in parts] == [("be", "cause")] * 2
    shutil.rmtree(directory)
    assert (materialise(world.connection, made, row) / "targets.bin").read_bytes() == data
    shutil.rmtree(directory)
    known(attempts[2], "as")
    with pytest.raises(JobFailed, match="its samples are not those it was queued with"):
        materialise(world.connection, made, row)


def test_pseudo_labels_are_kept_apart_and_rebuild_the_same_rows(world: World) -> None:
    plan, made = world.plan(rationales=3), config(world)
    sample(world, plan, "one", "two", "three", correct=False)  # all say "perhaps", and the gold answer is yes
    sample(world, plan, "four", correct=False)
    world.connection.execute("UPDATE sample SET extracted = 'Perhaps' WHERE id = 4")
    asked = order(world, plan, curation={"labels": "majority"})
    assert training_rows(world.connection, made, order(world, plan)).rows == []
    row = run(world, made, asked)
    assert world.rows("SELECT question_id, answer, votes, voters FROM run_label") == [(1, "perhaps", 2, 2)]
    directory = materialise(world.connection, made, row)
    assert [(each["sample_id"], each["answer"]) for each in rows(directory)] == [
        (1, "perhaps"),
        (4, "perhaps"),
    ]
    assert world.row("SELECT drops FROM run") == ('{"no majority": 2}',)


def test_a_directory_that_is_whole_is_left_alone(world: World) -> None:
    plan, made = world.plan(), config(world)
    sample(world, plan, "because")
    row = run(world, made, order(world, plan))
    directory = materialise(world.connection, made, row)
    (directory / "manifest.jsonl").write_text("kept")
    assert materialise(world.connection, made, row) == directory
    assert (directory / "manifest.jsonl").read_text() == "kept"


@pytest.mark.parametrize("method", ["fine-tune", "fine-tune-cot"])
def test_rows_that_changed_since_are_refused(world: World, method: str) -> None:
    plan, made = world.plan(), config(world)
    sample(world, plan, "because")
    row = run(world, made, order(world, plan, method=method))
    world.connection.execute("UPDATE question SET gold = 'no', checksum = NULL WHERE id = 1")
    with pytest.raises(JobFailed, match=r"start a new run with `coterie train t --student s`"):
        materialise(world.connection, made, row)
    assert not (world.path.parent / "runs" / "1" / "spec.json").exists()


def test_plain_fine_tuning_reads_the_training_questions_and_their_answers(world: World) -> None:
    made = config(world)
    new = prepare(world.connection, made, order(world, method="fine-tune"))
    assert (new.rows, new.questions, new.sample_ids, new.drops) == (3, 3, (), {})
    directory = materialise(world.connection, made, run(world, made, order(world, method="fine-tune")))
    assert rows(directory)[0] == {
        **{
            "sample_id": None,
            "question_id": 1,
            "question": "question q0?",
            "rationale": None,
            "answer": "yes",
        }
    }
    assert len(rows(directory)) == 3


OPTIONS = "Anna flips the coin {}. Is it heads? Answer choices: (A) yes, (B) no."
SWAPPED = "anna flips the coin {} . Is it heads? Answer Choices: (A) no, (B) yes"


@pytest.mark.parametrize("split", ["dev", "test"])
def test_a_training_question_that_is_held_out_in_another_spelling_is_not_read(
    world: World, split: str
) -> None:
    questions = [question_row(f"q{number}", OPTIONS.format(number)) for number in range(3)]
    world.task("t", [*questions, question_row("copy", SWAPPED.format(1), split=split)])
    plan, made = world.plan(), config(world)
    sample(world, plan, "a", "b", "c")
    new = prepare(world.connection, made, order(world, plan))
    assert (new.sample_ids, new.drops) == ((1, 3), {HELD_OUT: 1})
    kept = prepare(world.connection, made, order(world, plan, curation={"drop_test_overlap": False}))
    assert kept.sample_ids == (1, 2, 3)
    plain = prepare(
        world.connection, made, order(world, method="fine-tune")
    )  # compared fairly: the same rule
    assert (plain.rows, plain.drops) == (2, {HELD_OUT: 1})
    directory = materialise(world.connection, made, run(world, made, order(world, method="fine-tune")))
    assert len(rows(directory)) == 2


def alike_questions(world: World) -> None:
    questions = [question_row(f"q{number}", LONG.format(number)) for number in range(3)]
    world.task("t", [*questions, question_row("alike", LONG.format(1) + " Why?", split="test")])


def test_a_training_question_that_is_only_alike_is_left_out_on_request(world: World) -> None:
    alike_questions(world)
    plan, made = world.plan(), config(world)
    sample(world, plan, "a", "b", "c")
    new = prepare(world.connection, made, order(world, plan))
    assert (new.sample_ids, new.drops) == ((1, 2, 3), {})
    asked = prepare(world.connection, made, order(world, plan, curation={"drop_test_alike": True}))
    assert (asked.sample_ids, asked.drops) == ((1, 3), {ALIKE: 1})


def test_a_student_of_several_tasks_reads_no_question_that_another_of_them_tests(world: World) -> None:
    world.task("u", [question_row("u0", "Question Q0 ?", split="test"), question_row("u1", "Only u?")])
    made = config(world)
    alone = order(world, method="fine-tune")
    assert prepare(world.connection, made, alone).rows == 3
    tasks = tuple(TaskInfo(id=world.tasks[name], name=name, answer_format="yes_no") for name in "tu")
    joint = prepare(world.connection, made, replace(alone, tasks=tasks, scope="joint"))
    assert (joint.rows, joint.drops) == (3, {HELD_OUT: 1})


def test_a_run_that_version_0_1_queued_gets_the_rows_that_version_0_1_chose(world: World) -> None:
    alike_questions(world)
    made, asked = config(world), order(world, method="fine-tune")
    queued = run(world, made, asked)
    assert len(training_rows(world.connection, made, asked).rows) == 3
    chosen = [
        row for row in training_rows(world.connection, made, asked).rows if row.question != LONG.format(1)
    ]
    settings = RunSettings.decode(json.dumps({**json.loads(queued.settings.encode()), "overlap": 1}))
    old = replace(queued, settings=settings, digest=digest_of(chosen))
    assert len(rows(materialise(world.connection, made, old))) == 2


def test_what_may_not_be_trained_on_is_not(world: World) -> None:
    plan = world.plan(rationales=2)
    sample(world, plan, "a1", "a2", teacher="a")
    sample(world, plan, "b1", "b2", teacher="b")
    assert prepare(world.connection, config(world), order(world, plan)).sample_ids == (1, 4, 2, 3)
    assert prepare(world.connection, config(world, b=False), order(world, plan)).sample_ids == (1, 2)
    assert prepare(world.connection, config(world, a=False, b=False), order(world, plan)).rows == 0


def test_a_wrong_rationale_is_kept_only_on_request_and_with_the_answer_that_labels_names(
    world: World,
) -> None:
    plan, made = world.plan(), config(world)
    sample(world, plan, "wrong", correct=False)
    new = prepare(world.connection, made, order(world, plan))
    assert (new.rows, new.drops) == (0, {"wrong answer": 1})
    taught = {}
    for labels in ("gold", "teacher"):
        asked = order(world, plan, curation={"keep": "all", "labels": labels})
        row = run(world, made, replace(asked, trigger=labels))
        taught[labels] = rows(materialise(world.connection, made, row))[0]["answer"]
    assert taught == {"gold": "yes", "teacher": "perhaps"}
    settings = {key: value for key, value in json.loads(row.settings.encode()).items() if key != "labels"}
    settings["student"]["curation"]["labels"] = "gold"  # as a program wrote it that had no other rule
    old = replace(row, settings=RunSettings.decode(json.dumps(settings)))
    shutil.rmtree(made.runs / str(row.id))
    assert rows(materialise(world.connection, made, old))[0]["answer"] == "perhaps", "queued by the old rule"


def test_golden_rationales_are_those_of_the_data(world: World) -> None:
    world.connection.execute("UPDATE question SET rationale = 'since ' || id, checksum = NULL WHERE id <> 2")
    asked = order(world, method="fine-tune-golden")
    chosen = training_rows(world.connection, config(world), asked)
    assert [(row.question_id, row.rationale) for row in chosen.rows] == [(1, "since 1"), (3, "since 3")]
    assert chosen.drops == {NO_RATIONALE: 1} and not chosen.sample_ids


def test_as_many_at_random_from_the_filtered_is_the_papers_control(world: World) -> None:
    plan, made = world.plan(rationales=3), config(world)
    sample(world, plan, *(f"r{number}" for number in range(9)))
    whole = prepare(world.connection, made, order(world, plan))
    drawn = {
        seed: prepare(
            world.connection, made, order(world, plan, curation={"draw": 4}, training={"seed": seed})
        )
        for seed in (0, 1)
    }
    assert len(whole.sample_ids) == 9 and all(new.rows == 4 for new in drawn.values())
    assert drawn[0].sample_ids != drawn[1].sample_ids
    assert drawn[0].drops == {"not drawn for the random control": 5}


def test_samples_that_two_plans_share_are_read_once(world: World) -> None:
    plans = world.plan("p", rationales=1), world.plan("q", rationales=2)
    sample(world, plans[1], "a", "b", "c", "d")
    new = prepare(world.connection, config(world), order(world, *plans))
    assert sorted(new.sample_ids) == [1, 2, 3, 4]
    assert len(prepare(world.connection, config(world), order(world, plans[0])).sample_ids) == 3


def test_a_local_base_becomes_an_absolute_path(world: World) -> None:
    made = config(world)
    (world.path.parent / "model").mkdir()
    for number, (base, meant) in enumerate(
        [
            ("model", str(world.path.parent / "model")),
            ("./none", str(world.path.parent / "none")),
            ("google/flan-t5-small", "google/flan-t5-small"),
            ("builtin:nano", "builtin:nano"),
        ]
    ):
        asked = order(world, method="fine-tune", base=base, training={"seed": number})
        create_run(world.connection, [prepare(world.connection, made, asked)])
        world.connection.execute("UPDATE run SET trigger = ? WHERE trigger = 'complete'", (str(number),))
        row = unfinished(world.connection)[-1]
        spec = json.loads((materialise(world.connection, made, row) / "spec.json").read_text())
        assert spec["base"] == meant


def test_a_student_may_read_some_teachers_only(world: World) -> None:
    plan, made = world.plan(rationales=2), config(world)
    sample(world, plan, "of a", "of a too", "of a as well", teacher="a")
    sample(world, plan, "of b", "of b too", "of b as well", teacher="b")

    def read(made: Config, **settings: object) -> list[str | None]:
        return [
            row.rationale
            for row in training_rows(world.connection, made, order(world, plan, **settings)).rows
        ]

    assert read(made, teachers=["b"]) == ["of b", "of b too", "of b as well"]
    assert len(read(made)) == len(read(made, teachers=["b", "a"])) == 6
    assert read(config(world, b=False), teachers=["b"]) == []  # its terms do not allow it


def test_answers_alone_are_mixed_in_and_rebuilt(world: World) -> None:
    plan, made = world.plan(rationales=2), config(world)
    sample(world, plan, "because", "since", "as", "because of", "since then", "as if")
    asked = order(world, plan, curation={"mix_answers": 0.25})
    chosen = training_rows(world.connection, made, asked)
    alone = [row for row in chosen.rows if row.rationale is None]
    assert (len(chosen.rows), len(alone)) == (8, 2)  # a quarter of all
    assert {row.question for row in alone} <= {f"question q{n}? (Answer only.)" for n in range(3)}
    assert all(row.answer == "yes" and row.sample_id is None for row in alone)
    for place, row in enumerate(chosen.rows):  # each after the rationales of its question
        if row.rationale is None:
            assert chosen.rows[place - 1].question_id == row.question_id
    assert chosen.sample_ids == (1, 4, 2, 5, 3, 6)
    made_run = run(world, made, asked)
    assert world.row("SELECT samples FROM run") == (8,)
    directory = materialise(world.connection, made, made_run)
    assert [each["rationale"] is None for each in rows(directory)] == [
        row.rationale is None for row in chosen.rows
    ]
    most = training_rows(world.connection, made, order(world, plan, curation={"mix_answers": 0.9}))
    assert len(most.rows) == 6 + 3  # each question at most once


ROWS = [
    TrainRow(sample_id=None, question_id=1, question="q \u2028?", rationale=None, answer="yes"),
    TrainRow(sample_id=7, question_id=2, question='a "b"', rationale="so\n\U0001f600", answer="4"),
]
DIGEST = "963bca0be70a12dd17220b71987f6959baf1c83a8203ec63d2df0a63c5ce4752"
"""Of these rows, by the program that wrote all five fields."""


def test_the_digest_of_rows_is_what_it_was() -> None:
    assert digest_of(ROWS) == DIGEST


def test_a_student_that_selects_knows_who_wrote_its_rows_and_what_is_right(world: World) -> None:
    plan = world.plan(rationales=2, split="train")
    sample(world, plan, "One.", "Two.", teacher="a")
    sample(world, plan, "Three.", correct=False, teacher="b")
    asked = {"curation": {"keep": "all", "labels": "teacher"}}
    plain = training_rows(world.connection, config(world), order(world, plan, **asked)).rows
    chosen = order(world, plan, training={"select": "uniform"}, **asked)
    rows = training_rows(world.connection, config(world), chosen).rows
    told = {(row.teacher, row.task, row.answer, row.gold) for row in rows}
    assert told == {("a", "t", "yes", ""), ("b", "t", "perhaps", "yes")}
    blank = {"teacher": "", "task": "", "gold": ""}
    assert [row.model_copy(update=blank) for row in rows] == plain
    create_run(world.connection, [prepare(world.connection, config(world), chosen)])
    [run] = unfinished(world.connection)
    directory = materialise(world.connection, config(world), run)
    assert digest_of(rows) == run.digest and '"teacher": "b"' in (directory / "manifest.jsonl").read_text()


def test_a_later_field_changes_no_digest_until_it_is_set() -> None:
    class Later(TrainRow):
        teacher: str = ""
        turns: tuple[tuple[str, str], ...] = ()

    later = [Later.model_validate(row.model_dump()) for row in ROWS]
    assert digest_of(later) == DIGEST
    assert digest_of([later[0], later[1].model_copy(update={"teacher": "a"})]) != DIGEST
    assert digest_of([later[0], later[1].model_copy(update={"turns": (("", "x"),)})]) != DIGEST


def test_the_fields_of_the_first_version_are_always_written(tmp_path: Path) -> None:
    required = [name for name, field in TrainRow.model_fields.items() if field.is_required()]
    assert required == ["sample_id", "question_id", "question", "rationale", "answer"]
    asked = EvalRow(question_id=1, task="t", split="dev", question="q", gold="g", answer_format="text")
    write_rows(tmp_path / "rows", [asked])
    assert json.loads((tmp_path / "rows").read_text()) == asked.model_dump()


OLD_SPEC = {
    **{"run_id": 1, "student": "s", "scope": "t", "trigger": "complete", "method": "fine-tune-cot"},
    "base": "builtin:nano",
    "training": {"zero_stage": 1, "steps": 9},
    "evaluation": {"grader": "careful"},
    "manifest_digest": "d",
}
"""With the fields of version 0.1."""


def test_a_spec_of_the_first_version_is_read_and_one_of_a_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({**OLD_SPEC, "pieces": 4}))
    spec = read_spec(tmp_path)
    assert (spec.manifest_version, spec.splits, spec.started_from, spec.teachers) == (1, 4, None, {})
    assert spec.training.steps == 9 and spec.training.packing == "auto"
    path.write_text(spec.to_json())
    assert read_spec(tmp_path) == spec and json.loads(path.read_text())["pieces"] == 4
    path.write_text(json.dumps({**OLD_SPEC, "manifest_version": 2}))
    with pytest.raises(JobFailed, match=r"the rows have version 2, and this program reads up to 1"):
        read_spec(tmp_path)


def test_the_base_decides_the_form_unless_the_configuration_or_the_previous_student_does(
    world: World,
) -> None:
    plan, made = world.plan(rationales=2), config(world)
    sample(world, plan, "because", "since", "as")

    def form(name: str, **settings: object) -> object:
        asked = order(world, plan, name=name, base="some/model", **settings)
        row = run(world, made, replace(asked, trigger=str(settings)))
        directory = materialise(world.connection, made, row)
        (directory / "student").mkdir()
        return row.id, read_spec(directory).form

    assert form("free")[1] is None
    chat = {"type": "chat", "system": "Be brief."}
    key, chosen = form("chosen", form=chat)
    assert chosen == ChatSettings(type="chat", system="Be brief.")
    world.connection.execute("UPDATE run SET state = 'done' WHERE id = ?", (key,))
    assert form("chosen", start_from="previous")[1] == chosen


@pytest.mark.parametrize("method", ["fine-tune", "fine-tune-cot"])
def test_a_run_that_an_older_program_queued_has_the_same_manifest(world: World, method: str) -> None:
    plan, made = world.plan(rationales=2), config(world)
    sample(world, plan, "because", "since", "as")
    row = run(world, made, order(world, plan, method=method))
    (text,) = world.row("SELECT spec FROM run")
    settings = json.loads(text)
    settings["student"] = {  # of the fields of version 0.1 those that matter, and none that came later
        **{"name": "s", "base": "builtin:nano", "method": method, "tasks": ["*"], "plans": ["*"]},
        **{"rationales": 8, "scope": "per-task", "curation": {"keep": "correct"}, "training": {"seed": 0}},
    }
    directory = materialise(
        world.connection, made, replace(row, settings=RunSettings.decode(json.dumps(settings)))
    )
    assert read_spec(directory).splits == 1 and read_spec(directory).form == FIRST
    (directory / "spec.json").write_text(json.dumps({**OLD_SPEC, "method": method}))
    assert (
        materialise(world.connection, made, replace(row, settings=RunSettings.decode(json.dumps(settings))))
        == directory
    )
    settings["pieces"] = 2  # it did not fit into memory
    materialise(world.connection, made, replace(row, settings=RunSettings.decode(json.dumps(settings))))
    assert read_spec(directory).splits == 2


def test_what_you_flagged_is_left_out_on_request(world: World) -> None:
    plan, made = world.plan(), config(world)
    sample(world, plan, "a1", "b1", "c1", "a2")
    set_notes(
        world.connection,
        [
            SetNote(sample=1, flag="bad rationale"),
            SetNote(sample=2, flag="gold is wrong"),
            SetNote(sample=3, text="read again"),
        ],
    )
    plain = run(world, made, order(world, plan))
    assert prepare(world.connection, made, order(world, plan)).sample_ids == (1, 4, 2, 3)
    asked = order(world, plan, curation={"leave_out_flagged": True})
    new = prepare(world.connection, made, asked)
    assert (new.sample_ids, new.drops) == ((4, 3), {FLAGGED: 2})
    set_notes(world.connection, [SetNote(sample=1), SetNote(sample=2)])
    unset = prepare(world.connection, made, asked)
    assert (unset.sample_ids, unset.digest) == ((1, 4, 2, 3), plain.digest)


def test_a_queued_run_without_samples_keeps_to_the_flags_of_when_it_was_made(world: World) -> None:
    made = config(world)
    asked = order(world, method="fine-tune", curation={"leave_out_flagged": True})
    set_notes(world.connection, [SetNote(question=2, flag="bad question")])
    queued = run(world, made, asked)
    set_notes(world.connection, [SetNote(question=2), SetNote(question=1, flag="bad question")])
    written = rows(materialise(world.connection, made, queued))
    assert [row["question_id"] for row in written] == [1, 3]
    assert queued.settings.flagged == (2,)
    plain = prepare(world.connection, made, order(world, method="fine-tune"))
    assert "flagged" not in json.loads(plain.settings.encode())


def test_a_student_with_runs_from_before_the_order_was_drawn_goes_on_with_theirs(world: World) -> None:
    plans = [world.plan("p", recipe="r1"), world.plan("q", recipe="r2")]
    for plan in plans:
        world.store(world.claim(plan, 6))
    made, asked = config(world), order(world, *plans, curation={"drop_duplicates": False})
    assert prepare(world.connection, made, asked).settings.order == 2
    run(world, made, asked)
    world.connection.execute("UPDATE run SET spec = json_remove(spec, '$.order')")
    again = prepare(world.connection, made, asked)
    arrived = [(first, first + 6) for first in range(1, 7)]
    pairs = list(zip(again.sample_ids[::2], again.sample_ids[1::2], strict=True))
    assert again.settings.order == 1 and sorted(pairs) == arrived
