"""Names and files from a user or an attacker."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from engine.config import load_config
from engine.errors import ConfigError
from tests.daemon.site import ENV, coterie

EXPECTED = (
    "expected a name of 1 to 64 lower-case letters, digits, '.', '_' and '-', starting with a letter or digit"
)
NAMES = ("../x", "..", ".hidden", "a/b", "a\u0000b", "a" * 300, "", "Case", "caf\u00e9", "a\u202eb", "a\nb")


@pytest.mark.parametrize("name", NAMES, ids=ascii)
@pytest.mark.parametrize("where", ["tasks", "teachers", "plans", "students"])
def test_a_name_that_could_lead_elsewhere_is_refused(where: str, name: str, tmp_path: Path) -> None:
    quoted = json.dumps(name)
    inside = {
        "tasks": 'source = "builtin:coin_flip"\nanswer = "yes_no"\n',
        "teachers": "builtin = true\nmodel = 'm'\n",
    }
    text = f"[{where}.{quoted}]\n{inside[where]}" if where in inside else f"[[{where}]]\nname = {quoted}\n"
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "config.toml")
    said = caught.value.message
    assert EXPECTED in said and "config.toml:" in said
    assert "\u0000" not in said and "\u202e" not in said and len(said) < 1000


def test_a_task_that_stands_twice_is_refused(tmp_path: Path) -> None:
    task = '[tasks.a]\nsource = "builtin:coin_flip"\nanswer = "yes_no"\n'
    (tmp_path / "config.toml").write_text(task + task)
    with pytest.raises(
        ConfigError, match=r"config\.toml: not valid TOML: Cannot declare .* twice \(at line 4"
    ):
        load_config(tmp_path / "config.toml")


def test_a_line_of_a_gigabyte_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "long.jsonl").open("wb") as file:
        file.write(b'{"question": "a", "answer": "1"}\n{"question": "')
        file.truncate(1024**3)  # sparse
    (tmp_path / "config.toml").write_text('[tasks.t]\nsource = "long.jsonl"\nanswer = "number"\n')
    ran = subprocess.run(
        [sys.executable, "-m", "daemon", "check"],
        cwd=tmp_path,
        env=ENV,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (512 * 1024**2,) * 2),
    )
    assert ran.returncode == 2 and "long.jsonl:2: line longer than 8 MB" in ran.stderr, ran.stderr


def test_a_key_that_others_can_read_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-1")
    (tmp_path / "key").chmod(0o644)
    (tmp_path / "config.toml").write_text(
        '[teachers.a]\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "m"\napi_key_file = "key"\n'
    )
    ran = coterie(tmp_path, "run", "--no-tui")
    said = f"teachers.a: api_key_file {tmp_path}/key can be read by others (mode 0644); run: chmod 600 {tmp_path}/key"
    assert (ran.returncode, ran.stderr.strip()) == (2, f"coterie: {said}")
    assert not (tmp_path / "state.db").exists()
