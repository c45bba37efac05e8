"""The command line. A command's module is imported only if that command is run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from daemon.cli.argument_types import dollars, seconds, whole_number
from state.safe import safe

EXIT_CODES = (
    "exit codes: 0 done, 1 a job failed, 2 usage or configuration, 3 another instance, 130 interrupted"
)

Command = Callable[[argparse.Namespace], int]


def parse(argv: list[str]) -> argparse.Namespace:
    """Parses the arguments; call their `command` with them."""
    parser = build(argv)
    arguments = parser.parse_args(argv)
    if arguments.name is None:
        parser.print_help()
        parser.exit()
    if arguments.name == "teacher":
        arguments.config = None
    return arguments


class _Parser(argparse.ArgumentParser):
    """Its messages repeat what was typed."""

    def _check_value(self, action: argparse.Action, value: object) -> None:
        """Refuses an unknown command or choice with the nearest one, and all others."""
        if action.choices is None or value in action.choices:
            return
        from difflib import get_close_matches

        known = [str(each) for each in action.choices]
        near = get_close_matches(str(value), known, n=1)
        command = isinstance(action, argparse._SubParsersAction)
        hint = f"did you mean {near[0]}? " if near else ""
        hint += (
            "`coterie` lists all commands"
            if command and len(known) > 9
            else f"expected one of {', '.join(known)}"
        )
        raise argparse.ArgumentError(
            None if command else action,
            f"unknown {'command' if command else 'value'} {str(value)!r}: {hint}",
        )

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Refuses unknown arguments where they stand, with the usage of their command and the nearest option."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            from difflib import get_close_matches

            near = get_close_matches(unknown[0].partition("=")[0], self._option_string_actions, n=1)
            hint = f": did you mean {near[0]}?" if near else ""
            self.error(f"unknown argument{'s' if len(unknown) > 1 else ''} {' '.join(unknown)}{hint}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Exits with code 2."""
        super().error(safe(message))


