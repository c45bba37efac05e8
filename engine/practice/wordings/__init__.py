"""How each builtin task's reasoning is told and read, by the task's name."""

from __future__ import annotations

from engine.practice.wordings import arithmetic, coin_flip, dates, last_letters, shuffled_objects
from engine.practice.wordings.teller import Teller

TELLERS: dict[str, Teller] = {
    "coin_flip": coin_flip.TELLER,
    "last_letter_concatenation": last_letters.TELLER,
    "tracking_shuffled_objects": shuffled_objects.TELLER,
    "date_understanding": dates.TELLER,
    "multi_step_arithmetic": arithmetic.TELLER,
}

__all__ = ["TELLERS", "Teller"]
