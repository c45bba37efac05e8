"""Completes requests of every API: which model answers, how completions of one prompt differ, where they are cut."""

from __future__ import annotations

from collections import OrderedDict

from engine.practice.apis.base import Api, Body, Choice, Refusal
from engine.practice.recorded_model import RecordedModel
from engine.practice.server_options import PracticeOptions
from engine.practice.simulated_model import (
    MODELS,
    CompletionRequest,
    Reply,
    Respond,
    SimulatedModel,
    UnknownQuestion,
)
from engine.practice.tokens import count_tokens, cut
from engine.tasks.builtin import BUILTIN_TASKS

PROMPTS_COUNTED = 1_000_000
MOST = 10**9
INTRODUCTION = (
    "Hello! I am Coterie's practice teacher, a small program and not a language model. I can solve the questions of "
    f"these tasks: {', '.join(BUILTIN_TASKS)}. I found none of them in your prompt, so please ask me one."
)
"""What a prompt without a known question gets. It contains no question itself: it may be part of the next prompt."""


class Completer:
    """The model, and how often each prompt was answered."""

    def __init__(self, options: PracticeOptions) -> None:
        """Prepares the model.

        Raises:
            UsageError: a replay file is not a JSON lines file.
            TaskDataError: a line of a replay file is wrong.
        """
        self._replays = bool(options.replay)
        self._refuses = options.refuse_unknown or self._replays
        self._respond: Respond = (
            RecordedModel(options.replay).reply
            if self._replays
            else SimulatedModel(options.seed, options.error_rate, options.errors).reply
        )
        self._given: OrderedDict[tuple[str, str], int] = OrderedDict()

    def check_model(self, name: str) -> None:
        """Checks that a model exists; recorded completions have no model, so they answer for any.

        Raises:
            Refusal: 404, there is no such model.
        """
        if not self._replays and name not in MODELS:
            message = f"The model '{name[:100]}' does not exist; the models are {' and '.join(MODELS)}."
            raise Refusal(404, message, "model_not_found", "model")

    def complete(self, api: Api, body: Body) -> tuple[list[Choice], int]:
        """The completions after limits and stop strings, and the number of prompt tokens.

        Raises:
            Refusal: 404, the model does not exist, or the question is unknown and this server refuses those.
        """
        self.check_model(body.model)
        choices: list[Choice] = []
        for prompt in body.prompts:
            seen = self._given.get((body.model, prompt), 0)
            for index in range(body.n):
                if body.seed is None:
                    turn = _replicate(body, index, seen)
                    replicate = f"count {turn}"
                else:
                    replicate, turn = f"seed {body.seed} {index}", body.seed + index
                wanted = CompletionRequest(
                    prompt=prompt,
                    model=body.model,
                    temperature=body.temperature,
                    replicate=replicate,
                    turn=turn,
                    chat=body.chat,
                )
                choices.append(_choice(body, self._reply(api, wanted)))
        return choices, self.prompt_tokens(body)

    def prompt_tokens(self, body: Body) -> int:
        """The number of prompt tokens."""
        return sum(map(count_tokens, body.prompts))

    def count(self, body: Body) -> None:
        """Records that these prompts were answered, so that their next completions differ."""
        if body.seed is not None or body.temperature == 0 or body.replicates:
            return
        for prompt in body.prompts:
            key = body.model, prompt
            self._given[key] = self._given.get(key, 0) + body.n
            self._given.move_to_end(key)
        while len(self._given) > PROMPTS_COUNTED:
            self._given.popitem(last=False)

    def _reply(self, api: Api, wanted: CompletionRequest) -> Reply:
        try:
            return self._respond(wanted)
        except UnknownQuestion:
            if not self._refuses:
                return Reply(INTRODUCTION if wanted.chat else f" {INTRODUCTION}")
        known, code = "questions of the builtin tasks", "unknown_question"
        if self._replays:
            known, code = "recorded questions", "unrecorded_question"
        message = f"The prompt contains no question that this teacher knows; it answers only {known}."
        raise Refusal(404, message, code, api.prompt_field)


def _replicate(body: Body, index: int, seen: int) -> int:
    """The number of a completion of a prompt: what the request says, else how many there were before it."""
    if index < len(body.replicates):
        return body.replicates[index]
    return body.replicates[-1] + 1 + index - len(body.replicates) if body.replicates else seen + index


def _choice(body: Body, reply: Reply) -> Choice:
    text, tokens, reason = cut(reply.text, MOST if reply.whole else body.max_tokens, body.stop)
    if reason != "stop":
        return Choice(text, tokens, reason)
    if text == reply.text:
        return Choice(text, tokens, reply.finish_reason)
    rest = reply.text[len(text) :]
    return Choice(text, tokens, reason, next(word for word in body.stop if rest.startswith(word)))
