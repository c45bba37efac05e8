from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.students.launch import ROOT
from engine.students.orphans import FILE, GONE_S, Owner, Watch, read_owner, show_owner, watch_daemon


class Place:
    """A run directory of a daemon, its database, and a clock."""

    def __init__(self, folder: Path, orphan_hours: float | None = None) -> None:
        self.database, self.run, self.now = folder / "state.db", folder / "run", 100.0
        self.database.write_text("rows")
        self.run.mkdir()
        self.daemon(orphan_hours)
        self.watch = Watch(self.run, lambda: self.now)
        assert self.watch.look() == ""

    def daemon(self, orphan_hours: float | None = None) -> None:
        show_owner(self.run, Owner.of(self.database, devices="cpu:0", orphan_hours=orphan_hours))

    def later(self, seconds: float) -> str:
        self.now += seconds
        return self.watch.look()


def test_a_run_whose_database_is_gone_is_an_orphan_after_a_while(tmp_path: Path) -> None:
    place = Place(tmp_path)
    assert place.later(1e9) == ""  # orphan_hours is not set
    aside = place.database.rename(tmp_path / "aside")
    assert place.later(1) == "" and place.later(GONE_S - 1) == ""
    aside.rename(place.database)
    assert place.later(GONE_S) == ""  # it was moved away and back
    place.database.unlink()
    assert place.later(0) == "" and place.later(GONE_S - 1) == ""
    assert place.later(1) == (
        f"its database {place.database} was deleted or replaced, and no daemon has claimed this run since"
    )


def test_another_database_of_the_same_name_is_not_its_own_until_a_daemon_says_so(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.database.unlink()
    place.database.write_text("others")  # often with the number of the deleted file, were that not kept open
    assert place.later(0) == ""
    assert "was deleted or replaced" in place.later(GONE_S)
    place.daemon()  # it was restored from a copy
    assert place.later(0) == "" and place.later(GONE_S) == ""


def test_a_daemon_may_stay_away_for_orphan_hours(tmp_path: Path) -> None:
    place = Place(tmp_path, orphan_hours=2)
    assert place.later(7200) == ""
    os.utime(place.run / FILE, ns=(1, 1))  # what counts is that it changes, whatever the clocks say
    assert place.later(0) == "" and place.later(7200) == ""
    assert place.later(1) == "no daemon has come back to this run for 2 hours (daemon.orphan_hours)"
    place.daemon(orphan_hours=2)
    assert place.later(0) == ""
    place.daemon(orphan_hours=None)  # reloaded
    assert place.later(0) == "" and place.later(1e9) == ""


def test_the_database_of_another_machine_proves_nothing(tmp_path: Path) -> None:
    place = Place(tmp_path)
    elsewhere = read_owner(place.run).model_copy(
        update={"host": "elsewhere", "database": "/no/such/state.db"}
    )
    show_owner(place.run, elsewhere)
    assert place.later(0) == "" and place.later(1e9) == ""


def test_a_deleted_directory_is_no_place_for_a_checkpoint(tmp_path: Path) -> None:
    place = Place(tmp_path)
    assert not place.watch.homeless()
    place.run.rename(tmp_path / "moved")
    assert not place.watch.homeless()
    place.now += GONE_S
    assert place.watch.homeless()
    place.daemon()  # as a daemon that still has it in its list: there is nobody to tell, and nothing is made
    assert not place.run.exists()


def test_a_run_started_by_hand_is_not_watched(tmp_path: Path) -> None:
    before = threading.active_count()
    watch_daemon(tmp_path, first=True, orphaned=pytest.fail)
    assert threading.active_count() == before


RANK = """
import sys
from pathlib import Path
from engine.students import orphans
orphans.GONE_S = orphans.LOOK_S = 0.05
orphans.watch_daemon(Path(sys.argv[1]), first=False, orphaned=print, end=lambda code: print("end", code, file=sys.stderr, flush=True))
print("ready", flush=True)
sys.stdin.read()
"""
LEADER = """
import subprocess, sys
rank = subprocess.Popen([sys.executable, "-c", sys.argv[2], sys.argv[1]], stdin=0, stdout=subprocess.PIPE, stderr=1, text=True)
print(rank.stdout.readline(), end="", flush=True)
"""


def test_a_rank_ends_when_the_first_one_is_gone(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", LEADER, str(place.run), RANK],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as leader:
        assert leader.stdout.readline() == "ready\n"
        assert leader.wait() == 0
        assert leader.stdout.readline() == f"the first rank (pid {leader.pid}) is gone: this rank ends too\n"
        assert leader.stdout.readline() == "end 1\n"
        leader.stdin.close()
