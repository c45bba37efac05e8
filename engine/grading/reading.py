r"""Where an answer is in a completion: what is not the answer, marks, sentences.

Not the answer: a think block, also one that never closes; what follows the heading of another question, or another turn of
a conversation. In the rest a mark is looked for first, from the end: "Answer: X", "the answer is X" (in many languages),
`\boxed{X}`, `<answer>X</answer>`, `"answer": X`, the student's `--> X` and GSM8K's `#### X`. A mark binds to the sentence behind
it. If that contains nothing of the format, the mark before it counts; a mark at the end of the text whose words are no answer
("Answer: unknown") ends the search. What is corrected afterwards ("Wait, no: …") does not count.

Without a mark, a short text that begins with a few words is an answer and is read from its beginning ("18. I hope this
helps!"). Any other is reasoning: a first line that is an answer counts, then what is bold, then the sentences from the end, in
all of them without the remarks behind the answer. At most `TAIL` characters before the end are read, and patterns have bounded
repeats, so time is linear. Nothing is cleaned here except Markdown's emphasis.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from engine.grading.marks import LONGEST, NEAR, Mark, boxes, marks
from engine.grading.prose import SENTENCE, TERSE, sentences, terse, unemphasised

TAIL = 8000
"""Characters that are read, from the end: an answer is at the end."""
FIRST = 300
"""Characters from the end that are cut into sentences at first."""
SHORT = 200
"""Characters of a text whose first sentence may be the answer."""
MARKS = 3
"""Marks that are tried, from the last one."""
BEFORE = 60
"""Characters before a mark that are kept with its span."""
SENTENCES = 24
"""Sentences without a mark that are tried, from the end."""


class Span(NamedTuple):
    """A place where an answer may be."""

    text: str
    """One sentence or line, without Markdown's emphasis."""
    marked: bool
    """Whether it is behind a mark, or in the place of an answer."""
    formal: bool = False
    """Whether the mark is a line, a box or a tag, rather than words of a sentence."""
    comma: bool = False
    """Whether the mark is of a language that writes 3,5 for 3.5."""
    line: str = ""
    """The whole line behind the mark, of which `text` is the first sentence."""
    before: str = ""
    """What stands before the mark, up to `BEFORE` characters."""


_THINK_ENDS = ("</thinking>", "</reasoning>", "</thought>", "[/THINK]", "\u25c1/think\u25b7", "<|end_of_thought|>",
               "<|channel|>final<|message|>")  # fmt: skip
_THINK_STARTS = ("<think>", "<thinking>", "<reasoning>", "<thought>", "[THINK]", "\u25c1think\u25b7", "<|begin_of_thought|>",
                 "<|channel|>analysis<|message|>")  # fmt: skip
_FAR = 20_000
"""Characters from the end in which the rarer ends of think blocks and turns are looked for."""
_HEADING = re.compile(
    r"\n[ \t>#*_]{0,8}(?:(?:Q|Question|Problem|Exercise|Frage|Pregunta|Pergunta|Domanda|Вопрос|问题|問題|質問|질문|प्रश्न|السؤال)"
    r"[ \t]{0,2}(?:#?\d{1,4})?|User|Human|Instruction)(?:[*_]{0,3}[ \t]{0,2}[:：]|(?<=[a-z\d])[*_]{0,3}[ \t]{0,4}\n)",
    re.IGNORECASE,
)
_TURNS = ("<|", "</s>", "[INST]", "<end_of_turn>")
_TURN = re.compile(
    r"<\|(?:im_end|im_start|endoftext|eot_id|end|user|end_of_text|eom_id)\|>|</s>|\[INST\]|<end_of_turn>"
)

