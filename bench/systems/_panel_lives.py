"""Lives of a panel: one question on a real database, with the daemon's own barrier and recovery, killed between any two commits.

Members answer in any order, some are given up, and the daemon is killed at random. What was sent and how it ended must be what
the same panel does without a death.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from daemon.catalog.plan_fingerprint import panel_fingerprint, plan_fingerprint
from daemon.events import Bus
from daemon.sampling.context import Context
from daemon.sampling.cost_bounds import job_of
from daemon.sampling.jobs import Job
from daemon.sampling.panels import Panels
from daemon.sampling.plans import ActivePlan
from daemon.sampling.recovery import open_jobs
from engine.config import PlanConfig, TeacherConfig
from engine.config.panels import members_of
from engine.question import Question
from engine.strategies import Conversation, Settings, strategy
from engine.teachers.messages import Completion, Usage
from state.catalog import PlanRow, QuestionRow, reconcile, sync_plan, sync_task, sync_teacher
from state.claims import AttemptRequest, ClaimRequest, claim, open_attempts
from state.daemon_sessions import start_session
from state.database import open_writer
from state.enums import Outcome, SampleState
from state.orm import orm_session
from state.outcomes import AttemptResult, SampleEnd, record

NAMES = ("a", "b", "c")
ROUNDS = 3
NOTHING = Usage(prompt_tokens=1, completion_tokens=1)
TEXT = "How many are {number} and 1?"


class Script:
    """What the members of a panel say about a question, and who is given up when: the same in every order."""

    def __init__(self, number: int) -> None:
        self.number = number
        rng = random.Random(f"life {number}")
        self.fails = {member: rng.randrange(ROUNDS) for member in range(3) if rng.random() < 0.15}
        self.answers = {(member, turn): rng.choice("45") for member in range(3) for turn in range(ROUNDS)}

    def text(self, member: int, turn: int) -> str:
        """What a member says in a turn."""
        return f"{self.number}.{member}.{turn}\nAnswer: {self.answers[member, turn]}"


def without_death(
    script: Script, text: str, config: PlanConfig
) -> tuple[dict[tuple[int, int], str], dict[int, str]]:
    """The prompts by member and turn, and how each member ends, in the plainest way: round by round."""
    talks = {
        member: Conversation(
            strategy("brainstorm"),
            Question(key="", text=text, answer="4", split="train"),
            Settings.of(config.member("x", NAMES[member], NAMES), "number"),
        )
        for member in range(3)
    }
    prompts, ends = {}, {}
    for turn in range(ROUNDS):
        replies = []
        for member, each in talks.items():
            if each.request is None or member in ends:
                continue
            prompts[member, turn] = each.request.messages[0].content
            if script.fails.get(member) == turn:
                ends[member] = "failed"
                continue
            replies.append((member, Completion(text=script.text(member, turn), usage=NOTHING)))
            each.answer(replies[-1][1])
        for member, each in talks.items():
            if each.hears == turn and member not in ends:
                each.hear(tuple(replies))
            if each.finished is not None:
                ends[member] = " ".join((each.finished.rationale, *each.finished.flags))
    return prompts, ends


class World:
    """A panel's rows, and one life of a daemon after another."""

    def __init__(self, path: Path, questions: int) -> None:
        self.path = path
        self.connection = open_writer(path)
        self.connection.execute("PRAGMA synchronous = OFF")
        self.config = PlanConfig(name="talk", strategy="brainstorm", teachers=list(NAMES), rounds=ROUNDS)
        self.boot = self.start()
        rows = [
            QuestionRow(
                key=str(n),
                split="train",
                text=TEXT.format(number=n),
                text_hash=str(n),
                gold="4",
                rationale=None,
            )
            for n in range(questions)
        ]
        sizes = {"train": questions, "dev": 0, "test": 0}
        with orm_session(path) as opened:
            task, _ = sync_task(
                opened,
                name="t",
                source="t",
                answer_format="number",
                digest="d",
                stamp="",
                sizes=sizes,
                longest={},
                questions=rows,
            )
            self.teachers = {
                name: sync_teacher(opened, name=name, dialect="openai-chat", model=name, base_url="").id or 0
                for name in NAMES
            }
            assert task.id is not None
            self.plans = [
                self._plan(opened, each, task.id, questions) for each in members_of(self.config, list(NAMES))
            ]

    def _plan(self, opened: Any, config: PlanConfig, task: int, questions: int) -> ActivePlan:
        models = [TeacherConfig(builtin=True, model=name) for name in config.panel]
        seat = config.seat
        assert seat is not None
        recipe, panel = (
            plan_fingerprint(config, models, "number"),
            panel_fingerprint(config, models, "number"),
        )
        row = PlanRow(
            name=config.name,
            task_id=task,
            split="train",
            recipe=recipe,
            teachers=config.teachers,
            strategy=config.strategy,
            settings={},
            rationales=1,
            weight=1.0,
            panel=panel,
            member=seat.member,
        )
        plan, _ = sync_plan(opened, row, questions)
        reconcile(opened, plan)
        return ActivePlan(
            id=plan.id or 0,
            config=config,
            task="t",
            task_id=task,
            answer_format="number",
            recipe=recipe,
            teachers=tuple(config.teachers),
            wanted=questions,
            longest=40,
            panel=panel,
            member=seat.member,
        )

    def start(self) -> int:
        """A further start of the daemon: what it had sent without an answer is unknown from now on."""
        started = start_session(
            self.path, pid=1, pid_started=1.0, host="", version="", config={}, batch_dialects=["openai-batch"]
        )
        return started.id

    async def do(self, operation: Callable[..., Sequence[Any]], item: Any) -> Any:
        """The writer: commits at once."""
        self.connection.execute("BEGIN IMMEDIATE")
        found = operation(self.connection, [item])[0]
        self.connection.execute("COMMIT")
        return found


