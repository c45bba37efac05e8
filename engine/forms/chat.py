r"""The base's own chat template.

The question is the user's message. What the student learns is what it would generate after the generation prompt:

    generation prompt | before  rationale  between  answer  end of turn

The texts between come from the template: a conversation is rendered with and without the answer, with marks in the places of
question, rationale and answer, and the generation prompt must be a prefix. `Reply` holds them. Where the template drops the
reasoning of the last turn, or writes another beginning than its generation prompt, the reply is written after the
generation prompt all the same, since a server goes on from there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from engine.errors import JobFailed
from engine.forms._literal import LiteralEncoder
from engine.forms._template import ChatTemplate, TemplateFault, date_prelude, system_prelude
from engine.forms.base import BaseFacts, Conversation, Form, FormSettings, Note, Outline, TokenForm
from engine.methods.base import Method, TrainRow

QUESTION, RATIONALE, ANSWER, SYSTEM = (f"\ue0f0{name}\ue0f1" for name in ("q", "r", "a", "s"))
FIELDS = ("reasoning_content", "thinking", "reasoning")
"""Fields of a message in which templates look for reasoning."""
OPEN, CLOSE = "<think>", "</think>"
_OPENED = re.compile(rf"{OPEN}\s*$")
_CLOSED = re.compile(rf"{OPEN}\s*{CLOSE}\s*$")
ELSE = 'set students.form = { type = "paper" } or { type = "plain", … }, or choose another base'


class ChatSettings(FormSettings):
    """The chat template of the base."""

    type: Literal["chat"]
    """The form's name."""

    system: str = ""
    """System prompt, which is built into the exported template. Empty: none but what the template writes itself."""

    reasoning: Literal["auto", "template", "think", "text", "none"] = "auto"
    """Where the rationale goes. template: into the template's own reasoning (`reasoning_content`); think: between `<think>` and `</think>` before the answer; text: into the answer's text, with the method's mark before the answer (`-->`); none: nowhere, only the answer is learned. auto: template, think or text, the first that the template supports."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The texts around rationale and answer, after the generation prompt, up to the end of the turn."""

    before: str
    between: str
    """Empty where there is no rationale apart from the answer."""
    ending: str


@dataclass(frozen=True)
class ChatOutline(Outline):
    """What the template and the settings make of rows."""

    template: ChatTemplate
    """With system prompt and date built in."""
    method: Method
    reasoning: str
    """Resolved: template, think, text or none."""
    field: str
    """Of a message, for reasoning = template."""
    alone: Reply
    """For rows whose rationale is not apart."""
    apart: Reply
    system: str
    notes: tuple[str, ...] = ()

    @property
    def no_answer(self) -> str:  # type: ignore[override]
        """What is missing."""
        if self.apart.between:
            return f"no answer: the text ends without {self.apart.between.strip()!r}"
        return "no answer: empty" if self.reasoning == "none" else self.method.no_answer

    def parts(self, row: TrainRow) -> tuple[str, str]:
        """The rationale that stands apart, or nothing, and the text of the answer."""
        if self.reasoning == "text":
            return "", self.method.target(row)
        apart = (row.rationale or "").strip() if self.apart.between else ""
        marks = {self.apart.between.strip(), OPEN, CLOSE} - {""}
        while any(mark in apart for mark in marks):  # they would end it too early, for servers as well
            for mark in marks:
                apart = apart.replace(mark, "")
        return apart.strip(), row.answer.strip()

    def reply(self, row: TrainRow) -> Reply:
        """The texts around it."""
        return self.apart if self.parts(row)[0] else self.alone

    def written(self, row: TrainRow) -> str:
        """Up to the end of the turn."""
        rationale, answer = self.parts(row)
        reply = self.reply(row)
        return f"{reply.before}{rationale}{reply.between}{answer}"

    def parse(self, text: str) -> str | None:
        """What follows the end of the reasoning. A student that learned to reason, and does not, gives no answer."""
        if mark := self.apart.between.strip():
            _, found, text = text.partition(mark)
            return text.strip() or None if found else None
        empty = self.alone.before.strip()
        if empty and text.strip().startswith(empty):
            text = text.strip().removeprefix(empty)
        if self.reasoning == "text":
            return self.method.parse(text)
        return text.strip() or None

    def example(self, row: TrainRow) -> dict[str, Any]:
        """Messages, with the system prompt and the field of reasoning."""
        rationale, answer = self.parts(row)
        said = {"role": "assistant", "content": answer}
        if rationale and self.field:
            said[self.field] = rationale
        elif rationale:
            said["content"] = f"{self.apart.before}{rationale}{self.apart.between}{answer}"
        system = [{"role": "system", "content": self.system}] if self.system else []
        return {"messages": [*system, {"role": "user", "content": row.question.strip()}, said]}

    def asked(self, question: str) -> str:
        """The text up to where the student begins to write."""
        return self.template.render([{"role": "user", "content": question}], ask=True)


