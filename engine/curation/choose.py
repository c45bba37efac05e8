"""Chooses what a student reads, and counts why each other rationale was left out.

Pure and deterministic: the same samples and settings give the same rows in the same order. Each
sample is dropped for the first reason that holds, in the order of `REASONS`, so the counts add up:
samples in = rows out + drops.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

from engine.config.students import CurationConfig
from engine.tasks.question import text_hash
from state.accepted import StoredSample

REASONS = (
    "wrong answer",
    "empty rationale",
    "truncated",
    "too long",
    "question stands in a test split",
    "duplicate rationale",
    "more than D a question",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Curated:
    """The chosen samples in order, and how many were left out for each reason."""

    samples: tuple[StoredSample, ...]
    drops: dict[str, int]

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
) -> Curated:
    """The training set of a student (Ho et al., section 3: filtered by answer, at most D a question).

    Args:
        samples: graded samples, those of a question in order of replicate.
        rationales: D, at most so many rationales a question.
        settings: what to keep.
        contaminated: ids of training questions that also stand in a test split.
    """
    chosen: list[StoredSample] = []
    drops: dict[str, int] = {}
    seen: set[tuple[int, str]] = set()
    taken: dict[int, int] = {}
    for sample in samples:
        reason = _reason(sample, rationales, settings, contaminated, seen, taken)
        if reason is not None:
            drops[reason] = drops.get(reason, 0) + 1
            continue
        seen.add((sample.question_id, text_hash(sample.rationale)))
        taken[sample.question_id] = taken.get(sample.question_id, 0) + 1
        chosen.append(sample)
    return Curated(
        samples=tuple(chosen), drops={reason: drops[reason] for reason in REASONS if reason in drops}
    )


def _reason(
    sample: StoredSample,
    rationales: int,
    settings: CurationConfig,
    contaminated: Set[int],
    seen: Set[tuple[int, str]],
    taken: dict[int, int],
) -> str | None:
    if settings.keep == "correct" and not sample.correct:
        return REASONS[0]
    if not sample.rationale.strip():
        return REASONS[1]
    if settings.drop_truncated and sample.truncated:
        return REASONS[2]
    if len(sample.rationale) > settings.max_characters:
        return REASONS[3]
    if settings.drop_test_overlap and sample.question_id in contaminated:
        return REASONS[4]
    if settings.drop_duplicates and (sample.question_id, text_hash(sample.rationale)) in seen:
        return REASONS[5]
    if taken.get(sample.question_id, 0) >= rationales:
        return REASONS[6]
    return None
