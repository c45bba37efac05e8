"""Chooses what a student reads, and counts why each other rationale was left out.

Pure and deterministic: the same samples and settings give the same rows in the same order. Each
sample is dropped for the first reason that holds, in the order of `REASONS`, so the counts add up:
samples in = rows out + drops.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

from engine.config.students import CurationConfig
from engine.grading.majority import Vote, common_form, majority
from engine.question import text_hash
from state.training_samples import StoredSample

IN_TEST = "question stands in a test split"
REASONS = (
    "beyond the number of questions",
    "too hard or too easy",
    "hinted",
    "no majority",
    "not the majority's answer",
    "wrong answer",
    "empty rationale",
    "truncated",
    "too long",
    IN_TEST,
    "duplicate rationale",
    "more than D a question",
    "more than per_teacher of a teacher",
    "not drawn for the random control",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Curated:
    """The chosen samples in order, and how many were left out for each reason."""

    samples: tuple[StoredSample, ...]
    drops: dict[str, int]
    labels: dict[int, Vote] = field(default_factory=dict)
    """Of `labels = "majority"`: what stands in for the gold answer, by chosen question."""

    @property
    def questions(self) -> int:
        """Questions with at least one chosen rationale."""
        return len({sample.question_id for sample in self.samples})


def curate(
    samples: Sequence[StoredSample],
    *,
    rationales: int,
    settings: CurationConfig,
    contaminated: Set[int] = frozenset(),
    formats: Mapping[int, str] | None = None,
    questions: Set[int] | None = None,
    seed: int = 0,
) -> Curated:
    """The training set of a student (Ho et al., section 3: filtered by answer, at most D a question).

    With `keep = "random"` as many rationales as the answer filter would keep are drawn from all of them: what it does
    better than that is due to the answers, not to the number of rows.

    Args:
        samples: graded samples, those of a question in order of replicate.
        rationales: D, at most so many rationales a question.
        settings: what to keep.
        contaminated: ids of training questions that also stand in a test split.
        formats: the tasks' answer formats by id, by which a majority compares answers.
        questions: ids of the questions that count; None for all.
        seed: of the random control.
    """

    def kept(keep: str) -> Curated:
        wanted = settings.model_copy(update={"keep": keep})
        return _filtered(samples, wanted, rationales, contaminated, questions, formats or {})

    if settings.keep == "random":
        return _drawn(kept("all"), len(kept("correct").samples), seed)
    return kept(settings.keep)


def _drawn(curated: Curated, size: int, seed: int) -> Curated:
    """So many of the samples, in their order, by `blake2b(seed, id)`."""
    order = sorted(curated.samples, key=lambda sample: draw(seed, sample.sample_id))
    kept = {sample.sample_id for sample in order[:size]}
    chosen = tuple(sample for sample in curated.samples if sample.sample_id in kept)
    left = len(curated.samples) - len(chosen)
    return Curated(samples=chosen, drops=curated.drops | ({REASONS[-1]: left} if left else {}))


def first_questions(ids: Iterable[int], count: int, seed: int) -> frozenset[int]:
    """So many of the questions by a seeded order: fewer are part of more."""
    return frozenset(sorted(ids, key=lambda key: draw(seed, key))[:count])


def draw(seed: int, key: int) -> bytes:
    """A key's place in the order of a seed; the same on every machine."""
    return hashlib.blake2b(f"{seed}|{key}".encode(), digest_size=16).digest()


