"""The requests of a stored sample, rebuilt by replaying its strategy.

Prompts are not stored with each sample. A plan stores its strategy, templates and examples, a sample its question and
the bodies of its answers, and a strategy is a pure function of those. So the result is what was sent, as long as the
strategy's own templates are those of this version; a plan with other templates has another fingerprint.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from engine.errors import CoterieError
from engine.question import Question
from engine.strategies import Conversation, Panel, PeerReplies, Settings, Wording, strategy
from engine.teachers.decode import decode_json
from engine.teachers.dialects import dialect, read_stored
from engine.teachers.failures import MalformedAnswer
from engine.teachers.messages import Request


def sent(
    settings: Mapping[str, Any],
    answer_format: str,
    question: str,
    gold: str,
    dialect_name: str,
    bodies: Sequence[tuple[bytes, int]],
    heard: Sequence[Sequence[tuple[int, str, bytes, int]]] = (),
) -> list[str]:
    """The text of each request of a sample, in order; several messages are joined by line breaks, with their roles.

    Args:
        settings: the plan's, as stored.
        answer_format: the task's.
        question: its text.
        gold: its gold answer (a hint may contain it).
        dialect_name: the dialect of the bodies.
        bodies: the compressed response bodies of the answered turns, in order, each with the index of the sample's choice.
        heard: what a panel's member heard after each of its turns: member, dialect, body and index of the choice.
    """
    try:
        conversation = Conversation(
            strategy(str(settings.get("strategy", ""))),
            Question(key="", text=question, answer=gold, split="train"),
            _settings(settings, answer_format),
        )
        dialect(dialect_name)  # raises for one that this version does not know
        texts = []
        for body in (*bodies, None):
            if conversation.hears is not None and conversation.hears < len(heard):
                conversation.hear(_replies(heard[conversation.hears], settings))
            request = conversation.request
            if request is None:
                break
            alone = len(request.messages) == 1
            texts.append(
                "\n".join(
                    each.content if alone else f"{each.role}: {each.content}" for each in request.messages
                )
            )
            if body is None:
                break
            raw, choice = body
            payload = decode_json(zlib.decompress(raw))
            conversation.answer(read_stored(payload, choice, request, dialect_name))
    except (CoterieError, MalformedAnswer, KeyError, zlib.error):
        return []  # a strategy, dialect or template that this version does not know
    return texts


def _replies(heard: Sequence[tuple[int, str, bytes, int]], settings: Mapping[str, Any]) -> PeerReplies:
    like = Request(
        messages=(), max_tokens=settings.get("max_tokens", 256), stop=tuple(settings.get("stop", ()))
    )
    return tuple(
        (member, read_stored(decode_json(zlib.decompress(raw)), choice, like, known))
        for member, known, raw, choice in heard
    )


def _settings(settings: Mapping[str, Any], answer_format: str) -> Settings:
    return Settings(
        answer_format=answer_format,
        temperature=settings.get("temperature"),
        top_p=settings.get("top_p"),
        max_tokens=settings.get("max_tokens", 256),
        answer_max_tokens=settings.get("answer_max_tokens", 32),
        wording=Wording.restored(settings.get("wording", {})),
        panel=_panel(settings),
    )


def _panel(settings: Mapping[str, Any]) -> Panel | None:
    names = settings.get("panel")
    if not names:
        return None
    return Panel(
        member=names.index(settings["teachers"][0]),
        members=len(names),
        rounds=settings["rounds"],
        peer_characters=settings["peer_characters"],
    )
