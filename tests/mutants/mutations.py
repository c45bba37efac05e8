"""One-line mutations of code that people's money and results depend on, each with the tests that have to notice it.

To add one: the file, a piece of its text that stands there once, what it becomes, and the nearest tests.
"""

from __future__ import annotations

from typing import NamedTuple


class Mutation(NamedTuple):
    """A change of one file that some test must fail on."""

    file: str
    text: str
    """Stands in the file exactly once."""
    becomes: str
    tests: str
    """Files or folders of tests, separated by spaces."""


def _all(file: str, tests: str, *changes: tuple[str, str]) -> list[Mutation]:
    return [Mutation(file, text, becomes, tests) for text, becomes in changes]


MONEY = [
    *_all(
        "daemon/sampling/budget.py",
        "tests/daemon/sampling/test_budget.py tests/daemon/sampling/test_token_accounting.py",
        ("return self.spent + self.reserved + self.unknown", "return self.spent + self.reserved"),
        ("return self.room() + self.reserved", "return self.room()"),
        ("if micros > self.room(plan_id, teacher_id):", "if micros >= self.room(plan_id, teacher_id):"),
        ("            account.unknown += unknown", "            account.unknown += 0"),
        ("            account.spent += cost", "            account.spent += max(cost, reserved)"),
        ("return total.room() - set_aside.total, own", "return total.room(), own"),
        ("return -(-(prompt * dearest", "return ((prompt * dearest"),
        ("max(self.input, self.cached, self.cache_write or 0.0)", "max(self.input, self.cached)"),
        ("max(self.output, self.reasoning or 0.0)", "self.output"),
        ("(prompt - cached - cache_write) * _exact(self.input)", "prompt * _exact(self.input)"),
        ("(completion - reasoning) * _exact(self.output)", "completion * _exact(self.output)"),
    ),
    *_all(
        "daemon/sampling/budget_policy.py",
        "tests/daemon/sampling/test_panels.py",
        ("max(0, self._owed(each) - left) * self._whole(each)", "0"),
        ("self._alerts.note(which.id, at.id, need.beside(stuck))", "self._alerts.note(which.id, at.id, need)"),
        ("kept = found.turns.of(plan, teacher) if self._owed(plan) else found.beside(plan, teacher)", "kept = found.beside(plan, teacher)"),
    ),
    *_all(
        "daemon/sampling/held_jobs.py",
        "tests/daemon/sampling/test_scheduler.py",
        ("self._budget.move(job.plan.id, successor.id, cost)", "pass"),
    ),
    *_all(
        "daemon/sampling/token_accounting.py",
        "tests/daemon/sampling/test_token_accounting.py tests/daemon/sampling/test_attempt_runner.py",
        ("and 0 <= usd <= MOST_USD]", "and 0 <= usd]"),
        ('if failure.charged == "unknown":', 'if failure.charged == "never":'),
        ("return [Booking(0, micros, lost) for micros in reserved]", "return [Booking(0, micros, lost) for micros in reserved[:1]] + [Booking(0, 0, lost) for _ in reserved[1:]]"),
        ('if failure.charged == "none" or failure.usage is None:', "if True:"),
        ("self._carried.get(plan_id, PARTS // 2), PARTS)", "PARTS // 2, PARTS)"),
        ("costs = list(reserved[: len(usages)])", "costs = [0 for _ in usages]"),
        ("return usage.prompt_tokens - uncounted + usage.completion_tokens", "return usage.prompt_tokens + usage.completion_tokens"),
        ("        self.price = price_of(config)\n\n    def expected", "\n    def expected"),
        ("config.usd_per_million_output * share,", "config.usd_per_million_output,"),
    ),
    *_all(
        "state/outcomes.py",
        "tests/state/test_outcomes.py",
        ("unknown_micros = unknown_micros + ?, reserved_micros = reserved_micros - ? WHERE id = ?\",\n            (*row", "unknown_micros = unknown_micros + ?, reserved_micros = reserved_micros - min(0, ?) WHERE id = ?\",\n            (*row"),
        ("        own[1] += item.unknown_micros", "        own[1] += 0"),
        ("        row[7] += item.cost_micros", "        row[7] += item.cost_micros if item.leader else 0"),
        ("        total[3] += item.counts", "        total[3] += 1"),
        ("total[4] += item.outcome is Outcome.UNKNOWN", "total[4] += item.leader and item.outcome is Outcome.UNKNOWN"),
        ("AND sample.state = 'open'", ""),
        ("group[3] += state == SampleState.FAILED", "group[3] += state != SampleState.STORED and verdict is None and False"),
    ),
    *_all(
        "state/daemon_sessions.py",
        "tests/state/test_daemon_sessions.py tests/state/test_batches.py",
        ("unknown_micros = a.reserved_micros,", "unknown_micros = 0,"),
        (" unknown_micros = unknown_micros + t.micros, reserved_micros = reserved_micros - t.micros FROM (SELECT a.teacher_id", " reserved_micros = reserved_micros - t.micros FROM (SELECT a.teacher_id"),
        ("AND a.boot_id <> {session_id} AND NOT {IN_A_BATCH}", "AND a.boot_id <> {session_id}"),
        ("\"UPDATE sample SET unknowns = unknowns + t.n\"", "\"UPDATE sample SET unknowns = unknowns + 0 * t.n\""),
    ),
    *_all(
        "state/budget.py",
        "tests/state/test_budget.py",
        ('if args["instead_of"] == configured else configured', "if True else configured"),
        ("if not 0 <= usd <= 1e9:", "if not 0 <= usd:"),
    ),
]  # fmt: skip