def outline_of(
    settings: ChatSettings, method: Method, template: ChatTemplate, controls: LiteralEncoder | None
) -> ChatOutline:
    """Finds out what a template makes of questions and answers.

    Args:
        settings: of the form.
        method: of the student.
        template: of the base.
        controls: finds the end of a turn; None where only texts are needed.

    Raises:
        TemplateFault: the template cannot be used; the message says why.
    """
    notes: list[str] = []
    template = template.bare()
    user = [{"role": "user", "content": QUESTION}]
    if date := date_prelude(template.source):
        notes.append(
            "the chat template writes today's date: it writes 26 July 2024 for this student, on any day"
        )
        template = template.before(date)
    if settings.system:
        folded = not _has_system(template)
        if folded:
            notes.append(
                "the chat template has no system message: the system prompt is put before the user's first text"
            )
        template = template.before(system_prelude(settings.system, folded=folded))
    asked = template.render(user, ask=True)
    if QUESTION not in asked:
        raise TemplateFault("it does not write the user's message")
    said = _said(template, [*user, {"role": "assistant", "content": ANSWER}])
    opened = bool(_OPENED.search(asked))
    if said.startswith(asked):
        before = said[len(asked) : said.index(ANSWER)]
        if before.strip():
            notes.append(f"the chat template writes {before.strip()!r} before an answer: it is learned too")
    else:
        before = f"\n{CLOSE}\n\n" if opened else ""
        notes.append(
            "the chat template writes past answers otherwise than after its generation prompt (it drops or adds"
            " reasoning): what is learned follows the generation prompt"
        )
    ending = said[said.rindex(ANSWER) + len(ANSWER) :]
    if controls is not None:
        at = controls.control_after(ending)
        end = template.specials.get("eos_token", "")
        if at is None and not end:
            raise TemplateFault("nothing ends the assistant's turn, and the tokenizer has no end token")
        if at is None:
            notes.append(
                f"the chat template does not end the assistant's turn with a token: {end!r} is added"
            )
        ending = ending.rstrip() + end if at is None else ending[:at]
    alone = Reply(before, "", ending)
    mode, field, apart = _apart(settings, method, template, asked, alone, opened=opened)
    if settings.reasoning == "auto" and method.reads_samples:
        where = {
            "template": f"as the template's own reasoning ({field})",
            "think": f"between {OPEN} and {CLOSE}",
            "text": "as text before the answer",
        }
        notes.append(f"the chat template of the base is used; the rationale is learned {where[mode]}")
    return ChatOutline(
        template=template,
        method=method,
        reasoning=mode,
        field=field,
        alone=alone,
        apart=apart,
        system=settings.system,
        notes=tuple(notes),
    )


def _has_system(template: ChatTemplate) -> bool:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
    try:
        text = template.render(messages, ask=True)
    except TemplateFault:
        return False
    return SYSTEM in text and QUESTION in text


