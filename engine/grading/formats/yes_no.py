"""The format `yes_no`: yes or no, also as true or false, correct or incorrect, and in other languages.

A span that begins with the word is decided by it ("No, a spider would …"); any other must contain one of the two and
not the other. "Yes and no", "yes or no" and "it depends" decide nothing. "No" before a noun ("has no wings", "no one", "no
doubt") is not an answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.grading.format import Format, Phrases
from engine.grading.notation import plain
from engine.grading.paper import PaperRules
from engine.grading.prose import sentences
from engine.grading.reading import spans
from engine.grading.verdict import Verdict, unanswered

_YES = ("yes yeah yep yup true affirmative correct oui sí sì sim ja evet tak да так верно igen kyllä có đúng "
        "हाँ हां نعم بله כן ใช่ はい 正しい 是的 是 对 對 正确 正確 네 예 맞습니다").split()  # fmt: skip
_NO = ("no nope nah false negative incorrect untrue non nein não nee hayır nie нет ні неверно nem ei không sai "
       "नहीं لا خیر לא ไม่ いいえ 不是 不 否 不对 不對 错 錯误 错误 아니요 아니오 아닙니다").split()  # fmt: skip
_VALUE = {**dict.fromkeys(_YES, "yes"), **dict.fromkeys(_NO, "no")}
_LATIN = "|".join(sorted((word for word in _VALUE if word[0] < "\u2e80"), key=len, reverse=True))
_OTHER = "|".join(sorted((word for word in _VALUE if word[0] >= "\u2e80"), key=len, reverse=True))
_WORD = re.compile(
    rf"(?<![\w'-])({_LATIN})(?![\w'-])(?!\.\s?\d)|(?<![^\W\da-z])({_OTHER})(?=[^\w]|$|です|입니다|である)",
    re.IGNORECASE,
)
_BARE = re.compile(r"[\s:\"'*(]*(yes|no)[\s.!\"'*)]*", re.IGNORECASE)
_LETTER = re.compile(r"\W{0,4}([yn10])\W{0,4}", re.IGNORECASE)
_LEAD = re.compile(
    r"\W{0,8}(?:(?:so|then|therefore|thus|hence|most likely|probably|likely|well|because of this|it is|that is|that's|it's)\W{1,3}){0,2}$",
    re.IGNORECASE,
)
_BOTH = re.compile(
    r"\b(?:yes|true)\W{0,3}(?:and|or|/)\W{0,3}(?:no|false)\b|\b(?:no|false)\W{0,3}(?:and|or|/)\W{0,3}(?:yes|true)\b",
    re.IGNORECASE,
)
_UNDECIDED = re.compile(
    r"\b(?:it depends|depends on|dependent (?:up)?on|not (?:definitive|known|clear|certain|possible to (?:say|tell|know))|unknown|unclear|inconclusive"
    r"|undetermined|(?:cannot|can't|could not) be (?:determined|known|answered))\b",
    re.IGNORECASE,
)
_ASKED = re.compile(r"\(?\byes or no\b\s?(?:\?|[):]{1,2}\s*(?=\S))|\(yes/no\):?", re.IGNORECASE)
"""The question, restated before the answer."""
_IDIOM = re.compile(
    r"\bno (?:doubt|one|matter|longer|problem|wonder|way to|idea|more than|less than|fewer than|change|effect|such)\b"
    r"|\bcorrect (?:answer|option|choice|statement)\b|\btrue (?:that|or false)\b",
    re.IGNORECASE,
)
_PHRASES = (
    (re.compile(r"\b(?:of course not|certainly not|absolutely not|definitely not|I don't think so|not at all|by no means)\b", re.IGNORECASE), "no"),
    (re.compile(r"\W{0,3}(?:of course|certainly|absolutely|definitely|indeed)\b", re.IGNORECASE), "yes"),
)  # fmt: skip
_NOT = re.compile(r"(?:\bnot|n't)(?: (?:be|entirely|quite|actually|really|strictly))?\s{1,3}$", re.IGNORECASE)
_DENIED = re.compile(
    r"\b(?:not (?:the case|true|correct)|false|wrong|incorrect)\s(?:that|to say)\b", re.IGNORECASE
)
_PUNCTUATION = re.compile(r"\"|'|\n|\.|\s|:|,")
_WORDS = re.compile(r"[^\W\d_]+")
_CUES = frozenset(
    "course certainly absolutely definitely indeed don depends dependent definitive known clear certain possible unknown unclear "
    "inconclusive undetermined determined answered y n".split()
)
"""Words of phrases that say yes, no, or nothing."""
_NOUN = frozenset({"no", "true", "false", "correct", "incorrect", "negative"})
"""Words that are an answer only where no noun follows."""
_GOLD = {
    "yes": "yes", "true": "yes", "yeah": "yes", "yep": "yes", "1": "yes", "y": "yes", "correct": "yes",
    "no": "no", "false": "no", "nope": "no", "nah": "no", "0": "no", "n": "no", "incorrect": "no",
}  # fmt: skip


def judge(completion: str, gold: str, question: str | None) -> Verdict:
    """Whether a completion says yes or no as the gold does."""
    wanted = _wanted(gold)
    if wanted is None:
        return unanswered(f"the gold answer {gold[:40]!r} is neither yes nor no", "bad-gold")
    bare = _BARE.fullmatch(completion[:20]) if len(completion) <= 20 else None
    if bare:
        return _verdict(bare[1].lower(), wanted, [])
    for span in spans(completion, _begins):
        if not span.marked and not _may_say(span.text):
            continue
        text = _IDIOM.sub("", _ASKED.sub("", plain(span.text)))
        if _BOTH.search(text):
            return _hedged()
        flags = [] if span.marked else ["unmarked"]
        letter = _LETTER.fullmatch(text)
        if letter and (span.formal or not letter[1].isdigit()):
            return _verdict(_GOLD[letter[1].lower()], wanted, flags)
        answer = _answer(text)
        if answer is None and _UNDECIDED.search(text):
            return unanswered("it says that nothing is decided", "hedged")
        if answer == "both":
            return _hedged()
        if answer is not None:
            if span.before and _DENIED.search((sentences(span.before + "x") or [""])[-1]):
                answer = "no" if answer == "yes" else "yes"
            return _verdict(answer, wanted, flags)
    return unanswered("neither yes nor no was found", "no-answer")


def _may_say(text: str) -> bool:
    """Whether a sentence holds any of the words, or says that nothing is decided: a quick look."""
    words = _WORDS.findall(text.lower())
    return (
        not _VALUE.keys().isdisjoint(words)
        or not _CUES.isdisjoint(words)
        or (not text.isascii() and _WORD.search(text) is not None)
    )


def _answer(text: str) -> str | None:
    """What a span says: yes, no, or both; None if it says neither."""
    for phrase, value in _PHRASES:
        if phrase.search(text) if value == "no" else phrase.match(text):
            return value
    found = list(_WORD.finditer(text))
    if not found:
        return None
    if _LEAD.fullmatch(text[: found[0].start()][-60:]) and _alone(text, found[0]):
        return _value(text, found[0])
    speaking = [match for match in found if _speaks(text, match)]
    said = {_value(text, match) for match in speaking}
    if len(said) == 1:
        return said.pop()
    return "both" if said else None


def _value(text: str, match: re.Match[str]) -> str:
    """What a word says, turned round by a "not" before it."""
    value = _VALUE[(match[1] or match[2]).lower()]
    if _NOT.search(text[: match.start()][-24:]):
        return "no" if value == "yes" else "yes"
    return value


def _wanted(gold: str) -> str | None:
    """What a gold answer says; None if it is not one of the words."""
    known = _GOLD.get(gold.strip().strip(".").lower())
    if known is not None:
        return known
    match = _WORD.fullmatch(plain(gold).strip(" ."))
    return _VALUE[(match[1] or match[2]).lower()] if match else None


def _hedged() -> Verdict:
    return unanswered("both yes and no are given", "hedged")


def _begins(span: str) -> bool:
    """Whether a first sentence is an answer: it begins with one of the words."""
    text = plain(span)
    match = _WORD.search(text[:80])
    if match is None:
        return len(text.split()) <= 4
    return _LEAD.fullmatch(text[: match.start()]) is not None and _alone(text, match)


def _alone(text: str, match: re.Match[str]) -> bool:
    """Whether a leading word is an answer by itself: "No, …", "No." and "No a heron …", but not "Correct answers …"."""
    word = (match[1] or match[2]).lower()
    return word in ("yes", "no") or _speaks(text, match)


def _speaks(text: str, match: re.Match[str]) -> bool:
    """Whether a word within a sentence is an answer; "no" before a noun ("has no wings") is not."""
    if (match[1] or match[2]).lower() not in _NOUN:
        return True
    after = text[match.end() :].lstrip("\"'*)")
    return not after or not after.lstrip()[:1].isalnum() or not after[:1].isspace()


def _verdict(said: str, wanted: str, flags: list[str]) -> Verdict:
    correct = said == wanted
    return Verdict(
        correct=correct,
        extracted=said,
        reason=f"the answer {said} {'is' if correct else 'is not'} the gold {wanted}",
        flags=tuple(flags),
    )


def _published_candidates(text: str, question: str | None) -> list[str]:
    words = _PUNCTUATION.sub(" ", text.lower()).split(" ")
    return [word for word in words if word in ("yes", "no")]


def _chance(questions: Sequence[tuple[str, str]]) -> float:
    """One of two."""
    return 0.5


def bad_gold(gold: str, question: str | None) -> str:
    """Why a gold answer cannot be read; empty if it can."""
    return "" if _wanted(gold) else "neither yes nor no"


FORMAT = Format(
    name="yes_no",
    documentation=(
        "Yes or no, in many languages; true and correct mean yes, false and incorrect no. An answer that gives both, or says "
        '"it depends", is wrong; "no" before a noun ("has no wings") is not an answer.'
    ),
    judge=judge,
    stand_in="yes",
    bad_gold=bad_gold,
    phrases=Phrases(
        direct="The answer (Yes or No) is",
        after_rationale="Therefore, the answer (Yes or No) is",
        described="yes or no",
    ),
    paper=PaperRules(candidates=_published_candidates, same=lambda answer, gold: answer == gold.lower()),
    chance=_chance,
    truth_values=("yes", "no"),
)
