"""Plain tables that fit a width: texts are shortened, and columns that can be spared are left out, before a line wraps."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from typing import TextIO

LEAST = 8
"""Cells that a shortened text keeps."""
GAP = "  "


def terminal_width(stream: TextIO | None = None) -> int | None:
    """The columns of the terminal that a stream is; None where it is none, and lines may have any length."""
    stream = stream or sys.stdout
    try:
        if not stream.isatty():
            return None
        return shutil.get_terminal_size(os.get_terminal_size(stream.fileno())).columns
    except (OSError, ValueError):
        return None


def table(
    head: Sequence[str],
    body: Sequence[Sequence[str]],
    *,
    left: int,
    width: int | None = None,
    spare: Sequence[str] = (),
) -> list[str]:
    """The lines of a table; none without rows.

    Args:
        head: the titles.
        body: the cells of each row.
        left: the first columns, which are aligned to the left, as the last one is; the others hold numbers.
        width: the most columns of a line; None: any.
        spare: titles of columns that are left out, in this order, where a line would not fit.
    """
    if not body:
        return []
    chosen = list(range(len(head)))
    gone = [title for title in spare if title in head]
    while True:
        widths = _fitted(head, body, chosen, left, width)
        if widths is not None or not gone:
            break
        chosen.remove(list(head).index(gone.pop(0)))
    if widths is None:  # numbers are long too
        widths = _fitted(head, body, chosen, len(head), width) or {
            index: _widest(head, body, index) for index in chosen
        }
    last = len(head) - 1
    return [
        GAP.join(
            _cut(row[index], widths[index]).ljust(widths[index])
            if index < left or index == last
            else _cut(row[index], widths[index]).rjust(widths[index])
            for index in chosen
        ).rstrip()
        for row in (head, *body)
    ]


def _fitted(
    head: Sequence[str], body: Sequence[Sequence[str]], chosen: Sequence[int], left: int, width: int | None
) -> dict[int, int] | None:
    """Widths of the columns, with texts shortened as far as it takes; None if that is not enough."""
    widths = {index: _widest(head, body, index) for index in chosen}
    if width is None:
        return widths
    over = sum(widths.values()) + len(GAP) * (len(chosen) - 1) - width
    texts = [index for index in chosen if index < left or index == len(head) - 1]
    while over > 0:
        widest = max(texts, key=lambda index: widths[index], default=None)
        if widest is None or widths[widest] <= LEAST:
            return None
        widths[widest] -= 1
        over -= 1
    return widths


def _widest(head: Sequence[str], body: Sequence[Sequence[str]], index: int) -> int:
    return max(len(row[index]) for row in (head, *body))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
