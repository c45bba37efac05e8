"""A teacher's API keys, from the environment or a private file, never from the configuration itself.

Keys are kept in `SecretStr`, passed only to the client, and removed from any text by exact value. Other secrets of a
teacher, in headers and URLs, are in its `Endpoint`.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pydantic import SecretStr

from engine.config import TeacherConfig
from engine.config.secret_places import REDACTED
from engine.errors import SecretError


@dataclass(frozen=True, slots=True)
class TeacherKey:
    """A key and its source; `secret` is None for an API that needs no key."""

    label: str
    secret: SecretStr | None


def differ(old: tuple[TeacherKey, ...], new: tuple[TeacherKey, ...]) -> bool:
    """Whether keys changed; their values are compared and go nowhere."""

    def plain(key: TeacherKey) -> tuple[str, str]:
        return key.label, key.secret.get_secret_value() if key.secret is not None else ""

    return [plain(key) for key in old] != [plain(key) for key in new]


def load_keys(
    name: str, config: TeacherConfig, *, folder: Path, environ: Mapping[str, str] | None = None
) -> tuple[TeacherKey, ...]:
    """The keys of the teacher `name`, at least one; each has its own limits.

    Args:
        name: the teacher's name, for messages.
        config: its configuration.
        folder: the configuration file's folder, to which a relative `api_key_file` is relative.
        environ: the environment; the process's own by default.

    Raises:
        SecretError: a variable is not set, or the file is missing, empty or readable by others.
    """
    environ = os.environ if environ is None else environ
    if config.api_key_file:
        path = (folder / Path(config.api_key_file).expanduser()).resolve()
        return (TeacherKey(path.name, SecretStr(_file(name, path))),)
    variables = [config.api_key_env] if config.api_key_env else config.api_key_envs
    keys = tuple(
        TeacherKey(variable, SecretStr(_variable(name, variable, environ))) for variable in variables
    )
    return keys or (TeacherKey("", None),)


def environment(env_file: str, folder: Path, environ: Mapping[str, str] | None = None) -> Mapping[str, str]:
    """The variables that keys may come from: those of `env_file`, if there is one, take precedence.

    Args:
        env_file: `NAME=VALUE` lines; `export`, quotes around a value, empty lines and `#` lines are allowed.
        folder: the folder to which a relative path is relative.
        environ: the environment; the process's own by default.

    Raises:
        SecretError: the file is missing or readable by others, or a line is invalid; the message contains no value.
    """
    environ = os.environ if environ is None else environ
    if not env_file:
        return environ
    path = (folder / Path(env_file).expanduser()).resolve()
    found = dict(environ)
    for number, line in enumerate(
        _private("daemon", "env_file", path).decode("utf-8-sig", "replace").splitlines(), 1
    ):
        text = line.strip().removeprefix("export ").strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier():
            raise SecretError(f"daemon: env_file {path}:{number}: expected NAME=VALUE")
        value = value.strip()
        quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
        found[name.strip()] = value[1:-1] if quoted else value
    return found


def redact(text: str, secrets: Iterable[str]) -> str:
    """`text` with each secret, by exact value, replaced."""
    for secret in secrets:
        if secret and secret in text:
            text = text.replace(secret, REDACTED)
    return text


def without(raw: bytes, secrets: Iterable[str]) -> bytes:
    """A body without each secret, if the server echoed it, in any of the ways in which JSON can write its characters."""
    escaped = b"\\u00" in raw or b"\\/" in raw  # responses rarely escape ASCII
    for secret in secrets:
        plain = secret.encode()
        if plain and plain in raw:
            raw = raw.replace(plain, REDACTED.encode())
        if plain and (escaped or not secret.isascii() or '"' in secret or "\\" in secret):
            raw = _spelled(secret).sub(REDACTED.encode(), raw)
    return raw


@lru_cache(maxsize=64)
def _spelled(secret: str) -> re.Pattern[bytes]:
    """The secret with each character as it is, after a backslash, or as an escape sequence."""
    parts = []
    for char in secret:
        units = char.encode("utf-16-be").hex()
        escapes = "".join(rf"\\u(?i:{units[at : at + 4]})" for at in range(0, len(units), 4))
        parts.append(rf"(?:\\{{0,1}}{re.escape(char)}|{escapes})")
    return re.compile("".join(parts).encode())


def _variable(name: str, variable: str, environ: Mapping[str, str]) -> str:
    value = environ.get(variable, "").strip()
    if not value:
        raise SecretError(
            f"teachers.{name}: the environment variable {variable} is not set; "
            f"set it to the API key (export {variable}=…) or use api_key_file"
        )
    return _plain(value, f"teachers.{name}: the key in {variable}")


def _private(where: str, key: str, path: Path) -> bytes:
    """The bytes of a file that only its owner can read."""
    try:
        with open(
            os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb"
        ) as file:  # a pipe would be waited for
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise SecretError(f"{where}: {key} {path} is not a regular file")
            if stat.S_IMODE(mode) & 0o077:
                raise SecretError(
                    f"{where}: {key} {path} can be read by others "
                    f"(mode {stat.S_IMODE(mode):04o}); run: chmod 600 {path}"
                )
            return file.read(64 * 1024)
    except OSError as error:
        raise SecretError(f"{where}: {key} {path} cannot be read: {error.strerror}") from None


def _file(name: str, path: Path) -> str:
    raw = _private(f"teachers.{name}", "api_key_file", path)
    value = raw.decode("utf-8", "replace").strip()
    if not value:
        raise SecretError(f"teachers.{name}: api_key_file {path} is empty; write the API key into it")
    return _plain(value, f"teachers.{name}: the key in {path}")


def _plain(value: str, what: str) -> str:
    """A key is sent in a header, so it must be one line of printable ASCII."""
    if not value.isascii() or not value.isprintable() or " " in value:
        raise SecretError(
            f"{what} contains spaces, line breaks or special characters; it must be the key alone, on one line"
        )
    return value
