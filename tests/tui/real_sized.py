"""A state of real size for screens and pictures: three teachers with trouble, eight tasks, twelve runs; always the same."""

from __future__ import annotations

import json
import math
import random
import socket
from pathlib import Path
from typing import Any, Literal

from state.database import open_writer
from state.heartbeat import HeartbeatData, TeacherHeartbeat
from state.sqlite import Connection
from tests.tui.real_texts import case
from tests.tui.seeded import HOUR, MINUTE, NOW, PID, SECOND, insert

Stage = Literal["start", "middle", "training", "end", "dead", "sampling"]

TASKS = (
    # name, format, train, dev, test, D, wanted, stored, share of correct, teacher's share on test
    ("gsm8k", "number", 7_473, 660, 1_319, 8, 59_784, 51_240, 0.612, 0.604),
    ("svamp", "number", 700, 70, 300, 8, 5_600, 5_600, 0.764, 0.743),
    ("aqua", "choice", 10_000, 254, 254, 1, 10_000, 10_000, 0.441, 0.449),
    ("commonsense_qa", "choice", 9_741, 400, 1_221, 8, 77_928, 61_022, 0.683, 0.671),
    ("strategy_qa", "yes_no", 1_603, 200, 687, 8, 12_824, 12_824, 0.589, 0.582),
    ("date", "text", 258, 50, 111, 8, 2_064, 2_064, 0.712, 0.703),
    ("coin_flip", "yes_no", 350, 50, 150, 8, 2_800, 2_800, 0.66, 0.66),
    ("last_letter", "text", 350, 50, 150, 8, 2_800, 2_800, 0.224, 0.213),
)
STUDENTS = ("fine-tune", "fine-tune-cot", "fine-tune-cot-diverse")
TESTS = {  # task: accuracy of base, then of the three students
    "gsm8k": (0.019, 0.052, 0.139, 0.196),
    "svamp": (0.08, 0.207, 0.313, 0.38),
    "aqua": (0.201, 0.24, 0.276, 0.303),
    "commonsense_qa": (0.196, 0.41, 0.392, 0.448),
    "strategy_qa": (0.496, 0.562, 0.571, 0.588),
    "date": (0.09, 0.171, 0.36, 0.441),
    "coin_flip": (0.5, 1.0, 0.747, 0.893),
    "last_letter": (0.0, 0.007, 0.24, 0.413),
}
DONE = ("svamp", "coin_flip")
TEACHERS = ("gpt-mini", "local-70b", "claude")
RECENT = 8_000
"""Samples that have rows; the counters tell of all."""
CONFIG: dict[str, Any] = {
    "daemon": {"budget_usd": 40.0, "drain_seconds": 30.0},
    "students": [
        {"name": name, "tasks": ["*"], "plans": ["*"], "scope": "per-task", "train_at": ["complete"]}
        for name in STUDENTS
    ],
}


def build(path: Path, stage: Stage = "middle") -> None:
    """Fills a new database with the run at one stage."""
    connection = open_writer(path)
    connection.execute("BEGIN")
    connection.execute("PRAGMA defer_foreign_keys = ON")
    chance = random.Random(7)
    _boot(connection, stage)
    _teachers(connection, stage)
    for number, task in enumerate(TASKS, 1):
        _task(connection, number, task, stage)
    if stage != "start":
        _samples(connection, chance, stage)
    if stage != "sampling":
        _runs(connection, path.parent, stage)
    _events(connection, stage)
    connection.execute("COMMIT")
    connection.close()


def _began(stage: Stage) -> int:
    return NOW - {"start": 6 * SECOND, "end": 4 * HOUR + 7 * MINUTE}.get(stage, 82 * MINUTE)


def _boot(connection: Connection, stage: Stage) -> None:
    config = dict(CONFIG, students=[]) if stage == "sampling" else CONFIG
    insert(
        connection,
        "boot",
        id=1,
        pid=PID,
        pid_started=1.0,
        host=socket.gethostname(),
        version="0.1.0",
        started_at=_began(stage),
        config=json.dumps(config),
    )
    beat_at = NOW - (6 * MINUTE if stage == "dead" else SECOND)
    insert(connection, "pulse", id=1, boot_id=1, at=beat_at, state="running", data=_pulse(stage).to_json())


