"""Writes the answers of the exported student: transformers in this process, or a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from engine.forms import TokenForm
from engine.methods import Asking
from engine.students.architecture import DECODER, Architecture
from engine.students.conversations import Write
from engine.students.evaluate import with_flops, writer
from engine.students.exported_student import exported_copy, load_student, parameters_in
from engine.students.operations.base import MEMBERS_FILE
from engine.students.room import Asked, Completion, config_positions, read_questions
from engine.students.run import Run


@contextmanager
def answering(
    run: Run,
    architecture: Architecture,
    tokenizer: Any,
    form: TokenForm,
    device: Any,
    stopping: Callable[[], bool],
) -> Iterator[tuple[Write, bool]]:
    """The writer of a run's exported copy, and whether only the first rank asks it.

    A failing server does not fail the run: the student then answers all questions again in this process, and a note says why.

    Raises:
        Stopped: the run was asked to stop while the server started.
    """
    config = run.spec.evaluation

    def here() -> Write:
        return writer(
            load_student(run.directory, device), tokenizer, form, config, stopping=stopping, note=run.note
        )

    wanted = bool(config.server_url or config.server_command)
    if wanted and architecture is not DECODER:
        run.note(
            "the evaluation server is not used: it supports decoders only, and this student is an encoder-decoder"
        )
        wanted = False
    if wanted and (exported_copy(run.directory) / MEMBERS_FILE).is_file():
        run.note("the evaluation server is not used: this student consists of several models")
        wanted = False
    if not wanted:
        yield here(), False
        return
    # Brings the client of the teachers, which most runs do not need.
    from engine.students.evaluation_server import Served, ServerFailed, serving

    with ExitStack() as stack:
        own: list[Write] = []
        server: Served | None = None
        if run.ranks.first:
            try:
                server = stack.enter_context(
                    serving(config, exported_copy(run.directory), run.stop, specials=form.special_marks)
                )
                run.note(f"the server at {server.url} evaluates the exported student (model {server.model})")
                costs = [(_config(run), (parameters_in(exported_copy(run.directory)), 0))]
            except ServerFailed as error:
                run.note(f"{error}: transformers evaluates the student")

        def write(questions: Sequence[str | Asking], temperature: float | None) -> list[Completion]:
            if not questions:
                return []
            if server is not None and not own:
                try:
                    asked = prompts(run, architecture, tokenizer, form, questions)
                    found = server.write(asked, temperature=temperature, seed=run.spec.training.seed)
                    return [with_flops(each, architecture, costs) for each in found]
                except ServerFailed as error:
                    stack.close()
                    run.note(f"{error}: transformers evaluates the student")
            if not own:
                own.append(here())
            return own[0](questions, temperature)

        yield write, True


def prompts(
    run: Run,
    architecture: Architecture,
    tokenizer: Any,
    form: TokenForm,
    questions: Sequence[str | Asking],
) -> list[Asked]:
    """The prompts for a server: each allows as many tokens as are configured and fit into the model."""
    most = run.spec.evaluation.max_new_tokens
    limit = config_positions(_config(run))
    found = read_questions(form, questions, architecture, limit=limit, most=most)
    texts = [form.outline.asked(each) if isinstance(each, str) else "" for each in questions]
    read = tokenizer(texts)["input_ids"] if texts else []  # a turn is asked by its tokens alone
    return [
        replace(each, text=text) if list(ids) == each.ids else each
        for each, text, ids in zip(found, texts, read, strict=True)
    ]


def _config(run: Run) -> Any:
    """The configuration of the exported model."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(
        exported_copy(run.directory), trust_remote_code=False, local_files_only=True
    )