def _said(template: ChatTemplate, messages: list[dict[str, str]]) -> str:
    text = template.render(messages, ask=False)
    if ANSWER not in text:
        raise TemplateFault("it does not write the assistant's message")
    return text


def _apart(
    settings: ChatSettings, method: Method, template: ChatTemplate, asked: str, alone: Reply, *, opened: bool
) -> tuple[str, str, Reply]:
    """Where the rationale goes, the field of the message if it has one, and the texts around it."""
    wanted = settings.reasoning
    if wanted == "none" or not method.reads_samples:
        return "none", "", alone
    if wanted in ("auto", "template"):
        for field in FIELDS:
            message = {"role": "assistant", "content": ANSWER, field: RATIONALE}
            said = _said(template, [{"role": "user", "content": QUESTION}, message])
            rest = said[len(asked) :]
            if said.startswith(asked) and RATIONALE in rest and rest.index(RATIONALE) < rest.index(ANSWER):
                before, _, after = rest.partition(RATIONALE)
                between = after[: after.index(ANSWER)]
                if between.strip():
                    return "template", field, Reply(before, between, alone.ending)
        if wanted == "template":
            raise TemplateFault(
                'it does not write the reasoning of the last turn: reasoning = "think" or "text" can be used with it'
            )
    thinks = opened or (CLOSE in template.source and not _CLOSED.search(asked))
    if wanted == "think" or (wanted == "auto" and thinks):
        return "think", "", Reply("" if opened else f"{OPEN}\n", f"\n{CLOSE}\n\n", alone.ending)
    return "text", "", alone


