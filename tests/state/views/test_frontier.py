from __future__ import annotations

import json

import pytest

from state.lineage import add_sources
from state.views.frontier import CostPoint, by_task, front, read_frontier
from tests.state.world import World, question_rows


def point(name: str, accuracy: float, low: float, flops: float | None, **more) -> CostPoint:
    return CostPoint(
        name=name,
        task="t",
        run_id=1,
        method="m",
        accuracy=accuracy,
        low=low,
        high=1.0,
        n=100,
        flops=flops,
        **more,
    )


def test_a_point_is_on_the_front_only_if_its_interval_clears_the_cheaper_one() -> None:
    cheap, near, clear, worse = (
        point("cheap", 0.60, 0.50, 1.0),
        point("near", 0.65, 0.55, 2.0),
        point("clear", 0.80, 0.70, 3.0),
        point("worse", 0.75, 0.65, 4.0),
    )
    unknown = point("unknown", 0.99, 0.95, None)
    for order in ([cheap, near, clear, worse, unknown], [unknown, worse, clear, near, cheap]):
        assert front(order, lambda each: each.flops) == [cheap, clear]
    assert front([unknown], lambda each: each.flops) == []
    same = point("same", 0.61, 0.51, 1.0)
    assert front([cheap, same], lambda each: each.flops) == [same], "the better one of equally dear ones"


def run(world: World, key: int, student: str, *, plans=(), created=10**15, reads=(), flops=100.0) -> None:
    """A finished run that took 36 seconds and was asked four test questions."""
    world.connection.execute(
        'INSERT INTO run (id, student, task_id, scope, "trigger", recipe, state, method, base, seed, zero_stage,'
        " spec, digest, samples, questions, drops, directory, device, tries, priority, phase, step, steps,"
        " progress_offset, created_at, started_at, ended_at, parameters, bytes, train_flops)"
        " VALUES (?, ?, ?, 't', 'complete', ?, 'done', 'fine-tune', 'b', 0, 0, ?, '', 1, 1, '{}', '', '', 0, 0, '', 1, 1,"
        " 0, ?, 0, 36000, 1000, 4000, ?)",
        (key, student, world.tasks["t"], str(key), json.dumps({"plans": list(plans)}), created, flops),
    )
    world.connection.executemany(
        "INSERT INTO run_sample (run_id, sample_id) VALUES (?, ?)", [(key, sample) for sample in reads]
    )
    world.connection.execute(
        "INSERT INTO evaluation (run_id, task_id, split, step, epoch, n, correct, accuracy, low, high, seed, at,"
        " prompt_tokens, completion_tokens, flops, seconds) VALUES (?, ?, 'test', 1, 1, 4, 3, 0.75, 0.3, 0.95, 0, 0,"
        " 40, 20, 5e6, 7.2)",
        (key, world.tasks["t"]),
    )


def test_what_a_student_costs_is_counted_over_its_ancestors_once(world: World) -> None:
    plan = world.plan(rationales=1)
    world.store(world.claim(plan, 3))
    world.connection.execute("UPDATE sample SET cost_micros = 1000, created_at = 5")
    late = world.row("SELECT max(id) FROM sample")[0]
    world.connection.execute("UPDATE sample SET created_at = 50 WHERE id = ?", (late,))
    ids = [key for (key,) in world.rows("SELECT id FROM sample WHERE created_at = 5")]
    run(world, 1, "asks", plans=[plan], created=10, reads=ids, flops=100.0)
    run(world, 2, "child", plans=[plan], created=60, reads=ids, flops=10.0)
    run(world, 3, "answers", plans=[plan], flops=None)
    run(world, 4, "pair")
    with world.connection:
        add_sources(world.connection, 2, [(1, "base")])
        add_sources(world.connection, 4, [(1, "ask"), (2, "solve")])
    asks, child, answers, pair = read_frontier(world.connection, 2.0)
    assert (asks.parameters, asks.bytes, asks.flops) == (1000, 4000, 5e6)
    assert (asks.prompt_tokens, asks.completion_tokens) == (10.0, 5.0)
    assert asks.data_usd == pytest.approx(0.002), "what came after it was made is not its cost"
    assert child.data_usd == pair.data_usd == pytest.approx(0.003), "samples that both read are paid once"
    assert answers.data_usd == 0.0, "a run that reads no samples cost none"
    assert (asks.train_flops, child.train_flops, answers.train_flops, pair.train_flops) == (
        100.0,
        110.0,
        None,
        210.0,
    )
    assert (asks.device_hours, pair.device_hours) == (pytest.approx(0.01), pytest.approx(0.03))
    assert pair.make_usd == pytest.approx(0.003 + 2.0 * 0.03)
    assert asks.answer_usd == pytest.approx(2.0 * 7.2 / 3600 / 4)
    assert pair.sources == (1, 2) and asks.sources == ()
    free = read_frontier(world.connection)[0]
    assert (free.make_usd, free.answer_usd) == (pytest.approx(0.002), None), "device time has no price"


