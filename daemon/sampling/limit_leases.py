"""Shares each key's limits with the other daemons of this machine, through small files in a folder of the user's own.

One file for each key, address and model, named by a salted hash: neither the file nor its name tells the key. Twice a
second each key takes its turn at the table in it (`shares.py`), under a lock, in a thread; between turns nothing is
read, so a request costs nothing more. A process that is gone is seen at the next turn, by its process id and start
time; the kernel lets go of its lock.

Invariant: whatever is wrong with the folder, the daemon goes on, as if it were alone; a person is told once.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
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
from daemon.limits.lease_table import Member, Part, Table
from daemon.sampling.key_workers import KeyWorkers
from daemon.sampling.teacher import Teacher

T = TypeVar("T")

TURN_S = 0.5
HUNG_S = 5.0
"""A file system that does not answer within this time is done without, for good."""
LOCK_TRIES, LOCK_S = 20, 0.005
"""The lock is held for some ten microseconds; who does not get it keeps what it has until its next turn."""
MOST = 1 << 20
OPEN = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


@dataclass(slots=True)
class Seat:
    """A key at its table."""

    workers: KeyWorkers
    path: Path
    member: Member
    part: Part = field(default_factory=lambda: Part({}, 0.0, 0))


class LimitLeases:
    """Takes the turns of all keys. It owns neither teachers nor keys."""

    def __init__(
        self, setting: bool | str, *, home: Path, teachers: Sequence[Teacher], clock: Clock, bus: Bus
    ) -> None:
        """Touches nothing yet.

        Args:
            setting: `[daemon] shared_limits`.
            home: where a relative path starts.
            teachers: the teachers, as they come and go; built-in ones are this process's own.
            clock: a monotonic clock that is one for all processes of the machine.
            bus: hears when limits are not shared.
        """
        self._setting = setting
        self._home = home
        self._teachers = teachers
        self._clock = clock
        self._bus = bus
        self._folder: Folder | None = None
        self._told = False
        self._hung = False
        self._seats: dict[int, Seat] = {}
        pid = os.getpid()
        self._me = (pid, start_time(pid) or 0.0, _space())

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Takes a turn twice a second until cancelled; the first one before it is ready. Then it leaves."""
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
                    self._leave(list(self._seats.values()))

    async def turn(self) -> None:
        """One turn of every key."""
        now = self._clock.monotonic()
        try:
            if self._folder is None:
                self._folder = await self._aside(partial(Folder.open, folder_of(self._setting, self._home)))
            seats, left = self._seated(self._folder, now)
            await self._aside(partial(self._take, seats, left, now))
        except OSError as error:
            self._alone(now, error)
            return
        for seat in seats:
            self._apply(seat, now)

    async def _aside(self, work: Callable[[], T]) -> T:
        """Runs it in a thread.

        Raises:
            OSError: it failed, or did not come back.
        """
        with anyio.move_on_after(HUNG_S):
            return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
        self._hung = True
        raise TimeoutError(0, "it does not answer")

    def _seated(self, folder: Folder, now: float) -> tuple[list[Seat], list[Seat]]:
        """The seats of all keys with what they need now, and those of keys that are gone or have another key."""
        before, self._seats = self._seats, {}
        for teacher in self._teachers:
            if teacher.config.builtin:
                continue
            for workers in teacher.key_workers:
                path = folder.file(teacher, workers)
                seat = before.get(id(workers))
                if seat is None or seat.path != path or seat.workers is not workers:
                    pid, started, space = self._me
                    name = f"{pid}.{secrets.token_hex(6)}"
                    seat = Seat(workers, path, Member(name, pid, started, space))
                else:
                    del before[id(workers)]
                seat.member.needs = workers.limits.needs(now)
                seat.member.pause_until = max(0.0, workers.limits.pause_until)
                self._seats[id(workers)] = seat
        return list(self._seats.values()), list(before.values())

    def _take(self, seats: list[Seat], left: list[Seat], now: float) -> None:
        """The turns, in a thread."""
        for seat in seats:
            with locked(seat.path) as file:
                if file is not None:
                    table = Table.read(_read(file), _boot())
                    seat.part = table.turn(seat.member, now, _is_there)
                    _write(file, table.write(_boot()))
        self._leave(left)

    def _leave(self, seats: list[Seat]) -> None:
        """Gives the parts of these keys back; the last one at a table takes the file away."""
        now = self._clock.monotonic()
        for seat in seats:
            with locked(seat.path) as file:
                if file is None:
                    continue
                table = Table.read(_read(file), _boot())
                table.leave(seat.member.name, now)
                if table.members or table.pause_until > now:
                    _write(file, table.write(_boot()))
                else:
                    seat.path.unlink(missing_ok=True)

    def _apply(self, seat: Seat, now: float) -> None:
        limits, part = seat.workers.limits, seat.part
        limits.grant(now, part.granted, part.others_until, part.others)
        seat.workers.teacher.changed.notify()

    def _alone(self, now: float, error: OSError) -> None:
        for seat in self._seats.values():
            seat.part = Part({}, 0.0, 0)
            self._apply(seat, now)
        if not self._told:
            self._told = True
            where = error.filename or folder_of(self._setting, self._home)
            self._bus.emit(
                Noted(
                    what=f"limits are not shared with other daemons of this machine: {where}: {error.strerror or error}"
                    " ([daemon] shared_limits names another folder, or false)"
                )
            )