class ChatForm(TokenForm):
    """An outline with the tokenizer of its base."""

    def __init__(self, outline: ChatOutline, tokenizer: Any, encoder: LiteralEncoder, note: Note) -> None:
        self.outline: ChatOutline = outline
        self.method = outline.method
        self._tokenizer = tokenizer
        self._encoder = encoder
        self._note = note
        self._split = False
        self.template = outline.template.source
        [ending] = encoder.encode([outline.alone.ending], add_special_tokens=False)
        self._ending = ending
        own = tokenizer.eos_token_id
        self.ends = tuple(dict.fromkeys([ending[-1], *(() if own is None else (own,))]))
        self.end_text = ""
        self.markers = outline.method.markers if outline.reasoning == "text" else ()
        if outline.apart.between:
            mark = outline.apart.between.strip()
            [ids] = encoder.encode([mark], add_special_tokens=False)
            self.special_marks = mark not in tokenizer.decode(ids, skip_special_tokens=True)
            self.markers = () if self.special_marks else (mark,)
        self.shown = outline.asked("{question}")
        row = TrainRow(sample_id=0, question_id=0, question="", rationale="{rationale}", answer="{answer}")
        self.writes = outline.written(row) + outline.alone.ending

    def prompt_ids(self, questions: Sequence[str]) -> list[list[int]]:
        """The template writes all special tokens; the tokenizer adds none."""
        return self._encoder.encode([self._prompt(each) for each in questions], add_special_tokens=False)

    def conversation_ids(self, conversations: Sequence[Conversation]) -> list[list[int]]:
        """As `prompt_ids`: the template writes all special tokens."""
        hide = self._encoder.hide
        texts = [
            self.outline.template.render(
                [{**each, "content": hide(each["content"])} for each in talk], ask=True
            )
            for talk in conversations
        ]
        return self._encoder.encode(texts, add_special_tokens=False)

    def _prompt(self, question: str) -> str:
        return self.outline.asked(self._encoder.hide(question.strip()))

    def row_ids(self, rows: Sequence[TrainRow]) -> list[tuple[list[int], list[int]]]:
        """A row is encoded as one text. Where its first tokens are not those of the prompt, the completion is encoded alone."""
        questions = list(dict.fromkeys(row.question for row in rows))
        texts = {question: self._prompt(question) for question in questions}
        prompts = dict(zip(questions, self.prompt_ids(questions), strict=True))
        completions = [self._completion(row) for row in rows]
        whole = self._encoder.encode(
            [texts[row.question] + said for row, said in zip(rows, completions, strict=True)],
            add_special_tokens=False,
        )
        found = []
        for row, said, ids in zip(rows, completions, whole, strict=True):
            prompt = prompts[row.question]
            rest = ids[len(prompt) :]
            if ids[: len(prompt)] != prompt:
                [rest] = self._encoder.encode([said], add_special_tokens=False)
                if not self._split:
                    self._split = True
                    self._note(
                        "the first token of a completion would join the last one of the prompt: completions are encoded"
                        " by themselves, as generation writes them"
                    )
            found.append((prompt, rest))
        return found

    def _completion(self, row: TrainRow) -> str:
        rationale, answer = map(self._encoder.hide, self.outline.parts(row))
        reply = self.outline.reply(row)
        return f"{reply.before}{rationale}{reply.between}{answer}{reply.ending}"

    def turn_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Without special tokens."""
        return self._encoder.encode([self._encoder.hide(each) for each in texts], add_special_tokens=False)

    @property
    def closing(self) -> list[int]:
        """What ends a turn of the assistant."""
        return list(self._ending)

    def decode(self, ids: Sequence[int]) -> str:
        """Special tokens before the end stay, since they may separate reasoning and answer."""
        end = next((at for at, each in enumerate(ids) if each in self.ends), len(ids))
        text: str = self._tokenizer.decode(list(ids[:end]), skip_special_tokens=False)
        return text


@dataclass(frozen=True, kw_only=True)
class Chat(Form[ChatSettings]):
    """The template says the texts."""

    def suits(self, *, template: bool, encoder_decoder: bool) -> bool:
        """Decoders with a chat template."""
        return template and not encoder_decoder

    def outline(self, settings: ChatSettings, method: Method, base: BaseFacts) -> Outline:
        """By the template of the base."""
        return _checked(settings, method, base, None)

    def open(
        self, settings: ChatSettings, method: Method, tokenizer: Any, *, encoder_decoder: bool, note: Note
    ) -> TokenForm:
        """By the template of the tokenizer."""
        source = tokenizer.chat_template
        source = source.get("default") if isinstance(source, dict) else source
        specials = {
            name: str(each) for name, each in tokenizer.special_tokens_map.items() if isinstance(each, str)
        }
        facts = BaseFacts(encoder_decoder=encoder_decoder, template=source, specials=specials)
        encoder = LiteralEncoder(tokenizer)
        outline = _checked(settings, method, facts, encoder)
        for each in outline.notes:
            note(each)
        form = ChatForm(outline, tokenizer, encoder, note)
        begin = tokenizer.bos_token_id
        if begin is not None and form.prompt_ids(["a"])[0][:1] == [begin] == tokenizer("a")["input_ids"][:1]:
            note(
                f"the chat template writes {tokenizer.bos_token!r}: the tokenizer does not add a second one, and a program"
                " that encodes the template's text must not let it (add_special_tokens=False)"
            )
        return form


def _checked(
    settings: ChatSettings, method: Method, base: BaseFacts, controls: LiteralEncoder | None
) -> ChatOutline:
    if base.encoder_decoder:
        raise JobFailed(f"the form chat is for decoders, and this base is an encoder-decoder: {ELSE}")
    if not base.template:
        raise JobFailed(f"the tokenizer of the base has no chat template, which the form chat needs: {ELSE}")
    try:
        return outline_of(settings, method, ChatTemplate(base.template, base.specials or {}), controls)
    except TemplateFault as fault:
        raise JobFailed(f"the chat template of the base cannot be used: {fault}; {ELSE}") from fault


FORM = Chat(
    name="chat",
    doc="The base's own chat template; the default where its tokenizer has one.",
    settings=ChatSettings,
    rank=0,
    builtin=False,
)
