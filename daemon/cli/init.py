"""`coterie init`: writes a commented configuration for a chosen teacher, data and student."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from daemon.cli.starters import STARTERS, Starter, noted
from engine.config import load_config
from engine.config.tasks import TaskConfig
from engine.errors import ConfigError, CoterieError, TaskDataError, UsageError
from engine.grading.formats import FORMATS
from engine.students.sizes import BUILTIN, SIZES
from engine.tasks import BUILTIN_TASKS, load_task
from engine.tasks.known_datasets import by_name
from state.safe import safe

ORDER: tuple[str, ...] = ("yes_no", "choice", "number", "date", "interval", "text", "math")
"""Answer formats as they are tried on a file: the first that reads every gold answer is taken. `text` and `math` read all;
`math` is taken where there is LaTeX."""
LATEX = re.compile(rb"\\(?:d?frac|sqrt|boxed|pi)\b")
TASK = "builtin:multi_step_arithmetic"
NONE = "none"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "teacher",
        choices=list(STARTERS),
        nargs="?",
        default="builtin",
        help="; ".join(f"{name}: {each.title}" for name, each in STARTERS.items()) + " (builtin)",
    )
    parser.add_argument("--model", help="the teacher's model, by the API's name")
    parser.add_argument("--base-url", metavar="URL", help="address of the API")
    parser.add_argument(
        "--data",
        metavar="FILE",
        help=f"questions and answers: a file (.jsonl, .csv, .parquet), hf:DATASET, or builtin:NAME ({TASK})",
    )
    parser.add_argument(
        "--answer", choices=list(FORMATS), help="how answers are read (found from a file's gold answers)"
    )
    parser.add_argument(
        "--student",
        default=f"{BUILTIN}nano",
        metavar="BASE",
        help=f"base of the student: {BUILTIN}nano, a directory, a GGUF file, a name on the hub; {NONE}: only sample ({BUILTIN}nano)",
    )


def command(arguments: argparse.Namespace) -> int:
    """Writes the file, which must not exist, reads it as the daemon will, and says what to do next."""
    file: Path = arguments.config
    if file.exists():
        raise UsageError(f"{file} exists, and is left as it is. Name another file with -c, or move it away")
    starter = STARTERS[arguments.teacher]
    text = "\n".join(_lines(starter, arguments, file)) + "\n"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        raise UsageError(f"{file} exists, and is left as it is") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}") from None
    try:
        load_config(file)
    except CoterieError:
        file.unlink()
        raise
    flag = "" if file == Path("config.toml") else f" -c {file}"
    steps = [f"wrote {file}: {starter.title}. Next:"]
    if starter.key_env:
        steps.append(f"  export {starter.key_env}=…")
    steps += [
        f"  coterie check{flag}{' --ping' if not starter.builtin else ''}",
        f"  coterie estimate{flag}",
        f"  coterie run{flag}",
    ]
    sys.stdout.write(safe("\n".join(steps)) + "\n")
    return 0


def _lines(starter: Starter, arguments: argparse.Namespace, file: Path) -> Iterator[str]:
    source, name, answer = _task(arguments.data, arguments.answer, file)
    yield f"# Written by `coterie init {starter.name}`. Every key: docs/configuration.md, or `coterie config schema`."
    yield "# `coterie check` reports what is wrong in this file; `coterie estimate` predicts its cost."
    yield ""
    yield "[daemon]"
    yield noted(
        "budget_usd = 5.0", "hard cap over all teachers: reserved before a request is sent, so never exceeded"
    )
    yield noted('# http = "127.0.0.1:9187"', "/healthz and Prometheus /metrics")
    yield ""
    yield from starter.lines(arguments.model, arguments.base_url)
    yield ""
    yield from _task_lines(source, name, answer)
    yield ""
    yield from _plan_lines(starter)
    if arguments.student != NONE:
        yield ""
        yield from _student_lines(arguments.student, file)


def _task(data: str | None, answer: str | None, file: Path) -> tuple[str, str, str]:
    """Source, name and answer format of the task."""
    if data is None:
        data = TASK
    if data.startswith("builtin:"):
        name = data.removeprefix("builtin:")
        if name not in BUILTIN_TASKS:
            raise UsageError(f"--data {data}: unknown built-in task; there are {', '.join(BUILTIN_TASKS)}")
        task = BUILTIN_TASKS[name]
        formats = task.formats(task.options.resolve("options", {}, answer or ""))
        return data, name, answer or formats[0]
    if data.startswith("hf:"):
        name = data.removeprefix("hf:")
        known = by_name(name.partition(":")[0])
        if answer is None and known is None:
            raise UsageError(f"--data {data}: say how its answers are read: --answer {'|'.join(FORMATS)}")
        return data, _name(name.rpartition("/")[2]), answer or (known.formats[0] if known else "text")
    path = Path(data)
    if not path.is_file():
        raise UsageError(
            f"--data {data}: no such file. Expected a file of questions (.jsonl, .csv, .parquet), hf:DATASET, or builtin:NAME"
        )
    source = os.path.relpath(path.resolve(), file.resolve().parent)
    return source, _name(path.name.partition(".")[0]), answer or _answer_format(data, path)


def _name(text: str) -> str:
    """A name that `config.toml` accepts."""
    kept = "".join(
        each if each.isascii() and (each.isalnum() or each in "._-") else "_" for each in text.lower()
    )
    return kept.lstrip("._-")[:64] or "questions"


def _answer_format(data: str, path: Path) -> str:
    """The first format that reads every gold answer of a file.

    Raises:
        UsageError: the file cannot be read as questions and answers.
    """
    first: CoterieError | None = None
    latex = path.suffix != ".parquet" and LATEX.search(path.read_bytes())
    for each in ("math", *ORDER) if latex else ORDER:
        try:
            task = load_task("questions", TaskConfig(source=path.name, answer=each), path.resolve().parent)
        except (ConfigError, TaskDataError) as error:
            first = first or error
            continue
        if not task.unreadable:
            return each
    said = first.message if first is not None else "no answer format reads every gold answer"
    raise UsageError(f"--data {data}: {said}")


def _task_lines(source: str, name: str, answer: str) -> Iterator[str]:
    yield f"[tasks.{name}]"
    yield f'source = "{_quoted(source)}"'
    yield noted(f'answer = "{answer}"', f"how answers are read and compared: {', '.join(ORDER)}")
    if source.startswith("builtin:"):
        yield "train = 200"
        yield "dev = 50"
        yield "test = 100"
    else:
        yield noted("# train = 500", "begin with a part of the questions; without it, all of them")


def _plan_lines(starter: Starter) -> Iterator[str]:
    yield noted("[[plans]]", "what is asked of the training questions")
    yield 'name = "diverse"'
    for line in starter.asked():
        yield line
    yield noted("rationales = 4", "for each question: the degree of reasoning diversity")
    yield "temperature = 0.7"
    yield ""
    yield noted("[[plans]]", "the teacher's own accuracy, on the test questions")
    yield 'name = "teacher-accuracy"'
    yield 'split = "test"'
    for line in starter.asked():
        yield line
    yield "temperature = 0.0"


def _student_lines(base: str, file: Path) -> Iterator[str]:
    small = base.startswith(BUILTIN)
    if small and base.removeprefix(BUILTIN) not in SIZES:
        raise UsageError(
            f"--student {base}: unknown; there are {', '.join(BUILTIN + name for name in SIZES)}"
        )
    path = Path(base).expanduser()
    if not small and path.exists():
        base = os.path.relpath(path.resolve(), file.resolve().parent)
    yield noted("[[students]]", "trained on the correct rationales once all are there")
    yield 'name = "fine-tune-cot"'
    pretrained = "untrained and tiny; a pretrained one: a directory, a GGUF file or a name on the hub"
    yield noted(f'base = "{_quoted(base)}"', pretrained if small else "")
    yield 'method = "fine-tune-cot"'
    yield 'plans = ["diverse"]'
    yield "rationales = 4"
    yield noted('train_at = ["complete"]', 'or a number of correct samples, or "every 6h"')
    if small:
        yield "training = { epochs = 40, batch_rows = 8, learning_rate = 4e-3 }"
        yield "evaluation = { dev_evaluations = 20, patience = 8, batch_size = 150, max_new_tokens = 256 }"
    else:
        yield "training = { epochs = 3, learning_rate = 2e-4, batch_tokens = 2048, lora_rank = 16, lora_alpha = 32 }"
        yield "evaluation = { max_new_tokens = 512 }"
    yield ""
    yield noted("[[students]]", "the same student on the answers alone, to compare with")
    yield 'name = "fine-tune"'
    yield f'base = "{_quoted(base)}"'
    yield 'method = "fine-tune"'
    yield noted("train_at = [0]", "needs no sample")
    if small:
        yield "training = { epochs = 40, batch_rows = 8, learning_rate = 4e-3 }"
        yield "evaluation = { dev_evaluations = 20, patience = 8, batch_size = 150, max_new_tokens = 64 }"
    else:
        yield "training = { epochs = 3, learning_rate = 2e-4, batch_tokens = 2048, lora_rank = 16, lora_alpha = 32 }"
        yield "evaluation = { max_new_tokens = 64 }"


def _quoted(text: str) -> str:
    """A text as it stands between the quotation marks of TOML."""
    return text.replace("\\", "\\\\").replace('"', '\\"')
