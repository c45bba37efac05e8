"""First names for the people of generated questions: short, distinct, one word each."""

from __future__ import annotations

NAMES: tuple[str, ...] = tuple(
    (
        "Anna Ben Carla David Emma Felix Grace Hugo Iris Jack Kate Leo Maria Noah Olga Paul "
        "Rosa Sam Tina Umar Vera Will Yara Zoe Alan Beth Carl Dora Eric Fay Glen Hana "
        "Igor Judy Karl Lucy Mark Nina Otto Petra Ruth Sean Tess Ugo Viktor Wendy Yusuf Zara "
        "Adam Brooke Chad Diego Elif Frank Gwen Heidi Ingrid Jacob Kevin Lisbeth Magnus Nadia Oscar Philip "
        "Quinn Rashid Simon Tariq Ursula Vincent Walter Xavier Yolanda Zack Amit Boris Colin Derek Edith Fatih "
        "Gloria Hassan Isaac Jamal Kofi Liang Miguel Naomi Omar Priya Rebecca Stefan Tomoko Ulf Valerie Yosef"
    ).split()
)

COMMON_NAMES: tuple[str, ...] = NAMES[:16]
"""For tasks in which a name carries no information: a very small student learns to copy a few names far sooner."""
