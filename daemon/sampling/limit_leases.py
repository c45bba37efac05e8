"""Shares each key's limits with the other daemons on this machine, through small files in a folder.

There is one file per key, server and model, named by a salted hash: neither the file nor its name reveals the key. The folder is the
same in every environment of a user: of a terminal, cron or a service. Several users share one that their group may write.
Twice a second each key renews its lease in the file's table (`lease_table.py`), under a lock, in a thread; requests
read nothing. A process that is gone is noticed at the next renewal, by its process id and start
time; the kernel releases its lock.

Invariant: if the folder cannot be used, the daemon continues as if it were alone, and reports this once.
"""

from __future__ import annotations

import fcntl
import hashlib
import ipaddress
import os
import pwd
import secrets
import socket
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus

from daemon.events import Bus, Noted
from daemon.host.clock import Clock
from daemon.host.processes import is_alive, start_time
from daemon.limits.lease_table import Lease, LeaseTable, Member
from daemon.sampling.teacher import Teacher
from daemon.sampling.transport import KeyTransport

T = TypeVar("T")

TURN_S = 0.5
HUNG_S = 5.0
"""A file system that does not answer within this time is not used again."""
LOCK_TRIES, LOCK_S = 20, 0.005
"""The lock is held for about ten microseconds; a key that does not get it keeps its lease until its next turn."""
MOST = 1 << 20
OLD_S = 30 * 86_400.0
"""A table that nobody wrote for so long is removed."""
FOLDER = "COTERIE_LIMITS"
"""The environment variable that names another default folder; every daemon that shares limits needs the same."""
PORTS = {"http": 80, "https": 443}
OPEN = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


@dataclass(slots=True)
class LeaseHolder:
    """A key with its lease."""

    teacher: Teacher
    key: KeyTransport
    path: Path
    member: Member
    lease: Lease = field(default_factory=lambda: Lease({}, 0.0, 0))