_ENUMERATOR = re.compile(
    r"^[ \t>]{0,8}(?:\(?(?P<number>\d{1,2})[.)](?=[ \t*]+\S|\s*$)|[-*+•](?=[ \t])|#{1,6}(?=[ \t])"
    r"|(?:step|schritt|étape|paso)[ \t]\d{1,2}[.:)])[ \t*]{0,4}",
    re.IGNORECASE,
)
"""The number or bullet of an item of a list, the sign of a heading."""
_CONTINUED = re.compile(r"[ \t]{0,8}\n[ \t\n]{0,8}(?==)")
_GOES_ON = re.compile(r"\n\s{0,10}(?==)")
"""The end of a line behind which its calculation goes on."""
_POLITE = re.compile(
    r"\W{0,4}(?:let me know|i hope|hope (?:this|that)|feel free|if you (?:have|need|want|would)\b.{0,80}?\b(?:questions?|help|like|details|explanations?|clarifications?)\b"
    r"|please (?:let|ask)|would you like|(?:i am|i'm) (?:happy|glad) to|happy to help|thanks?\b(?! to\b)|thank you|great question|good (?:luck|question)"
    r"|is there anything|do you have any|i (?:give|rate) (?:it|this|that|you)\b)",
    re.IGNORECASE,
)
"""How a remark begins that is no part of the answer."""
_OTHER_CASE = re.compile(
    r"(?:^|\W)(?:if|had)\s[^.!?\n]{0,80}?(?:(?:\bhad|'d)\s(?:[a-z]{1,12}\s){0,2}?[a-z]{1,12}(?:ed|ght|id|ne|en|wn)\b|\binstead\b)",
    re.IGNORECASE,
)
"""In a sentence about another case than the question's: "If you had asked about 97, …"."""
_REFUSED = re.compile(
    r"\W{0,4}(?:(?:i'?m|i am) (?:really |very )?sorry|i apologi[sz]e|sorry,|as an ai\b"
    r"|i (?:cannot|can't|am unable to|'m unable to) (?:help|assist|answer|provide))",
    re.IGNORECASE,
)
"""How a text begins that refuses to answer."""
_REMARKS = re.compile(
    r"(?:\n[ \t>#*_(-]{0,8}|(?<=[.!?)])\s{1,3}[*_(]{0,3})(?:(?:note|tip|hint|fun fact|p\.?s\.|verification|(?:quick |sanity )?check|probe|(?:quick )?recap|extension"
    r"|general formula)[*_]{0,3}[ \t]?(?:[:：\n]|[*_)])|as a (?:sanity )?check|to (?:verify|check)\b|(?:let'?s|we can) (?:verify|check)|you can (?:verify|check|confirm)"
    r"|let me know|i hope|hope (?:this|that)|feel free|would you like|do you want)",
    re.IGNORECASE,
)
"""Begins a remark behind the answer."""
_CONCLUDES = re.compile(
    r"(?:^|[.!?\n])[\s*_]{0,4}(?:so\b|therefore|thus|hence|in total|altogether|in all|in conclusion|consequently|finally)[\s,:]",
    re.IGNORECASE,
)
"""Begins a conclusion: what stands out before it is not the answer."""
_BOLD = re.compile(r"(?<![\w)])\*\*(?=[^\s*])([^*\n]{1,200}?)(?<=[^\s*])\*\*(?![\w(])")
"""What is bold; not what stands between Python's powers."""
_SECTION = re.compile(
    r"(?:step|part|case|method|option|approach|day|round|question)\s?\d"
    r"|(?:solution|explanation|reasoning|analysis|given|check|verification|note|tip|summary|recap|conclusion|(?:final )?answer)\W*$",
    re.IGNORECASE,
)
"""A heading, which may stand out or be bold as an answer is."""
_CORRECTED = re.compile(
    r"(?:^\s{0,4}|[.!?\n…—–-][\s*_\"')\]]{0,4})(?:oh,? |hmm,? |no,? )?"
    r"(?:wait\b|hmm\b|no[,:]|actually\b|correction\b|oops\b|sorry\b|scratch that|hold on|I made a mistake|I was wrong|that(?: is|'s) (?:not right|wrong|incorrect)|let me (?:re-?check|redo|re-?calculate|correct)|on second thought)",
    re.IGNORECASE,
)


def answering(completion: str) -> str:
    """A completion without think blocks, without what follows another question, and without further turns."""
    text = completion
    if "<" in text or "[" in text or "\u25c1" in text:
        text = _after_thinking(text)
        far = max(0, len(text) - _FAR)
        if any(text.rfind(turn, far) >= 0 for turn in _TURNS):
            turn = _TURN.search(text, far)
            if turn and text[: turn.start()].strip():
                text = text[: turn.start()]
    return _before_another_question(text)


