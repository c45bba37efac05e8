"""Draws every screen of a run of real size: `make pictures`, or `python -m tests.tui.pictures FOLDER [--size 120x40] [--theme light]`.

One SVG each, named STAGE-SIZE-THEME-SCREEN.svg. The clock stands still and the data are made up (`tests/tui/real_sized.py`), so pictures of
two versions of the monitor can be laid side by side.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, get_args

from tests.tui.conftest import running
from tests.tui.real_sized import Stage, build
from tui.colours import THEMES

SIZES: Final = ("80x24", "120x40", "160x45")
SCREENS: Final[dict[str, tuple[str, ...]]] = {  # the keys that lead on from the screen before
    "overview": (),
    "tasks": ("2", "j"),
    "teachers": ("3", "j", "j"),
    "samples": ("4", "j", "j", "j"),
    "question": ("enter",),
    "differences": ("d",),
    "unsolved": ("d", "escape", "u"),
    "runs": ("5", "j", "j", "j", "j", "j", "j", "j", "j", "j", "j", "j"),
    "run-questions": ("]",),
    "run-results": ("]",),
    "run-predictions": ("]",),
    "run-config": ("]",),
    "run-log": ("]",),
    "run-frontier": ("]", "]"),
    "runs-overlaid": ("[", "[", "[", "[", "[", "[", "[", "m", "j", "j", "j"),
    "runs-compared": ("d",),
    "events": ("escape", "6", "j", "j", "j"),
    "help": ("?",),
}


async def draw(database: Path, stage: Stage, size: str, theme: str, folder: Path) -> int:
    """Draws the screens of one stage; returns how many. All of them while the run goes on, else the overview."""
    screens = SCREENS if stage == "middle" else {"overview": ()}
    width, height = (int(part) for part in size.split("x"))
    async with running(database, (width, height), theme=theme) as driver:
        for screen, keys in screens.items():
            await driver.press(*keys)
            picture = driver.app.export_screenshot(title=f"coterie: {screen}")
            # Textual names a web font; a file of ours fetches nothing.
            picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
            (folder / f"{stage}-{size}-{theme}-{screen}.svg").write_text(picture, encoding="utf-8")
    return len(screens)


def main() -> None:
    """Draws all that was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.tui.pictures")
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--size", action="append", help=f"COLUMNSxROWS, again for more; all of {', '.join(SIZES)}"
    )
    parser.add_argument("--theme", action="append", help=f"again for more; all of {', '.join(THEMES)}")
    parser.add_argument(
        "--stage", action="append", choices=get_args(Stage), help="again for more; all of them"
    )
    options = parser.parse_args()
    os.environ["TZ"] = "UTC"
    time.tzset()
    options.folder.mkdir(parents=True, exist_ok=True)
    drawn = 0
    with tempfile.TemporaryDirectory() as temporary:
        for stage in options.stage or get_args(Stage):
            database = Path(temporary) / stage / "state.db"
            database.parent.mkdir()
            build(database, stage)
            for size in options.size or SIZES:
                for theme in options.theme or THEMES:
                    drawn += asyncio.run(draw(database, stage, size, theme, options.folder))
    sys.stdout.write(f"{drawn} pictures in {options.folder}\n")


if __name__ == "__main__":
    main()
