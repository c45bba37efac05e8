"""The format `choice`: one of the options, named by its letter or by its text.

Several letters ("A, B, C or D") are a hedge and wrong, whatever the gold answer is. A letter next to the text of another
option contradicts itself and is wrong too. "(B) is not …" rules B out. "A" at the beginning of a sentence is an article
unless something shows that it is a letter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.grading.format import Format, Phrases, casefolded
from engine.grading.options import options_of
from engine.grading.paper import PaperRules
from engine.grading.spans import affirmed, normalise, spans
from engine.grading.verdict import Verdict

DEFAULT = "ABCDE"
_BARE = re.compile(r"\s*\(?([A-Z])\)?\s*\.?\s*")
_LETTER = re.compile(
    r"\(([A-Za-z])\)"  # (B)
    r"|(?<![\w'&.-])(?<!among )(?<!between )(?<!than )([A-Z])(?=[.,:;)\]\"'*]|\s*$|\s+(?:or|and|is|was|because|since|as|-)\b|\s*[-/&(])"  # B. or B, or B and
    r"|(?<![\w'])(?:option|choice|answer|is)\s+[\"'*(]{0,3}([A-Z])(?![\w'])"  # option B
    r"|(?<![\w'])(?:option|choice)\s+[\"'*(]{0,3}([b-z])(?![\w'])"  # option b
    r"|^\W{0,6}([A-Za-z])(?=[).:]|\W*$)"  # b) or b.
)
_DENIED = re.compile(
    r"\W{0,4}\(?[A-Z]\)\s[^.;\n]{0,120}?\b(?:is|are|was|does|do|can|would|could)(?:\s?not\b|n't\b)(?!\s(?:only|just))"
)
_NOT_WORD = re.compile(r"[^\w.%/]+")


def judge(completion: str, gold: str, question: str | None) -> Verdict:
    """Whether the option a completion names is the gold one."""
    options = options_of(question) if question else {}
    letters = "".join(options) or DEFAULT
    wanted = _gold(gold, options)
    bare = _BARE.fullmatch(completion[:12]) if len(completion) <= 12 else None
    if bare and bare[1] in letters:
        return _verdict(bare[1], wanted, [])
    texts = {letter: plain(text) for letter, text in options.items() if plain(text)}
    for span, is_marked in spans(normalise(completion)):
        if not is_marked and _DENIED.match(span):
            continue
        span, flags = affirmed(span), [] if is_marked else ["unmarked"]
        named = _letters(span, letters)
        if not is_marked and len(named) != 1 and not _is_answer(span, named):
            named = []
        if len(set(named)) > 1:
            listed = ", ".join(dict.fromkeys(named))
            return Verdict(
                correct=False,
                extracted=None,
                reason=f"several choices are named: {listed}",
                flags=("hedged",),
            )
        spoken = _by_text(span, texts)
        if named:
            if len(spoken) == 1 and spoken[0] != named[0]:
                reason = f"the letter {named[0]} is given with the text of {spoken[0]}"
                return Verdict(correct=False, extracted=named[0], reason=reason, flags=("conflict",))
            return _verdict(named[0], wanted, flags)
        if len(spoken) == 1:
            return _verdict(spoken[0], wanted, [*flags, "by-text"])
        if len(spoken) > 1 and is_marked:
            listed = ", ".join(spoken)
            return Verdict(
                correct=False,
                extracted=None,
                reason=f"several choices are named: {listed}",
                flags=("hedged",),
            )
    return Verdict(correct=False, extracted=None, reason="no choice was found", flags=("no-answer",))


def _letters(span: str, letters: str) -> list[str]:
    """The letters of options that a span names, in order."""
    found = []
    for match in _LETTER.finditer(span):
        letter = next(group for group in match.groups() if group).upper()
        if letter in letters:
            found.append(letter)
    return found


def _is_answer(span: str, named: list[str]) -> bool:
    """Whether an unmarked span that names several letters is an answer rather than a comparison."""
    return len(span.split()) <= 3 * len(named) + 4


def _by_text(span: str, texts: dict[str, str]) -> list[str]:
    """Letters of the options whose text a span contains; a text within another contained text does not count."""
    flat = f" {plain(span)} "
    held = [letter for letter, text in texts.items() if f" {text} " in flat]
    return [
        letter
        for letter in held
        if not any(
            other != letter and f" {texts[letter]} " in f" {texts[other]} " and texts[other] != texts[letter]
            for other in held
        )
    ]


def plain(text: str) -> str:
    """Lower case words without punctuation and leading articles."""
    words = [word.strip(".") for word in _NOT_WORD.sub(" ", text.lower()).split()]
    words = [word for word in words if word]
    return " ".join(words[1:] if len(words) > 1 and words[0] in ("a", "an", "the") else words)


def _gold(gold: str, options: dict[str, str]) -> str:
    letter = gold.strip().strip("().").upper()
    if len(letter) == 1:
        return letter
    match = [key for key, text in options.items() if plain(text) == plain(gold)]
    return match[0] if len(match) == 1 else gold.strip()


def _verdict(letter: str, wanted: str, flags: list[str]) -> Verdict:
    correct = letter == wanted
    relation = "is" if correct else "is not"
    return Verdict(
        correct=correct,
        extracted=letter,
        reason=f"the choice {letter} {relation} the gold {wanted}",
        flags=tuple(flags),
    )


def _published_candidate(text: str, question: str | None) -> str | None:
    letters = "".join(options_of(question)) if question else ""
    match = re.search(f"[{letters or DEFAULT}]", text)
    return match[0] if match else None


def _common_form(answer: str) -> str:
    return casefolded(answer).strip("().")


def _chance(questions: Sequence[tuple[str, str]]) -> float:
    """One of the question's own options; a question without options is never hit."""
    if not questions:
        return 0.0
    counts = [len(options_of(question)) for question, _ in questions]
    return sum(1 / count for count in counts if count) / len(questions)


def bad_gold(gold: str, question: str | None) -> str:
    """Why a gold answer cannot be read; empty if it can."""
    options = options_of(question) if question else {}
    letters = tuple(options) or tuple(DEFAULT)
    return "" if _gold(gold, options) in letters else f"not one of the options {', '.join(letters)}"


FORMAT = Format(
    name="choice",
    documentation=(
        "One of the question's options, named by its letter or its text. Naming several options is wrong, and so is a "
        "letter next to the text of another option."
    ),
    judge=judge,
    bad_gold=bad_gold,
    phrases=Phrases(
        direct="Among A through {last}, the answer is",
        after_rationale="Therefore, among A through {last}, the answer is",
        described="the letter of one choice",
    ),
    phrases_without_options=Phrases(
        direct="The answer is",
        after_rationale="Therefore, the answer is",
        described="the letter of one choice",
    ),
    paper=PaperRules(candidate=_published_candidate, same=str.__eq__),
    common_form=_common_form,
    chance=_chance,
)
