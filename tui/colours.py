"""The colour roles of the monitor and its themes. A style names a role (`good`, `bold accent`), never a colour.

Invariants: text has a contrast of 4.5 or more on every background it stands on; the roles differ in lightness too, for
eyes that cannot tell red from green or blue from yellow; under NO_COLOR a role is a weight or nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from functools import lru_cache

from textual.theme import Theme


@dataclass(frozen=True, slots=True, kw_only=True)
class Colours:
    """One theme: the colour of each role."""

    dark: bool
    background: str
    raised: str
    """Header, footer and dialogs."""
    selected: str
    """The row under the cursor."""
    text: str
    strong: str
    """Names, and the number that matters."""
    muted: str
    """Labels and units."""
    line: str
    """Borders. Never carries text, like the next two."""
    track: str
    """The rest of a bar."""
    faint: str
    """A plot's grid."""
    accent: str
    """Focus, keys, links, work under way, the first series."""
    good: str
    """Complete, correct, the best of its task."""
    attention: str
    """Waits, slowed, queued, reserved, unsolved."""
    bad: str
    """Wrong, failed, parked, refused."""
    teacher: str
    """What students are measured against; the second series."""


DARK = Colours(
    dark=True,
    background="#10151c",
    raised="#18202a",
    selected="#1d3550",
    text="#d9e1ea",
    strong="#ffffff",
    muted="#93a1b2",
    line="#33404f",
    track="#2a3542",
    faint="#3a4757",
    accent="#74bdff",
    good="#52e3b4",
    attention="#f7d154",
    bad="#ff7a5c",
    teacher="#ee8fe0",
)
LIGHT = Colours(
    dark=False,
    background="#fcfbf8",
    raised="#eef0f0",
    selected="#d3e6fb",
    text="#212b36",
    strong="#000000",
    muted="#56626f",
    line="#c2cad2",
    track="#dde2e6",
    faint="#b3bcc5",
    accent="#083f94",
    good="#006a49",
    attention="#7d6000",
    bad="#850d05",
    teacher="#a812a0",
)
CONTRAST = Colours(
    dark=True,
    background="#000000",
    raised="#000000",
    selected="#003a70",
    text="#ffffff",
    strong="#ffffff",
    muted="#d0d0d0",
    line="#ffffff",
    track="#606060",
    faint="#707070",
    accent="#7cc4ff",
    good="#5cf0c0",
    attention="#ffe066",
    bad="#ff8a70",
    teacher="#ffa0f0",
)
LIGHT_CONTRAST = Colours(
    dark=False,
    background="#ffffff",
    raised="#ffffff",
    selected="#c4dcff",
    text="#000000",
    strong="#000000",
    muted="#303030",
    line="#000000",
    track="#b0b0b0",
    faint="#a0a0a0",
    accent="#002f80",
    good="#00563b",
    attention="#665000",
    bad="#6a0000",
    teacher="#8a0084",
)
THEMES = {"dark": DARK, "light": LIGHT, "contrast": CONTRAST, "light-contrast": LIGHT_CONTRAST}
"""By name. Themes of Textual keep their background and take the roles of `dark` or `light`."""
ROLES = frozenset(each.name for each in fields(Colours)) - {"dark"}

WEIGHTS = frozenset({"bold", "dim", "italic", "underline", "reverse"})
"""What is left of a style under NO_COLOR."""

_current = DARK


def use(name: str, *, dark: bool) -> None:
    """Chooses the colours of everything that is drawn from now on; the name may be one of Textual's themes."""
    global _current
    _current = THEMES.get(name, DARK if dark else LIGHT)
    _style.cache_clear()


def colours() -> Colours:
    """The colours in use."""
    return _current


def textual_themes() -> list[Theme]:
    """Our themes, as Textual wants them."""
    return [
        Theme(
            name=name,
            dark=each.dark,
            primary=each.accent,
            secondary=each.teacher,
            accent=each.accent,
            foreground=each.text,
            background=each.background,
            surface=each.raised,
            panel=each.raised,
            success=each.good,
            warning=each.attention,
            error=each.bad,
            variables=variables(each),
        )
        for name, each in THEMES.items()
    ]


def variables(of: Colours) -> dict[str, str]:
    """The variables of the style sheet beside Textual's own."""
    return {
        "selected": of.selected,
        "raised": of.raised,
        "muted": of.muted,
        "line": of.line,
        "scrollbar": of.track,
        "scrollbar-hover": of.muted,
        "scrollbar-active": of.accent,
        "scrollbar-background": of.background,
        "scrollbar-background-hover": of.background,
        "scrollbar-background-active": of.background,
        "input-cursor-background": of.text,
        "footer-key-foreground": of.accent,
    }


def style(words: str) -> str:
    """The style of a name for Rich: roles become colours; `key` is a key, `tab` the tab that is shown."""
    return _style(words, "NO_COLOR" in os.environ)  # shown as grey, red on a dark background is unreadable


@lru_cache(maxsize=512)
def _style(words: str, plain: bool) -> str:
    found: list[str] = []
    for word in words.split():
        if word == "key":
            found += ["bold"] if plain else ["bold", _current.accent]
        elif word == "tab":
            found += ["bold", "underline"] if plain else ["bold", _current.background, "on", _current.accent]
        elif word == "strong":
            found += ["bold"] if plain else ["bold", _current.strong]
        elif word in ROLES:
            found += (["dim"] if word == "muted" else []) if plain else [getattr(_current, word)]
        elif word == "on" and plain:
            found.append("reverse")
        elif not plain or word in WEIGHTS:
            found.append(word)
    return " ".join(found)


def mixed(one: str, other: str, share: float) -> str:
    """A colour between two (`#rrggbb`); `share` 0 is the first, 1 the second."""
    pairs = [(int(one[at : at + 2], 16), int(other[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)
