"""`[notify]`: alarms to a command and a webhook."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator

from engine.config.base import Section

KINDS = {
    "parked": "a teacher is parked: its key, quota or billing is refused",
    "held": "a plan is held: its settings are at fault",
    "budget-near": "`budget_share` of a budget is used",
    "budget-used": "a budget is used up",
    "plan-done": "a plan is complete",
    "run-done": "a student is trained and tested",
    "run-failed": "a run failed",
    "disk-low": "less than `disk_gb` are free",
    "daemon-died": "the daemon before this one died; found by the next start",
    "ended": "the daemon ends, and why",
}
"""What alarms are about."""

Level = Literal["info", "warning", "error"]

if TYPE_CHECKING:
    AlarmKind = str
else:
    AlarmKind = Literal[tuple(KINDS)]


class NotifyConfig(Section):
    """`[notify]`: commands and webhooks that are sent alarms. An alarm never holds up the daemon; one that cannot be delivered is reported once in the log."""

    command: list[str] = Field(default_factory=list)
    """Program and arguments, such as `["/usr/local/bin/page-me", "coterie"]`; it gets the alarm as a JSON object on standard input and its text in `COTERIE_MESSAGE`, `COTERIE_LEVEL` and `COTERIE_KIND`. Of the daemon's other variables it gets `PATH`, `HOME` and the like, no keys. It has 30 seconds. Empty: none."""

    webhook: str = ""
    """`env:NAME`, an environment variable (or a name in `[daemon] env_file`) that contains a URL, because such URLs are secrets. The alarm is posted there as a JSON object; `text` and `content` hold the message, as Slack, Mattermost and Discord read it. Empty: none."""

    kinds: list[AlarmKind] = Field(
        default_factory=lambda: [name for name in KINDS if name not in ("plan-done", "run-done")],
        description="Which alarms: " + "; ".join(f"`{name}`: {text}" for name, text in KINDS.items()) + ".",
    )

    levels: list[Level] = Field(default_factory=lambda: list[Level](["error"]))
    """Every other event of these levels is an alarm too."""

    repeat_minutes: Annotated[float, Field(ge=0)] = 10.0
    """Of alarms of one kind about the same teacher, task or run, one in this time; the next one says how many were held back."""

    budget_share: Annotated[float, Field(gt=0, le=1)] = 0.8
    """The share of a budget from which on it is near its end."""

    disk_gb: Annotated[float, Field(ge=0)] = 2.0
    """Free gigabytes on the disks of `state.db` and of the runs below which an alarm is given; 0: never."""

    @field_validator("webhook")
    @classmethod
    def _reference(cls, value: str) -> str:
        if value and not re.fullmatch(r"env:[A-Za-z_][A-Za-z0-9_]*", value):
            raise ValueError(
                'the URL of a webhook is a secret, and the configuration is stored: write webhook = "env:NAME", and the URL into the environment variable'
            )
        return value
