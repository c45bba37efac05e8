"""Students of one configuration compared over seeds: `python -m bench.arms adapters selection [--seeds 3] [--write docs/method.md]`.

The arms of `docs/NAME.toml` are its students that no other student begins with and that do not teach. Each is copied for further seeds, a daemon
runs the whole file in arms/NAME (it goes on where it was interrupted), and the table has a line for each arm: its accuracy over seeds and
questions, on answers that training has and on others, what is trained of it, and what that took. The first arm is what the others are compared with.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from bench.objectives import paces
from docs.results import made_now, replaced
from engine.config import TrainingConfig
from engine.grading.majority import common_form
from engine.report import text_table
from engine.report.intervals import estimate
from engine.report.paired import Runs, compare
from state.database import open_reader
from state.seen_answers import read_learned_answers
from state.selected_teachers import read_selected_teachers

ROOT = Path(__file__).parent.parent
SEEDS = 3
NONE = "–"


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """A student over its seeds."""

    name: str
    runs: Runs
    """The test questions by place, and whether each was answered correctly; one mapping a seed."""
    seen: frozenset[int]
    """The questions whose answer training had, for every seed."""
    rows: int
    parameters: int
    """Of the student."""
    flops: float
    """Of training, the mean over seeds."""
    weights: Mapping[str, float]
    """How much the rows of each teacher counted in the end, the mean over seeds; empty where none are selected."""


def arms_of(config: Mapping[str, Any]) -> list[str]:
    """The names of the students that no other one begins with and that do not teach."""
    used = {str(each.get("base", "")).removeprefix("student:") for each in config["students"]}
    used |= {str(each.get("student", "")) for each in config["teachers"].values()}
    return [each["name"] for each in config["students"] if each["name"] not in used]


def with_seeds(text: str, names: Sequence[str], seeds: int) -> str:
    """The configuration with a copy of each of these students for each further seed: NAME.s1 and so on."""
    parts = re.split(r"(?m)^(?=\[\[students\]\])", text)
    for part in parts[1:]:
        [name] = tomllib.loads(part)["students"]
        if name["name"] not in names:
            continue
        for seed in range(1, seeds):
            copy = part.replace(f'name = "{name["name"]}"', f'name = "{name["name"]}.s{seed}"', 1)
            parts.append(copy.replace("training = {", f"training = {{ seed = {seed},", 1))
    return "\n".join(part.rstrip() + "\n" for part in parts)


def read(database: Path, names: Sequence[str]) -> list[Arm]:
    """The arms as they were measured."""
    with closing(open_reader(database)) as connection:
        learned, selected = read_learned_answers(connection), read_selected_teachers(connection)
        made = {
            run: (rows, parameters, flops)
            for run, rows, parameters, flops in connection.execute(
                "SELECT id, samples, parameters, train_flops FROM run"
            )
        }
    found = []
    for name in names:
        own = [each for each in learned if re.fullmatch(rf"{re.escape(name)}(\.s\d+)?", each.student)]
        if not own:
            continue
        known = [{common_form(answer, each.answer_format) for answer in each.learned or ()} for each in own]
        places = range(len(own[0].asked))
        golds = [common_form(gold, own[0].answer_format) for gold, _ in own[0].asked]
        runs = {each.run_id for each in own}
        teachers = sorted({each.teacher for each in selected if each.run_id in runs})
        found.append(
            Arm(
                name=name,
                runs=[{place: ok for place, (_, ok) in enumerate(each.asked)} for each in own],
                seen=frozenset(place for place in places if all(golds[place] in each for each in known)),
                rows=max(made[each.run_id][0] for each in own),
                parameters=max(made[each.run_id][1] or 0 for each in own),
                flops=fmean(made[each.run_id][2] or 0.0 for each in own),
                weights={
                    teacher: fmean(
                        each.weight for each in selected if each.run_id in runs and each.teacher == teacher
                    )
                    for teacher in teachers
                },
            )
        )
    return found


def table(arms: Sequence[Arm], config: Mapping[str, Any]) -> str:
    """The table as Markdown."""
    settings = {
        each["name"]: TrainingConfig.model_validate(each.get("training", {})) for each in config["students"]
    }
    names = [arm.name for arm in arms]
    seconds, trained = paces({name: settings[name] for name in names})
    head = ["arm", "accuracy % (95 % interval)", f"beside {names[0]}", "rows"]
    head += [
        "answers seen %",
        "not seen %",
        "weights trained",
        "kB of them",
        "training FLOPs",
        "time of a step",
    ]
    selects = any(arm.weights for arm in arms)
    head += ["weights of teachers"] if selects else []
    body = []
    for arm in arms:
        apart = compare(arm.runs, arms[0].runs) if arm is not arms[0] else None
        weights = arm.parameters if settings[arm.name].adapter == "full" else trained[arm.name]
        line = [
            arm.name,
            _accuracy(arm.runs),
            _apart(apart.points, apart.low, apart.high) if apart else NONE,
            f"{arm.rows:,}",
            _accuracy([{key: ok for key, ok in run.items() if key in arm.seen} for run in arm.runs]),
            _accuracy([{key: ok for key, ok in run.items() if key not in arm.seen} for run in arm.runs]),
            f"{weights:,}",
            f"{4 * weights / 1000:,.0f}",
            f"{arm.flops:.2e}",
            f"{seconds[arm.name] / seconds[names[0]]:.2f} ×",
        ]
        selected = ", ".join(f"{teacher} {value:.2f}" for teacher, value in arm.weights.items())
        body.append([*line, *([selected or NONE] if selects else [])])
    return text_table(head, body)


def _apart(points: float, low: float, high: float) -> str:
    shown = [f"{100 * each:+.1f}".replace("-", "−") for each in (points, low, high)]
    return f"{shown[0]} ({shown[1]} to {shown[2]})"


def _accuracy(runs: Runs) -> str:
    found = estimate(runs)
    return f"{found.text()}, n {found.questions}" if found else NONE


def run(name: str, seeds: int, folder: Path) -> tuple[str, list[str]]:
    """Runs the configuration of a comparison to its end; its text and its arms."""
    text = (ROOT / "docs" / f"{name}.toml").read_text(encoding="utf-8")
    names = arms_of(tomllib.loads(text))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(with_seeds(text, names, seeds), encoding="utf-8")
    command = [sys.executable, "-m", "daemon", "run", "--until-idle", "--no-tui"]
    subprocess.run([*command, "-c", str(folder / "config.toml")], check=True)
    return text, names


def main(argv: list[str] | None = None) -> int:
    """Runs comparisons, prints their tables and writes them where `--write` says."""
    parser = argparse.ArgumentParser(prog="python -m bench.arms", description=__doc__)
    parser.add_argument("names", nargs="+", choices=["adapters", "selection"], metavar="NAME")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--folder", type=Path, default=Path("arms"), help="where the comparisons run (arms)")
    parser.add_argument("--write", type=Path, help="a file with the markers of the comparison")
    options = parser.parse_args(argv)
    for name in options.names:
        folder = options.folder / name
        text, names = run(name, options.seeds, folder)
        found = read(folder / "state.db", names)
        block = (
            f"{table(found, tomllib.loads(text))}\n\n{_about(found)} Written by `make arms` on {made_now()}."
        )
        print(f"{name}\n\n{block}\n", flush=True)
        if options.write:
            page = options.write.read_text(encoding="utf-8")
            options.write.write_text(replaced(page, block, name), encoding="utf-8")
    return 0


def _about(arms: Sequence[Arm]) -> str:
    seeds, asked = max(len(arm.runs) for arm in arms), len(arms[0].runs[0])
    return (
        f"`builtin:nano`, {asked} test questions, {seeds} {'seed' if seeds == 1 else 'seeds'}; intervals are over questions and seeds, differences paired by question. A step's"
        f" time is CPU time beside {arms[0].name}, of 512 tokens, in turns."
    )


if __name__ == "__main__":
    sys.exit(main())
