"""The format `choice`: one of the options, named by its letter or by its text.

Several letters ("A, B, C or D") are a hedge and wrong, whatever the gold answer is. A letter next to the text of another
option contradicts itself and is wrong too. "(B) is not …" rules B out. "A" at the beginning of a sentence is an article
unless something shows that it is a letter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

from engine.grading.format import Format, Phrases, casefolded
from engine.grading.notation import plain
from engine.grading.options import options_of
from engine.grading.paper import PaperRules
from engine.grading.prose import affirmed, reason_pattern, terse
from engine.grading.reading import spans
from engine.grading.verdict import Verdict, unanswered

DEFAULT = "ABCDE"
_BARE = re.compile(r"\s*\(?([A-Z])\)?\s*\.?\s*")
_NAMED = re.compile(
    r"\W{0,6}(?:(?:the )?(?:letter|option|choice|number|answer)\s)?[\"'(\[{]{0,3}([A-Za-z]|\d{1,2})(?![\w'&]|-\w)[\"')\]}]{0,3}",
    re.IGNORECASE,
)
"""A name at the beginning of an answer."""
_LETTER = re.compile(
    r"\(([A-Za-z])\)"  # (B)
    r"|(?<![\w'&.-])(?<!among )(?<!between )(?<!than )([A-Z])(?=[.,:;)\]\"'*]|\s*$|\s*[-/&(]"  # B. or B, or B/
    r"|\s+(?:or|and|is|was|because|since|as|-|seems?|looks?|fits?|stays|remains|holds|works)\b)"  # B and
    r"|(?<![\w'])(?:option|choice|answer|is)\s+[\"'*(]{0,3}([A-Z])(?![\w'])"  # option B
    r"|(?<![\w'])(?:option|choice)\s+[\"'*(]{0,3}([b-z])(?![\w'])"  # option b
    r"|^\W{0,6}([A-Za-z])(?=[).:]|\W*$)"  # b) or b.
    r"|(?:\b(?:or|and)|[/&])\s?(?:maybe |perhaps |possibly |also |even )?\(?([A-Z])(?![\w'])(?!\s[a-z])"  # or C
)
_NUMBER = re.compile(
    r"\((\d{1,2})\)|(?:^\W{0,6}|\b(?:option|choice|number)\s)(\d{1,2})(?![\w%])|(?:\b(?:or|and)|[/&,])\s?(\d{1,2})(?!\w)",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"(?<![^\W_])[A-Z](?![^\W_]|')|\([A-Za-z\d]{1,2}\)|\b(?:[Oo]ption|[Cc]hoice)\s|^\W{0,6}(?:[a-z]|\d{1,2})(?=[).:]|\W*$)|[\uff21-\uff3a]"
)
"""A letter or number by itself: a quick look at whether a sentence may name an option."""
_DENIED = re.compile(
    r"\W{0,4}\(?[A-Z]\)\s[^.;\n]{0,120}?\b(?:is|are|was|does|do|can|would|could)(?:\s?not\b|n't\b)(?!\s(?:only|just))"
)
_REASON = reason_pattern("so|for|which|where|when|while", r";\s", r"\s-\s", r"\s{0,2}\((?=.{6,})")
"""Begins a reason, where an option was named before it."""
_ENDS = re.compile(_REASON.pattern + r"|\s?[^\W\da-zA-Z\u00c0-\u024f]", re.IGNORECASE)
"""What may follow a name that is an answer: a reason, or a particle of another script."""
_ANOTHER = re.compile(
    r"[\s\"')\]*]{0,3}(?:,|/|&|-|\bor\b|\band\b)[\s,]{0,2}(?:or |and )?(?:maybe |perhaps |possibly |also |even )?(?:option )?\(?([A-Z]|\d{1,2})(?![\w'])",
    re.IGNORECASE,
)
_RIGHT = re.compile(
    r"(?<![\w'])\(?([A-Za-z]|\d{1,2})\)?\s(?:is|must be|would be|has to be)\s(?:the\s|my\s)?(?:right|correct|best)\b",
    re.IGNORECASE,
)
"""Says that an option is right."""
_REMAINS = re.compile(
    r"(?i:\b(?:only|leaves(?: us)?(?: with)?|left with|must be|has to be|remains?(?: is)?)\s(?:option |choice )?)"
    r"(?:\(([A-Za-z]|\d{1,2})\)|([A-Z]|\d{1,2})(?![\w']))"
)
"""Says that an option is left; a small letter only in brackets: "must be a bank"."""
_COMMENT = re.compile(r"\A\s?\([^()]{1,80}\)")
_BULLET = re.compile(r"(?m)^[ \t]*[-*•][ \t]+(.{1,120}?)[ \t]*$")
_TURN = re.compile(r"\A\s*(?:Q:.{0,400}\n)?\s*A:\s(?=\W{0,3}[A-Z]\b\W{0,3}\s*\Z)", re.DOTALL)
""""A:" before a single letter is the mark of an answer."""
_NOT_WORD = re.compile(r"[^\w.%/]+")


def judge(completion: str, gold: str, question: str | None) -> Verdict:
    """Whether the option a completion names is the gold one."""
    options = options_of(question) if question else {}
    if not options and len(gold.strip().strip("().")) > 1:
        options = _unnamed(gold, question or "")
    names = list(options) or list(DEFAULT)
    wanted = _gold(gold, options)
    bare = _BARE.fullmatch(completion[:12]) if len(completion) <= 12 else None
    if bare and bare[1] in names:
        return _verdict(bare[1], wanted, [])
    if len(completion) <= 500:
        completion = _TURN.sub("", completion)
    texts = {name: flat for name, text in options.items() if (flat := flattened(text))}
    for span in spans(completion, partial(_begins, options=options, names=names)):
        if not span.marked and not _NAME.search(span.text) and not _by_text(span.text, texts):
            continue
        text, flags = plain(span.text), [] if span.marked else ["unmarked"]
        bare = _BARE.fullmatch(text) if span.marked and len(span.line) <= len(span.text) else None
        if bare and bare[1] in names:
            return _verdict(bare[1], wanted, flags)
        if not span.formal and not span.before and _DENIED.match(text):
            continue
        text = affirmed(text)
        if span.marked:
            named = _at_start(text, names, options)
            if named is not None:
                if len(named) == 1 and (other := _beside(named[0], text, plain(span.line), texts)):
                    return _conflict(named[0], other)
                return _hedged(named) if len(named) > 1 else _consistent(named[0], text, texts, wanted, flags)
        for says in (_RIGHT, _REMAINS):
            right = {
                name
                for match in says.finditer(text)
                if (name := _option(match[match.lastindex or 1], names)) is not None
            }
            if len(right) == 1:
                return _verdict(right.pop(), wanted, flags)
        reason = _REASON.search(text, _begin(text))
        heads = [text[: reason.start()], text] if reason else [text]
        for head in heads:
            whole = [name for name, own in texts.items() if own == flattened(head)]
            if len(whole) == 1:
                return _verdict(whole[0], wanted, [*flags, "by-text"])
        if not span.marked:
            heads = [text]
        for head in heads:
            verdict = _read(head, options, texts, wanted, flags, marked=span.marked)
            if verdict is not None:
                return verdict
        if (
            span.marked
            and (unknown := _NAMED.match(text))
            and unknown[1].isupper()
            and not text[unknown.end() :].strip(" .!")
        ):
            return unanswered(f"{unknown[1]} is no option", "no-answer")
    return unanswered("no choice was found", "no-answer")


def _begins(sentence: str, options: dict[str, str], names: list[str]) -> bool:
    """Whether a first sentence is an answer: it has few words, or begins with an option."""
    return terse(sentence) or _at_start(plain(sentence), names, options) is not None


def _unnamed(gold: str, question: str) -> dict[str, str]:
    """The options of a list without names, each under its own text; none if the gold answer is not among them."""
    listed = {match[1]: match[1] for match in _BULLET.finditer(question[-2000:])}
    return listed if any(flattened(each) == flattened(gold) for each in listed) else {}


def _beside(name: str, text: str, line: str, texts: dict[str, str]) -> str | None:
    """The option whose whole text stands behind the name of another one in a line: "C. 10"."""
    rest = flattened(line[len(text) :]) if line.startswith(text) else ""
    return next((other for other, own in texts.items() if rest and rest == own and other != name), None)


def _conflict(name: str, other: str) -> Verdict:
    reason = f"the letter {name} is given with the text of {other}"
    return Verdict(correct=False, extracted=name, reason=reason, flags=("conflict",))


def _read(
    text: str, options: dict[str, str], texts: dict[str, str], wanted: str, flags: list[str], *, marked: bool
) -> Verdict | None:
    """The verdict on the options that a text names anywhere; None if it names none."""
    names = list(options) or list(DEFAULT)
    named = _names(text, names)
    if not marked and len(set(named)) != 1 and not _is_answer(text, named):
        named = []
    if len(set(named)) > 1:
        if _starts_with(text, named[0], texts):  # whose text may name others
            named = _at_start(text, names, options) or named
        return _hedged(named) if len(set(named)) > 1 else _verdict(named[0], wanted, flags)
    spoken = _by_text(text, texts)
    if named:
        if len(spoken) == 1 and spoken[0] != named[0]:
            return _conflict(named[0], spoken[0])
        return _verdict(named[0], wanted, flags)
    if len(spoken) == 1:
        return _verdict(spoken[0], wanted, [*flags, "by-text"])
    return _hedged(spoken) if len(spoken) > 1 and marked else None


def _at_start(text: str, names: list[str], options: dict[str, str]) -> list[str] | None:
    """The option with whose name an answer begins, with others that it names beside it; None if it begins otherwise."""
    match = _NAMED.match(text)
    if match is None:
        return None
    name = _option(match[1], names)
    if name is None:
        return None
    after = text[match.end() :]
    own = options.get(name, "")
    ours = flattened(own) and f" {flattened(after)} ".startswith(f" {flattened(own)} ")
    if ours:  # its text may name others
        place = after.lower().find(own.lower())
        after = after[place + len(own) :] if place >= 0 else ""
    if other := _ANOTHER.match(_COMMENT.sub("", after, count=1)):
        further = _option(other[1], names)
        if (
            further is not None
            and further != name
            and (other[1].isupper() or match[1].islower() or other[1].isdigit())
        ):
            return [name, further]
    if ours:
        return [name]
    bracketed = match[0][-1:] in ")]}\"'" or match[0].rstrip()[-1:] in ")]}"
    ends = not after.strip() or after[:1] in ".,:;!*)" or _ENDS.match(after) is not None
    if not bracketed and not ends:
        return None  # "A kettle", "I believe", "5 cats"
    if match[1].isdigit() and after[:1] in "." and after[1:2].isdigit():
        return None
    return [name]


def _consistent(name: str, text: str, texts: dict[str, str], wanted: str, flags: list[str]) -> Verdict:
    """The verdict on an option that an answer begins with; the text of another one beside it contradicts."""
    if not _starts_with(text, name, texts):
        reason = _REASON.search(text, _begin(text))
        spoken = _by_text(text[: reason.start()] if reason else text, texts)
        if len(spoken) == 1 and spoken[0] != name:
            return _conflict(name, spoken[0])
    return _verdict(name, wanted, flags)


def _starts_with(text: str, name: str, texts: dict[str, str]) -> bool:
    """Whether a text begins with an option's name and its own text."""
    match = _NAMED.match(text)
    own = texts.get(name)
    return (
        match is not None
        and own is not None
        and match[1].upper() == name.upper()
        and f" {flattened(text[match.end() :])} ".startswith(f" {own} ")
    )


