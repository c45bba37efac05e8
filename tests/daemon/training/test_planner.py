from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from daemon.catalog.sync import Input
from daemon.cli import check
from daemon.events import EvaluatedAgain, PlanCompleted, RunFailed, RunNoted, SampleStored, ThresholdReached
from daemon.host.clock import SystemClock
from daemon.sampling.plans import ActivePlan
from daemon.training.manifest import materialise
from daemon.training.planner import Planner
from daemon.training.run_fingerprint import run_fingerprint
from daemon.training.scopes import scopes_of
from daemon.training.trainer import Trainer
from engine.config import Config, StudentConfig
from engine.students.run import read_spec
from state.enums import RunState
from state.runs import RunEnd, create_run, end_run, own_answer_runs, run_by_id
from state.slots import open_in_other_plans
from tests.daemon.parts import Heard, active_plan, config_of, until, writing
from tests.state.test_runs import NEW
from tests.state.world import World, make, question_rows

pytestmark = pytest.mark.anyio

FIRST_RUN = "88a7fe710e9129ddde9c1770"
"""The recipe of a default student without plans."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = make(tmp_path / "state.db", questions=10)
    found.task("u", question_rows(10))
    yield found
    found.connection.close()


def config(world: World, *students: dict[str, Any], plans: tuple[str, ...] = ("p",)) -> Config:
    return config_of(
        world.path.parent,
        teachers={"a": {"builtin": True, "model": "m"}},
        tasks={name: {"source": "x.jsonl", "answer": "yes_no"} for name in ("t", "u")},
        plans=[{"name": name} for name in plans],
        students=[{"name": "s", "train_at": [3, 6, "complete"], "tasks": ["t"], **each} for each in students],
    )


class Bench:
    def __init__(self, planner: Planner, trainer: Trainer, heard: Heard, world: World) -> None:
        self.planner, self.trainer, self.heard, self.world = planner, trainer, heard, world

    async def look(self) -> list[tuple[Any, ...]]:
        """Lets the planner see what was stored, and gives the runs there are."""
        await until(lambda: self.planner.idle)
        self.heard.bus.emit(SampleStored(plan="p", task="t", correct=True))
        self.planner.changed.notify()
        await until(lambda: self.planner.idle)
        return self.runs()

    def runs(self) -> list[tuple[Any, ...]]:
        return self.world.rows("SELECT scope, trigger, samples, state FROM run ORDER BY id")


@asynccontextmanager
async def planning(world: World, made: Config, plans: list[ActivePlan]) -> AsyncIterator[Bench]:
    heard = Heard()
    async with writing(world) as writer:
        trainer = Trainer(
            made, boot_id=world.boot, writer=writer, bus=heard.bus, clock=SystemClock(), devices=[]
        )
        planner = Planner(
            made, writer=writer, bus=heard.bus, trainer=trainer, plans=plans, task_ids=world.tasks
        )
        async with anyio.create_task_group() as group:
            await group.start(planner.serve)
            yield Bench(planner, trainer, heard, world)
            group.cancel_scope.cancel()


def accept(world: World, plan: ActivePlan, count: int, *, correct: bool = True) -> None:
    world.store(world.claim(plan.id, count), correct=correct)


async def test_a_trigger_fires_once_and_the_highest_of_several(world: World) -> None:
    plan = active_plan(world)
    async with planning(world, config(world, {}), [plan]) as bench:
        accept(world, plan, 2)
        assert await bench.look() == []
        accept(world, plan, 1)
        assert await bench.look() == [("t", "3", 3, "queued")]
        assert await bench.look() == [("t", "3", 3, "queued")]
        assert bench.trainer.queued == 1
        accept(world, plan, 7)
        plan.state.settled(exhausted=True)
        assert await bench.look() == [("t", "3", 3, "queued"), ("t", "complete", 10, "queued")]
        assert [event.trigger for event in bench.heard.of(ThresholdReached)] == ["3", "complete"]
    async with planning(world, config(world, {}), [plan]) as bench:  # another start
        assert len(await bench.look()) == 2


async def test_a_student_that_has_runs_from_before_there_were_forms_keeps_theirs(world: World) -> None:
    plan = active_plan(world)
    old = {"name": "old", "base": "some/model", "train_at": [3, "complete"]}
    async with planning(world, config(world, old, {**old, "name": "new"}), [plan]) as bench:
        (task,) = world.row("SELECT digest FROM task WHERE name = 't'")
        before = run_fingerprint(StudentConfig.model_validate({**old, "tasks": ["t"]}), [plan], [task])
        [key] = create_run(
            world.connection,
            [replace(NEW, student="old", scope="t", trigger="3", fingerprint=before, sample_ids=())],
        )
        world.connection.execute("UPDATE run SET state = 'done' WHERE id = ?", (key,))
        world.connection.commit()
        accept(world, plan, 10)
        plan.state.settled(exhausted=True)
        await bench.look()
        made = world.rows(
            "SELECT student, trigger, recipe = ?, spec ->> '$.student.form' FROM run ORDER BY student, id",
            before,
        )
    assert made == [
        ("new", "complete", 0, None),
        ("old", "3", 1, None),
        ("old", "complete", 1, '{"type":"paper"}'),
    ]


async def test_a_plan_whose_samples_are_out_for_a_plan_that_shares_them_is_not_complete(world: World) -> None:
    few, many = active_plan(world, "few", rationales=1), active_plan(world, "many", rationales=2)
    made = config(world, {"train_at": ["complete"], "plans": ["few"]}, plans=("few", "many"))
    async with planning(world, made, [few, many]) as bench:
        accept(world, few, 6)
        shared, further = world.claim(many.id, 4), world.claim(many.id, 3)  # of first and second rationales
        many.state.claimed(7)
        few.state.settled(
            exhausted=world.claim(few.id, 1).exhausted
        )  # passes over what the other plan has in hand
        few.state.shared_with_others(open_in_other_plans(world.connection, [few.id])[0])
        assert await bench.look() == []
        world.store(shared)
        few.state.shared_with_others(open_in_other_plans(world.connection, [few.id])[0])
        assert await bench.look() == [("t", "complete", 10, "queued")]
        world.store(further)
        assert len(await bench.look()) == 1


async def test_without_an_accepted_rationale_a_run_fails_and_says_why(world: World) -> None:
    plan = active_plan(world, rationales=1)
    async with planning(world, config(world, {}), [plan]) as bench:
        await until(lambda: bench.planner.idle)
        accept(world, plan, 10, correct=False)
        plan.state.settled(exhausted=True)
        bench.heard.bus.emit(PlanCompleted(plan="p", task="t", accepted=0, rejected=10, failed=0))
        await until(lambda: bench.planner.idle)
        assert bench.runs() == [("t", "complete", 0, "failed")]
        (event,) = bench.heard.of(RunFailed)
        assert "no correct rationale to train on" in event.reason
        assert bench.trainer.queued == 0
        assert json.loads(world.row("SELECT drops FROM run")[0]) == {"wrong answer": 10}


async def test_a_student_whose_labels_changed_is_trained_again_once_and_not_silently(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = active_plan(world, rationales=1)
    made = config(world, {"train_at": [1], "curation": {"keep": "all"}})
    async with planning(world, made, [plan]) as bench:
        accept(world, plan, 2)
        await bench.look()
    world.connection.execute("UPDATE run SET recipe = 'before', spec = json_remove(spec, '$.labels')")
    assert own_answer_runs(world.connection) == {("s", "t")}
    again = "student s is trained again on t: its runs there were made by an earlier version"
    monkeypatch.setattr(check, "edits_since", lambda *_: [])  # of other things
    check._database(made, Input(tasks={}, keys={}))
    assert again in capsys.readouterr().out
    teachers = config(world, {"train_at": [1], "curation": {"keep": "all", "labels": "teacher"}})
    check._database(teachers, Input(tasks={}, keys={}))
    assert again not in capsys.readouterr().out
    for heard in (1, 0):
        async with planning(world, made, [plan]) as bench:
            await bench.look()
            noted = bench.heard.of(RunNoted)
            assert len(noted) == heard and len(bench.runs()) == 2
            assert all('`labels = "teacher"` goes on with the earlier runs' in str(event) for event in noted)
        assert not own_answer_runs(world.connection)


async def test_after_an_empty_run_train_makes_a_new_one_with_what_there_is_now(world: World) -> None:
    plan = active_plan(world, rationales=1)
    async with planning(world, config(world, {}), [plan]) as bench:
        accept(world, plan, 2, correct=False)
        plan.state.settled(exhausted=True)
        assert await bench.look() == [("t", "complete", 0, "failed")]
        accept(world, plan, 2)
        said = await bench.planner.train_now("t", None, 7)
        assert said == "run 2 queued: s on t"
        assert bench.runs()[1][2:] == (2, "queued")


async def test_train_goes_on_with_a_run_that_stopped_or_failed(world: World) -> None:
    plan = active_plan(world)
    async with planning(world, config(world, {}), [plan]) as bench:
        accept(world, plan, 3)
        await bench.look()
        for state in ("stopped", "failed"):
            world.connection.execute(
                "UPDATE run SET state = ?, tries = 3, error = 'why', ended_at = 5", (state,)
            )
            assert await bench.planner.train_now("t", "s", 7) == "run 1 resumed: s on t"
            assert world.row("SELECT state, tries, error, ended_at FROM run") == ("queued", 0, None, None)
        end_run(world.connection, [RunEnd(run_id=1, state=RunState.DONE)])
        assert await bench.planner.train_now("t", "s", 7) == "run 2 queued: s on t"
        assert world.row("SELECT count(*) FROM run WHERE trigger LIKE 'manual-%'") == (1,)


async def test_train_without_such_a_student_says_so(world: World) -> None:
    async with planning(world, config(world, {}), []) as bench:
        with pytest.raises(ValueError, match="no student trains on 'u'"):
            await bench.planner.train_now("u", None, 7)
        with pytest.raises(ValueError, match="no student x trains on 't'"):
            await bench.planner.train_now("t", "x", 7)


async def test_samples_that_plans_share_count_once(world: World) -> None:
    plans = [active_plan(world, "p", rationales=1), active_plan(world, "q", rationales=2)]
    assert plans[0].recipe == plans[1].recipe
    async with planning(world, config(world, {}, plans=("p", "q")), plans) as bench:
        accept(world, plans[1], 2)
        assert await bench.look() == []
        accept(world, plans[1], 1)
        assert await bench.look() == [("t", "3", 3, "queued")]


async def test_each_task_has_runs_of_its_own_and_a_joint_student_one_for_all(world: World) -> None:
    plans = [active_plan(world, "p", task=task) for task in ("t", "u")]
    made = config(
        world,
        {"tasks": ["*"], "train_at": [2]},
        {"name": "joint", "tasks": ["*"], "scope": "joint", "train_at": [3]},
    )
    async with planning(world, made, plans) as bench:
        accept(world, plans[0], 2)
        accept(world, plans[1], 1)
        assert sorted(await bench.look()) == [("joint", "3", 3, "queued"), ("t", "2", 2, "queued")]
        assert world.rows("SELECT scope, task_id FROM run ORDER BY scope") == [("joint", None), ("t", 1)]


async def test_only_the_plans_it_names_on_the_train_split_feed_a_student(world: World) -> None:
    world.task("t", [*question_rows(10), *question_rows(5, split="test", start=10)])
    plans = [
        active_plan(world, "p"),
        active_plan(world, "other", temperature=0.1),
        active_plan(world, "exam", split="test", temperature=0),
    ]
    made = config(world, {"plans": ["p"], "train_at": [2]}, plans=("p", "other"))
    async with planning(world, made, plans) as bench:
        accept(world, plans[1], 9)
        accept(world, plans[2], 5)
        assert await bench.look() == []
        accept(world, plans[0], 2)
        assert await bench.look() == [("t", "2", 2, "queued")]


async def test_hinted_rationales_count_only_for_those_who_read_them(world: World) -> None:
    plans = [active_plan(world), active_plan(world, "h", strategy="rationalize", needs="p")]
    students = ({"name": "s"}, {"name": "both", "curation": {"hinted": True}})
    made = config(world, *students, plans=("p", "h"))
    async with planning(world, made, plans) as bench:
        accept(world, plans[0], 2)
        accept(world, plans[1], 1)
        await bench.look()
        assert world.rows("SELECT student, trigger FROM run") == [("both", "3")]


async def test_a_student_of_the_majority_counts_what_is_stored(world: World) -> None:
    plan = active_plan(world)
    students = ({"name": "s"}, {"name": "blind", "curation": {"labels": "majority"}})
    async with planning(world, config(world, *students), [plan]) as bench:
        world.store(world.claim(plan.id, 3), correct=False)
        await bench.look()
        assert world.rows("SELECT student, trigger FROM run") == [("blind", "3")]


def recipe(world: World, settings: dict[str, Any], plans: list[ActivePlan], digest: str = "d") -> str:
    made = config(world, settings)
    (scope,) = scopes_of(made.students[0], made)
    return run_fingerprint(scope.student, plans, [digest])


def test_what_makes_another_student(world: World) -> None:
    plan, other = active_plan(world), active_plan(world, "other", temperature=0.1)
    base = recipe(world, {}, [plan])
    assert len(base) == 24
    # of the first release: a setting that came later must not train every student again
    assert recipe(world, {}, []) == FIRST_RUN
    for settings in (
        {"name": "renamed"},
        {"train_at": [1]},
        {"priority": 5},
        {"training": {"devices": 4, "checkpoint_steps": 7, "keep_checkpoints": 1}},
    ):
        assert recipe(world, settings, [plan]) == base, settings
    for settings in (
        {"training": {"seed": 1}},
        {"training": {"learning_rate": 1e-4}},
        {"rationales": 1},
        {"base": "gpt2"},
        {"method": "fine-tune"},
        {"curation": {"keep": "all"}},
        {"curation": {"hinted": True}},
        {"curation": {"labels": "majority"}},
        {"evaluation": {"best": False}},
    ):
        assert recipe(world, settings, [plan]) != base, settings
    assert recipe(world, {}, [plan, other]) != base
    assert recipe(world, {}, [plan], digest="changed") != base
    answers = {"method": "fine-tune"}
    assert recipe(world, answers, [plan]) == recipe(world, answers, [other])


def test_a_student_without_tasks_to_share_has_a_scope_each(world: World) -> None:
    made = config(world, {"tasks": ["*"]}, {"name": "joint", "tasks": ["*"], "scope": "joint"})
    assert [
        (scope.student.name, scope.name, scope.tasks) for s in made.students for scope in scopes_of(s, made)
    ] == [
        ("s", "t", ("t",)),
        ("s", "u", ("u",)),
        ("joint", "joint", ("t", "u")),
    ]


@pytest.mark.parametrize(
    ("settings", "recipe"),
    [
        ({}, "781e64623a38997e07682bc9"),
        (
            {
                "method": "fine-tune",
                "base": "t5-small",
                "training": {"zero_stage": 1, "lora_rank": 8, "epochs": 3},
            },
            "d55d97501fc53079fc04126e",
        ),
    ],
)
def test_the_recipe_of_a_run_is_what_it_was_before_settings_were_added(
    settings: dict[str, Any], recipe: str
) -> None:
    student = StudentConfig.model_validate({"name": "s", **settings})
    assert run_fingerprint(student, [], ["d"]) == recipe


@pytest.mark.parametrize(
    ("settings", "same"),
    [
        ({"training": {"loss_chunk": 5, "offload": "optimizer", "compile": True, "attention": "sdpa"}}, True),
        (
            {"training": {"hostfile": "hosts", "launcher": "slurm", "master_port": 1, "tracker": "wandb"}},
            True,
        ),
        ({"evaluation": {"server_url": "http://127.0.0.1:1/v1", "batching": "continuous"}}, True),
        ({"evaluation": {"temperature": 0.2}}, True),  # nothing is sampled
        ({"evaluation": {"samples": 5}}, False),
        ({"training": {"packing": True}}, False),
        ({"start_from": "previous"}, False),
    ],
)
def test_only_what_changes_a_student_changes_its_recipe(settings: dict[str, Any], same: bool) -> None:
    plain, other = (StudentConfig.model_validate({"name": "s", **each}) for each in ({}, settings))
    recipes = {run_fingerprint(student, [], ["d"]) for student in (plain, other)}
    assert len(recipes) == (1 if same else 2)


async def test_edits_that_change_nothing_of_what_is_trained_make_no_run_due(world: World) -> None:
    """Another ZeRO stage, shape of batches or name trains nothing; another evaluation asks the student again."""
    plan = active_plan(world)
    first = {"training": {"accumulation": 2}, "train_at": [3], "evaluation": {"max_new_tokens": 64}}
    async with planning(world, config(world, first), [plan]) as bench:
        accept(world, plan, 3)
        await bench.look()
    world.connection.execute("UPDATE run SET state = 'done', started_at = 1, accuracy = 0.5")
    made = run_by_id(world.connection, 1)
    assert made is not None
    edits = {"name": "renamed", "training": {"zero_stage": 3, "devices": 2}, "plans": ["p"], "train_at": [3]}
    async with planning(world, config(world, first | edits), [plan]) as bench:
        assert await bench.look() == [("t", "3", 3, "done")], "it has the same student"
        assert [note.message() for note in bench.heard.of(RunNoted)] == [
            "run 1 (s on t): it is the student renamed now: the settings are the same, and nothing is trained again"
        ]
    assert world.rows("SELECT student, spec ->> '$.student.name' FROM run") == [("renamed", "renamed")]

    asked = first | edits | {"evaluation": {"max_new_tokens": 128, "batch_size": 7}}
    async with planning(world, config(world, asked), [plan]) as bench:
        assert await bench.look() == [("t", "3", 3, "done")]
        [note] = bench.heard.of(RunNoted)
        assert note.note == (
            "its evaluation changed (max_new_tokens was 64 and is 128), but its student is gone: its results stay as they were"
        )
    directory = materialise(world.connection, config(world, first), made)
    (directory / "student").mkdir()
    (directory / "evaluation.json").write_text('{"step": 2}')
    async with planning(world, config(world, asked), [plan]) as bench:
        assert await bench.look() == [("t", "3", 3, "queued")] and bench.trainer.queued == 1
        assert [event.message() for event in bench.heard.of(EvaluatedAgain)] == [
            "run 1 is evaluated again: renamed on t, max_new_tokens was 64 and is 128; nothing is trained"
        ]
    row = run_by_id(world.connection, 1)
    assert row is not None and row.settings.student["training"]["zero_stage"] == 2
    assert materialise(world.connection, config(world, asked), row) == directory, "it is still its own"
    spec = read_spec(directory)
    assert (spec.evaluation.max_new_tokens, spec.evaluation.batch_size) == (128, 7)
    outcome = json.loads((directory / "evaluation.json").read_text())
    assert outcome["evaluation"]["max_new_tokens"] == 64, "what it was asked with"
