r"""Where an answer is in a completion: what is not the answer, marks, sentences.

Not the answer: a think block, also one that never closes; what follows the heading of another question, or another turn of
a conversation. In the rest a mark is looked for first, from the end: "Answer: X", "the answer is X" (in many languages),
`\boxed{X}`, `<answer>X</answer>`, `"answer": X`, the student's `--> X` and GSM8K's `#### X`. A mark binds to the sentence behind
it. If that contains nothing of the format, the mark before it counts; a mark at the end of the text whose words are no answer
("Answer: unknown") ends the search. What is corrected afterwards ("Wait, no: …") does not count.

Without a mark, a short text that begins with a few words is an answer and is read from its beginning ("18. I hope this
helps!"); any other is reasoning and is read from its end. At most `TAIL` characters before the end are read, and all patterns
have bounded repeats, so time is linear. Nothing is cleaned here except Markdown's emphasis.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

TAIL = 8000
"""Characters that are read, from the end: an answer is at the end."""
NEAR = 1500
"""Characters from the end in which all marks are looked for; in the rest of the tail only the usual ones are."""
SHORT = 200
TERSE = 4
"""Words in the first sentence of a short text (at most `SHORT` characters) that may be its answer."""
MARKS = 3
"""Marks that are tried, from the last one."""
LONGEST = 400
"""Characters of an answer behind a mark."""
BEFORE = 60
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
_TURN = re.compile(r"<\|(?:im_end|im_start|endoftext|eot_id|end|user|end_of_text|eom_id)\|>|</s>|\[INST\]|<end_of_turn>")

_STRUCK = re.compile(r"~~[^~\n]{1,200}~~")
TAG = re.compile(r"</?(?:b|i|u|em|strong|mark|code|p|br|span|div|h\d)(?:\s[^<>]{0,60})?/?>", re.IGNORECASE)
"""Tags of HTML that only change how a text looks."""
_EMPHASIS = re.compile(r"(?<![\w)])(?<![\w)]\s)\*{1,3}(?=\S)|(?<=\S)\*{1,3}(?![\w(*])(?!\s[\d(-])|\*\*(?=\s*$)|(?<![A-Za-z0-9])_{2,3}(?=\S)|(?<=\S)_{2,3}(?![A-Za-z0-9])|`{1,3}")
_SENTENCE = re.compile(
    r"(?<=[.!?])(?<!\b(?:Dr|Mr|Ms|St|vs|Jr|Sr)\.)(?<!\bMrs\.)[\"')\]]{0,2}[ \t]+(?!(?<=\bNo\. )\d)|(?<=[。！？])|\n+"
)
_ENUMERATOR = re.compile(r"^[ \t>]{0,8}(?:\(?\d{1,2}[.)](?=[ \t*]+\S)|[-*+•](?=[ \t])|#{1,6}(?=[ \t])|(?:step|schritt|étape|paso)[ \t]\d{1,2}[.:)])[ \t*]{0,4}", re.IGNORECASE)  # fmt: skip
_CONTINUED = re.compile(r"[ \t]{0,8}\n[ \t\n]{0,8}(?==)")
_BEGUN = re.compile(r"\s*\d{1,2}[.)]\s*")
_DENIED = re.compile(r"(?:(?:^|,?\s)(?:but |and )?not|(?<=[a-z])n't)\s(?:(?!\sbut\s)[^.,;\n]){1,60}", re.IGNORECASE)
_POLITE = re.compile(
    r"\W{0,4}(?:let me know|i hope|hope (?:this|that)|feel free|if you (?:have|need|want|would)|please (?:let|ask)|would you like|(?:i am|i'm) (?:happy|glad)"
    r"|happy to|thanks?\b|thank you|great question|good (?:luck|question)|is there anything|do you have|i (?:give|rate)\b)",
    re.IGNORECASE,
)
"""How a remark begins that is no part of the answer."""
BECAUSE = (
    r"(?:[,;]?\s(?:because|since|as|given|denn|weil|da|parce|car|puisque|porque|pois|perché|poiché|omdat|want|eftersom|fordi|ponieważ|gdyż|потому|так как"
    r"|поскольку|бо|çünkü|vì|karena|sebab|لأن|क्योंकि)\b|[,;、，；]?\s?(?:因为|因為|由于|由於|なぜなら|왜냐하면|เพราะ|כי\b))"
)
"""A pattern: begins a reason behind an answer, in many languages."""
_CORRECTED = re.compile(
    r"(?:^\s{0,4}|[.!?\n…—–-][\s*_\"')\]]{0,4})(?:oh,? |hmm,? |no,? )?(?:wait\b|hmm\b|no[,:]|actually\b|correction\b|oops\b|sorry\b|scratch that|hold on|I made a mistake"
    r"|I was wrong|that(?: is|'s) (?:not right|wrong|incorrect)|let me (?:re-?check|redo|re-?calculate|correct)|on second thought)",
    re.IGNORECASE,
)

_IS = (
    r"(?:is|was|are|would be|should be|must be|will be|has to be|can only be|could only be|comes (?:out )?to|becomes|equals|turns out to be)"
    r"(?!\s+not\b)(?:\s+(?:therefore|thus|then|hence|simply|just|clearly|still|now|also))?"
)
_ANSWER = re.compile(
    r"s?[\"'*_`)]{0,4}(?:\s?\([^()\n]{0,60}\))?"
    r"(?:(?P<tag>>)"
    r"|(?:\s(?:to|for|of|here|in)\b[^.:\n!?]{0,80}?)?(?:(?P<line>[*_]{0,3}\s{0,3}(?:[:：=]|->|→|⇒)+)|\s+" + _IS + r"(?![A-Za-z])[ \t]{0,4}(?P<colon>[:：])?)"
    r"|(?P<heading>[*_#\s\"]{0,6}\n))",
    re.IGNORECASE,
)
_CHOSEN = re.compile(r"s?[\"'*_]{0,3}\s{0,3}(?:(?P<line>[:：])|" + _IS + r"(?![A-Za-z])[ \t]{0,4}:?)", re.IGNORECASE)
_RESULT = re.compile(r"[\"'*_]{0,3}[ \t]{0,3}(?P<line>[:：])")
_ELSEWHERE = re.compile(
    r"[^\W\d_]{0,4}?(?:\s(?:final|finale|correcta|correcte|correta|corretta|definitiva|końcowa))?[\s\"»”*_)）]{0,4}(?:[(（][^()（）\n]{0,40}[)）]\s?)?"
    r"(?:(?:(?:ist|lautet|wäre|est|sería|es|seria|é|è|sarebbe|is|är|er|on|je|to|jest|wynosi|brzmi|равен|равна|равно|это|là|adalah|olur|είναι)(?!\w)"
    r"|是|为|為|は|が|은|는|هو|هي|है|คือ|היא|הוא)\s{0,2}[:：]?|(?P<line>[*_]{0,3}\s{0,2}(?:[:：=—–]|->|→)))",
    re.IGNORECASE,
)
_BEFORE_HEADING = re.compile(r"(?:^|\n)[ \t>#*_\d.)-]{0,8}(?:the |my |your |so |and )?(?:final |correct |short )?$", re.IGNORECASE)
_BEFORE_CHOSEN = re.compile(r"(?:(?:correct|right|best|my|final|chosen|answer|the)[ \t]|(?:^|\n)[ \t>#*_\"-]{0,8})$", re.IGNORECASE)
_BEFORE_RESULT = re.compile(r"(?:^|\n)[ \t>#*_-]{0,8}(?:the )?(?:final )?$", re.IGNORECASE)
_SECTION = re.compile(
    r"(?:\d{1,2}[.)] )?(?:step|solution|explanation|reasoning|part|calculat|analysis|method|approach|given|set-?up|check|verif|conclusion|summary|example|note|problem|question)",
    re.IGNORECASE,
)
"""How the heading of a section begins, which "####" makes in Markdown too."""
_NONE = re.compile("")
_BOXES = ("boxed{", "framebox{", "fbox{")
_BESIDE = re.compile(r"[^.!?:;=\n{}]{0,24}")
BESIDE = 25
MOST_PLACES = 16
"""Places of one key that are looked at."""

_USUAL = ("answer", "boxed{", "-->", "####")
_KEYS: dict[str, tuple[re.Pattern[str], re.Pattern[str] | None, bool]] = {
    "answer": (_ANSWER, None, False),
    "boxed{": (_NONE, None, False),
    "framebox{": (_NONE, None, False),
    "fbox{": (_NONE, None, False),
    "-->": (_NONE, None, False),
    "####": (_NONE, None, False),
    "option": (_CHOSEN, _BEFORE_CHOSEN, False),
    "choice": (_CHOSEN, _BEFORE_CHOSEN, False),
    "result": (_RESULT, _BEFORE_RESULT, False),
    "antwort": (_ELSEWHERE, None, True),
    "respuesta": (_ELSEWHERE, None, True),
    "resposta": (_ELSEWHERE, None, True),
    "risposta": (_ELSEWHERE, None, True),
    "antwoord": (_ELSEWHERE, None, True),
    "jawaban": (_ELSEWHERE, None, True),
    "cevap": (_ELSEWHERE, None, True),
    "vastaus": (_ELSEWHERE, None, True),
    "svar": (_ELSEWHERE, None, True),
    "odpow": (_ELSEWHERE, None, True),
}
_FOREIGN = {
    **dict.fromkeys(("réponse", "ответ", "відповідь", "đáp án", "trả lời", "yanıt", "odpověď", "απάντηση"), (_ELSEWHERE, None, True)),
    **dict.fromkeys(("答案", "答え", "答", "正解", "解答", "정답", "답", "الجواب", "الإجابة", "جواب", "پاسخ", "उत्तर", "คำตอบ", "תשובה"), (_ELSEWHERE, None, False)),
}  # fmt: skip


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


def affirmed(span: str) -> str:
    """A span without the parts it denies: "5, not 6" affirms 5."""
    return _DENIED.sub("", span) if "not" in span or "n't" in span or span.startswith("Not") else span


def unemphasised(text: str) -> str:
    """A text without Markdown's emphasis and code quotes, and without what is struck out."""
    if "~~" in text:
        text = _STRUCK.sub("", text)
    if "<" in text:
        text = TAG.sub("", text)
    return _EMPHASIS.sub("", text) if "*" in text or "`" in text or "__" in text else text