def _after_thinking(text: str) -> str:
    """What follows the last think block; nothing after one that never closes."""
    at = text.rfind("</think>")
    end = at + len("</think>") if at >= 0 else -1
    far = max(0, len(text) - _FAR)
    for mark in _THINK_ENDS:
        at = text.rfind(mark, far)
        if at >= 0:
            end = max(end, at + len(mark))
    if end >= 0:
        text = text[end:]
    for mark in _THINK_STARTS:  # one that never closes
        at = text.rfind(mark, max(0, len(text) - _FAR))
        if at < 0 and len(text) > _FAR:
            at = text.find(mark, 0, 300)
        if at >= 0:
            text = text[:at]
    return text


def _before_another_question(text: str) -> str:
    """The text before the first heading of a question that follows something."""
    first, begin = len(text), -1
    at = text.rfind("\nQ")
    while at >= 0:
        if _HEADING.match(text, at):
            begin = _begin(text) if begin < 0 else begin
            if at > begin:
                first = at
        at = text.rfind("\nQ", 0, at)
    for heading in _HEADING.finditer(text, max(0, len(text) - _FAR)):
        begin = _begin(text) if begin < 0 else begin
        if heading.start() > begin:
            first = min(first, heading.start())
            break
    return text[:first]


def _begin(text: str) -> int:
    """Where a text begins, after white space."""
    return len(text) - len(text.lstrip())


def spans(completion: str, begins: Callable[[str], bool] = terse) -> Iterator[Span]:
    """Candidate spans in order of preference; a format takes the first in which it finds anything.

    Args:
        completion: the whole text of a model.
        begins: whether the first sentence of a short text is the answer.
    """
    text = answering(completion)[-TAIL:]
    tried = 0
    for mark in marks(text):
        span, after = _behind(text, mark)
        if not span.text or (span.text.endswith("?") and not span.formal):
            continue
        if not span.formal and "would" in text[mark.begin : mark.start] and _supposed(span.before):
            continue
        follows = text[after : after + 4 * LONGEST]
        if span.formal and _reasons(span.text, follows, begins):
            continue
        if follows and _CORRECTED.search(follows):
            yield from _unmarked(text[after:])
        yield span
        if span.formal and len(text) - mark.start <= 60:
            return
        tried += 1
        if tried == MARKS:
            break
    if len(text) <= SHORT and not _listed(text) and not _CORRECTED.search(text):
        continued = _CONTINUED.sub(" ", text)
        pieces = sentences(_bare(continued, continued))
        if pieces and begins(pieces[0]) and not _SECTION.match(pieces[0]):
            for place, piece in enumerate(pieces):
                yield Span(piece, place == 0, line=text.strip().partition("\n")[0] if place == 0 else "")
            return
    if _REFUSED.match(text):
        return
    text = _without_remarks(text)
    yield from _emphasised(text, begins)
    yield from _unmarked(text)


def _supposed(before: str) -> bool:
    """Whether the sentence before a mark is about another case: "If you had asked …, the answer would be"."""
    return _OTHER_CASE.search(sentences(before + "x")[-1]) is not None


def _without_remarks(text: str) -> str:
    """A text without the remarks at its end: a note, a check, an offer of help; not where a conclusion follows."""
    start = max(0, len(text) - 2 * NEAR)
    cut = next((match.start() for match in _REMARKS.finditer(text, start) if match.start() > 40), None)
    if cut is None or not text[:cut].strip() or _CONCLUDES.search(text, cut + 1):
        return text
    return text[:cut]


def _emphasised(text: str, begins: Callable[[str], bool]) -> Iterator[Span]:
    """What stands out in an answer without a mark: its first line, if that is an answer, and what is bold.

    Not where a conclusion follows, nor a heading, nor the bold beginning of an item of a list.
    """
    first, _, rest = text.strip().partition("\n")
    if rest and begins is not terse and len(first) <= 80 and not rest.lstrip(" ")[:1].isalnum():
        line = unemphasised(first).strip()
        if begins(line) and not _listed(text) and not _CONCLUDES.search(rest):
            yield Span(line, True, line=line)
    if "**" not in text:
        return
    found = list(_BOLD.finditer(text))
    for match in found[::-1][:MARKS]:
        content = match[1].strip()
        if content.endswith(":") or text[match.end() : match.end() + 1] == ":" or _SECTION.match(content):
            continue
        if _CONCLUDES.search(text, match.end()):
            break
        begin = text.rfind("\n", 0, match.start()) + 1
        bullet = _ENUMERATOR.match(text[begin : match.start()] + "x")
        if bullet is not None and begin + bullet.end() >= match.start():
            continue
        yield Span(content, True, line=content)


