"""Panels: the members of a panel wait here for what the others said.

Each member's sample is a job of its own plan. A job that `hears` a turn waits until every other member has answered that
turn, or its sample has ended, or its plan will never ask the question. Who waits for whom follows from samples and
attempts alone, so a restarted daemon continues every conversation as it was (`state/panels.py`). Nothing is stored here.

A job that waits is in no queue and holds no slot. No member begins more than `AHEAD` questions that another one has not
begun, so what is in memory is bounded. A member that ends by hearing is ended here, without an attempt.
"""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskStatus

from daemon.host.notify import Notifier
from daemon.sampling.context import Context
from daemon.sampling.jobs import Job
from daemon.sampling.outcomes import ended, ended_event
from daemon.sampling.plans import ActivePlan
from engine.strategies import PeerReplies
from engine.teachers.decode import decode_json
from engine.teachers.dialects import read_stored
from engine.teachers.failures import MalformedAnswer
from engine.teachers.messages import Completion, Request
from state.outcomes import SampleResult, end_samples
from state.panels import PanelSample, StoredReply, by_slot, heard_by, panels_of

AHEAD = 256
"""Questions that a member may begin before another one of its panel."""

Key = tuple[str, int, int]
"""A panel's fingerprint, a question's id and a replicate."""
Group = tuple[str, int, str]
"""A panel's fingerprint, a task's id and a split."""


@dataclass(slots=True, eq=False)
class _Member:
    """One member of a panel about one question."""

    job: Job | None = None  # None: its sample is in no job of this daemon
    ended: bool = False
    waits: bool = False  # its job waits here
    replies: dict[int, Completion] = field(default_factory=dict)

    def settled(self, turn: int) -> bool:
        """Whether nothing more is to come from it in a turn."""
        return self.ended or turn in self.replies


@dataclass(slots=True, eq=False)
class _Question:
    """A panel about one question."""

    group: Group
    size: int
    members: dict[int, _Member] = field(default_factory=dict)
    """Those that have begun, or never will; others are lacking."""

    def awaited(self, member: int, turn: int) -> list[int]:
        """The others that a member waits for in a turn."""
        return [
            each
            for each in range(self.size)
            if each != member and (each not in self.members or not self.members[each].settled(turn))
        ]

    def replies(self, turn: int) -> PeerReplies:
        """Who said what in a turn, by member."""
        return tuple(
            (number, self.members[number].replies[turn])
            for number in sorted(self.members)
            if turn in self.members[number].replies
        )


@dataclass(frozen=True, slots=True)
class Said:
    """What a member has said, as it is stored."""

    member: int
    ended: bool
    replies: dict[int, Completion]


