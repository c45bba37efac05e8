"""Who writes the answers of the exported student: transformers in this process, or a server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from engine.students.architecture import DECODER, Kind
from engine.students.evaluate import Write, config_positions, writer
from engine.students.export import PARTIAL, load_student
from engine.students.rows import prompt_ids
from engine.students.run import Run
from engine.students.served import Asked, Served, ServerFailed, serving


@contextmanager
def answering(run: Run, kind: Kind, tokenizer: Any, device: Any) -> Iterator[tuple[Write, bool]]:
    """The writer of a run's exported copy, and whether the first rank alone asks it.

    A server that fails does not fail the run: the student then answers here, all questions anew, and a note says why.

    Raises:
        Stopped: the run was asked to stop while the server started.
    """
    config = run.spec.evaluation

    def here() -> Write:
        return writer(load_student(run.directory, device), tokenizer, config, stop=run.stop, note=run.note)

    wanted = bool(config.server_url or config.server_command)
    if wanted and kind is not DECODER:
        run.note("no server is asked: servers write for decoders, and this student is an encoder-decoder")
        wanted = False
    if not wanted:
        yield here(), False
        return
    with ExitStack() as stack:
        own: list[Write] = []
        server: Served | None = None
        if run.ranks.first:
            try:
                server = stack.enter_context(serving(config, run.directory / PARTIAL, run.stop))
                run.note(
                    f"the exported student is evaluated by the server at {server.url} (model {server.model})"
                )
            except ServerFailed as error:
                run.note(f"{error}: the student is evaluated by transformers")

        def write(questions: Sequence[str], temperature: float | None) -> list[str]:
            if not questions:
                return []
            if server is not None and not own:
                try:
                    asked = prompts(run, kind, tokenizer, questions)
                    return server.write(asked, temperature=temperature, seed=run.spec.training.seed)
                except ServerFailed as error:
                    stack.close()
                    run.note(f"{error}: the student is evaluated by transformers")
            if not own:
                own.append(here())
            return own[0](questions, temperature)

        yield write, True


def prompts(run: Run, kind: Kind, tokenizer: Any, questions: Sequence[str]) -> list[Asked]:
    """What a server is asked: the student's prompts, with as many tokens as are wanted and fit."""
    from transformers import AutoConfig

    most = run.spec.evaluation.max_new_tokens
    config = AutoConfig.from_pretrained(
        run.directory / PARTIAL, trust_remote_code=False, local_files_only=True
    )
    limit = config_positions(config)
    lengths = [len(ids) for ids in prompt_ids(tokenizer, questions, kind.form)]
    return [
        Asked(kind.form.prompt(question), most if limit is None else max(0, min(most, limit - length)))
        for question, length in zip(questions, lengths, strict=True)
    ]