def _filtered(
    samples: Sequence[StoredSample],
    settings: CurationConfig,
    rationales: int,
    contaminated: Set[int],
    questions: Set[int] | None,
    formats: Mapping[int, str],
) -> Curated:
    votes = _votes(samples, formats) if settings.labels == "majority" else {}
    outside = _outside(samples, settings)
    chosen: list[StoredSample] = []
    drops: dict[str, int] = {}
    seen: set[tuple[int, str]] = set()
    taken: dict[int, int] = {}
    of_teacher: dict[tuple[int, str], int] = {}
    for sample in samples:
        if questions is not None and sample.question_id not in questions:
            drops[REASONS[0]] = drops.get(REASONS[0], 0) + 1
            continue
        if sample.question_id in outside:
            drops[REASONS[1]] = drops.get(REASONS[1], 0) + 1
            continue
        reason = _reason(sample, rationales, settings, contaminated, seen, taken)
        if settings.keep == "correct" and settings.labels == "majority" and not _unread(sample, settings):
            reason = _against(sample, votes.get(sample.question_id), settings.votes, formats) or reason
        source = sample.question_id, sample.teacher
        if reason is None and settings.per_teacher is not None:
            if of_teacher.get(source, 0) >= settings.per_teacher:
                reason = "more than per_teacher of a teacher"
        if reason is not None:
            drops[reason] = drops.get(reason, 0) + 1
            continue
        seen.add((sample.question_id, text_hash(sample.rationale)))
        of_teacher[source] = of_teacher.get(source, 0) + 1
        taken[sample.question_id] = taken.get(sample.question_id, 0) + 1
        chosen.append(sample)
    return Curated(
        samples=tuple(chosen),
        drops={reason: drops[reason] for reason in REASONS if reason in drops},
        labels={key: votes[key] for key in taken if key in votes and settings.keep == "correct"},
    )


def _outside(samples: Sequence[StoredSample], settings: CurationConfig) -> frozenset[int]:
    """Questions whose share of correct rationales is not within the band; hinted ones say nothing of how hard one is."""
    if settings.min_pass_rate <= 0 and settings.max_pass_rate >= 1:
        return frozenset()
    counts: dict[int, list[int]] = {}
    for sample in samples:
        if not sample.hinted:
            count = counts.setdefault(sample.question_id, [0, 0])
            count[0] += sample.correct
            count[1] += 1
    low, high = settings.min_pass_rate, settings.max_pass_rate
    return frozenset(key for key, (good, asked) in counts.items() if not low <= good / asked <= high)


def _votes(samples: Sequence[StoredSample], formats: Mapping[int, str]) -> dict[int, Vote]:
    """Each question's majority over all its rationales, but for hinted ones: those are no free votes."""
    groups: dict[int, list[StoredSample]] = {}
    for sample in samples:
        if not sample.hinted:
            groups.setdefault(sample.question_id, []).append(sample)
    found = {
        key: majority([sample.extracted for sample in group], formats.get(group[0].task_id, ""))
        for key, group in groups.items()
    }
    return {key: vote for key, vote in found.items() if vote is not None}


def _against(sample: StoredSample, vote: Vote | None, least: int, formats: Mapping[int, str]) -> str | None:
    if vote is None or vote.votes < least:
        return "no majority"
    form = formats.get(sample.task_id, "")
    same = common_form(sample.extracted or "", form) == common_form(vote.answer, form)
    return None if same else "not the majority's answer"


def _unread(sample: StoredSample, settings: CurationConfig) -> bool:
    return sample.hinted and not settings.hinted


def _reason(
    sample: StoredSample,
    rationales: int,
    settings: CurationConfig,
    contaminated: Set[int],
    seen: Set[tuple[int, str]],
    taken: dict[int, int],
) -> str | None:
    if _unread(sample, settings):
        return "hinted"
    if settings.keep == "correct" and settings.labels == "gold" and not sample.correct:
        return "wrong answer"
    if not sample.rationale.strip():
        return "empty rationale"
    if settings.drop_truncated and sample.truncated:
        return "truncated"
    if len(sample.rationale) > settings.max_characters:
        return "too long"
    if settings.drop_test_overlap and sample.question_id in contaminated:
        return IN_TEST
    if settings.drop_duplicates and (sample.question_id, text_hash(sample.rationale)) in seen:
        return "duplicate rationale"
    if taken.get(sample.question_id, 0) >= rationales:
        return "more than D a question"
    return None
