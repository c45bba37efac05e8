"""Model output is hostile: it reaches the screen as text, and nothing but text."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import tui
from tests.tui.conftest import running
from tests.tui.seeded import HOSTILE
from tui.text import guarded, lines, one_line, say

FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
MODULES = sorted(Path(tui.__file__).parent.rglob("*.py"))

pytestmark = pytest.mark.anyio


def test_text_is_never_markup_and_never_control() -> None:
    for text in (say(HOSTILE), say((HOSTILE, "red")), lines([HOSTILE, say(HOSTILE)]), say(one_line(HOSTILE))):
        assert not FORBIDDEN.search(text.plain.replace("\n", ""))
        assert "[/foo]" in text.plain
        assert all(span.style in ("red", "") for span in text.spans)


def test_the_last_look_catches_what_went_past_say() -> None:
    from rich.text import Text

    text = Text("a")
    text._text = ["a\x1b]0;x"]  # as `append` would leave it, had rich not stripped some itself
    text.stylize("bold", 0, 1)
    shown = guarded(text)
    assert shown.plain == "a␛]0;x"
    assert shown.spans == text.spans


# What must not be called, and why: these take strings as markup, or write past Block and RowList.
SINKS = {
    "from_markup": "parses markup",
    "print": "writes to the terminal itself",
    "Static": "takes strings as markup",
    "Label": "takes strings as markup",
    "Markdown": "renders links and more",
    "RichLog": "takes strings as markup",
    "Log": "passes control characters on",
    "DataTable": "takes strings as markup",
    "Button": "takes strings as markup",
    "OptionList": "takes strings as markup",
    "Tabs": "takes strings as markup",
}
ATTRIBUTES = {"border_title", "border_subtitle", "tooltip", "title", "sub_title"}  # markup as well


def offences(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in SINKS:
                found.append(f"line {node.lineno}: {name} {SINKS[name]}")
            if name in ("notify", "Notification") and not any(
                key.arg == "markup" and isinstance(key.value, ast.Constant) and key.value.value is False
                for key in node.keywords
            ):
                found.append(f"line {node.lineno}: {name} without markup=False")
        if isinstance(node, ast.ImportFrom) and node.module == "textual.widgets":
            found += [f"line {node.lineno}: {alias.name}" for alias in node.names if alias.name != "Input"]
        targets = node.targets if isinstance(node, ast.Assign) else []
        found += [
            f"line {node.lineno}: {target.attr} is markup"
            for target in targets
            if isinstance(target, ast.Attribute) and target.attr in ATTRIBUTES
        ]
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_no_module_uses_a_sink_that_parses_markup(module: Path) -> None:
    assert offences(module.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_texts_are_made_in_one_module(module: Path) -> None:
    """`Text(…)` elsewhere would be a way past `say`."""
    if module.stem == "text":
        return
    calls = [node for node in ast.walk(ast.parse(module.read_text("utf-8"))) if isinstance(node, ast.Call)]
    made = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id in ("Text", "Content")]
    assert made == []


def test_the_lint_finds_what_it_is_for() -> None:
    assert offences("Static(row.rationale)")
    assert offences("self.notify(answer)")
    assert offences("widget.border_title = name")
    assert offences("from textual.widgets import Label")
    assert not offences("self.notify(words, markup=False)")


async def test_no_screen_shows_control_characters_or_obeys_markup(seeded: Path) -> None:
    async with running(seeded, (140, 40)) as driver:
        shown = ""
        for keys in (
            ("1",),
            ("2", "j", "j"),
            ("3", "j"),
            ("4", *("j",) * 9, "j", "j", "enter", "J", "escape"),
            ("5", "j", "j", "right_square_bracket", "right_square_bracket", "right_square_bracket", "f"),
            ("6", "j"),
            ("question_mark", "escape"),
        ):
            for key in keys:
                await driver.press(key)
                shown += driver.text
        driver.app.notice(HOSTILE)
        await driver.read()
        shown += driver.text
        assert not FORBIDDEN.search(shown.replace("\n", ""))
        assert "␛]0;owned␇" in shown  # it is there to see
        assert "[/foo]" in shown
        links = [
            strip
            for strip in driver.app.screen._compositor.render_strips()
            if "@click" in repr(strip.link_ids)
        ]
        assert links == []
        assert driver.app.is_running


async def test_the_palette_shows_hostile_names_as_they_stand(own: Path) -> None:
    from state.database import open_writer

    connection = open_writer(own)
    connection.execute("UPDATE run SET student = ?", (f"[/foo]{HOSTILE}",))
    connection.close()
    async with running(own) as driver:
        await driver.press("colon", *"gotorun3")
        assert "go to run 3: [/foo]Set the title" in driver.text
        assert not FORBIDDEN.search(driver.text.replace("\n", ""))
        await driver.press("escape", "5", "j", "x")
        assert not FORBIDDEN.search(driver.text.replace("\n", ""))