def _begin(text: str) -> int:
    """Where a text goes on behind the name it begins with."""
    match = _NAMED.match(text)
    return match.end() if match else 1


def _option(written: str, names: list[str]) -> str | None:
    """The option of a name as it was written; None if there is none."""
    if written in names:
        return written
    other = written.swapcase()
    return other if other in names else None


def _names(text: str, names: list[str]) -> list[str]:
    """The options that a text names, in order."""
    if len(names[0]) > 2:
        return []
    pattern = _NUMBER if names[0].isdigit() else _LETTER
    found = []
    for match in pattern.finditer(text):
        written = next(group for group in match.groups() if group)
        name = _option(written, names)
        if name is not None:
            found.append(name)
    return found


def _is_answer(span: str, named: list[str]) -> bool:
    """Whether an unmarked span that names several letters is an answer rather than a comparison."""
    return len(span.split()) <= 3 * len(named) + 4


def _by_text(span: str, texts: dict[str, str]) -> list[str]:
    """Letters of the options whose text a span contains; a text within another contained text does not count."""
    flat = f" {flattened(span)} "
    held = [letter for letter, text in texts.items() if f" {text} " in flat]
    if len(held) < 2:
        return held
    return [
        letter
        for letter in held
        if not any(
            other != letter and f" {texts[letter]} " in f" {texts[other]} " and texts[other] != texts[letter]
            for other in held
        )
    ]


