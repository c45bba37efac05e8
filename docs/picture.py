"""Draws the README's picture of the terminal UI from the real app on a real database.

python docs/picture.py state.db docs/overview.svg
"""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

from tui.app import make_app


async def draw(database: Path) -> str:
    """Opens the UI without a terminal, lets it read once, and returns what it shows."""
    app = make_app(database)
    async with app.run_test(size=(120, 40)) as pilot:
        while app.context.status is None or app.busy:
            await pilot.pause(0.05)
        await pilot.pause()
        drawing = app.export_screenshot(title="coterie tui")
    # Textual names a web font; a file of ours fetches nothing.
    return re.sub(r"@font-face \{.*?\}\s*", "", drawing, flags=re.DOTALL)


if __name__ == "__main__":
    picture = asyncio.run(draw(Path(sys.argv[1])))
    Path(sys.argv[2]).write_text(picture, encoding="utf-8")