CLAIMS = [
    *_all(
        "state/claims.py",
        "tests/state/test_claims.py tests/state/test_claims_of_groups.py",
        ("if cost + request.aside > money:", "if cost > money:"),
        ("        money -= cost + request.aside", "        money -= cost"),
        ("cost = request.further if number and not request.apart else", "cost = request.further if number else"),
        ("request_id = opened[-1].request_id if item.choice else", "request_id ="),
        ("total[0] += item.choice == 0", "total[0] += 1"),
        ("q.active = 1 AND NOT EXISTS", "NOT EXISTS"),
        ("ORDER BY a.turn", "ORDER BY a.turn DESC"),
        ("(*total, teacher),", "(total[0], 0, teacher),"),
    ),
    *_all(
        "state/slots.py",
        "tests/state/test_slots.py tests/state/test_claims.py",
        ("return self.claimed - self.accepted - self.rejected - self.failed", "return self.claimed - self.accepted - self.rejected"),
        ("if plan.target and plan.accepted >= plan.target:", "if plan.target and plan.accepted > plan.target:"),
        ("return again is None and plan.pending == 0", "return again is None"),
        ("            if len(self.slots) >= self._room:", "            if len(self.slots) > self._room:"),
        ("return max(0, open_at_most - self.pending)", "return max(0, open_at_most)"),
        ("o.replicate < ?2", "o.replicate <= ?2"),
    ),
]  # fmt: skip

LIMITS = [
    *_all(
        "daemon/limits/buckets.py",
        "tests/daemon/limits",
        ("excess = self._total + amount - max(amount, minute * MINUTE_S)", "excess = 0.0"),
        ("self._level = min(self.capacity, self._level - more)", "self._level = self._level"),
        ("                    self._total += more", "                    self._total += 0"),
        ("if limit >= 1 and (self.ceiling is None or limit / MINUTE_S < self.ceiling):", "if limit >= 1:"),
        ("self._level = min(self._level, remaining, self.capacity)", "self._level = min(self._level, self.capacity)"),
        ("self._level = min(self._level, 1.0)", "self._level = self._level"),
        ("(bins[0][0] + 1) * BIN_S + MINUTE_S + MARGIN_S <= now", "(bins[0][0] + 1) * BIN_S + MINUTE_S / 2 <= now"),
        ("known = [rate for rate in (self.ceiling, self._granted, self._learned) if rate is not None]", "known = [rate for rate in (self.ceiling, self._granted) if rate is not None]"),
    ),
    *_all(
        "daemon/limits/key_limits.py",
        "tests/daemon/limits",
        ("            self.rates.settle(reservation.amounts, used_tokens, output)\n        if retry_after:", "            pass\n        if retry_after:"),
        ("            self.rates.settle(reservation.amounts, used_tokens, min(used_tokens, output))", "            pass"),
        ("            self._pauses.prolong(now + retry_after)", "            pass"),
        ("            self.rates.give_back(taken)\n            reservation.amounts", "            reservation.amounts"),
        ("if self.parked or self.pause_left(now) else", "if self.parked else"),
    ),
    *_all(
        "daemon/limits/lease_table.py",
        "tests/daemon/limits/test_lease_table.py",
        ("min(shares[members.index(me)], total - held)", "shares[members.index(me)]"),
        ("total = total if whole else MARGIN * total", "total = total"),
        ("self.pause_until = max(self.pause_until, member.pause_until)", "pass"),
        ("return min((total for total in totals if total is not None), default=None)", "return max((total for total in totals if total is not None), default=None)"),
    ),
    *_all(
        "daemon/sampling/attempt_runner.py",
        "tests/daemon/sampling/test_attempt_runner.py tests/daemon/sampling/test_groups.py",
        ("member.unknowns += failure.kind == \"ambiguous\"", "member.unknowns += 0"),
        ("failure.kind in (\"transient\", \"malformed\") and failure.reached", "failure.kind in (\"transient\", \"malformed\")"),
        ("raw=None if index else answer.raw,", "raw=answer.raw,"),
        ("used = None if failure.charged == \"unknown\" else", "used = 0 if failure.charged == \"unknown\" else"),
        ("(claimed and self._budget.room(job.plan.id, teacher.id) < 0)", "False"),
        ("wait = max(backoff(max(1, job.attempts + job.unknowns), self._rng), failure.retry_after_s or 0.0)", "wait = backoff(max(1, job.attempts + job.unknowns), self._rng)"),
    ),
    *_all(
        "engine/teachers/classify.py",
        "tests/engine/teachers",
        ("return _of(\"ambiguous\", \"timed out before the response was complete\", secrets)", "return _of(\"transient\", \"timed out before the response was complete\", secrets)"),
        ("return replace(said, raw=body, charge=\"unknown\")", "return said"),
        ("if not returns and not daily and (\"money\" in codes or words_alone):", "if \"money\" in codes or words_alone:"),
        ("return replace(said, raw=body, usage=usage, charge=\"usage\")", "return said"),
    ),
]  # fmt: skip

