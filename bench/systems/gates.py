"""A gate: a figure, what it has to be, and the seeds that it was measured on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """One line of a verdict."""

    name: str
    figure: str
    threshold: str
    passed: bool
    seeds: Sequence[int] = ()

    def line(self) -> str:
        """As it is printed."""
        seeds = f"  seeds {', '.join(map(str, self.seeds))}" if self.seeds else ""
        return f"{'ok  ' if self.passed else 'FAIL'}  {self.name}: {self.figure} ({self.threshold}){seeds}"


def verdict(gates: Iterable[Gate]) -> int:
    """Prints the gates as they come; the exit code: 1 if one failed."""
    failed = 0
    for gate in gates:
        print(gate.line(), flush=True)
        failed += not gate.passed
    print(f"verdict: {'passed' if not failed else f'{failed} failed'}", flush=True)
    return 1 if failed else 0
