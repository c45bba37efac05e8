from __future__ import annotations

from tui.event_words import VERB_CELLS, VERBS


def test_a_verb_leaves_a_space_before_what_it_is_about() -> None:
    assert not [word for _, word, _ in VERBS.values() if len(word) >= VERB_CELLS]
