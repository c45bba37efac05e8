"""Correct samples to a training set: what the student reads, frozen as a manifest."""

from engine.curation.contamination import alike, overlaps, same_questions
from engine.curation.selection import ALIKE, FLAGGED, HELD_OUT, Curated, curate

__all__ = ["ALIKE", "FLAGGED", "HELD_OUT", "Curated", "alike", "curate", "overlaps", "same_questions"]
