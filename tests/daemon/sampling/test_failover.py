"""Several keys and several teachers share the work of one plan; one that is parked hands its work on."""

from __future__ import annotations

from pathlib import Path

from tests.daemon.ledgers import check_promise
from tests.daemon.site import Teacher, configure, count, query, run_to_end, teacher

KEYS = {"KEY_A": "sk-alpha-0001", "KEY_B": "sk-beta-0002"}


def test_two_keys_share_the_work_and_each_keeps_its_own_limit(tmp_path: Path) -> None:
    flags = (
        "--key",
        KEYS["KEY_A"],
        "--key",
        KEYS["KEY_B"],
        "--requests-per-minute",
        "1200",
        "--burst-seconds",
        "1",
    )
    with teacher(tmp_path, "--latency-ms", "5", *flags) as school:
        setup = 'api_key_envs = ["KEY_A", "KEY_B"]\nrequests_per_minute = 1200'
        configure(tmp_path, school.url, train=60, rationales=1, teacher=setup)
        code, output = run_to_end(tmp_path, env=KEYS)
        assert code == 0, output
        check_promise(tmp_path, school.ledger())
        received = [entry["received_at"] for entry in school.ledger()]
        refused = sum(entry["status"] == 429 for entry in school.ledger())
    # 132 requests at 20 a second would take 6.6 s on one key; two keys halve that.
    assert len(received) == 132 + refused and refused <= 3
    seconds = (max(received) - min(received)) / (1000 if max(received) > 1e11 else 1)
    assert seconds < 5.5, f"{seconds:.1f} s: one key alone would not have been slower"


def test_a_refused_key_hands_its_work_to_the_other(tmp_path: Path) -> None:
    with teacher(tmp_path, "--latency-ms", "5", "--key", KEYS["KEY_A"]) as school:
        configure(tmp_path, school.url, teacher='api_key_envs = ["KEY_A", "KEY_B"]')
        code, output = run_to_end(tmp_path, env=KEYS)
        assert code == 0, output
        check_promise(tmp_path, school.ledger())
    assert query(tmp_path, "SELECT stored, failed FROM plan ORDER BY id") == [(60, 0), (6, 0)]
    assert 1 <= count(tmp_path, "attempt", "outcome = 'parked'") <= 64


def test_a_parked_teacher_hands_its_work_to_the_other_one(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    broken = Teacher(tmp_path / "broken", "--latency-ms", "5", "--key", "sk-another-key")
    try:
        with teacher(tmp_path, "--latency-ms", "5") as school:
            second = f"""
[teachers.broken]
base_url = "{broken.url}"
model = "practice-large"
usd_per_million_input = 0.15
usd_per_million_output = 0.60
"""
            configure(tmp_path, school.url, train=80, students=second)
            code, output = run_to_end(tmp_path)
            assert "broken is parked" in output
            check_promise(tmp_path, school.ledger())
    finally:
        broken.stop()
    assert query(tmp_path, "SELECT sum(stored), sum(failed) FROM plan") == [(166, 0)]
    assert query(tmp_path, "SELECT DISTINCT t.name FROM sample s JOIN teacher t ON t.id = s.teacher_id") == [
        ("school",)
    ]
    assert code == 0 and "all work is done" in output  # all was sampled: no job failed
