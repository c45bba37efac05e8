from __future__ import annotations

import pytest

from daemon.host.builtin_teacher import check_builtin
from engine.config import TeacherConfig
from engine.errors import ConfigError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"model": "practice-larg"},
            'teachers.t.model: the built-in teacher has no model "practice-larg"; did',
        ),
        ({"fault": "50=0.1"}, "teachers.t.fault: fault '50': unknown"),
        ({"fault": "500=2"}, "teachers.t.fault: fault 500: expected a rate from 0 to 1"),
        ({"fault": "500=0.6,reset=0.6"}, "teachers.t.fault: faults"),
    ],
)
def test_what_the_server_would_refuse_is_said_before_it_starts(
    settings: dict[str, object], message: str
) -> None:
    config = TeacherConfig.model_validate({"builtin": True, "model": "practice-large", **settings})
    with pytest.raises(ConfigError, match=r"^teachers\.t\.") as caught:
        check_builtin("t", config)
    assert message in caught.value.message


def test_recorded_completions_are_of_any_model() -> None:
    config = TeacherConfig.model_validate({"builtin": True, "model": "any", "replay": "a.jsonl"})
    check_builtin("t", config)