class LimitLeases:
    """Renews the leases of all keys; owns neither teachers nor keys."""

    def __init__(
        self, setting: bool | str, *, home: Path, teachers: Sequence[Teacher], clock: Clock, bus: Bus
    ) -> None:
        """Touches nothing yet.

        Args:
            setting: `[daemon] shared_limits`.
            home: the folder of relative paths.
            teachers: the teachers, as they come and go; built-in ones are not shared.
            clock: a monotonic clock that all processes of the machine share.
            bus: gets an event if limits are not shared.
        """
        self._setting = setting
        self._home = home
        self._teachers = teachers
        self._clock = clock
        self._bus = bus
        self._folder: Folder | None = None
        self._reported = False
        self._hung = False
        self._holders: dict[int, LeaseHolder] = {}
        pid = os.getpid()
        self._me = (pid, start_time(pid) or 0.0, _space())

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Renews all leases twice a second until cancelled, the first time before it is ready; then gives them back."""
        if self._setting is False:
            task_status.started()
            return
        try:
            await self.turn()
            task_status.started()
            while not self._hung:
                await self._clock.sleep(TURN_S)
                await self.turn()
        finally:
            if not self._hung:
                with suppress(OSError):
                    self._leave(list(self._holders.values()))

    async def turn(self) -> None:
        """Renews the lease of every key."""
        now = self._clock.monotonic()
        try:
            if self._folder is None:
                self._folder = await self._in_thread(
                    partial(Folder.open, folder_of(self._setting, self._home), self._setting is not True)
                )
            holders, left = self._gather(self._folder, now)
            await self._in_thread(partial(self._take, holders, left, now))
        except OSError as error:
            self._alone(now, error)
            return
        for holder in holders:
            self._apply(holder, now)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Runs it in a thread.

        Raises:
            OSError: it failed, or did not return in time.
        """
        with anyio.move_on_after(HUNG_S):
            return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
        self._hung = True
        raise TimeoutError(0, "no answer")

    def _gather(self, folder: Folder, now: float) -> tuple[list[LeaseHolder], list[LeaseHolder]]:
        """All lease holders with their present needs, and those of keys that are gone or were replaced."""
        before, self._holders = self._holders, {}
        for teacher in self._teachers:
            if teacher.config.local:
                continue
            for key in teacher.transport.keys:
                path = folder.file(teacher, key)
                holder = before.get(id(key))
                if holder is None or holder.path != path or holder.key is not key:
                    pid, started, space = self._me
                    name = f"{pid}.{secrets.token_hex(6)}"
                    holder = LeaseHolder(teacher, key, path, Member(name, pid, started, space))
                else:
                    del before[id(key)]
                holder.member.needs = key.limits.needs(now)
                holder.member.pause_until = max(0.0, key.limits.pause_until)
                self._holders[id(key)] = holder
        return list(self._holders.values()), list(before.values())

    def _take(self, holders: list[LeaseHolder], left: list[LeaseHolder], now: float) -> None:
        """Renews and gives back leases, in a thread."""
        for holder in holders:
            with locked(holder.path) as file:
                if file is not None:
                    table = LeaseTable.read(_read(file), _boot())
                    holder.lease = table.turn(holder.member, now, _is_there)
                    _write(file, table.write(_boot()))
        self._leave(left)

    def _leave(self, holders: list[LeaseHolder]) -> None:
        """Gives leases back; the last holder removes the file."""
        now = self._clock.monotonic()
        for holder in holders:
            with locked(holder.path) as file:
                if file is None:
                    continue
                table = LeaseTable.read(_read(file), _boot())
                table.leave(holder.member.name, now)
                if table.members or table.pause_until > now:
                    _write(file, table.write(_boot()))
                else:
                    _remove(holder.path, file, table)

    def _apply(self, holder: LeaseHolder, now: float) -> None:
        limits, lease = holder.key.limits, holder.lease
        limits.grant(now, lease.granted, lease.others_until, lease.others)
        holder.teacher.changed.notify()

    def _alone(self, now: float, error: OSError) -> None:
        for holder in self._holders.values():
            holder.lease = Lease({}, 0.0, 0)
            self._apply(holder, now)
        if not self._reported:
            self._reported = True
            where = error.filename or folder_of(self._setting, self._home)
            self._bus.emit(
                Noted(
                    what=f"rate limits are not shared with other daemons on this machine: {where}: {error.strerror or error}"
                    " (set [daemon] shared_limits to another folder, or to false)"
                )
            )


class Folder:
    """The folder of the lease tables: this user's alone, or one that a group shares."""

    def __init__(self, path: Path, salt: bytes) -> None:
        self.path = path
        self._salt = salt

    @classmethod
    def open(cls, path: Path, named: bool = True) -> Folder:
        """Opens the folder; creates it for this user alone if it does not exist.

        Args:
            path: the folder.
            named: whether the configuration names it. Then its group may write to it, and another user may own it.

        Raises:
            OSError: it cannot be created or written, or others may write to it.
        """
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
        group = named and status.st_mode & 0o070 == 0o070
        if status.st_mode & (0o002 if group else 0o022):
            raise PermissionError(0, "others may write to it", str(path))
        if status.st_uid != os.getuid() and not group:
            raise PermissionError(
                0, "it belongs to another user, and its group may not write to it", str(path)
            )
        for left in path.iterdir():  # by a daemon that was killed before the machine was started anew
            with suppress(OSError):
                if left.name != "salt" and left.stat().st_mtime < time.time() - OLD_S:
                    left.unlink()
        with locked(path / "salt") as file:
            if file is None:
                raise TimeoutError(0, "its lock is held", str(path / "salt"))
            salt = os.pread(file, 32, 0)
            if len(salt) < 32:
                salt = secrets.token_bytes(32)
                os.pwrite(file, salt, 0)
        return cls(path, salt)

    def file(self, teacher: Teacher, key: KeyTransport) -> Path:
        """The file of a key's lease table, named by its secret, server and model."""
        secret = key.key.secret.get_secret_value() if key.key.secret is not None else ""
        servers = sorted(map(origin, teacher.config.addresses))
        what = "\n".join((*servers, teacher.config.model, secret, _boot()))
        return self.path / hashlib.blake2b(what.encode(), key=self._salt, digest_size=16).hexdigest()


