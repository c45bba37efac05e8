"""What is parked in the middle of a run wakes when a person has mended it: by SIGHUP, and by `coterie resume`."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests.daemon.site import coterie, count, daemon, query, wait_until
from tests.faults.fault_server import GOOD, Behaviour, FaultServer, fault_server, refuses

QUESTIONS = 20


def takes(key: str) -> Behaviour:
    """One key is good, every other is refused."""
    wrong = refuses(401, "Incorrect API key provided.", "invalid_api_key")

    async def answer(request, asked):  # type: ignore[no-untyped-def]
        return await (GOOD if asked.key == key else wrong)(request, asked)

    return answer


def configure(folder: Path, url: str, key: str) -> None:
    rows = "".join(
        f'{{"question": "What is {n}?", "answer": "4", "split": "train"}}\n' for n in range(QUESTIONS)
    )
    (folder / "sums.jsonl").write_text(rows)
    env_file = '[daemon]\nenv_file = "keys.env"\n' if "env" in key else ""
    (folder / "config.toml").write_text(
        f'{env_file}[teachers.ada]\nbase_url = "{url}/ada/v1"\nmodel = "m"\nconcurrency = 2\n{key}\n'
        '[tasks.sums]\nsource = "sums.jsonl"\nanswer = "number"\ndev = 0\n'
        '[[plans]]\nname = "one"\nstrategy = "zero-shot-cot-chat"\nrationales = 3\n'
    )


def told(folder: Path, kind: str, times: int = 1) -> bool:
    return count(folder, "event", f"kind = '{kind}'") == times


def done(folder: Path) -> bool:
    rows = query(folder, "SELECT wanted, stored FROM plan WHERE active = 1")
    return bool(rows) and all(wanted == stored for wanted, stored in rows)


def slowly(served: FaultServer, behaviour: Behaviour) -> None:
    """The teacher does so from now on, in its time."""

    async def answer(request, asked):  # type: ignore[no-untyped-def]
        await asyncio.sleep(0.02)
        return await behaviour(request, asked)

    served.does["ada"] = answer


@pytest.mark.parametrize(
    ("setting", "file", "text"),
    [
        ('api_key_file = "key"', "key", "{}"),
        ('api_key_env = "ADA_KEY"', "keys.env", "# mended\nADA_KEY='{}'\n"),
    ],
    ids=["its file", "the environment file"],
)
def test_a_key_that_is_refused_in_the_middle_wakes_by_sighup(
    setting: str, file: str, text: str, tmp_path: Path
) -> None:
    key = tmp_path / file
    key.touch(mode=0o600)
    key.write_text(text.format("sk-first"))
    with fault_server() as served:
        slowly(served, takes("sk-first"))
        configure(tmp_path, served.url, setting)
        with daemon(tmp_path) as running:
            wait_until("it samples", lambda: count(tmp_path, "sample", "state = 'stored'") > 8)
            slowly(served, takes("sk-second"))
            wait_until("it is suspended", lambda: told(tmp_path, "KeySuspended"))
            asked, before = len(served.asked), count(tmp_path, "sample", "state = 'stored'")
            key.write_text(text.format("sk-second"))
            running.process.send_signal(signal.SIGHUP)
            wait_until("all is stored", lambda: done(tmp_path))
            output = running.output()
            refused = "ada refuses everything: the API key was rejected (401): Incorrect API key provided."
            assert f"{refused} It answered before, so one request tries again in 1m00s." in output
            assert "configuration reloaded: the key of ada" in output and "ada resumed" in output
            running.terminate()
            assert running.wait() == 130
        keys = [each.key for each in served.asked]
        assert set(keys[:before]) == {"sk-first"} and set(keys[asked:]) == {"sk-second"}
        assert len([each for each in keys if each == "sk-second"]) == QUESTIONS * 3 - before
    assert query(tmp_path, "SELECT sum(attempts), sum(unknowns) FROM sample") == [(0, 0)]


def test_what_was_mended_elsewhere_goes_on_by_resume(tmp_path: Path) -> None:
    with fault_server() as served:
        slowly(served, GOOD)
        configure(tmp_path, served.url, "")
        with daemon(tmp_path) as running:
            for times, kind, fault in (
                (1, "KeySuspended", refuses(403, "Your account is not active.")),
                (2, "TeacherParked", refuses(402, "Pay your bill.")),
            ):
                already = count(tmp_path, "sample", "state = 'stored'")
                wait_until(
                    "it samples", lambda n=already: count(tmp_path, "sample", "state = 'stored'") > n + 8
                )
                slowly(served, fault)
                wait_until("it takes no work", lambda kind=kind: told(tmp_path, kind))
                slowly(served, GOOD)
                resumed = coterie(tmp_path, "resume", *(["--teacher", "ada"] if times == 1 else []))
                assert resumed.returncode == 0, resumed.stderr
            wait_until("all is stored", lambda: done(tmp_path))
            assert "access denied (403): Your account is not active." in running.output()
            assert "payment required (402): Pay your bill." in running.output()
            running.terminate()
            assert running.wait() == 130
    assert query(tmp_path, "SELECT sum(attempts), sum(unknowns) FROM sample") == [(0, 0)]