def sentences(text: str) -> list[str]:
    """Sentences and lines that contain a letter or digit."""
    return [piece for piece in _SENTENCE.split(text) if any(character.isalnum() for character in piece)]


def terse(sentence: str) -> bool:
    """Whether a sentence is short enough to be an answer by itself."""
    return len(sentence.split()) <= TERSE


class _Mark(NamedTuple):
    begin: int
    """Where its first letter is."""
    start: int
    """Where the answer begins."""
    end: int
    """Where the answer ends at the latest."""
    formal: bool
    comma: bool


def spans(completion: str, begins: Callable[[str], bool] = terse) -> Iterator[Span]:
    """Candidate spans in order of preference; a format takes the first in which it finds anything.

    Args:
        completion: the whole text of a model.
        begins: whether the first sentence of a short text is the answer.
    """
    text = answering(completion)[-TAIL:]
    tried = 0
    for mark in _marks(text):
        span, after = _behind(text, mark)
        if not span.text or (span.text.endswith("?") and not span.formal):
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
        pieces = sentences(_bare(_CONTINUED.sub(" ", text)))
        if pieces and begins(pieces[0]):
            for place, piece in enumerate(pieces):
                yield Span(piece, place == 0, line=text.strip().partition("\n")[0] if place == 0 else "")
            return
    yield from _unmarked(text)


