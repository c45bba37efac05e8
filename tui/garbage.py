"""When the monitor looks for garbage: seldom, and not among what lives as long as it does. Of the whole process.

Python's collector stops everything and looks at every object there is: 80 ms with the monitor's libraries loaded, nine
times in sixty jumps through a list. What stands at the first frame (modules, classes, styles) is never garbage, so it is
set aside; of the rest, little is in cycles, so a round can wait until there is more of it.
"""

from __future__ import annotations

import gc

THRESHOLDS = (5_000, 10, 20)
"""New objects, young rounds, middle rounds: after so many of each comes the next round."""


def settle() -> None:
    """To be called once, after the first frame, by a process that is nothing but a monitor."""
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
