"""The root of the error tree, and its `state` branch.

The whole tree (`engine/errors.py` holds the other branch):

    CoterieError                    one clear message; `exit_code` is what the command line exits with
    ├── UsageError            (2)   a wrong argument or a wrong configuration
    │   ├── ConfigError             config.toml: file, line, key, what was expected
    │   ├── TaskDataError           a task file: file, line, reason
    │   └── SecretError             an API key that is missing or readable by others
    ├── StateError            (2)   state.db cannot be used
    │   ├── StateMissing            there is no state.db yet
    │   ├── StateForeign            a SQLite file of another program
    │   ├── StateDamaged            not a SQLite file, or a damaged one
    │   ├── StateNewer              written by a newer Coterie
    │   ├── StateReadOnly           the file or its folder cannot be written
    │   ├── StateReplaced           it was moved, replaced or overwritten under a running daemon
    │   ├── StateLocked             another process holds it
    │   └── StateFailing            its disk is full or failing
    ├── InstanceRunning       (3)   another daemon holds this state.db
    └── JobFailed             (1)   a run, a plan or a check failed

A message says what is wrong, where, what was expected and what to do. Only the command line
catches these: it prints the message and exits.
"""

from __future__ import annotations


class CoterieError(Exception):
    """Something went wrong."""

    exit_code = 1

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").splitlines()[0])

    @property
    def message(self) -> str:
        """The text shown to the user."""
        return str(self.args[0])


class StateError(CoterieError):
    """The state database cannot be used."""

    exit_code = 2


class StateMissing(StateError):
    """There is no state database yet."""


class StateForeign(StateError):
    """The file is a SQLite database of another program."""


class StateDamaged(StateError):
    """The file is damaged or not a SQLite database."""


class StateNewer(StateError):
    """The database was written by a newer version of Coterie."""


class StateReadOnly(StateError):
    """The database or its folder cannot be written."""


class StateReplaced(StateError):
    """The database was moved, replaced or overwritten under a running daemon."""


class StateLocked(StateError):
    """Another process holds the database."""


class StateFailing(StateError):
    """The disk that holds the database is full or failing."""
