"""Panels to draw on, and the figure that comes of them: SVG, PDF and the points as rows.

Drawn with matplotlib, which is imported only here: the same bytes for the same input.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from state.safe import safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#2f6fb0", "#c8553d", "#3f8f5b", "#8a5aa8", "#b8862b", "#4a9aa5", "#a34a70", "#6b7280")
"""Series differ in marker and position as well as in colour."""
MARKERS = "osD^vPX*"
LEGEND_WIDTH = 2.1
"""Width of a legend entry in inches."""
LEGEND_LINE = 0.2
"""Height of each further line of a legend in inches."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure: the name of its file without extension, its caption, SVG, PDF, and the points that it shows."""

    name: str
    caption: str
    svg: str
    pdf: bytes
    rows: tuple[Mapping[str, Any], ...]


class Finish(Protocol):
    """Makes the figure once its panels are drawn."""

    def __call__(self, name: str, caption: str, rows: Sequence[Mapping[str, Any]]) -> Figure:
        """The figure with one legend below its panels."""


@contextmanager
def panels(
    count: int,
    *,
    width: float = 4.2,
    heights: Sequence[float] = (3.1,),
    columns: int = 0,
    legend_width: float = LEGEND_WIDTH,
) -> Iterator[tuple[list[Axes], Finish]]:
    """Panels, three per row, and a function that makes the figure once they are drawn.

    Args:
        count: their number.
        width: of a panel in inches.
        heights: of each row in inches; one for all rows.
        columns: panels per row; 0: by their number.
        legend_width: of a legend entry in inches.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas

    style: dict[str, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "coterie",
        "pdf.fonttype": 42,
        "font.family": "sans-serif",
        "font.size": 9,
        "text.parse_math": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
        "legend.frameon": False,
        "legend.fontsize": 8,
    }
    with mpl.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Glyph .* missing", UserWarning
        )  # the reader's fonts may have the glyph
        columns = columns or (2 if count == 4 else min(3, count))
        rows = -(-count // columns)
        by_row = list(heights) * rows if len(heights) == 1 else list(heights)
        canvas = Canvas(figsize=(width * columns, sum(by_row)), layout="constrained")
        canvas.patch.set_visible(
            False
        )  # the page shows through, and with it the shade at the edge of what can be scrolled
        FigureCanvasSVG(canvas)
        grid = canvas.add_gridspec(rows, columns, height_ratios=by_row)
        axes = [canvas.add_subplot(grid[place // columns, place % columns]) for place in range(count)]

        def finish(name: str, caption: str, rows: Sequence[Mapping[str, Any]]) -> Figure:
            named: dict[str, Any] = {}
            for panel in axes:
                for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
                    named.setdefault(label, handle)
            if named:  # outside, so that it hides nothing; on the left, which narrow screens show
                entries = max(1, int(width * columns / legend_width))
                canvas.set_figheight(sum(by_row) + LEGEND_LINE * (-(-len(named) // entries) - 1))
                canvas.legend(named.values(), named.keys(), loc="outside lower left", ncols=entries)
            out = io.StringIO()
            canvas.savefig(out, format="svg", metadata={"Date": None, "Creator": "coterie"})
            text = out.getvalue()
            pdf = io.BytesIO()
            canvas.savefig(
                pdf, format="pdf", metadata={"CreationDate": None, "Creator": "coterie", "Producer": None}
            )
            return Figure(name, caption, text[text.index("<svg") :], pdf.getvalue(), tuple(rows))

        yield axes, finish


def percent_axis(panel: Axes, title: str) -> None:
    """Accuracy in percent from bottom to top."""
    panel.set_title(safe(title), fontsize=10)
    panel.set_ylim(-3, 103)
    panel.set_ylabel("accuracy %")