def _listed(text: str) -> bool:
    """Whether a text begins with an item of a list: its end counts."""
    text = text.strip(" \t\r\n:")
    return "\n" in text and _ENUMERATOR.match(text) is not None


def _bare(text: str) -> str:
    """A text without emphasis and without the numbers and bullets of its items; one line alone is no list."""
    text = unemphasised(text)
    if "\n" not in text:
        return text
    lines = text.split("\n")
    items = [_ENUMERATOR.sub("", line, count=1) for line in lines]
    if sum(item != line for item, line in zip(items, lines, strict=True)) + bool(_BEGUN.fullmatch(lines[-1])) < 2:
        return text
    if _BEGUN.fullmatch(items[-1]):  # an item that was cut off
        items.pop()
    return "\n".join(items)


def _unmarked(text: str) -> Iterator[Span]:
    """The sentences of a text, from its end."""
    left = SENTENCES
    end = len(text)
    while end > 0 and left > 0:
        start = max(0, end - NEAR)
        if start:  # from the beginning of a line or sentence
            cut = text.rfind("\n", start, end)
            first = text.find("\n", start, end)
            start = first + 1 if 0 <= first < cut else start
        for piece in reversed(sentences(_bare(text[start:end]))):
            if "words)" in piece or _POLITE.match(piece):  # "The answer (in words) is …" repeats what was said in digits
                continue
            yield Span(piece[-NEAR:], False)
            left -= 1
            if not left:
                return
        end = start


def _reasons(sentence: str, follows: str, begins: Callable[[str], bool]) -> bool:
    """Whether "Answer:" is the heading of a rationale rather than a mark: a long first sentence, and two more behind it."""
    words = len(sentence.split())
    return words > TERSE + 3 and not begins(sentence) and len(sentences(follows)) >= 2


