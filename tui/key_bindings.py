"""Every key of the monitor: its id (for `[tui] keys`), its action, and its description in help."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from textual.binding import Binding

from engine.errors import ConfigError
from tui.glyphs import key_name


@dataclass(frozen=True, slots=True)
class Key:
    """A binding. `writes`: it sends the daemon a command, so `--readonly` removes it."""

    id: str
    keys: str  # as Textual names them, separated by commas
    action: str
    words: str
    writes: bool = False


KEYS = (
    Key("overview", "1", "go('overview')", "Overview"),
    Key("tasks", "2", "go('tasks')", "Tasks"),
    Key("teachers", "3", "go('teachers')", "Teachers"),
    Key("samples", "4", "go('samples')", "Samples"),
    Key("runs", "5", "go('runs')", "Runs"),
    Key("events", "6", "go('events')", "Events"),
    Key(
        "palette",
        "colon,ctrl+p",
        "command_palette",
        "command palette: every key; go to a task, run or teacher",
    ),
    Key("filter", "slash", "filter", "filter the list"),
    Key("faults", "f", "faults", "show only problems, or everything again"),
    Key("sort", "s", "sort", "sort by the next column"),
    Key("open", "enter", "open", "open"),
    Key("back", "escape", "out", "back"),
    Key("down", "j,down", "down", "down"),
    Key("up", "k,up", "up", "up"),
    Key("page_down", "pagedown,space", "page_down", "page down"),
    Key("page_up", "pageup", "page_up", "page up"),
    Key("top", "g,home", "top", "go to the top"),
    Key("bottom", "G,end", "bottom", "go to the bottom"),
    Key("next_wrong", "n", "go_to_wrong(1)", "go to the next wrong sample"),
    Key("previous_wrong", "N", "go_to_wrong(-1)", "go to the previous wrong sample"),
    Key("detail_down", "J,shift+down", "detail_down", "scroll the details down"),
    Key("detail_up", "K,shift+up", "detail_up", "scroll the details up"),
    Key("previous_tab", "left_square_bracket", "tab(-1)", "previous tab"),
    Key("next_tab", "right_square_bracket", "tab(1)", "next tab"),
    Key("left", "left", "sideways(-1)", "the previous rationale of a question"),
    Key("right", "right", "sideways(1)", "the next rationale of a question"),
    Key("unsolved", "u", "unsolved", "show questions that nobody solved, or everything again"),
    Key("differences", "d", "differences", "what differs between two runs, or the rationales of a question"),
    Key("shuffle", "r", "shuffle", "random order of samples; again: another one"),
    Key("mark", "m", "mark", "mark a run to compare others with it; note something about a sample"),
    Key("pager", "o", "page", "open the text in $PAGER"),
    Key("freeze", "p", "freeze", "freeze or unfreeze the display"),
    Key("pause", "P", "pause", "pause or resume a task, a teacher or all sampling", writes=True),
    Key("train", "t", "train", "train now", writes=True),
    Key("stop_run", "x", "stop_run", "stop or finish a run", writes=True),
    Key("budget", "B", "budget", "set the budget", writes=True),
    Key("copy", "y", "copy", "copy the text"),
    Key("theme", "T", "change_theme", "change the theme"),
    Key("help", "question_mark", "help", "help"),
    Key("quit", "q", "leave", "quit"),
)

BINDINGS = [Binding(key.keys, key.action, key.words, show=False, id=key.id) for key in KEYS]

_NAMES = {
    "colon": ":",
    "slash": "/",
    "question_mark": "?",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "escape": "esc",
    "enter": "↵",
    "pagedown": "pgdn",
    "pageup": "pgup",
    "left": "←",
    "right": "→",
}


def check_remapping(keys: Mapping[str, str]) -> dict[str, str]:
    """Checks that every id in `[tui] keys` exists and has a key, and returns the remapping.

    Raises:
        ConfigError: an id is unknown, or its key is empty.
    """
    ids = [key.id for key in KEYS]
    for given in keys:
        if given not in ids:
            near = difflib.get_close_matches(given, ids, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(ids)}"
            raise ConfigError(f"tui.keys.{given}: unknown binding; {hint}")
        if not all(name.strip() for name in keys[given].split(",")):
            raise ConfigError(
                f"tui.keys.{given}: expected a key such as 'x' or 'ctrl+x', got {keys[given]!r}"
            )
    return dict(keys)


def check_theme(theme: str, known: list[str]) -> str:
    """Checks that there is such a theme, and returns it.

    Raises:
        ConfigError: there is none.
    """
    if theme not in known:
        near = difflib.get_close_matches(theme, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
        raise ConfigError(f"tui.theme: unknown theme {theme!r}; {hint}")
    return theme


def key_label(key: Key, remapped: Mapping[str, str]) -> str:
    """The keys of a binding in readable form."""
    names = remapped.get(key.id, key.keys).split(",")
    return " ".join(key_name(_NAMES.get(name.strip(), name.strip())) for name in names)


def available_keys(readonly: bool) -> list[Key]:
    """The bindings that are available."""
    return [key for key in KEYS if not (readonly and key.writes)]
