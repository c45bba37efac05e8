"""`prompt.json` in a student's directory: the text that its form puts before each question. Imports nothing heavy."""

from __future__ import annotations

import json
from pathlib import Path

from engine.errors import JobFailed
from engine.forms import PromptedForm, TokenForm

PROMPT_FILE = "prompt.json"


def write_prompt(student: Path, text: str) -> None:
    """Writes the prompt of a student into its directory."""
    (student / PROMPT_FILE).write_text(
        json.dumps({"prompt": text}, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def with_prompt(form: TokenForm, student: Path) -> TokenForm:
    """The form with the prompt of a student; the form itself where it has none.

    Raises:
        JobFailed: the file cannot be read.
    """
    try:
        text = str(json.loads((student / PROMPT_FILE).read_bytes())["prompt"])
    except FileNotFoundError:
        return form
    except (ValueError, KeyError, TypeError):
        raise JobFailed(f'{student / PROMPT_FILE} is no prompt: expected {{"prompt": "a text"}}') from None
    return PromptedForm(form, text)
