"""Renders chat templates as transformers does, in a sandbox, so that the daemon can too. Needs jinja2, when it is called."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

DAY = datetime(2024, 7, 26)
"""The date that templates write which ask for today's: a student is trained and asked with the same prompt on any day."""
_DATE = re.compile(r"strftime_now\(\s*(['\"])(.*?)\1\s*\)")

_BEGIN, _END = "{#- coterie -#}", "{#- end of coterie -#}"

Messages = Sequence[Mapping[str, Any]]


class TemplateFault(Exception):
    """A template cannot be rendered; the message says why."""


@dataclass(frozen=True)
class ChatTemplate:
    """The source of a chat template, and the special tokens it names (`bos_token` and others)."""

    source: str
    specials: Mapping[str, str]

    def render(self, messages: Messages, *, ask: bool) -> str:
        """The text of a conversation; with `ask`, up to where the assistant begins to write.

        Raises:
            TemplateFault: the template is broken, or refuses the messages.
        """
        try:
            text: str = _compiled(self.source).render(
                messages=[dict(message) for message in messages],
                tools=None,
                documents=None,
                add_generation_prompt=ask,
                **self.specials,
            )
        except Exception as error:  # whatever a template does
            raise TemplateFault(" ".join(str(error).split()) or type(error).__name__) from error
        return text

    def before(self, prelude: str) -> ChatTemplate:
        """The template with a text of jinja before it."""
        return ChatTemplate(f"{_BEGIN}{prelude}{_END}{self.source}", self.specials)

    def bare(self) -> ChatTemplate:
        """The template without what `before` added, in this run or in the one whose student is the base."""
        source = self.source
        while source.startswith(_BEGIN) and _END in source:
            source = source.partition(_END)[2]
        return ChatTemplate(source, self.specials)


def system_prelude(system: str, *, folded: bool) -> str:
    """Jinja that gives a conversation without a system message this one. Folded: any is put before the user's first text."""
    text = json.dumps(system, ensure_ascii=False)
    given = (
        f"{{%- if messages[0]['role'] != 'system' -%}}{{%- set messages = [{{'role': 'system', 'content': {text}}}]"
        " + messages -%}{%- endif -%}"
    )
    if not folded:
        return given
    return given + (
        "{%- set messages = [{'role': messages[1]['role'], 'content': messages[0]['content'] + '\\n\\n' +"
        " messages[1]['content']}] + messages[2:] -%}"
    )


def date_prelude(source: str) -> str:
    """Jinja that gives a template always the same date; empty where it does not ask for one."""
    formats = dict.fromkeys(found[2] for found in _DATE.finditer(source))
    if not formats:
        return ""
    cases = "".join(
        f"{{%- {'if' if not at else 'elif'} format == {json.dumps(each)} -%}}{DAY.strftime(each)}"
        for at, each in enumerate(formats)
    )
    return f"{{%- macro strftime_now(format) -%}}{cases}{{%- endif -%}}{{%- endmacro -%}}"


@lru_cache(maxsize=16)
def _compiled(source: str) -> Any:
    import jinja2
    import jinja2.ext
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(jinja2.ext.Extension):
        """`{% generation %}`, which marks what an assistant writes, writes its contents."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    def to_json(value: Any, ensure_ascii: bool = False, **more: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **more)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(source)
