"""Whether two mathematical expressions are equal: math-verify and sympy, in a separate process.

`compare` may run forever, take all memory or crash. Only `engine.grading.workers` calls it, in a worker that can be killed.
Nothing heavy is imported before the first call. It does not know gold answers or verdicts.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from typing import Any, Literal

Relation = Literal["equal", "differs", "unread-first", "unread-second"]
MEMORY_BYTES = 2 << 30
"""Address space of a worker; beyond it an allocation fails."""


def compare(first: str, second: str) -> Relation:
    """Whether two expressions in LaTeX or plain notation have the same value.

    Source: math-verify 0.9, without its timeouts: the deadline of the caller also holds in C code.
    """
    from math_verify import verify

    left = _parsed(first)
    if not left:
        return "unread-first"
    right = _parsed(second)
    if not right:
        return "unread-second"
    same = verify(left, right, allow_set_relation_comp=True, timeout_seconds=None)
    if not same and any(sign in first + second for sign in ("e^", "i")):
        same = verify(_constants(left), _constants(right), allow_set_relation_comp=True, timeout_seconds=None)
    return "equal" if same else "differs"


def _constants(read: list[Any]) -> list[Any]:
    """Expressions in which e is Euler's number and i the imaginary unit."""
    from sympy import E, Expr, I

    meant = {"e": E, "i": I}
    return [
        each.subs({symbol: meant[symbol.name] for symbol in each.free_symbols if symbol.name in meant})
        if isinstance(each, Expr)
        else each
        for each in read
    ]


def _parsed(expression: str) -> list[Any]:
    """What math-verify reads in an expression; empty if that is only text."""
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse

    head, sign, rest = expression.partition("\\pm")
    if sign and head.strip() and "\\pm" not in rest:  # alone in front it is read
        expression = f"{head}+{rest}, {head}-{rest}"
    found: list[Any] = parse(
        f"${expression}$",
        extraction_config=[LatexExtractionConfig(), ExprExtractionConfig()],
        parsing_timeout=None,
    )
    return found if any(not isinstance(each, str) for each in found) else []


def serve(deadline_s: float) -> None:
    """The worker: reads a JSON line with two expressions, writes a JSON line with their relation, until the input ends.

    The alarm ends a worker whose parent died during a comparison.
    """
    logging.disable(logging.CRITICAL)
    compare("1", "\\frac{1}{1}")  # the imports, before anything is timed
    _limit_memory()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not be read as an answer
    answers.write('"ready"\n')
    answers.flush()
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_REAL, 2 * deadline_s + 5)
        try:
            relation: str = compare(*json.loads(line))
        except (Exception, RecursionError, MemoryError):
            relation = "failed"
        signal.setitimer(signal.ITIMER_REAL, 0)
        answers.write(json.dumps(relation) + "\n")
        answers.flush()


def _limit_memory() -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    soft = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


if __name__ == "__main__":
    serve(float(sys.argv[1]))
