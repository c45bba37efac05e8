"""The pool with real workers: bombs are killed at the deadline, and the next question is answered all the same."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest

from engine.errors import JobFailed
from engine.grading import workers
from engine.grading.formats import math as formula
from engine.grading.workers import Pool

BOMB = "9^{9^{9^{9}}}"


@pytest.fixture(scope="module")
def pool():
    made = Pool(size=1, deadline_s=5.0)
    assert made._idle == []  # nothing is started before the first question
    yield made
    made.close()


def pid(pool: Pool) -> int:
    (worker,) = pool._idle
    return worker._process.pid


def gone(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_worker_is_kept_and_answers_again(pool) -> None:
    assert pool.compare("\\frac{1}{2}", "0.5") == "equal"
    first = pid(pool)
    assert pool.compare("1", "2") == "differs"
    assert pool.compare("{{", "2") == "unread-first"
    assert pool.compare("2", "{{") == "unread-second"
    assert pid(pool) == first


def test_a_bomb_is_killed_at_the_deadline_and_is_wrong(pool) -> None:
    pool.compare("1", "1")
    first = pid(pool)
    pool.deadline_s, kept = 0.3, pool.deadline_s
    started = time.monotonic()
    verdict = formula.judge(f"\\boxed{{{BOMB}}}", "3", None, pool=pool)
    took = time.monotonic() - started
    pool.deadline_s = kept
    assert not verdict.correct and verdict.flags == ("undecided",)
    assert "not decided within 0.3 s" in verdict.reason
    assert took < 5
    assert gone(first) and pool._idle == []
    assert pool.compare("3", "3") == "equal"  # by a new one


def test_a_worker_that_died_is_replaced(pool) -> None:
    pool.compare("1", "1")
    first = pid(pool)
    os.kill(first, signal.SIGKILL)
    pool._idle[0]._process.wait()
    assert pool.compare("4", "2^2") == "equal"
    assert pid(pool) != first


def test_threads_take_turns(pool) -> None:
    answers = []
    threads = [
        threading.Thread(target=lambda n=n: answers.append(pool.compare(f"{n}", f"{n}.0"))) for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["equal"] * 6
    assert len(pool._idle) == 1


def test_a_worker_ends_with_its_input(pool) -> None:
    pool.compare("1", "1")
    worker = pool._idle.pop()
    worker._process.stdin.close()
    assert worker._process.wait(timeout=30) == 0
    worker._process.stdout.close()


def test_a_worker_does_not_see_the_keys_of_teachers(pool, monkeypatch) -> None:
    monkeypatch.setenv("TEACHER_KEY", "secret")
    started = {}
    real = workers.subprocess.Popen

    def popen(argv, **more):
        started.update(more)
        return real(argv, **more)

    monkeypatch.setattr(workers.subprocess, "Popen", popen)
    fresh = Pool(size=1)
    assert fresh.compare("1", "1.0") == "equal"
    fresh.close()
    assert "TEACHER_KEY" not in started["env"]


def test_without_a_process_that_starts_there_is_an_error_and_no_verdict(monkeypatch, tmp_path) -> None:
    (tmp_path / "math_verify.py").write_text("raise ImportError\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(JobFailed, match="math-verify is installed"):
        Pool(size=1).compare("1", "1.0")
