"""Correct samples to a training set: what the student reads, frozen as a manifest."""

from engine.curation.contamination import between_tasks, contamination, overlapping
from engine.curation.selection import IN_TEST, Curated, curate

__all__ = ["IN_TEST", "Curated", "between_tasks", "contamination", "curate", "overlapping"]
