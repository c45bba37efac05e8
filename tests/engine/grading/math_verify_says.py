"""math-verify's own verdicts, from a process that can be killed: `python -m tests.engine.grading.math_verify_says`.

It reads a JSON list of (completion, gold) and writes a JSON list of booleans. math-verify finds the answers in its own way.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import subprocess
import sys

MOST_CPU_S = 120
"""Processor time of all pairs; a thousand take about 5 s."""
MOST_BYTES = 2 << 30
_DELIMITERS = ("$", "\\boxed", "\\(", "\\[")


def verdicts(asked: list[tuple[str, str]]) -> list[bool]:
    """Whether each completion is correct.

    Raises:
        subprocess.SubprocessError: the process failed or took too long.
    """
    done = subprocess.run(
        [sys.executable, "-m", __name__],
        input=json.dumps(asked),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=10 * MOST_CPU_S,
    )
    found: list[bool] = json.loads(done.stdout)
    return found


def formula(text: str) -> str:
    """A text that is only LaTeX, between the dollar signs that math-verify needs to see it as such."""
    bare = ("\\" in text or "^" in text) and not any(sign in text for sign in _DELIMITERS)
    return f"${text}$" if bare and len(text) <= 60 and "is" not in text else text


def serve() -> None:
    from math_verify import parse, verify

    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_CPU_S, MOST_CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not be read as an answer
    asked = json.load(sys.stdin)
    found = []
    for completion, gold in asked:
        wanted = gold if any(sign in gold for sign in _DELIMITERS) else f"${gold}$"
        found.append(bool(verify(parse(wanted), parse(formula(completion)))))  # 5 s for each step
    json.dump(found, answers)
    answers.flush()


if __name__ == "__main__":
    serve()