def _pulse(stage: Stage) -> HeartbeatData:
    if stage in ("training", "end"):
        idle = {name: TeacherHeartbeat(cap=40) for name in TEACHERS}
        return HeartbeatData(loop_lag_ms=2.1, teachers=idle)
    busy = stage != "start"
    wave = [14 + 3 * math.sin(i / 6) for i in range(60)] if busy else [0.0] * 3 + [2.0, 5.0]
    return HeartbeatData(
        loop_lag_ms=3.2,
        commit_lag_ms=21.0,
        in_flight=40 if busy else 9,
        waiting_retry=2,
        requests_per_second=14.1 if busy else 1.2,
        tokens_per_second=4_640.0 if busy else 0.0,
        retries_per_second=0.1,
        share_429=0.002 if busy else 0.0,
        memory_mb=143.0,
        teachers={
            "gpt-mini": TeacherHeartbeat(
                in_flight=24,
                cap=40,
                requests_per_minute=638 if busy else 40,
                tokens_per_minute=210_000 if busy else 0,
                requests_limit=1_800,
                tokens_limit=2_000_000,
                p50_ms=810.0,
                p95_ms=2_140.0,
                bound_by="concurrency",
                errors={"limited": 241, "transient": 52, "permanent": 9} if busy else {},
                caps=[36 + i // 15 for i in range(60)],
            ),
            "local-70b": TeacherHeartbeat(
                state="limited" if busy else "ready",
                in_flight=16 if busy else 4,
                cap=16,
                requests_per_minute=208 if busy else 4,
                tokens_per_minute=68_000 if busy else 0,
                p50_ms=3_600.0 if busy else None,
                p95_ms=8_900.0 if busy else None,
                bound_by="latency",
                errors={"transient": 14} if busy else {},
                caps=[16] * 60,
            ),
            "claude": TeacherHeartbeat(state="parked", reason="key refused (401): invalid x-api-key", cap=8),
        },
        tasks={"gsm8k": 420.0, "commonsense_qa": 510.0} if busy else {},
        requests=wave,
        tokens=[value * 330 for value in wave],
        limited=[0.0] * 40 + [2.0, 3.0] + [0.0] * 18,
        retries=[float(i % 17 == 0) for i in range(60)],
    )


def _teachers(connection: Connection, stage: Stage) -> None:
    figures = {
        "gpt-mini": (119_420, 118_936, 241, 302, 61, 17_840_000, 21_400_000, 15_510_000, 50_000),
        "local-70b": (19_140, 19_110, 0, 14, 14, 2_860_000, 3_540_000, 0, 0),
        "claude": (10_318, 10_304, 0, 3, 14, 1_540_000, 1_760_000, 10_820_000, 10_000),
    }
    for number, name in enumerate(TEACHERS, 1):
        values = figures[name] if stage != "start" else (9, 4 if number == 1 else 0, 0, 0, 0, 900, 600, 0, 0)
        names = (
            *("requests", "answered", "status_429", "retries", "errors", "prompt_tokens"),
            *("completion_tokens", "spent_micros", "reserved_micros"),
        )
        parked = name == "claude"
        insert(
            connection,
            "teacher",
            id=number,
            name=name,
            dialect="anthropic-messages" if parked else "openai-chat",
            model={"gpt-mini": "gpt-5-mini", "local-70b": "llama-4-70b", "claude": "claude-haiku-5"}[name],
            base_url="http://127.0.0.1:1",
            state="parked" if parked else "ready",
            reason="key refused (401): invalid x-api-key" if parked else "",
            active=1,
            unknown_attempts=2 if number == 1 else 0,
            **dict(zip(names, values, strict=True)),
        )


def _task(connection: Connection, number: int, task: tuple[Any, ...], stage: Stage) -> None:
    name, form, train, dev, test, rationales, wanted, stored, share, teacher = task
    stored = {"start": 0, "training": wanted, "end": wanted}.get(stage, stored)
    insert(
        connection,
        "task",
        id=number,
        name=name,
        source=f"hf:{name}",
        answer_format=form,
        digest="d",
        train=train,
        dev=dev,
        test=test,
        active=1,
        paused=0,
        created_at=_began(stage),
    )
    _questions(connection, number, name, {"train": min(train, 400), "test": test})
    cost = {"gsm8k": 9.14, "svamp": 1.02, "aqua": 2.11, "commonsense_qa": 10.87, "strategy_qa": 2.29}
    usd = cost.get(name, 0.3) * stored / max(1, task[7])
    for plan, split, asked, done, right in (
        (number, "train", wanted, stored, share),
        (20 + number, "test", test, 0 if stage == "start" else test, teacher),
    ):
        insert(
            connection,
            "plan",
            id=plan,
            name="diverse" if split == "train" else "teacher-accuracy",
            task_id=number,
            split=split,
            recipe=f"r{plan}",
            teachers=json.dumps(TEACHERS),
            strategy="zero-shot-cot",
            settings=json.dumps({"temperature": 0.7}),
            rationales=rationales,
            weight=1.0,
            active=1,
            cursor=done,
            wanted=asked,
            claimed=done,
            stored=done,
            accepted=round(done * right),
            rejected=done - round(done * right),
            failed=0,
            skipped=0,
            spent_micros=round(usd * 1e6) if split == "train" else 20_000,
            reserved_micros=0,
            created_at=_began(stage),
        )


def _questions(connection: Connection, number: int, name: str, splits: dict[str, int]) -> None:
    rows = [
        (_question_id(number, split, at), number, f"{name}-{split}-{at}", split, at, found.text, found.gold)
        for split, count in splits.items()
        for at in range(count)
        for found in (case(name, at if split == "train" else at + 400),)
    ]
    connection.executemany(
        "INSERT INTO question (id, task_id, key, split, position, text, text_hash, gold, active)"
        " VALUES (?, ?, ?, ?, ?, ?, hex(randomblob(4)), ?, 1)",
        rows,
    )


def _question_id(task: int, split: str, position: int) -> int:
    return 10_000 * task + (5_000 if split == "test" else 0) + position


def _samples(connection: Connection, chance: random.Random, stage: Stage) -> None:
    """The samples of ten minutes, the last ones while sampling goes on, of all tasks, with one attempt each."""
    used: dict[int, int] = {}
    names = (
        *("id", "plan_id", "task_id", "question_id", "split", "teacher_id", "recipe", "replicate", "state"),
        *("attempts", "unknowns", "rationale", "answer", "verdict", "extracted", "flags", "finish_reason"),
        *("prompt_tokens", "completion_tokens", "cost_micros", "created_at", "stored_at"),
    )
    samples, attempts = [], []
    at = NOW - {"training": 31, "end": 50}.get(stage, 10) * MINUTE
    for number in range(1, RECENT + 1):
        wave = 1 + 0.35 * math.sin(number / 600) + 0.15 * math.sin(number / 90)
        slow = 6.0 if 3_600 < number < 3_680 else 1.0  # a rate limit: a dent in the graph
        at += round(75 * slow / wave * chance.uniform(0.4, 1.6))
        task = chance.choice((1, 1, 1, 4, 4, 4, 2, 3, 5, 6, 7, 8))
        teacher = 2 if number % 7 == 0 else 1
        position = chance.randrange(min(TASKS[task - 1][2], 400))
        question, asked = _question_id(task, "train", position), case(TASKS[task - 1][0], position)
        replicate = used[question] = used.get(question, -1) + 1
        correct = int(chance.random() < (TASKS[task - 1][8] + 0.25 * math.sin(position)))
        latency = round(chance.lognormvariate(6.7 if teacher == 1 else 8.2, 0.45) * (3 if slow > 1 else 1))
        given = asked.answer(bool(correct))
        samples.append(
            (
                *(number, task, task, question, "train", teacher, f"r{task}", replicate, "stored", 1, 0),
                asked.rationale(replicate, bool(correct)),
                *(f"The answer is {given}.", correct, given, "[]", "stop"),
                *(150, 140 + number % 90, 110, at - latency, at),
            )
        )
        attempts.append((number, number, teacher, latency, at - latency, at))
    marks = ", ".join("?" * len(names))
    connection.executemany(f"INSERT INTO sample ({', '.join(names)}) VALUES ({marks})", samples)
    connection.executemany(
        "INSERT INTO attempt (id, sample_id, turn, teacher_id, boot_id, request_id, choice, outcome, status,"
        " reserved_micros, cost_micros, prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens, estimated,"
        " latency_ms, claimed_at, ended_at) VALUES (?, ?, 0, ?, 1, 'r', 0, 'ok', 200, 0, 110, 150, 180, 0, 0, 0, ?, ?, ?)",
        attempts,
    )


def _runs(connection: Connection, folder: Path, stage: Stage) -> None:
    wanted = [(name, 0) for name in ("svamp", "coin_flip", "date", "strategy_qa")]
    wanted += [("coin_flip", 1), ("svamp", 1), ("date", 2), ("coin_flip", 2), ("svamp", 2)]
    wanted += [("aqua", 1), ("strategy_qa", 1), ("date", 1)]
    if stage == "end":
        wanted = [(task[0], student) for student in range(3) for task in TASKS]
    if stage == "start":
        wanted = wanted[:4]
    for run, (task, student) in enumerate(wanted, 1):
        state = {7: "failed", 10: "training", 11: "training", 12: "queued"}.get(run, "done")
        state = "done" if stage == "end" else state
        state = ("starting" if run < 3 else "queued") if stage == "start" else state
        _run(connection, folder, run, task, student, state)
    for number, name in enumerate(TASKS, 1):  # what the base reaches, untrained
        if stage in ("middle", "training", "dead", "end"):
            _base(connection, 100 + number, number, name[0])


def _run(connection: Connection, folder: Path, run: int, task: str, student: int, state: str) -> None:
    number = [each[0] for each in TASKS].index(task) + 1
    steps = {"aqua": 900, "strategy_qa": 1_800}.get(task, 1_500)
    step = {"done": steps, "failed": 212, "training": round(steps * (0.46 if task == "aqua" else 0.7))}.get(
        state, 0
    )
    insert_run(
        connection,
        id=run,
        student=STUDENTS[student],
        task_id=number,
        scope=task,
        method="fine-tune" if student == 0 else "fine-tune-cot",
        state=state,
        steps=steps if state != "queued" else 0,
        step=step,
        loss=0.6 if step else None,
        eta_s={"aqua": 372.0, "strategy_qa": 220.0}.get(task) if state == "training" else None,
        error="out of memory at step 212: 79.1 of 80 GB in use" if state == "failed" else None,
    )
    every = max(1, steps // 150)
    connection.executemany(
        "INSERT INTO metric (run_id, step, at, epoch, loss, learning_rate) VALUES (?, ?, ?, ?, ?, 0.0003)",
        [
            (
                run,
                at,
                NOW - HOUR + at * SECOND,
                at / 100,
                0.45 + 2.6 * math.exp(-at / 190) + 0.06 * math.sin(at),
            )
            for at in range(every, step + 1, every)
        ],
    )
    final = TESTS[task][student + 1]
    for at in range(steps // 5, step + 1, max(1, steps // 5)):
        _evaluation(connection, run, number, "dev", at, 200, final * min(1.0, 0.4 + at / steps))
    if state == "done":
        _test(connection, run, task, steps, final, 1.4 + student)
    if step:
        _progress(folder / "runs" / str(run), done=state == "done")


def _progress(folder: Path, *, done: bool) -> None:
    """What a training process wrote of its phases."""
    phases = [("importing", 0.0), ("reading rows", 4.1), ("loading the model", 6.2), ("training", 14.9)]
    phases += [("evaluating", 2_180.0)] if done else []
    lines = [
        json.dumps(
            {
                "event": "starting" if name == "importing" else "phase",
                "phase": name,
                "at": NOW - HOUR + round(1000 * s),
            }
        )
        for name, s in phases
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "progress.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _base(connection: Connection, run: int, number: int, task: str) -> None:
    insert_run(
        connection,
        id=run,
        student="base",
        task_id=number,
        scope=task,
        method="base",
        state="done",
        steps=0,
        step=0,
        loss=None,
        eta_s=None,
        error=None,
    )
    _test(connection, run, task, 0, TESTS[task][0], 1.4)


def _test(connection: Connection, run: int, task: str, step: int, share: float, gigaflops: float) -> None:
    """The result on test, and the answers behind it: the share of correct ones is as told."""
    number = [each[0] for each in TASKS].index(task) + 1
    n = TASKS[number - 1][4]
    _evaluation(connection, run, number, "test", step, n, share, gigaflops * 1e9)
    chance = random.Random(f"{run} {task}")
    hardness = [random.Random(at).random() + chance.uniform(-0.3, 0.3) for at in range(n)]
    solved = set(sorted(range(n), key=hardness.__getitem__)[: round(n * share)])
    rows = []
    for at in range(n):
        found, right = case(task, at + 400), at in solved
        text = f"{found.rationale(run, right)} The answer is {found.answer(right)}."
        rows.append(
            (
                *(run, _question_id(number, "test", at), "test", text, found.answer(right), int(right)),
                *("matches" if right else "another answer", 62, len(text) // 4, gigaflops * 1e9),
            )
        )
    connection.executemany(
        "INSERT INTO prediction (run_id, question_id, split, text, extracted, correct, reason, prompt_tokens, tokens, flops)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )


def insert_run(connection: Connection, **values: Any) -> None:
    begun = values["state"] != "queued"
    insert(
        connection,
        "run",
        **{
            "trigger": "complete",
            "recipe": "r",
            "base": "hf:smollm2-135m",
            "seed": 0,
            "zero_stage": 2,
            "spec": "{}",
            "digest": "sha256:abc",
            "samples": 4_278,
            "questions": 669,
            "drops": "{}",
            "directory": f"runs/{values['id']}",
            "device": "cuda:0" if begun else "",
            "tries": 1,
            "priority": 0,
            "phase": "loading the model" if values["state"] == "starting" else "",
            "tokens_per_second": 11_400.0 if values["step"] else None,
            "progress_offset": 0,
            "created_at": NOW - HOUR,
            "started_at": NOW - (2 * SECOND if values["state"] == "starting" else HOUR) if begun else None,
            "ended_at": NOW - 20 * MINUTE if values["state"] in ("done", "failed") else None,
            **values,
        },
    )


def _evaluation(
    connection: Connection,
    run: int,
    task: int,
    split: str,
    step: int,
    n: int,
    share: float,
    flops: float | None = None,
) -> None:
    correct = round(n * share)
    error = 1.96 * math.sqrt(share * (1 - share) / n)
    insert(
        connection,
        "evaluation",
        run_id=run,
        task_id=task,
        split=split,
        step=step,
        epoch=step / 100,
        n=n,
        correct=correct,
        accuracy=correct / n,
        low=max(0.0, share - error),
        high=min(1.0, share + error),
        seed=0,
        at=NOW - 30 * MINUTE,
        flops=flops,
    )


def _events(connection: Connection, stage: Stage) -> None:
    key = "claude is parked: key refused (401): invalid x-api-key. Fix it, then run `coterie resume --teacher claude`."
    told = [
        (4_920, "info", "DaemonStarted", "daemon", "daemon 1 started (pid 4242)"),
        (4_915, "info", "TaskRead", "task:gsm8k", "task gsm8k: 7,473 train, 660 dev, 1,319 test questions"),
        (4_900, "warning", "Noted", "daemon", "date: 3 dev questions are also in train"),
    ]
    if stage != "start":
        told += [
            (
                3_600,
                "info",
                "RunFinished",
                "run:3",
                "run 3 done: fine-tune on date, 17.1 (11.2–25.2) on test",
            ),
            (
                3_100,
                "info",
                "RunFinished",
                "run:4",
                "run 4 done: fine-tune on strategy_qa, 56.2 (52.5–59.9) on test",
            ),
            (
                2_400,
                "warning",
                "SampleFailed",
                "task:last_letter",
                "sample 61,204 of last_letter is given up: no answer",
            ),
            (
                2_310,
                "info",
                "PlanCompleted",
                "task:last_letter",
                "plan diverse of last_letter is complete: 2,800 samples",
            ),
            *(
                (
                    1_700 - 20 * at,
                    "warning",
                    "RunNoted",
                    "teacher:local-70b",
                    "local-70b: no answer within 120 s",
                )
                for at in range(5)
            ),
            (
                1_400,
                "info",
                "RunFinished",
                "run:8",
                "run 8 done: fine-tune-cot-diverse on coin_flip, 89.3 (83.4–93.3) on test",
            ),
            (1_205, "info", "RunStarted", "run:10", "run 10 started: fine-tune-cot on aqua (pid 811)"),
            (815, "info", "RunStarted", "run:11", "run 11 started: fine-tune-cot on strategy_qa (pid 812)"),
            (715, "error", "TeacherParked", "teacher:claude", key),
            (
                369,
                "error",
                "RunFailed",
                "run:7",
                "run 7 failed: fine-tune-cot-diverse on date: out of memory at step 212",
            ),
            (364, "info", "ThresholdReached", "run:12", "run 12 queued: fine-tune-cot on date, 1,470 rows"),
            (
                146,
                "warning",
                "TeacherCooling",
                "teacher:gpt-mini",
                "gpt-mini keeps failing: rate limit. One request at a time is sent until it answers.",
            ),
            (141, "info", "TeacherRecovered", "teacher:gpt-mini", "gpt-mini answers again, after 5s"),
            (
                15,
                "info",
                "RunFinished",
                "run:9",
                "run 9 done: fine-tune-cot-diverse on svamp, 38.0 (32.7–43.6) on test",
            ),
        ]
    else:
        told = [(3, *told[0][1:]), (2, *told[2][1:]), (1, "error", "TeacherParked", "teacher:claude", key)]
    if stage == "sampling":
        told = [each for each in told if not each[3].startswith("run:")]
    for age, level, kind, subject, message in told:
        insert(
            connection,
            "event",
            at=NOW - age * SECOND,
            level=level,
            kind=kind,
            subject=subject,
            message=message,
            data="{}",
        )