class Life:
    """One question of a panel, with a daemon that is killed."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.script = Script(number)
        self.rng = random.Random(f"order {number}")
        self.prompts: dict[tuple[int, int], str] = {}
        self.paid: Counter[tuple[int, int]] = Counter()
        self.ends: dict[int, str] = {}
        self.faults: Counter[str] = Counter()
        self.kills = 0
        self.ready: list[Job] = []
        self.claimed: set[int] = set()
        self.panels = self.daemon()

    def daemon(self) -> Panels:
        """The barrier of a daemon that has just started."""
        context = cast(Context, SimpleNamespace(writer=self.world, bus=Bus()))
        return Panels(context, self.ready.append, self.world.plans)

    async def run(self) -> None:
        """To the end of the panel, or of patience."""
        for _ in range(200):
            while self.panels._finished:
                job = self.panels._finished.pop(0)
                if self.dies():
                    break
                finished = job.conversation.finished
                assert finished is not None
                self.ends[job.plan.member] = " ".join((finished.rationale, *finished.flags))
                await self.panels._end(job)
            if len(self.ends) == 3:
                return
            left = [plan for plan in self.world.plans if plan.member not in self.claimed]
            if left and (not self.ready or self.rng.random() < 0.4):
                await self.claim(self.rng.choice(left))
            elif self.ready:
                await self.ask(self.ready.pop(self.rng.randrange(len(self.ready))))
            self.dies()
        self.faults["panels that do not end"] += 1

    async def claim(self, plan: ActivePlan) -> None:
        """A member's sample and its first attempt, on disk and then in a queue."""
        request = ClaimRequest(
            plan_id=plan.id,
            teacher_id=self.world.teachers[plan.teachers[0]],
            boot_id=self.world.boot,
            count=1,
            allowance=2**62,
            reserve=lambda _: 1,
        )
        found = await self.world.do(claim, request)
        self.claimed.add(plan.member)
        if self.dies():  # before the claim is in a queue
            return
        plan.state.claimed(1)
        job = job_of(found.samples[0], plan)
        self.panels.begun(job)
        self.ready.append(job)

    async def ask(self, job: Job) -> None:
        """A request: written down, sent, answered or given up, stored."""
        member, turn, teacher = (
            job.plan.member,
            job.conversation.turn,
            self.world.teachers[job.plan.teachers[0]],
        )
        if job.attempt is None:
            asked = AttemptRequest(
                sample_id=job.sample_id,
                plan_id=job.plan.id,
                turn=turn,
                teacher_id=teacher,
                boot_id=self.world.boot,
                reserved_micros=1,
            )
            job.attempt = await self.world.do(open_attempts, asked)
            if self.dies():
                return
        assert job.attempt is not None
        prompt = job.request.messages[0].content
        if self.prompts.setdefault((member, turn), prompt) != prompt:
            self.faults["turns asked otherwise after a death"] += 1
        begun = {other for other, before in self.paid if before == turn - 1} | self.gone()
        if turn and len(begun) < 3:
            self.faults["turns begun while one before is open"] += 1
        fails = self.script.fails.get(member) == turn
        text = self.script.text(member, turn)
        raw = (
            f'{{"choices": [{{"message": {{"content": {_json(text)}}}, "finish_reason": "stop"}}]}}'.encode()
        )
        result = AttemptResult(
            attempt_id=job.attempt.id,
            sample_id=job.sample_id,
            plan_id=job.plan.id,
            teacher_id=teacher,
            outcome=Outcome.PERMANENT if fails else Outcome.OK,
            reserved_micros=1,
            raw=None if fails else raw,
            end=SampleEnd(state=SampleState.FAILED, reason="no") if fails else None,
        )
        job.attempt = None
        await self.world.do(record, result)
        self.paid[member, turn] += not fails
        self.faults["turns paid twice"] += self.paid[member, turn] > 1
        if fails:
            self.ends[member] = "failed"
        if self.dies():  # between the commit and its consequences
            return
        if fails:
            job.plan.state.ended()
            self.panels.ended(job)
        else:
            job.conversation.answer(Completion(text=text, usage=NOTHING))
            self.panels.answered(job)

    def gone(self) -> set[int]:
        """Members that have ended."""
        return set(self.ends)

    def dies(self) -> bool:
        """Whether the daemon is killed here; the next one takes up what is on disk."""
        if self.rng.random() > 0.08:
            return False
        self.kills += 1
        self.world.boot = self.world.start()
        self.ready.clear()
        self.panels = self.daemon()
        for plan in self.world.plans:
            plan.state.__init__()  # type: ignore[misc]
            found, unreadable = open_jobs(self.world.path, plan, {})
            self.faults["answers that cannot be read"] += unreadable
            plan.state.claimed(len(found))
            for job, _, told in found:
                self.panels.known(job, told)
                if job.conversation.request is None:
                    self.panels.wait(job)
                else:
                    self.ready.append(job)
        return True


async def live(lives: int) -> tuple[Counter[str], int]:
    """The faults found in a number of lives, and how often a daemon was killed."""
    faults: Counter[str] = Counter()
    kills = 0
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder) / "state.db", lives)
        for number in range(lives):
            life = Life(world, number)
            await life.run()
            prompts, ends = without_death(life.script, TEXT.format(number=number), world.config)
            faults += life.faults
            faults["conversations that differ"] += life.prompts != prompts or life.ends != ends
            kills += life.kills
        world.connection.close()
    return +faults, kills


def _json(text: str) -> str:
    return '"' + text.replace("\n", "\\n") + '"'