class Folder:
    """Where the tables are: of this user alone."""

    def __init__(self, path: Path, salt: bytes) -> None:
        self.path = path
        self._salt = salt

    @classmethod
    def open(cls, path: Path) -> Folder:
        """Makes it where it is not there.

        Raises:
            OSError: it cannot be made or written, or others may write to it.
        """
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
        if status.st_uid != os.getuid() or status.st_mode & 0o022:
            raise PermissionError(0, "others may write to it", str(path))
        with locked(path / "salt") as file:
            if file is None:
                raise TimeoutError(0, "its lock is held", str(path / "salt"))
            salt = os.pread(file, 32, 0)
            if len(salt) < 32:
                salt = secrets.token_bytes(32)
                os.pwrite(file, salt, 0)
        return cls(path, salt)

    def file(self, teacher: Teacher, workers: KeyWorkers) -> Path:
        """The table of a key: of its key, its server and its model."""
        url = urlsplit(teacher.config.base_url)
        secret = workers.key.secret.get_secret_value() if workers.key.secret is not None else ""
        what = "\n".join((f"{url.scheme}://{url.netloc}".lower(), teacher.config.model, secret))
        return self.path / hashlib.blake2b(what.encode(), key=self._salt, digest_size=16).hexdigest()


def folder_of(setting: bool | str, home: Path) -> Path:
    """The folder that `[daemon] shared_limits` means: the one named, or one in the user's runtime or cache folder."""
    if isinstance(setting, str):
        return home / Path(setting).expanduser()
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and os.access(runtime, os.W_OK):
        return Path(runtime) / "coterie" / "limits"
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cache) if cache else Path("~/.cache").expanduser()) / "coterie" / "limits"


@contextmanager
def locked(path: Path) -> Iterator[int | None]:
    """An open file, locked for this process; None where another one held the lock all the time.

    Raises:
        OSError: it cannot be opened.
    """
    for _ in range(LOCK_TRIES):
        file = os.open(path, OPEN, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(file).st_nlink:  # else its last member took it away just now
                yield file
                return
        except BlockingIOError:
            time.sleep(LOCK_S)
        finally:
            os.close(file)
    yield None


def _read(file: int) -> str:
    return os.pread(file, MOST, 0).decode("utf-8", "replace")


def _write(file: int, text: str) -> None:
    """One write, padded: a process that dies leaves the old table or the new one."""
    data = text.encode()
    os.pwrite(file, data.ljust(os.fstat(file).st_size), 0)


def _is_there(member: Member) -> bool:
    """Whether a member's process is alive; one that cannot be looked at (in another container) is, until it is stale."""
    seen = member.space == _space() and member.started > 0
    return not seen or is_alive(member.pid, member.started)


@lru_cache(maxsize=1)
def _space() -> str:
    with suppress(OSError):
        return os.readlink("/proc/self/ns/pid")
    return ""


@lru_cache(maxsize=1)
def _boot() -> str:
    """This start of the machine: the monotonic clock begins anew with it."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""
