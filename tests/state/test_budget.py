from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from state.budget import amount, budget_in_force, note_budget
from state.commands import Reply, SetBudget, answer, pending, send
from state.database import open_writer


def ask(path: Path, usd: float) -> int:
    return send(path, SetBudget(usd=usd))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    open_writer(tmp_path / "state.db").close()
    return tmp_path / "state.db"


def test_the_last_budget_that_was_set_holds_until_the_configuration_says_another_one(path: Path) -> None:
    with closing(open_writer(path)) as connection:
        assert budget_in_force(connection, 5.0) == 5.0
        first, second = ask(path, 8), ask(path, 9.5)
        assert budget_in_force(connection, 5.0) == 5.0  # asked, not applied
        for command, usd in ((first, 8.0), (second, 9.5)):
            note_budget(connection, [(command, usd, 5.0)])
            answer(connection, [Reply(id=command, done=True, answer="")])
            assert budget_in_force(connection, 5.0) == usd
        assert budget_in_force(connection, 6.0) == 6.0
        assert budget_in_force(connection, None) is None
        assert pending(connection) == []


def test_a_budget_may_stand_in_place_of_none(path: Path) -> None:
    with closing(open_writer(path)) as connection:
        command = ask(path, 3)
        note_budget(connection, [(command, 3.0, None)])
        answer(connection, [Reply(id=command, done=True, answer="")])
        assert budget_in_force(connection, None) == 3.0


@pytest.mark.parametrize("args", [{}, {"usd": "x", "instead_of": 5.0}, {"usd": 8}, [1]])
def test_a_row_that_makes_no_sense_is_passed_over(path: Path, args: object) -> None:
    with closing(open_writer(path)) as connection:
        connection.execute(
            "INSERT INTO command (kind, args, state, created_at) VALUES ('budget', ?, 'done', 0)",
            (json.dumps(args),),
        )
        assert budget_in_force(connection, 5.0) == 5.0


@pytest.mark.parametrize("given", ["x", None, -1, float("nan"), float("inf"), "1e10", [1]])
def test_what_is_no_amount_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match="a budget is a number of dollars"):
        amount(given)
