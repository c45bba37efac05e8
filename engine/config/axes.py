"""The axes of `[experiment]`: what may differ between its cells, one object for each.

A cell has a value on every axis. An axis whose key is left out has the value None everywhere, and the setting decides that
it stands for. `docs/method.md` says what each method depends on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """An axis.

    `name` is the field of a cell, `key` the list in the configuration, `title` the heading of the report's table, `head` the column
    of `coterie experiment`.
    """

    name: str
    key: str
    title: str
    part: Callable[[Any], str]
    """What the name of a plan or student says of a value that differs from the first one."""

    said: Callable[[Any], str] = str
    """A value in the report."""

    head: str = ""
    setting: tuple[str, str] | None = None
    """The table of `[experiment]` and the key in it that the values replace; None: the axis has no other key."""

    clears: str = ""
    """Another key of that table, which the values make void."""

    sampling: bool = False
    """Whether plans differ along it."""

    @property
    def column(self) -> str:
        """The title of its column."""
        return self.head or self.name


def slug(text: str) -> str:
    """The last part of a base, in the characters of a name."""
    last = text.rstrip("/").rpartition("/")[2].rpartition(":")[2]
    return re.sub(r"[^a-z0-9_-]+", "-", last.lower()).strip("-") or "base"


_ALL = (
    Axis(name="teacher", key="teachers", title="Teacher", part=str, sampling=True),
    Axis(
        name="rationales",
        key="rationales",
        title="Degree of reasoning diversity (D)",
        part=lambda value: f"d{value}",
        said=lambda value: f"D = {value}",
        head="D",
        sampling=True,
    ),
    Axis(name="questions", key="questions", title="Training questions", part=lambda value: f"n{value}"),
    Axis(name="base", key="bases", title="Student", part=slug),
    Axis(name="filter", key="filters", title="Filter of rationales", part=str),
    Axis(name="sampling", key="samplings", title="Sampling", part=str, sampling=True),
    Axis(
        name="temperature",
        key="temperatures",
        title="Temperature of the teacher",
        part=lambda value: f"t{value:g}",
        said=lambda value: f"T = {value:g}",
        head="T",
        setting=("plan", "temperature"),
        sampling=True,
    ),
    Axis(
        name="max_tokens",
        key="max_tokens",
        title="Longest rationale of the teacher, in tokens",
        part=lambda value: f"max{value}",
        said=lambda value: f"max_tokens = {value}",
        setting=("plan", "max_tokens"),
        sampling=True,
    ),
    Axis(
        name="batch_rows",
        key="batch_rows",
        title="Rows a batch",
        part=lambda value: f"rows{value}",
        said=lambda value: f"{value} rows a batch",
        setting=("training", "batch_rows"),
    ),
    Axis(
        name="epochs",
        key="epochs",
        title="Passes over the training set",
        part=lambda value: f"epochs{value}",
        said=lambda value: f"{value} passes",
        setting=("training", "epochs"),
        clears="steps",
    ),
    Axis(
        name="steps",
        key="steps",
        title="Optimizer steps",
        part=lambda value: f"steps{value}",
        said=lambda value: f"{value} steps",
        setting=("training", "steps"),
    ),
    Axis(
        name="max_new_tokens",
        key="max_new_tokens",
        title="Longest answer of the student, in tokens",
        part=lambda value: f"new{value}",
        said=lambda value: f"max_new_tokens = {value}",
        setting=("evaluation", "max_new_tokens"),
    ),
)
AXES: dict[str, Axis] = {axis.name: axis for axis in _ALL}
"""Every axis by the name of its field in a cell."""