def flattened(text: str) -> str:
    """Lower case words without punctuation and leading articles."""
    words = [word.strip(".") for word in _NOT_WORD.sub(" ", text.lower()).split()]
    words = [word for word in words if word]
    return " ".join(words[1:] if len(words) > 1 and words[0] in ("a", "an", "the") else words)


def _gold(gold: str, options: dict[str, str]) -> str:
    name = gold.strip().strip("().")
    if len(name) == 1 or name.isdigit():
        known = _option(name, list(options))
        if known is not None:
            return known
        if len(name) == 1 and not name.isdigit():
            return name.upper()
    match = [key for key, text in options.items() if flattened(text) == flattened(gold)]
    return match[0] if len(match) == 1 else gold.strip()


def _hedged(named: list[str]) -> Verdict:
    listed = ", ".join(dict.fromkeys(named))
    return unanswered(f"several choices are named: {listed}", "hedged")


def _verdict(letter: str, wanted: str, flags: list[str]) -> Verdict:
    correct = letter == wanted
    relation = "is" if correct else "is not"
    return Verdict(
        correct=correct,
        extracted=letter,
        reason=f"the choice {letter} {relation} the gold {wanted}",
        flags=tuple(flags),
    )


def _published_candidates(text: str, question: str | None) -> list[str]:
    letters = "".join(options_of(question)) if question else ""
    if not letters.isupper():  # published for capital letters only
        letters = ""
    return re.findall(f"[{letters or DEFAULT}]", text)


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
    if not options and len(gold.strip().strip("().")) > 1:
        options = _unnamed(gold, question or "")
    letters = tuple(options) or tuple(DEFAULT)
    return "" if _gold(gold, options) in letters else f"not one of the options {', '.join(letters)}"


FORMAT = Format(
    name="choice",
    documentation=(
        "One of the question's options, named by its letter or number, in either case, or by its text. Options are read from the "
        "question: (A), A), A. or A:, also with small letters or numbers; without names, from the items of a list. Naming "
        "several options is wrong, and so is a letter next to the text of another option."
    ),
    judge=judge,
    stand_in="A",
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
    paper=PaperRules(candidates=_published_candidates, same=str.__eq__),
    common_form=_common_form,
    chance=_chance,
)