def _listed(text: str) -> bool:
    """Whether a text begins with an item of a list: its end counts."""
    text = text.strip(" \t\r\n:")
    return "\n" in text and _ENUMERATOR.match(text) is not None


def _bare(text: str, whole: str) -> str:
    """A part of a text without emphasis and without the numbers and bullets of the items of lists."""
    text = unemphasised(text)
    if "\n" not in text and text == whole:
        return text
    return "\n".join(_without_bullet(line, whole) for line in text.split("\n"))


def _without_bullet(line: str, whole: str) -> str:
    """A line without the number or bullet of an item; a number is one only where the one before or after it is."""
    match = _ENUMERATOR.match(line)
    if match is None:
        return line
    number = match["number"]
    if number is not None and not _numbered(int(number) - 1, whole) and not _numbered(int(number) + 1, whole):
        return line
    return line[match.end() :]


def _numbered(number: int, text: str) -> bool:
    """Whether a line of a text begins with a number and a dot or bracket."""
    return any(f"\n{number}{end}" in text or text.startswith(f"{number}{end}") for end in ".)")


def _unmarked(text: str) -> Iterator[Span]:
    """The sentences of a text, from its end; those about another case come last."""
    left, end, size = SENTENCES, len(text), FIRST
    others: list[str] = []
    while end > 0 and left > 0:
        start = max(0, end - size)
        if start:  # from the beginning of a sentence
            stop = SENTENCE.search(text, start, end - 1)
            if stop is not None and stop.end() < end:
                start = stop.end()
            elif size < NEAR:
                size *= 2
                continue
        pieces = sentences(_bare(text[start:end], text))
        left -= not pieces
        for piece in reversed(pieces):
            if _OTHER_CASE.match(piece):
                others.append(piece)
                continue
            if "words)" in piece or _POLITE.match(piece):  # "The answer (in words) is …" repeats the digits
                continue
            yield Span(piece[-NEAR:], False)
            left -= 1
            if not left:
                return
        end, size = start, min(NEAR, 2 * size)
    yield from (Span(piece[-NEAR:], False) for piece in others[:SENTENCES])


def _reasons(sentence: str, follows: str, begins: Callable[[str], bool]) -> bool:
    """Whether "Answer:" is the heading of a rationale rather than a mark: a long first sentence, and two more behind it."""
    words = len(sentence.split())
    return words > TERSE + 3 and not begins(sentence) and len(sentences(follows)) >= 2


def _behind(text: str, mark: Mark) -> tuple[Span, int]:
    """The span behind a mark, and where the text after it begins."""
    start, end = mark.start, mark.end
    if text[start - 1] == "{":
        return Span(boxes(text, mark), True, True), end + 1
    while start < end and text[start] in " \t*_:：=\u00a0":
        start += 1
    if start < end and text[start] in "\n\r":
        while start < end and text[start].isspace():
            start += 1
    stop = _line_end(text, start, end)
    line = text[start:stop]
    if line[:3] == "```" or (line[:2] in ("$$", "\\[") and len(line.strip()) <= 3):  # opens the next line
        start = stop + 1
        stop = _line_end(text, start, end)
        line = text[start:stop]
    while stop < end and (goes_on := _GOES_ON.match(text, stop)):
        stop = _line_end(text, goes_on.end(), end)
        line = " ".join(text[start:stop].split())
    line = line.partition("</")[0]
    found = sentences(line)
    first = found[0] if found else ""
    after = start + max(0, text[start:stop].find(first)) + len(first) if first else stop
    answer, whole = unemphasised(first).strip(), unemphasised(line).strip()
    before = text[max(0, mark.begin - BEFORE) : mark.begin]
    return Span(answer, True, mark.formal, mark.comma, whole, before), after


def _line_end(text: str, start: int, end: int) -> int:
    """Where the line of a place ends, at the latest at `end`."""
    stop = text.find("\n", start, end)
    return end if stop < 0 else stop