class _Version(argparse.Action):
    """Prints the version; looking it up is slow, so it is done only here."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        sys.stdout.write(f"coterie {version('coterie')}\n")
        parser.exit()


BESIDE: dict[str, tuple[str, str]] = {
    "note": (
        "note that a gold answer, a question or a rationale is bad, or anything else; without arguments: list the notes",
        'coterie note 1234 "gold is wrong: it is 12"',
    ),
    "prune": (
        "remove checkpoints of finished runs, and files of finished batches; results stay",
        "coterie prune --dry-run",
    ),
    "backup": (
        "copy state.db and check the copy, also while a daemon runs",
        "coterie backup -o /backups/state.db",
    ),
    "export": (
        "export samples, attempts, training sets, predictions, runs, metrics, evaluations or events, or the student of a run",
        "coterie export samples --format parquet -o samples.parquet",
    ),
    "push": (
        "upload the student of a run, or a training set, to a model hub",
        "coterie push 3 NAME/REPO --private",
    ),
    "serve": (
        "serve a finished student as an OpenAI-compatible server on this machine",
        "coterie serve fine-tune-cot --port 8000",
    ),
    "init": (
        "write a commented configuration for a teacher, your data and a student",
        "coterie init openai --data questions.jsonl",
    ),
    "estimate": (
        "estimate requests, tokens, dollars and minutes of what is left to sample and train; sends nothing",
        "coterie estimate --json",
    ),
    "logs": ("show the newest events, and follow them", "coterie logs -f --warnings"),
    "samples": (
        "find stored samples, and show one in full",
        'coterie samples find "ten apples" --verdict wrong',
    ),
    "diff": ("compare two runs: settings, and answers to the same test questions", "coterie diff 3 5"),
    "completion": ("print the completion script of a shell", "coterie completion bash"),
}
"""Commands that define their arguments in their own module, with a summary and an example."""


def build(argv: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """The command line.

    Args:
        argv: what was typed: of the commands in `BESIDE`, and of `teacher`, only those in it get their arguments, as
            their modules are slow to import. None: all.
    """
    whole = argv is None or "teacher" in argv
    parser: argparse.ArgumentParser = _Parser(
        prog="coterie",
        description="Turns large language models into reasoning teachers (Fine-tune-CoT).",
        epilog=EXIT_CODES,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(dest="name", metavar="COMMAND")
    _run(commands)
    _watch(commands)
    _control(commands)
    _look(commands)
    for name, (help_text, example) in BESIDE.items():
        added = _add(commands, name, help_text, example)
        if argv is None or name in argv:
            import_module(f"daemon.cli.{name}").add_arguments(added)
    _import(commands)
    _config(commands)
    _teacher(commands, whole=whole)
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    help_text: str,
    example: str,
    *,
    module: str | None = None,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=help_text,
        description=help_text[0].upper() + help_text[1:] + ".",
        epilog=f"example: {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-c", "--config", type=Path, default=Path("config.toml"), help="configuration file (config.toml)"
    )
    parser.set_defaults(command=_later(module or name))
    return parser


def _later(module: str) -> Command:
    def command(arguments: argparse.Namespace) -> int:
        return int(import_module(f"daemon.cli.{module}").command(arguments))

    return command


def _run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add(
        commands,
        "run",
        "run the daemon in the foreground: sample, grade, train, evaluate",
        "coterie run --until-idle",
    )
    parser.add_argument(
        "--until-idle", action="store_true", help="exit when no plan has work and no run is due"
    )
    parser.add_argument(
        "--tui",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="show the terminal UI (default: on a terminal); without it, print a line when something changed",
    )
    parser.add_argument("--monitored", action="store_true", help=argparse.SUPPRESS)


def _watch(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add(
        commands, "tui", "watch in the terminal, with or without a running daemon", "coterie tui --readonly"
    )
    parser.add_argument(
        "--db", help="database to watch: a path or sqlite:///PATH (default: from the configuration)"
    )
    parser.add_argument(
        "--readonly", action="store_true", help="disable the keys that send commands to the daemon"
    )
    parser.add_argument(
        "--plain", action="store_true", help="print a line when the status changed instead of the UI"
    )
    parser.add_argument("--interval", default="1", metavar="S", help="seconds between updates (1)")
    parser = _add(commands, "status", "show the status in one screen", "coterie status --json")
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    parser.add_argument(
        "--watch",
        type=seconds,
        nargs="?",
        const=2.0,
        metavar="S",
        help="repeat every S seconds, until Ctrl-C (2)",
    )
    parser.add_argument(
        "--exit-code",
        action="store_true",
        help="also by exit code: 0 all is well, 1 something needs you, 4 nothing can continue without you, 5 the daemon died",
    )
    parser = _add(
        commands,
        "experiment",
        "show the progress of the experiment, cell by cell, and what is left",
        "coterie experiment --json",
    )
    parser.add_argument("--json", action="store_true", help="as one JSON object")


def _control(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for name, verb in (("pause", "pause sampling"), ("resume", "resume what was paused or parked")):
        parser = _add(commands, name, verb, f"coterie {name} --task coin_flip", module="control")
        parser.add_argument("--task", help="only this task")
        parser.add_argument("--teacher", help="only this teacher")
        _wait(parser)
    parser = _add(
        commands,
        "retry",
        "ask given-up samples again",
        'coterie retry --plan diverse --reason "HTTP 500" --dry-run',
        module="control",
    )
    parser.add_argument("--plan", help="only this plan")
    parser.add_argument("--task", help="only this task")
    parser.add_argument(
        "--reason", metavar="TEXT", help="only samples whose reason contains this text, in any case"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print how many there are, by plan, task and reason"
    )
    _wait(parser)
    parser = _add(
        commands,
        "train",
        "train now, with the existing samples",
        "coterie train coin_flip",
        module="control",
    )
    parser.add_argument("task", help="task to train on (or joint)")
    parser.add_argument("--student", help="only this student")
    _wait(parser)
    parser = _add(
        commands,
        "budget",
        "set the budget for all teachers, in dollars, until the configuration changes it",
        "coterie budget 8",
        module="control",
    )
    parser.add_argument("usd", type=dollars, metavar="USD", help="total, including money already spent")
    _wait(parser)
    parser = _add(
        commands, "stop", "stop the daemon in order, or stop one run", "coterie stop", module="control"
    )
    parser.add_argument("--now", action="store_true", help="do not wait for requests in flight")
    parser.add_argument(
        "--run", type=int, metavar="ID", help="stop this run at its next step, not the daemon"
    )
    parser.add_argument(
        "--finish",
        action="store_true",
        help="with --run: export and test its best weights so far; it counts as done",
    )
    _wait(parser)


def _wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait", type=float, default=10.0, metavar="S", help="seconds to wait for the answer (10)"
    )


def _look(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add(
        commands, "check", "check configuration, data, keys, devices and database", "coterie check --ping"
    )
    parser.add_argument(
        "--ping",
        action="store_true",
        help="also ask each teacher the first question of each of its plans, with the plan's settings: costs one sample each",
    )
    parser.add_argument(
        "--measure",
        action="store_true",
        help="also train a few steps of each run on this machine, and say how long the runs will take and what they need",
    )
    parser = _add(
        commands, "grade", "grade the completions in a file offline", "coterie grade answers.jsonl --json"
    )
    parser.add_argument(
        "file", type=Path, help='rows with "completion", "gold", "answer_format" and optionally "question"'
    )
    parser.add_argument(
        "--grader", choices=("careful", "paper"), default="careful", help="which grader (careful)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a row, in order")
    parser = _add(
        commands,
        "regrade",
        "grade stored samples again with this version and show what changes; --apply stores it",
        "coterie regrade --apply",
    )
    parser.add_argument(
        "--grader", choices=("careful", "paper"), default="careful", help="which grader (careful)"
    )
    parser.add_argument("--task", help="only this task")
    parser.add_argument(
        "--examples", type=whole_number, default=10, metavar="N", help="changed verdicts to show (10)"
    )
    parser.add_argument(
        "--apply", action="store_true", help="store the verdicts; only possible while no daemon runs"
    )
    parser = _add(
        commands,
        "report",
        "write the report on samples, runs and evaluations, as Markdown and HTML",
        "coterie report -o report",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=None,
        help="folder to write to (report/ beside the configuration)",
    )
    parser.add_argument(
        "--paper",
        action="store_true",
        help="add a grey column: accuracy as the paper counted, by the best evaluation on test and the published grader",
    )


def _import(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "import",
        help="read the files of the paper's authors: tasks, worked examples, completions to replay",
        description="Reads a checkout of github.com/itsnamgyu/reasoning-teacher with its data sets and completions, and writes tasks"
        " with the paper's splits, worked examples, completions for `coterie teacher --replay`, and a configuration.",
        epilog="example: coterie import reasoning-teacher ~/reasoning-teacher -o paper",
    )
    parser.add_argument("what", choices=("reasoning-teacher",))
    parser.add_argument("folder", type=Path, metavar="DIR", help="the checkout")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("reasoning-teacher"),
        help="folder to write to (reasoning-teacher)",
    )
    parser.add_argument("--task", action="append", help="only this data set; repeatable")
    parser.set_defaults(command=_later("import_files"))


def _config(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "config",
        help="print the JSON Schema of config.toml, for editors, or what a preset sets",
        description="Prints the JSON Schema of config.toml. Editors read it from a first line such as"
        ' `#:schema docs/config.schema.json`. `preset` prints the tables that `preset = "paper"` stands for.',
        epilog="example: coterie config schema -o config.schema.json",
    )
    parser.add_argument("what", choices=("schema", "preset"))
    parser.add_argument("name", nargs="?", default="paper", help="of the preset (paper)")
    parser.add_argument("-o", "--output", type=Path, help="file to write (default: standard output)")
    parser.set_defaults(command=_later("config"))


def _teacher(commands: argparse._SubParsersAction[argparse.ArgumentParser], *, whole: bool) -> None:
    parser = commands.add_parser(
        "teacher",
        help="serve the built-in teacher: OpenAI's and Anthropic's APIs",
        description="Serves the built-in teacher, which solves the builtin tasks or replays recorded completions, over OpenAI's"
        " chat completions, text completions, responses and batches and over Anthropic's messages, with streams.",
        epilog="example: coterie teacher --port 8000 --fault 500=0.02,reset=0.01",
    )
    if whole:
        from engine.practice.server_options import add_arguments

        add_arguments(parser)
    parser.set_defaults(command=_later("teacher"))