def _behind(text: str, mark: _Mark) -> tuple[Span, int]:
    """The span behind a mark, and where the text after it begins."""
    start, end = mark.start, mark.end
    if text[start - 1] == "{":
        return Span(_boxes(text, mark), True, True), end + 1
    while start < end and text[start] in " \t*_:：=\u00a0":
        start += 1
    if start < end and text[start] in "\n\r":
        while start < end and text[start].isspace():
            start += 1
    stop = text.find("\n", start, end)
    stop = end if stop < 0 else stop
    line = text[start:stop]
    if line[:3] == "```" or line[:2] in ("$$", "\\[") and len(line.strip()) <= 3:  # the answer is in the next line
        start = stop + 1
        stop = text.find("\n", start, end)
        stop = end if stop < 0 else stop
        line = text[start:stop]
    while stop < end and text[stop + 1 : stop + 12].lstrip()[:1] == "=":  # a calculation that goes on
        next_stop = text.find("\n", stop + 1 + len(text[stop + 1 : stop + 12]) - len(text[stop + 1 : stop + 12].lstrip()), end)
        stop = end if next_stop < 0 else next_stop
        line = " ".join(text[start:stop].split())
    close = line.find("</")
    if close >= 0:
        line = line[:close]
    found = sentences(line)
    first = found[0] if found else ""
    after = start + max(0, text[start:stop].find(first)) + len(first) if first else stop
    return (
        Span(
            unemphasised(first).strip(),
            True,
            mark.formal,
            mark.comma,
            unemphasised(line).strip(),
            text[max(0, mark.begin - BEFORE) : mark.begin],
        ),
        after,
    )


def _boxes(text: str, mark: _Mark) -> str:
    """What is in a box, with the boxes before it that stand beside it: "3 red and 4 blue"."""
    begin = mark.begin
    line = text.rfind("\n", 0, begin) + 1
    while True:
        at = text.rfind("\\boxed{", line, begin)
        if at < 0:
            break
        close = _closing(text, at + 7)
        if not close < begin <= close + BESIDE or not _BESIDE.fullmatch(text, close + 1, begin):
            break
        begin = at
    if begin == mark.begin:
        return text[mark.start : mark.end].strip()
    return text[begin : mark.end].replace("\\boxed{", "").replace("}", "").replace("$", "")


def _marks(text: str) -> Iterator[_Mark]:
    """The marks of a text, the last first."""
    near = max(0, len(text) - NEAR)
    yield from _of(text, _KEYS if text.isascii() else {**_KEYS, **_FOREIGN}, near, len(text))
    if near:
        yield from _of(text, _USUAL, 0, near)


def _of(text: str, keys: Iterable[str], start: int, end: int) -> Iterator[_Mark]:
    """The marks that one of the keys makes, between two places."""
    window = text[start:end]
    lowered = window.lower()
    if len(lowered) != len(window):  # "\u0130" becomes two characters
        lowered = window.replace("\u0130", "I").lower()
    places: list[tuple[int, str]] = []
    for key in keys:
        at = lowered.rfind(key)
        if at < 0:
            continue
        for _ in range(MOST_PLACES):
            places.append((at + start, key))
            at = lowered.rfind(key, 0, at)
            if at < 0:
                break
    places.sort(reverse=True)
    done = len(text) + 1
    for at, key in places:
        if at >= done:
            continue
        mark = _mark(text, at, key)
        if mark is not None:
            done = mark.begin
            yield mark


def _mark(text: str, at: int, key: str) -> _Mark | None:
    """The mark that a key at a place makes; None if it makes none."""
    start = at + len(key)
    if key in _BOXES:
        if at == 0 or text[at - 1] != "\\":
            return None
        return _Mark(at - 1, start, _closing(text, start), True, False)
    if key == "-->":
        return _Mark(at, start, min(len(text), start + LONGEST), True, False)
    if key == "####":
        rest = text[start : start + LONGEST].lstrip()
        return None if _SECTION.match(rest) else _Mark(at, start, min(len(text), start + LONGEST), True, False)
    pattern, before, comma = _KEYS.get(key) or _FOREIGN[key]
    previous = text[at - 1] if at else "\n"
    if before is None and (previous == "/" or (previous.isalpha() and previous.isascii())):
        return None
    if before is not None and not before.search(text[max(0, at - 40) : at]):
        return None
    match = pattern.match(text, start)
    if match is None or "words" in match[0]:
        return None
    found = match.groupdict()
    if found.get("tag") and previous != "<":
        return None
    if found.get("heading") and not _BEFORE_HEADING.search(text[max(0, at - 40) : at]):
        return None
    formal = any(found.get(name) for name in ("tag", "line", "heading"))
    return _Mark(at, match.end(), min(len(text), match.end() + LONGEST), formal, comma)


def _closing(text: str, start: int) -> int:
    """Where the brace closes that opened before `start`."""
    depth = 1
    most = min(len(text), start + LONGEST)
    for at in range(start, most):
        if text[at] == "{":
            depth += 1
        elif text[at] == "}":
            depth -= 1
            if depth == 0:
                return at
    return most
