from __future__ import annotations

from pathlib import Path

import pytest

from tests.tui.conftest import running
from tui.event_words import VERB_CELLS, VERBS


def test_a_verb_leaves_a_space_before_what_it_is_about() -> None:
    assert not [word for _, word, _ in VERBS.values() if len(word) >= VERB_CELLS]


@pytest.mark.anyio
async def test_a_wide_list_names_session_and_id(seeded: Path) -> None:
    async with running(seeded, (260, 40)) as driver:
        await driver.press("6")
        lines = [line.split("│")[1].split() for line in driver.text.splitlines() if line.count("│") >= 2]
        (heading,) = (each for each in lines if each[:2] == ["time", "age"])
        assert heading[-3:] == ["about", "session", "id"]
        rows = [each for each in lines if each and ":" in each[0] and each[-1].isdecimal()]
        ids = [int(each[-1]) for each in rows]
        assert len(rows) > 3 and ids == sorted(ids, reverse=True)
        assert {each[-2] for each in rows} <= {"1", "–"}
