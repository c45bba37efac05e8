"""Selects the samples that a student reads, and counts the others by reason.

Pure and deterministic: the same samples and settings give the same selection in the same order. A sample is dropped for
the first reason in `REASONS` that applies, so the counts add up: samples in = samples selected + drops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from types import MappingProxyType

from engine.config.students import CurationConfig
from engine.grading.majority import Vote, common_form, majority
from engine.question import text_hash
from engine.seeded_order import first
from state.training_samples import StoredSample

HELD_OUT = "question is also in dev or test"
ALIKE = "question is like one in dev or test"
FLAGGED = "flagged by you"
REASONS = (
    "question not drawn",
    "too hard or too easy",
    "hinted",
    "no majority",
    "differs from the majority",
    "wrong answer",
    "empty rationale",
    "truncated",
    "not a whole answer",
    "too long",
    HELD_OUT,
    ALIKE,
    FLAGGED,
    "duplicate rationale",
    "more than D per question",
    "more than per_teacher per teacher",
    "not drawn for the random control",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Curated:
    """The selected samples in order, and the number dropped per reason."""

    samples: tuple[StoredSample, ...]
    drops: dict[str, int]
    labels: dict[int, Vote] = field(default_factory=dict)
    """With `labels = "majority"`: the answer that replaces the gold answer, by selected question."""

    @property
    def questions(self) -> int:
        """The number of questions with at least one selected rationale."""
        return len({sample.question_id for sample in self.samples})


def curate(
    samples: Sequence[StoredSample],
    *,
    rationales: int,
    settings: CurationConfig,
    left_out: Mapping[int, str] = MappingProxyType({}),
    formats: Mapping[int, str] | None = None,
    questions: Set[int] | None = None,
    seed: int = 0,
    gold: Set[int] = frozenset(),
) -> Curated:
    """The training set of a student (Ho et al., section 3: filtered by answer, at most D per question).

    `keep = "random"` draws as many rationales from all of them as the answer filter would keep. If the filtered set trains a
    better student than that, the answers are the reason, and not the number of rows. `draw` makes any set as small as another
    one: the paper's control for rationales chosen by hand is as many at random from the filtered ones.

    Args:
        samples: graded samples, those of a question in order of replicate.
        rationales: D, the largest number of rationales per question.
        settings: what to keep.
        left_out: the reason, of those in `REASONS`, by id of a training question that the student does not read.
        formats: the answer formats of the tasks by id, by which a majority compares answers.
        questions: ids of the questions that count; None: all.
        seed: of the random control.
        gold: ids of tasks whose gold answers are used also with `labels = "majority"`, because others have none.
    """

    def kept(keep: str) -> Curated:
        wanted = settings.model_copy(update={"keep": keep})
        return _filtered(samples, wanted, rationales, left_out, questions, formats or {}, gold)

    found = kept("all") if settings.keep == "random" else kept(settings.keep)
    if settings.keep == "random":
        found = _drawn(found, len(kept("correct").samples), seed)
    return found if settings.draw is None else _drawn(found, settings.draw, seed)


def _drawn(curated: Curated, size: int, seed: int) -> Curated:
    """A random subset of that size, in the same order, drawn by `blake2b(seed, id)`."""
    kept = first([sample.sample_id for sample in curated.samples], size, seed)
    chosen = tuple(sample for sample in curated.samples if sample.sample_id in kept)
    left = len(curated.samples) - len(chosen) + curated.drops.get(REASONS[-1], 0)
    questions = {sample.question_id for sample in chosen}
    return Curated(
        samples=chosen,
        drops=curated.drops | ({REASONS[-1]: left} if left else {}),
        labels={key: vote for key, vote in curated.labels.items() if key in questions},
    )


def _filtered(
    samples: Sequence[StoredSample],
    settings: CurationConfig,
    rationales: int,
    left_out: Mapping[int, str],
    questions: Set[int] | None,
    formats: Mapping[int, str],
    gold: Set[int],
) -> Curated:
    voted = settings.labels == "majority"
    votes = _votes([each for each in samples if each.task_id not in gold], formats) if voted else {}
    outside = _outside_band(samples, settings)
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
        by_vote = voted and sample.task_id not in gold
        reason = _reason(sample, rationales, settings, left_out, seen, taken, by_vote=by_vote)
        if by_vote and not _excluded_hint(sample, settings):
            reason = _disagreement(sample, votes.get(sample.question_id), settings, formats) or reason
        source = sample.question_id, sample.teacher
        if reason is None and settings.per_teacher is not None:
            if of_teacher.get(source, 0) >= settings.per_teacher:
                reason = "more than per_teacher per teacher"
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
        labels={key: votes[key] for key in taken if key in votes},
    )


def _outside_band(samples: Sequence[StoredSample], settings: CurationConfig) -> frozenset[int]:
    """Questions whose share of correct rationales is outside the band. Hinted rationales do not show how hard a question is."""
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
    """Each question's majority over all its rationales except hinted ones, which are not independent votes."""
    groups: dict[int, list[StoredSample]] = {}
    for sample in samples:
        if not sample.hinted:
            groups.setdefault(sample.question_id, []).append(sample)
    found = {
        key: majority([sample.extracted for sample in group], formats.get(group[0].task_id, ""))
        for key, group in groups.items()
    }
    return {key: vote for key, vote in found.items() if vote is not None}


def _disagreement(
    sample: StoredSample, vote: Vote | None, settings: CurationConfig, formats: Mapping[int, str]
) -> str | None:
    if vote is None or vote.votes < settings.votes:
        return "no majority"
    if settings.keep != "correct":
        return None
    form = formats.get(sample.task_id, "")
    same = common_form(sample.extracted or "", form) == common_form(vote.answer, form)
    return None if same else "differs from the majority"


def _excluded_hint(sample: StoredSample, settings: CurationConfig) -> bool:
    return sample.hinted and not settings.hinted


def _reason(
    sample: StoredSample,
    rationales: int,
    settings: CurationConfig,
    left_out: Mapping[int, str],
    seen: Set[tuple[int, str]],
    taken: dict[int, int],
    *,
    by_vote: bool,
) -> str | None:
    if _excluded_hint(sample, settings):
        return "hinted"
    if settings.keep == "correct" and not by_vote and not sample.correct:
        return "wrong answer"
    if not sample.rationale.strip():
        return "empty rationale"
    if settings.drop_truncated and sample.truncated:
        return "truncated"
    if sample.incomplete:
        return "not a whole answer"
    if len(sample.rationale) > settings.max_characters:
        return "too long"
    if sample.question_id in left_out:
        return left_out[sample.question_id]
    if settings.leave_out_flagged and sample.flagged:
        return FLAGGED
    if settings.drop_duplicates and (sample.question_id, text_hash(sample.rationale)) in seen:
        return "duplicate rationale"
    if taken.get(sample.question_id, 0) >= rationales:
        return "more than D per question"
    return None
