"""The engine's branch of the error tree; `state/errors.py` shows the whole tree."""

from __future__ import annotations

from state.errors import CoterieError

__all__ = [
    "ConfigError",
    "CoterieError",
    "InstanceRunning",
    "JobFailed",
    "SecretError",
    "TaskDataError",
    "UsageError",
]


class UsageError(CoterieError):
    """A wrong argument."""

    exit_code = 2


class ConfigError(UsageError):
    """The configuration is wrong."""


class TaskDataError(UsageError):
    """A task's data cannot be read."""


class SecretError(UsageError):
    """An API key is missing, or readable by others."""


class InstanceRunning(CoterieError):
    """Another daemon holds this state database."""

    exit_code = 3


class JobFailed(CoterieError):
    """A job failed."""

    exit_code = 1
