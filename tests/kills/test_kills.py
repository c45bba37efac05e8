"""A few kills; `make kills` has two hundred, with students in training."""

from __future__ import annotations

from pathlib import Path

from tests.kills.campaign import Campaign


def test_a_daemon_that_is_killed_again_and_again_loses_nothing_and_pays_for_little(tmp_path: Path) -> None:
    told = Campaign(tmp_path, 4, train=False, questions=30).run(4)
    assert told.kills == 4 and told.stored > 150 and told.lost == 0 and told.talks == 30
    assert told.bodies == told.stored
