"""The texts of a question with all its rationales: the question with its votes, and a card for each rationale. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from rich.text import Text

from state.views.format import count
from state.views.questions import QuestionDetail, Rationale
from tui.colours import Colours, colours
from tui.reading import contrasted, tinted, wrapped
from tui.screens.sample_text import diversity_words, note_text, solved, votes_line
from tui.text import Part, across, lines, one_line, say, sections, title, truncated

MOST_QUESTION = 4
"""Lines of a question above its rationales, on a screen of 24 rows."""


def question_title(question: QuestionDetail) -> str:
    """`gsm8k · question 1,204 of 7,473`."""
    return f"{one_line(question.task, 24)} · question {count(question.place)} of {count(question.of)}"


def question_summary(question: QuestionDetail) -> Text:
    """The gold answer, and how many are correct."""
    if not question.gold:
        return solved(question)
    return say(
        ("gold ", "muted"), (one_line(question.gold, 30), "bold good"), (" · ", "faint"), solved(question)
    )


def paint_question(question: QuestionDetail, width: int, height: int) -> list[Text]:
    """The question, its votes, and how different the rationales are, as far as there is room."""
    votes = [say(("votes  ", "muted"), *votes_line(question, max(8, width // 3)))] if question.votes else []
    facts = _facts(question)
    text = wrapped(say((question.text, "strong")), width)
    below = [say(), *votes, *facts]
    if len(text) + len(below) > height:
        below = [*votes, *facts] if height > MOST_QUESTION + 2 else votes
    return [*_cut(text, max(1, height - len(below))), *below][:height]


def question_height(question: QuestionDetail, width: int, rows: int) -> int:
    """The rows that `paint_question` gets inside its frame, at most a third of `rows`."""
    text = len(wrapped(say(question.text), max(1, width)))
    if rows < 30:
        return min(text, MOST_QUESTION) + bool(question.votes)
    return min(text + 1 + bool(question.votes) + len(_facts(question)), max(7, rows // 3))


def _facts(question: QuestionDetail) -> list[Text]:
    found: list[Text] = []
    voted = [item for item in question.votes if item.answer is not None]
    parts: list[Part] = []
    if voted and (len(voted) == 1 or voted[0].votes > voted[1].votes):
        best = voted[0]
        role, word = ("bold good", "correct") if best.correct else ("bold bad", "wrong")
        is_word = f" is {word}" if question.gold else ""
        parts += [("majority ", "muted"), (one_line(best.answer or "", 30), role), (is_word, "muted")]
    elif len(voted) > 1:
        parts += [("no majority", "attention")]
    if question.diversity is not None:
        parts += [(" · " if parts else "", "faint"), ("diversity ", "muted"), *diversity_words(question)]
    found += [say(*parts)] if parts else []
    return [*found, *(note_text(note) for note in question.notes if note.sample is None)]


def card_title(number: int, item: Rationale) -> Text:
    """Its number, and its answer with the verdict."""
    name, role = _outcome(item)
    return say((f"{number} ", "strong"), (name, f"bold {role}"))


def paint_card(
    item: Rationale,
    width: int,
    height: int,
    top: int,
    notes: Sequence[Text] = (),
    against: str | None = None,
) -> list[Text]:
    """A rationale from its line `top` on; tokens and replicate in the last line.

    Where another rationale is given, the words are tinted that are not in it at that place.
    """
    foot = across(
        say((f"{count(item.tokens)} tokens" if item.tokens else "", "muted")),
        say((f"replicate {item.replicate + 1}" if width >= 28 else "", "muted")),
        width,
    )
    body = list(_body(item, width, colours(), against))
    room = max(1, height - 1 - len(notes))
    top = max(0, min(top, len(body) - room))
    shown = _cut(body[top:], room)
    return [
        *shown,
        *([say()] * (room - len(shown))),
        *(truncated(note.copy(), width) for note in notes),
        foot,
    ][:height]


def card_lines(item: Rationale, width: int) -> int:
    """The number of lines of a rationale."""
    return len(_body(item, width, colours(), None))


@lru_cache(maxsize=64)
def _body(item: Rationale, width: int, of: Colours, against: str | None) -> tuple[Text, ...]:
    if item.rationale is None:
        words = item.reason if item.state == "failed" else "no answer yet"
        return tuple(wrapped(say((words or "", "bad" if item.state == "failed" else "muted")), width))
    words = item.rationale.rstrip()
    text = tinted(words, item.spans) if against is None else contrasted(words, against)
    if item.answer and item.answer.strip() not in item.rationale:
        text = lines([text, say((f"→ {one_line(item.answer)}", "muted"))])
    return tuple(wrapped(text, width))


def _cut(found: Sequence[Text], room: int) -> list[Text]:
    if len(found) <= room:
        return list(found)
    return [*found[: room - 1], say((f"… {len(found) - room + 1} more lines", "muted"))]


def _outcome(item: Rationale) -> tuple[str, str]:
    """What came of it: its answer with a mark, and the colour."""
    if item.state == "failed":
        return "✗ failed", "bad"
    if item.state == "open":
        return "○ open", "muted"
    answer = one_line(item.extracted, 40) if item.extracted is not None else ""
    if item.verdict is None:
        return f"? {answer or 'ungraded'}", "attention"
    if item.verdict == 1:
        return f"✓ {answer}", "good"
    if not answer:
        return ("✂ cut off" if "truncated" in item.flags else "✗ no answer"), "attention"
    return f"✗ {answer}", "bad"


def paint_all(question: QuestionDetail) -> Text:
    """Everything, one below the other, for a pager."""
    heading = title(question_title(question))
    about = [
        say(question.text),
        say(),
        say(("gold ", "muted"), question.gold),
        say(*votes_line(question, 20)),
        *_facts(question),
    ]
    parts = [
        (
            say(
                card_title(number, item), (f"  sample {item.id} · {item.teacher} · plan {item.plan}", "muted")
            ),
            [say(item.rationale or item.reason or "no answer yet"), say((item.answer or "", "muted"))],
        )
        for number, item in enumerate(question.rationales, start=1)
    ]
    return sections((heading, about), *parts)
