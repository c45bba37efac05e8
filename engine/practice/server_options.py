"""The server's options and command line flags.

`python -m engine.practice` and `coterie teacher` share `add_arguments` and `options_from`; `arguments` writes options back as
flags, for a program that starts the server.
"""

from __future__ import annotations

import argparse
import difflib
from dataclasses import dataclass
from pathlib import Path

from engine.errors import UsageError
from engine.practice.errors import ERRORS

BEHAVIOURS: dict[str, str] = {
    "reset": "the connection is reset before or after the completion was made (the ledger shows whether it was billed)",
    "truncate": "the body is cut off in the middle; a stream breaks off, or ends as if it were whole",
    "slow": "the response arrives slowly, in pieces",
    "malformed": "200 with HTML, an empty body, no choices or broken JSON; in a stream an error instead of the rest",
    "quota": "the quota is used up (429, from Anthropic's API 400)",
}
BATCH_BEHAVIOURS: dict[str, str] = {
    "batch-expire": "a batch expires after half of its rows",
    "batch-cancel": "a batch is cancelled after half of its rows",
    "batch-fail": "a whole batch is refused for billing reasons",
    "batch-queue": "a whole batch is refused because the queue is full",
    "batch-lost": "a batch is created, but the response is lost",
    "batch-hole": "every fourth completion of a batch is billed but missing from its files",
    "batch-429": "429 for an upload or for creating a batch",
}
STATUSES = (400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529)


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault and its rate from 0 to 1."""

    name: str
    rate: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PracticeOptions:
    """Options of the built-in teacher.

    Limits apply to each API key; None means no limit. `burst_seconds` is the part of a minute's limit that can be used at
    once. `latency_ms` is the mean response time, `slow_seconds` the duration of a slow response, `batch_seconds` the duration
    of a batch, `batch_queue_tokens` the most prompt tokens of a batch. `refuse_unknown`: a prompt without a known question gets
    404, as it always does from recorded completions, and not an answer that says what this teacher can solve.
    """

    host: str = "127.0.0.1"
    port: int = 0
    keys: tuple[str, ...] = ()
    replay: tuple[Path, ...] = ()
    refuse_unknown: bool = False
    faults: tuple[Fault, ...] = ()
    seed: int = 0
    latency_ms: float = 40.0
    error_rate: float = 0.10
    errors: str = "independent"
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    burst_seconds: float = 60.0
    concurrency: int | None = None
    ledger: Path | None = None
    slow_seconds: float = 3.0
    batch_seconds: float = 1.0
    batch_queue_tokens: int | None = None


def parse_faults(text: str) -> tuple[Fault, ...]:
    """Parses faults such as `500=0.02,reset=0.01`; an empty text gives none.

    Raises:
        UsageError: an unknown name, a rate outside 0 to 1, or rates that add up to more than 1.
    """
    known = [*BEHAVIOURS, *BATCH_BEHAVIOURS, *map(str, STATUSES)]
    faults: dict[str, Fault] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, rate = (text.strip() for text in part.partition("="))
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise UsageError(f"fault {name!r}: unknown; {hint}")
        try:
            value = float(rate)
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1:
            raise UsageError(
                f"fault {name}: expected a rate from 0 to 1, for example {name}=0.01 (got {rate!r})"
            )
        if name in faults:
            raise UsageError(f"fault {name}: listed twice")
        faults[name] = Fault(name, value)
    if sum(fault.rate for fault in faults.values()) > 1 + 1e-9:
        raise UsageError(f"faults {text!r}: the rates must not add up to more than 1")
    return tuple(faults.values())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the server's flags to a parser."""
    default = PracticeOptions()
    add = parser.add_argument
    add("--host", default=default.host, help="address to listen on (default: %(default)s)")
    add(
        "--port",
        type=_Whole(0, 65535),
        default=default.port,
        help="port to listen on; 0 picks a free one (default)",
    )
    add("--key", action="append", default=[], metavar="KEY", help="accept only this API key; repeatable")
    add(
        "--replay",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="answer with recorded completions (.jsonl, .jsonl.gz); repeatable",
    )
    add(
        "--refuse-unknown",
        action="store_true",
        help="404 for a prompt without a known question, as with --replay; by default an answer says what can be solved",
    )
    named = "; ".join(f"{name}: {what}" for name, what in {**BEHAVIOURS, **BATCH_BEHAVIOURS}.items())
    add(
        "--fault",
        default="",
        metavar="NAME=RATE,...",
        help=f"faults to inject, with their rates: an HTTP status, or {named}",
    )
    add(
        "--seed",
        type=int,
        default=default.seed,
        help="seed of completions, delays and faults (default: %(default)s)",
    )
    add(
        "--latency-ms",
        type=_Real(0, 3_600_000),
        default=default.latency_ms,
        help="mean response time in milliseconds (default: %(default)s)",
    )
    add(
        "--error-rate",
        type=_Real(0, 1),
        default=default.error_rate,
        help="share of reasoning steps that are wrong (default: %(default)s)",
    )
    add(
        "--errors",
        choices=tuple(ERRORS),
        default=default.errors,
        help="independent slips, or systematic errors of questions and phrases (default: %(default)s)",
    )
    add("--requests-per-minute", type=_Whole(1), help="limit for each API key; 429 above it")
    add("--tokens-per-minute", type=_Whole(1), help="limit for each API key; 429 above it")
    add(
        "--burst-seconds",
        type=_Real(0, 60),
        default=default.burst_seconds,
        help="seconds of a minute's limit that can be used at once (default: %(default)s)",
    )
    add("--concurrency", type=_Whole(1), help="most requests in flight; 429 above it")
    add(
        "--ledger",
        type=Path,
        metavar="FILE",
        help="append one JSON line for each request to this file: what was answered and billed",
    )
    add(
        "--slow-seconds",
        type=_Real(0, 3600),
        default=default.slow_seconds,
        help="duration of a slow response (default: %(default)s)",
    )
    add(
        "--batch-seconds",
        type=_Real(0, 86_400),
        default=default.batch_seconds,
        help="duration of a batch (default: %(default)s)",
    )
    add(
        "--batch-queue-tokens",
        type=_Whole(1),
        help="most prompt tokens of a batch; a larger batch is refused",
    )
    add(
        "--exit-with-parent",
        action="store_true",
        help="exit when standard input ends, as it does when the parent process ends",
    )