def test_who_learns_from_what_a_student_wrote_took_that_student_too(world: World) -> None:
    bought, written = world.plan("bought", recipe="b"), world.plan("written", recipe="w")
    world.store(world.claim(bought, 3))
    world.store(world.claim(written, 3))
    world.connection.execute("UPDATE sample SET cost_micros = iif(recipe = 'b', 1000, 0)")
    world.connection.execute(
        "UPDATE plan SET settings = json_set(settings, '$.served', 1) WHERE name = 'written'"
    )
    ids = [key for (key,) in world.rows("SELECT id FROM sample ORDER BY id")]
    run(world, 1, "first", plans=[bought], reads=ids[:3])
    run(world, 2, "second", plans=[written], reads=ids[3:])
    run(world, 3, "other", plans=[written])
    first, second, other = read_frontier(world.connection)
    assert second.data_usd == first.data_usd == pytest.approx(0.003)
    assert second.train_flops == 200.0 and second.device_hours == pytest.approx(2 * (first.device_hours or 0))
    assert (other.data_usd, other.train_flops) == (0.0, 100.0), "it reads no samples"


def test_the_newest_run_of_a_student_counts_and_one_that_others_replaced_is_left_out(world: World) -> None:
    run(world, 1, "s")
    run(world, 2, "s")
    run(world, 3, "other")
    found = read_frontier(world.connection)
    assert [(each.name, each.run_id, each.superseded) for each in found] == [
        ("s", 2, False),
        ("other", 3, False),
    ]
    world.connection.execute("UPDATE run SET recipe = 'new', state = 'training' WHERE id = 3")
    run(world, 4, "other")
    world.connection.execute("UPDATE run SET state = 'queued' WHERE id = 4")
    world.connection.execute("UPDATE run SET state = 'done' WHERE id = 3")
    [old] = [each for each in read_frontier(world.connection) if each.name == "other"]
    assert old.superseded and "other" not in [each.name for each in by_task([old]).get("t", [])]


def test_a_teacher_is_its_plan_on_test(world: World) -> None:
    world.task("t", [*question_rows(3), *question_rows(2, split="test", start=3)])
    plan = world.plan("exam", split="test", rationales=1)
    world.store(world.claim(plan, 2))
    world.connection.execute(
        "UPDATE sample SET cost_micros = 500, prompt_tokens = 30, completion_tokens = 10"
    )
    [teacher] = read_frontier(world.connection)
    assert (teacher.run_id, teacher.name, teacher.n, teacher.flops) == (None, "exam", 2, None)
    [known] = read_frontier(world.connection, billions={"a": 0.5})
    assert (known.parameters, known.flops) == (500_000_000, 2 * 0.5e9 * 40)
    run(world, 9, "s")
    world.connection.execute("UPDATE plan SET settings = json_set(settings, '$.served', 9)")
    assert read_frontier(world.connection)[-1].flops == 2 * 1000 * 40, (
        "a student as a teacher has those of its run"
    )
    assert (teacher.answer_usd, teacher.make_usd) == (pytest.approx(0.0005), 0.0)
    assert (teacher.prompt_tokens, teacher.completion_tokens) == (30.0, 10.0)
