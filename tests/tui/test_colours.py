"""The themes: readable, told apart by colour-blind eyes, and nothing but weights under NO_COLOR."""

from __future__ import annotations

import itertools

import pytest

from tui.colours import THEMES, Colours, style, textual_themes, use

TEXTS = ("text", "strong", "muted", "accent", "good", "attention", "bad", "teacher")
# What a dichromat sees of linear RGB (Machado, Oliveira and Fernandes 2009, severity 1).
EYES = {
    "protan": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deutan": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritan": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
Colour = tuple[float, float, float]


def linear(colour: str) -> Colour:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return red, green, blue


def luminance(colour: str) -> float:
    red, green, blue = linear(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def lab(rgb: Colour) -> Colour:
    matrix = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    white = (0.9505, 1.0, 1.089)
    shares = [
        sum(weight * max(0.0, part) for weight, part in zip(row, rgb, strict=True)) / whole
        for row, whole in zip(matrix, white, strict=True)
    ]
    x, y, z = (share ** (1 / 3) if share > 0.008856 else 7.787 * share + 16 / 116 for share in shares)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def distance(one: str, other: str, eye: str) -> float:
    seen = []
    for colour in (one, other):
        rgb = linear(colour)
        red, green, blue = (sum(a * b for a, b in zip(row, rgb, strict=True)) for row in EYES[eye])
        seen.append(lab((red, green, blue)))
    return float(sum((a - b) ** 2 for a, b in zip(*seen, strict=True)) ** 0.5)


@pytest.mark.parametrize("name", THEMES)
def test_every_text_can_be_read_on_every_ground(name: str) -> None:
    theme = THEMES[name]
    least = 7.0 if "contrast" in name else 4.5
    for role, ground in itertools.product(TEXTS, ("background", "raised", "selected")):
        found = contrast(getattr(theme, role), getattr(theme, ground))
        assert found >= (least if ground == "background" else 4.5), (role, ground, found)


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("name", THEMES)
def test_colour_blind_eyes_tell_the_meanings_apart(name: str, eye: str) -> None:
    theme: Colours = THEMES[name]
    for one, other in itertools.combinations(("accent", "good", "attention", "bad"), 2):
        assert distance(getattr(theme, one), getattr(theme, other), eye) >= 8, (one, other)


def test_roles_become_colours_of_the_theme_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        use("light", dark=False)
        assert style("bold good") == f"bold {THEMES['light'].good}"
        use("nord", dark=True)  # one of Textual's: the roles of `dark`
        assert style("good") == THEMES["dark"].good
        assert style("on good") == f"on {THEMES['dark'].good}"
        monkeypatch.setenv("NO_COLOR", "1")
        use("dark", dark=True)
        assert [style(words) for words in ("bold bad", "good", "strong", "tab", "muted", "on good")] == [
            *("bold", "", "bold", "bold underline", "dim", "reverse"),
        ]
    finally:
        monkeypatch.undo()
        use("dark", dark=True)
    assert {theme.name for theme in textual_themes()} == set(THEMES)