class Panels:
    """The panels that have begun and not ended."""

    def __init__(self, context: Context, deliver: Callable[[Job], None], plans: Sequence[ActivePlan]) -> None:
        """Waits for nothing yet.

        Args:
            context: the daemon session.
            deliver: queues a job that can go on.
            plans: the plans at work; read anew each time.
        """
        self._writer = context.writer
        self._bus = context.bus
        self._deliver = deliver
        self._plans = plans
        self._questions: dict[Key, _Question] = {}
        self._lacking: dict[tuple[Group, int], dict[Key, _Question]] = defaultdict(dict)
        self._waiting: Counter[int] = Counter()  # jobs by plan
        self._finished: list[Job] = []
        self._ending: list[Job] = []
        self._changed = Notifier()

    @property
    def busy(self) -> bool:
        """Whether samples are about to be ended."""
        return bool(self._finished or self._ending)

    # What happens to a job

    def begun(self, job: Job) -> None:
        """A sample of a panel was claimed, or is taken up."""
        if job.plan.panel:
            self._member(job).job = job

    def known(self, job: Job, said: Collection[Said]) -> None:
        """What is stored of the panel of a sample that is taken up; it goes on with `wait`."""
        self.begun(job)
        question = self._questions[_key(job)]
        for each in said:
            member = self._begins(question, _key(job), each.member)
            member.replies = {**each.replies, **member.replies}
            member.ended = member.ended or each.ended

    def answered(self, job: Job) -> None:
        """A reply of a job is on disk: the job, and whoever waited for it, go on."""
        member = self._member(job)
        assert job.conversation.received is not None
        member.replies[job.conversation.turn - 1] = job.conversation.received
        if job.conversation.hears is None:
            self._goes_on(job)
        else:
            self._waits(member, True)
        self._look(_key(job))

    def ended(self, job: Job) -> None:
        """A job's sample ended, or will never be answered: whoever waited for it goes on."""
        if job.plan.panel:
            self._member(job).ended = True
            self._look(_key(job))

    def wait(self, job: Job) -> None:
        """A job that hears, or has finished by hearing, from anywhere: it waits here."""
        member = self._member(job)
        member.job = job
        if job.conversation.hears is None:
            self._goes_on(job)
        else:
            self._waits(member, True)
            self._look(_key(job))

    def take_out(self, which: Callable[[Job], bool]) -> list[Job]:
        """Removes and returns the waiting jobs that fit."""
        found = []
        for question in self._questions.values():
            for member in question.members.values():
                if member.waits and member.job is not None and which(member.job):
                    self._waits(member, False)
                    found.append(member.job)
        return found

    # What may be claimed

    def owed(self, plan: ActivePlan) -> int:
        """Questions that others of a plan's panel have begun, and the plan has not."""
        return len(self._lacking[_group(plan), plan.member]) if plan.panel else 0

    def room(self, plan: ActivePlan) -> int:
        """How many samples a plan of a panel may claim now: what it owes first, then up to `AHEAD` more than the others."""
        if owed := self.owed(plan):
            return owed
        seat = plan.config.seat
        assert seat is not None
        return AHEAD - max(len(self._lacking[_group(plan), member]) for member in range(seat.members))

    async def give_up_lost(self) -> None:
        """Gives up questions that a member will never ask, although others have begun them.

        Its plan will claim no more, and it has no sample: the question came or went between their claims.
        """
        for (group, member), lacking in list(self._lacking.items()):
            if not lacking:
                continue
            plans = [each for each in self._plans if each.panel and _group(each) == group]
            mine = [each for each in plans if each.member == member and not each.exhausted]
            most = max((each.config.most for each in mine), default=0)
            lost = [key for key in lacking if key[2] >= most] if plans else []
            if not lost:
                continue
            slots = [(question, replicate) for _, question, replicate in lost]
            stored = by_slot(await self._writer.do(panels_of, (plans[0].id, slots)))
            for key in lost:
                samples = {each.member: each for each in stored.get((key[1], key[2]), ())}
                self._never(key, member, samples.get(member))

    # Who waits

    def waiting(self, plan: ActivePlan) -> int:
        """Samples of a plan that wait for others of its panel."""
        return self._waiting[plan.id]

    def awaited(self, plan: ActivePlan) -> dict[str, int]:
        """The teachers that a plan's samples wait for, with the number of samples."""
        found: Counter[str] = Counter()
        for question in self._questions.values():
            for number, member in question.members.items():
                job = member.job
                if job is None or not member.waits or job.plan is not plan or job.conversation.hears is None:
                    continue
                awaited = question.awaited(number, job.conversation.hears)
                found.update(plan.config.panel[each] for each in awaited if each < len(plan.config.panel))
        return dict(found)

    def told(self, plan: ActivePlan) -> str:
        """Whom how many of a plan's samples wait for, such as `small-b (3)`; empty if they wait for nobody."""
        awaited = self.awaited(plan) if self.waiting(plan) else {}
        return ", ".join(f"{name} ({count:,})" for name, count in awaited.items())

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Ends the samples that finished by hearing, until cancelled; those that are there together share a commit."""
        task_status.started()
        while True:
            if not self._finished:
                await self._changed.wait()
                continue
            self._ending, self._finished = self._finished, []
            with anyio.CancelScope(shield=True):
                async with anyio.create_task_group() as group:
                    for job in self._ending:
                        group.start_soon(self._end, job)
            self._ending = []

    async def _end(self, job: Job) -> None:
        finished = job.conversation.finished
        assert finished is not None
        end = await ended(job, finished)
        await self._writer.do(end_samples, SampleResult(job.sample_id, finished.finish_reason, end))
        job.plan.state.ended()
        self.ended(job)
        self._bus.emit(ended_event(job, end))

    # The questions

    def _member(self, job: Job) -> _Member:
        seat = job.plan.config.seat
        assert seat is not None
        key = _key(job)
        question = self._questions.get(key)
        if question is None:
            question = self._questions[key] = _Question(_group(job.plan), seat.members)
            for member in range(seat.members):
                self._lacking[question.group, member][key] = question
        return self._begins(question, key, job.plan.member)

    def _begins(self, question: _Question, key: Key, number: int) -> _Member:
        member = question.members.get(number)
        if member is None:
            member = question.members[number] = _Member()
            self._lacking[question.group, number].pop(key, None)
        return member

    def _never(self, key: Key, number: int, sample: PanelSample | None) -> None:
        question = self._questions.get(key)
        if question is None or number in question.members:
            return
        member = self._begins(question, key, number)
        member.ended = (
            sample is None or not sample.open
        )  # an open one is in no daemon's hands, and may yet answer
        job = next((each.job for each in question.members.values() if each.job is not None), None)
        if sample is not None and job is not None:
            request = like(job)
            member.replies = {turn: completion(reply, request) for turn, reply in sample.replies.items()}
        self._look(key)

    def _look(self, key: Key) -> None:
        """Lets every member of a question hear what it can; forgets the question once all have ended."""
        question = self._questions.get(key)
        if question is None:
            return
        for number, member in list(question.members.items()):
            job = member.job
            if not member.waits or job is None:
                continue
            while (turn := job.conversation.hears) is not None and not question.awaited(number, turn):
                job.conversation.hear(question.replies(turn))
            if job.conversation.hears is None:
                self._waits(member, False)
                self._goes_on(job)
        if len(question.members) == question.size and all(each.ended for each in question.members.values()):
            del self._questions[key]

    def _goes_on(self, job: Job) -> None:
        if job.conversation.finished is not None:
            self._finished.append(job)
            self._changed.notify()
        else:
            self._deliver(job)

    def _waits(self, member: _Member, waits: bool) -> None:
        if member.waits is not waits:
            assert member.job is not None
            member.waits = waits
            self._waiting[member.job.plan.id] += 1 if waits else -1


def replay(job: Job, samples: Sequence[PanelSample]) -> list[Said]:
    """Replays what a panel has said so far in one member's conversation, up to where it waits or is asked again.

    Returns:
        What each member said, for `known`.

    Raises:
        MalformedAnswer: no dialect can read an answer.
    """
    request = like(job)
    said = [
        Said(
            each.member,
            not each.open,
            {turn: completion(reply, request) for turn, reply in each.replies.items()},
        )
        for each in samples
    ]
    _replay(job, samples, request)
    return said


def _replay(job: Job, samples: Sequence[PanelSample], request: Request) -> None:
    own = next(each for each in samples if each.sample_id == job.sample_id)
    talk = job.conversation
    while True:
        if talk.hears is not None:
            if talk.hears + 1 not in own.asked:
                return  # it has not gone on: whether it can is seen anew
            heard = heard_by(own, samples, talk.hears)
            talk.hear(tuple((member, completion(reply, request)) for member, reply in heard))
        elif talk.request is not None and (reply := own.replies.get(talk.turn)) is not None:
            talk.answer(completion(reply, request))
        else:
            return


def completion(reply: StoredReply, request: Request) -> Completion:
    """A stored reply, as it was read when it came.

    Raises:
        MalformedAnswer: no dialect can read it.
    """
    try:
        body = decode_json(zlib.decompress(reply.raw))
    except zlib.error as error:
        raise MalformedAnswer(f"the stored body is damaged: {error}") from None
    return read_stored(body, reply.choice, request, reply.dialect)


def like(job: Job) -> Request:
    """A request with the parameters of a panel: they are the same for all members and turns."""
    config = job.plan.config
    return Request(messages=(), max_tokens=config.max_tokens, stop=tuple(config.stop))


def _key(job: Job) -> Key:
    return job.plan.panel, job.question_id, job.replicate


def _group(plan: ActivePlan) -> Group:
    return plan.panel, plan.task_id, plan.config.split