def options_from(args: argparse.Namespace) -> PracticeOptions:
    """The options of parsed flags.

    Raises:
        UsageError: a fault is unknown or its rate is wrong.
    """
    return PracticeOptions(
        host=args.host,
        port=args.port,
        keys=tuple(args.key),
        replay=tuple(args.replay),
        refuse_unknown=args.refuse_unknown,
        faults=parse_faults(args.fault),
        seed=args.seed,
        latency_ms=args.latency_ms,
        error_rate=args.error_rate,
        errors=args.errors,
        requests_per_minute=args.requests_per_minute,
        tokens_per_minute=args.tokens_per_minute,
        burst_seconds=args.burst_seconds,
        concurrency=args.concurrency,
        ledger=args.ledger,
        slow_seconds=args.slow_seconds,
        batch_seconds=args.batch_seconds,
        batch_queue_tokens=args.batch_queue_tokens,
    )


def arguments(options: PracticeOptions) -> list[str]:
    """The flags for these options."""
    flags = [f"--key={key}" for key in options.keys] + [f"--replay={path}" for path in options.replay]
    if options.faults:
        flags.append("--fault=" + ",".join(f"{fault.name}={fault.rate}" for fault in options.faults))
    if options.refuse_unknown:
        flags.append("--refuse-unknown")
    names = ("host", "port", "seed", "latency_ms", "error_rate", "errors", "requests_per_minute",
             "tokens_per_minute", "burst_seconds", "concurrency", "ledger", "slow_seconds", "batch_seconds",
             "batch_queue_tokens")  # fmt: skip
    for name in names:
        value = getattr(options, name)
        if value is not None:
            flags.append(f"--{name.replace('_', '-')}={value}")
    return flags


class _Whole:
    """An argparse type: a whole number between bounds."""

    def __init__(self, low: int, high: int = 10**12) -> None:
        self.low, self.high = low, high

    def __call__(self, text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected a whole number (got {text!r})") from None
        if not self.low <= value <= self.high:
            upto = f" to {self.high}" if self.high < 10**12 else ""
            raise argparse.ArgumentTypeError(f"expected a whole number from {self.low}{upto} (got {text!r})")
        return value


class _Real:
    """An argparse type: a number between bounds."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def __call__(self, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not self.low <= value <= self.high:
            raise argparse.ArgumentTypeError(
                f"expected a number from {self.low} to {self.high} (got {text!r})"
            )
        return value
