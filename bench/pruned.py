"""What pruning took from a real student, and what came back: `python -m bench.pruned [FOLDER]`, after `make real-pruned`.

Of each student of the folder: bytes, accuracy on test, and perplexity on texts that it has not read: the teacher's correct rationales of the test
questions, and plain English (this repository's README.md and CONTRIBUTING.md).
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from engine.methods import TrainRow
from state.confidence_interval import accuracy_text
from state.database import open_reader
from state.sqlite import Connection
from state.views.tables import table

STUDENTS = ("tuned", "pruned", "recovered")
ENGLISH = ("README.md", "CONTRIBUTING.md")
CHUNK, CHUNKS = 256, 16
LENGTH = 512


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.pruned", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("real-pruned"))
    folder = parser.parse_args(argv).folder
    with closing(open_reader(folder / "state.db")) as connection:
        body = [_row(folder, connection, name, unread(connection)) for name in STUDENTS]
    head = ("student", "weights", "MB", "accuracy %", "perplexity of rationales", "of plain English")
    print("\n".join(table(head, body, left=1)))
    return 0


def unread(connection: Connection) -> list[TrainRow]:
    """The teacher's correct rationales of test questions."""
    rows = connection.execute(
        "SELECT q.id, q.text, s.rationale, q.gold FROM sample s JOIN question q ON q.id = s.question_id"
        " WHERE s.split = 'test' AND s.verdict = 1 ORDER BY q.id"
    )
    return [
        TrainRow(sample_id=key, question_id=key, question=text, rationale=rationale, answer=gold)
        for key, text, rationale, gold in rows
    ]


def _row(folder: Path, connection: Connection, name: str, rows: Sequence[TrainRow]) -> tuple[str, ...]:
    from engine.students.evaluate import judge_with
    from engine.students.exported_student import DIRECTORY, load_copy
    from engine.students.opened_copy import open_copy
    from engine.students.ranks import Ranks, StopFlag
    from engine.students.run import Run, read_spec

    [(key, weights, size, accuracy, low, high)] = connection.execute(
        "SELECT r.id, r.parameters, r.bytes, e.accuracy, e.low, e.high FROM run r JOIN evaluation e ON e.run_id = r.id AND e.split = 'test'"
        " WHERE r.student = ? AND r.state = 'done' ORDER BY r.id DESC LIMIT 1",
        (name,),
    ).fetchall()
    directory = folder / "runs" / str(key)
    run = Run(
        directory=directory,
        spec=read_spec(directory),
        ranks=Ranks(rank=0, local_rank=0, world=1),
        stop=StopFlag(),
        progress=None,
        make_judge=judge_with,
    )
    _, tokenizer, form = open_copy(run, run.directory / DIRECTORY)
    model = load_copy(run.directory / DIRECTORY, "cpu").float().eval()
    return (
        name,
        f"{weights:,}",
        f"{size / 1e6:.1f}",
        accuracy_text(accuracy, low, high),
        f"{math.exp(_of_rows(model, form, rows)):.2f}",
        f"{math.exp(_of_english(model, tokenizer)):.1f}",
    )


def _of_rows(model: Any, form: Any, rows: Sequence[TrainRow]) -> float:
    """The mean loss of the tokens that a student would write, in nats."""
    import torch

    from bench.systems.ensemble import losses
    from engine.students.activations import even_batches
    from engine.students.architecture import DECODER
    from engine.students.token_rows import tokenize

    with torch.inference_mode():
        batches = even_batches(tokenize(form, rows, max_length=LENGTH)[0], DECODER)
        return float(torch.cat([losses(model, batch) for batch in batches]).double().mean())


def _of_english(model: Any, tokenizer: Any) -> float:
    """The mean loss of a token of plain English, in nats, in pieces of one length."""
    import torch

    text = "\n\n".join((Path(__file__).parents[1] / name).read_text() for name in ENGLISH)
    ids = torch.tensor(tokenizer(text, add_special_tokens=False)["input_ids"][: CHUNK * CHUNKS]).view(
        -1, CHUNK
    )
    with torch.inference_mode():
        logits = model(input_ids=ids).logits[:, :-1].float()
        return float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()))


if __name__ == "__main__":
    sys.exit(main())