RESUME = [
    *_all(
        "engine/students/checkpoints.py",
        "tests/engine/students/test_checkpoints.py",
        ("        if path.is_file():\n            sync(path)", "        if path.is_file():\n            pass"),
        ("    sync(marker)\n", ""),
        ("    os.rename(partial, final)\n    sync(directory)", "    os.rename(partial, final)"),
        ("key=lambda result: (result.correct, result.step)", "key=lambda result: (result.correct, -result.step)"),
        ("if result.correct == top)", "if result.correct >= top - 1)"),
        ("kept = {*steps[max(0, len(steps) - keep) :], also}", "kept = {*steps[max(0, len(steps) - keep) :]}"),
        ("(found := (place / name).stat().st_size) != size:", "(found := (place / name).stat().st_size) < size:"),
        ("zlib.crc32((place / name).read_bytes()) != checksum:", "False:"),
        ("    partial.write_bytes(data)\n    sync(partial)", "    partial.write_bytes(data)"),
    ),
]  # fmt: skip

RESULTS = [
    *_all(
        "engine/grading/formats/number.py",
        "tests/engine/grading/formats tests/engine/grading/test_cases.py",
        ("if left.denominator == right.denominator == 1 or not left or not right:", "if not left or not right:"),
        ("if abs(share.value) >= 1:", "if True:"),
        ("if len({number.value for number in result}) > 1:\n            if (exact", "if False:\n            if (exact"),
        ("        if \"hedged\" in flags:\n            return", "        if False:\n            return"),
        ("and difference * 50 <= max(abs(left), abs(right))", ""),
    ),
    *_all(
        "engine/curation/selection.py",
        "tests/engine/curation",
        ("settings.keep == \"correct\" and not by_vote and not sample.correct", "False"),
        ("if settings.drop_truncated and sample.truncated:", "if False:"),
        ("    if sample.incomplete:", "    if False:"),
        ("    if sample.question_id in left_out:", "    if False:"),
        ("if taken.get(sample.question_id, 0) >= rationales:", "if taken.get(sample.question_id, 0) > rationales:"),
        ("len(kept(\"correct\").samples), seed)", "len(kept(\"all\").samples), seed)"),
        ("        if not sample.hinted:\n            groups", "        if True:\n            groups"),
        ("if of_teacher.get(source, 0) >= settings.per_teacher:", "if of_teacher.get(source, 0) > settings.per_teacher:"),
    ),
    *_all(
        "engine/curation/contamination.py",
        "tests/engine/curation",
        ("return frozenset(key for key, text in train.items() if identity(text) in forms)", "return frozenset()"),
        ("if len(own & sets[key]) >= least:", "if len(own & sets[key]) > least + 1:"),
    ),
    *_all(
        "state/training_samples.py",
        "tests/state/test_training_samples.py tests/engine/curation tests/daemon/training/test_manifest.py",
        ("AND s.state = 'stored' AND s.verdict IS NOT NULL\"\n        \" AND te.name", "AND s.state = 'stored'\"\n        \" AND te.name"),
        ("AND s.recipe = p.recipe AND s.replicate < p.rationales", "AND s.recipe = p.recipe"),
        ("ON q.id = s.question_id AND q.active = 1\"", "ON q.id = s.question_id\""),
        ("correct=verdict == 1,", "correct=verdict != 0,"),
        ("truncated=finish == \"length\" or \"truncated\" in flags,", "truncated=\"truncated\" in flags,"),
    ),
]  # fmt: skip

MUTATIONS = MONEY + CLAIMS + LIMITS + RESUME + RESULTS