def folder_of(setting: bool | str, home: Path) -> Path:
    """The folder of `[daemon] shared_limits`: the one named, or one in the home folder that the user database names.

    Not by `HOME` or `XDG_…`: two daemons of one user would not see each other where one of them has these variables, and the
    other, from cron or a service, has not.
    """
    if isinstance(setting, str):
        return home / Path(setting).expanduser()
    if FOLDER in os.environ:
        return Path(os.environ[FOLDER])
    try:
        base = Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:  # a container's user without an entry
        base = Path("/nonexistent")
    if base.is_dir() and os.access(base, os.W_OK):
        return base / ".cache" / "coterie" / "limits"
    return Path("/tmp") / f"coterie-limits-{os.getuid()}"


def origin(url: str) -> str:
    """The server of an address in one spelling: without case, default port, user name, path and trailing dot of the host.

    An address that is a reference to a variable stays as it is.
    """
    parts = urlsplit(url)
    if not parts.netloc:
        return url
    scheme = parts.scheme.lower()
    host = (parts.hostname or "").rstrip(".")
    with suppress(UnicodeError):
        host = host.encode("idna").decode()
    if host == "localhost":
        host = _localhost()
    with suppress(ValueError):
        host = f"[{ipaddress.ip_address(host.partition('%')[0])}]"
    return f"{scheme}://{host}:{parts.port or PORTS.get(scheme, '')}"


@lru_cache(maxsize=1)
def _localhost() -> str:
    """The address of `localhost`, where it is 127.0.0.1 and nothing else; else another server may be behind either."""
    with suppress(OSError):
        found = {entry[4][0] for entry in socket.getaddrinfo("localhost", None)}
        if found == {"127.0.0.1"}:
            return "127.0.0.1"
    return "localhost"


def _remove(path: Path, file: int, table: LeaseTable) -> None:
    """Removes an empty table; in a folder where only its owner may do that, it stays there empty."""
    try:
        path.unlink(missing_ok=True)
    except PermissionError:
        _write(file, table.write(_boot()))


@contextmanager
def locked(path: Path) -> Iterator[int | None]:
    """An open file, locked for this process; None if another process held the lock all the time.

    Raises:
        OSError: it cannot be opened.
    """
    for _ in range(LOCK_TRIES):
        file = os.open(path, OPEN, 0o600)
        try:
            _let_group_in(path, file)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(file).st_nlink:  # else its last holder has just removed it
                yield file
                return
        except BlockingIOError:
            time.sleep(LOCK_S)
        finally:
            os.close(file)
    yield None


def _let_group_in(path: Path, file: int) -> None:
    """Gives a table of this user the group of its folder, whatever the umask; refuses what is not a file of its own.

    Raises:
        OSError: the file is something else, or may be another one as well.
    """
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        raise PermissionError(0, "it is not a plain file", str(path))
    folder = path.parent.stat()
    wanted = 0o660 if folder.st_mode & 0o020 else 0o600
    if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) == wanted:
        return
    if wanted == 0o660:
        os.fchown(file, -1, folder.st_gid)
    os.fchmod(file, wanted)


def _read(file: int) -> str:
    return os.pread(file, MOST, 0).decode("utf-8", "replace")


def _write(file: int, text: str) -> None:
    """One write, padded: a process that dies leaves the old table or the new one."""
    data = text.encode()
    os.pwrite(file, data.ljust(os.fstat(file).st_size), 0)


def _is_there(member: Member) -> bool:
    """Whether a member's process is alive; one in another container counts as alive until it is stale."""
    seen = member.space == _space() and member.started > 0
    return not seen or is_alive(member.pid, member.started)


@lru_cache(maxsize=1)
def _space() -> str:
    """Which processes can be looked for: those of one namespace and user. Others may be hidden: they count until they are stale."""
    with suppress(OSError):
        return f"{os.readlink('/proc/self/ns/pid')} {os.getuid()}"
    return ""


@lru_cache(maxsize=1)
def _boot() -> str:
    """An id of this start of the machine, at which the monotonic clock began."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""
